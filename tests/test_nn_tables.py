"""Numbers in csv files: which lines are samples, which is a header, and what is said of all others."""

import re
import tracemalloc

import numpy as np
import pytest

from nnjit.nn.commands import tables


def read(text):
    return tables.read(text.splitlines(keepends=True), "a.csv")


def refusal(text):
    with pytest.raises(ValueError) as found:
        read(text)
    return str(found.value)


# ---- the first line


@pytest.mark.parametrize("names", ["x,y", ",x", "NA,x", "No,x", "#,x", "1stFlrSF,2ndFlrSF,x", "2019-20,country",
                                   "$price,x", "h\u00f6he,\u03c0", "# x,y", "x_1,x_2", "e5,inf1", "yes,x"])
def test_every_line_of_names_that_is_skipped_is_noted(names, capsys):
    X = np.arange(5.5, 5.5 + 2 * len(names.split(","))).reshape(2, -1)
    text = "".join(f"{','.join(map(str, row))}\n" for row in X)
    np.testing.assert_array_equal(read(f"{names}\n{text}"), X)
    assert capsys.readouterr().err == (f"nnjit: note: a.csv, line 1: {names} is taken as column names, not as a "
                                       "sample\n")


def test_characters_that_a_terminal_obeys_are_shown_as_escapes(capsys):
    assert len(read("x\x1b[2J\x9b,y\n1,2\n")) == 1
    assert capsys.readouterr().err == (r"nnjit: note: a.csv, line 1: x\x1b[2J\x9b,y is taken as column names, not as a "
                                       "sample\n")
    assert refusal("0,\x01P\x00,1\n").startswith(r"a.csv contains no samples, only the column names 0,\x01P\x00,1")


@pytest.mark.parametrize("text, what", [
    ("0\n0.5\n", "it is the column's name"), ("0.0\n0.5\n", "it is the column's name"),
    *((text, "these are column names") for text in ("0.0,1.0\n5,6\n", "1.0,2.0,3.0\n5,6,7\n", "1,2\n5,6\n",
                                                    "1,2,3\n4,5,6\n"))])
def test_numbers_that_may_be_names_are_noted(text, what, capsys):
    assert len(read(text)) == 2
    first = text.split()[0]
    assert capsys.readouterr().err == (f"nnjit: note: a.csv, line 1: {first} is taken as a sample: if {what}, delete "
                                       "the line\n")


@pytest.mark.parametrize("text", [
    "1st,2nd", "2O,4O", "12:30,13:30", "2020-01-01,2020-01-02", "1.2.3,4.5.6", "1e,2e", "yes,no", "On,off",
    "5\u00b2,6\u00b2", "\u2460,\u2461", "\u00bd,\u00bc"])
def test_other_texts_alone_are_no_column_names(text):
    assert refusal(f"{text}\n3,4\n") == (f"a.csv, line 1, column 1: must be a number, got {text.split(',')[0]!r}: if "
                                         "these are column names, delete the line")


# ---- what is no number


def check_no_number(field, more):
    """In no line and no column this field is a number or a name, and what is said ends so."""
    got = field.strip('"')
    for line in ("{0},{0}", "{0},5", "5,{0}"):
        for number, before in ((1, ""), (3, "x,y\n1,2\n")):
            assert refusal(f"{before}{line.format(field)}\n3,4\n") == (
                f"a.csv, line {number}, column {2 if line[0] == '5' else 1}: must be a number, got {got!r}{more}")


@pytest.mark.parametrize("field", [
    "<NA>", "#N/A", "NaT", "missing", "n/a", "null", "NA", "None", "#N/A N/A", "-1.#IND", "1.#QNAN", "?", "--",
    "\u2014", ".", "*", r"\N", "(null)", "#DIV/0!", "unknown", "Nil", "$"])
def test_missing_numbers(field):
    check_no_number(field, ": a model needs all numbers of a sample: fill it in, or leave out the line")


@pytest.mark.parametrize("field, wish", [
    ("$1", "1"), ("1.5 \u20ac", "1.5"), ("-\u00a32", "-2"), ("\u22121.5", "-1.5"), ("1e\u22125", "1e-5"),
    ("\u20132", "-2"), ("TRUE", "1"), ("False", "0"), ("50%", "0.5 or 50"), ('"12,5 %"', "0.125 or 12.5"),
    ("(5)", "-5"), ("1_0", "10"), ("1e1_0", "1e10"), ("\uff11\uff12", "12"), ("\uff0d\uff11\uff0e\uff15", "-1.5"),
    ("\u0661\u0662", "12"), ("0x1F", "31"), ("-0xf", "-15"), ("1'000", "1000"), ('"1,5"', "1.5"),
    ('"-1,25e3"', "-1.25e3"), ('"1,234"', "1.234 or 1234"), ('"1,234.5"', "1234.5"), ('"1.234,5"', "1234.5"),
    ('"1,234,567"', "1234567"), ('"\u20ac 1.234,50"', "1234.50")])
def test_damaged_numbers(field, wish):
    check_no_number(field, f": write {wish}")
    assert refusal(f"{field},red\n3,4\n").endswith(f": write {wish}")  # nor beside names


def test_labels_among_the_numbers():
    for text, place in (("x,y,kind\n1,2,red\n", "line 2, column 3"), ("1,2,light blue\n", "line 1, column 3")):
        assert refusal(text) == (f"a.csv, {place}: must be a number, got {text.strip().split(',')[-1]!r}: "
                                 "if the column holds labels, leave it out")


@pytest.mark.parametrize("text", [
    "1", " 1", "+1.", ".5", "-1e-3", "1E5", "inf", "-Infinity", "NaN", "+nan", "1_0", "1__0", "\uff11", "\u0661",
    "0x1F", "0x1p3", "1e", "1d5", "\u22121", "0b1", "1j", "True", "1\u00a0"])
def test_a_number_is_what_numpy_reads(text):
    try:
        wish = np.loadtxt([text], delimiter=",", ndmin=2)
    except ValueError:
        assert re.match("a.csv, line 1, column 1: must be a number, got", refusal(text))
    else:
        np.testing.assert_array_equal(read(text), wish)


# ---- lines


@pytest.mark.parametrize("text, line", [('"1,2\n3,4\n', 1), ('x,"y\n1,2\n', 1), ('x,y\n\n1,"2\n3",4\n', 3),
                                        ('1,2\n"3\r4",5\n', 2)])
def test_a_quotation_mark_that_is_not_closed_swallows_no_samples(text, line):
    assert refusal(text) == f"a.csv, line {line}: a quotation mark opens a field of several lines: close it on its line"


def test_empty_lines_that_may_be_missing_numbers_are_noted(capsys):
    np.testing.assert_array_equal(read("\n5\n\n\n7\n8\n\n9\n\n"), [[5], [7], [8], [9]])
    assert capsys.readouterr().err == "nnjit: note: a.csv, line 3: empty lines are not samples, 3 are left out\n"
    np.testing.assert_array_equal(read("\n5,6\n\n7,8\n\n"), [[5, 6], [7, 8]])
    assert capsys.readouterr().err == ""
    assert "must be a number, got '  '" in refusal("5,6\n  \n7,8\n")


def test_the_comma_at_the_end_of_a_line():
    assert refusal("5,6,\n") == ("a.csv, line 1, column 3: must be a number, got '': leave out the comma at the end "
                                 "of the line, or fill in the number")


# ---- memory


def test_a_csv_takes_no_more_memory_than_its_numbers():
    lines = ["1\n"] * 20_000
    tracemalloc.start()
    X = tables.read(lines, "a.csv")
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert X.shape == (20_000, 1) and largest < 4 * X.nbytes  # an array a row: 15 times
