"""Numbers in lines of a csv file, and what is wrong with a line that does not hold them."""

import csv
import unicodedata
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from ..arrays import Array
from ..training.progress import note

DECIMAL_COMMAS = "if the commas are decimal ones, write 1.5 for 1,5"


def read(lines: Iterable[str], source: str) -> Array:
    """The numbers (N, C) in lines of text with commas. A first line of column names is skipped, with a note on stderr.

    Raises ValueError for a line that does not hold numbers alone, or not as many as those before, and for other text.
    """
    numbers, columns = array("d"), 0  # an array for each row would take a hundred times the memory for short rows
    reader = csv.reader(lines)
    header: list[str] = []
    remark, end = "", 0
    empty = left_out = first_left_out = 0  # empty lines since the last sample; between samples
    try:
        for fields in reader:
            line, end = end + 1, reader.line_num
            place = f"{source}, line {line}"
            if not fields:
                empty += 1
                continue
            if end > line:
                raise ValueError(f"{place}: a quotation mark opens a field of several lines: close it on its line")
            first = not numbers and not header
            if first and _names_columns(fields):
                header = fields
                remark = f"{place}: {_short(fields)} is taken as column names, not as a sample{_way_out(fields)}"
                continue
            row = _as_numbers(fields)
            if row is None:
                raise ValueError(place + (_other_separator(fields) or _no_number(fields, first)))
            if first and _may_be_names(fields):
                what = "these are column names" if len(fields) > 1 else "it is the column's name"
                remark = f"{place}: {_short(fields)} is taken as a sample: if {what}, delete the line"
            if numbers and len(row) != columns:
                more = f": {DECIMAL_COMMAS}" if all(map(float.is_integer, [*row, *numbers[-columns:]])) else ""
                raise ValueError(f"{place}: {count(len(row), 'column')}, but {columns} before{more}")
            if numbers and empty:
                left_out, first_left_out = left_out + empty, first_left_out or line - empty
            empty, columns = 0, len(row)
            numbers.extend(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{source} is not text with commas in UTF-8: {error}") from error
    if header and not numbers:
        raise ValueError(f"{source} contains no samples, only " + (
            f"the column names {_short(header)}{_way_out(header, 'they are a sample')}"
            if any(map(is_number, header)) else "a header: numbers must be separated by commas"))
    if remark:
        note(f"note: {remark}")
    if left_out and columns == 1:  # missing numbers, perhaps
        note(f"note: {source}, line {first_left_out}: empty lines are not samples, {left_out} are left out")
    return np.array(numbers).reshape(-1, max(1, columns))


def count(number: int, what: str) -> str:
    """So many of them, in words."""
    return f"{number} {what}{'s' * (number != 1)}"


# ---- numbers


def is_number(text: str) -> bool:
    """Whether NumPy and pandas read it as one: Python's float also takes 1_0, and the digits of all scripts."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.strip().isascii()


def _as_numbers(fields: Sequence[str]) -> list[float] | None:
    text = "".join(fields)
    if ("_" in text or not text.isascii()) and not all(map(is_number, fields)):
        return None
    try:
        return list(map(float, fields))
    except ValueError:
        return None


# ---- column names

# what stands for a number that is not known, in pandas and elsewhere
MISSING = {"na", "n/a", "n.a.", "<na>", "#n/a", "#n/a n/a", "#na", "nat", "null", "<null>", "(null)", "[null]", "none",
           "<none>", "<nan>", "(nan)", "nil", r"\n", "missing", "(missing)", "<missing>", "undefined", "unknown",
           "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "1.#inf", "-1.#inf",
           "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!"}
BOOLEANS = {"true": "1", "false": "0"}
ANSWERS = {"yes", "no", "on", "off"}
SURELY = 10  # so many whole numbers in a row are no sample


def _names_columns(fields: Sequence[str]) -> bool:
    # pandas numbers columns without names, from 0 if none was taken out; some may have got names later
    names = [field.strip() for field in fields if not is_number(field)]
    numbers = [field.strip() for field in fields if is_number(field)]
    if any(map(_repairs, names)):
        return False
    if not numbers:
        return any(map(_is_name, names)) and not _other_separator(fields)
    if len(numbers) < 2 or not numbers[0].isdecimal() or not all(map(_is_name, names)):
        return False
    first = int(numbers[0][:9])  # Python reads no more than some thousands of digits
    return numbers == _counted(first, numbers) and (not first or len(fields) >= SURELY)


def _is_name(text: str) -> bool:
    return (any(map(str.isalpha, text)) and not text[0].isdigit()
            and text.lower() not in MISSING | BOOLEANS.keys() | ANSWERS)


def _counted(first: int, fields: Sequence[str], more: str = "") -> list[str]:
    return [f"{k}{more}" for k in range(first, first + len(fields))]


def _may_be_names(fields: Sequence[str]) -> bool:
    # of a line of numbers that is taken as a sample
    texts = [field.strip() for field in fields]
    return any(texts == _counted(first, texts, more) for first in (0, 1) for more in ("", ".0")
               if first == 0 or len(texts) > 1)


def _short(fields: Sequence[str]) -> str:
    texts = ["".join(each if each.isprintable() else repr(each)[1:-1] for each in field.strip()[:40])
             for field in fields]
    return ",".join(texts if len(texts) <= 4 else [*texts[:3], "...", texts[-1]])


def _way_out(fields: Sequence[str], condition: str = "it is one") -> str:
    # from a line of numbers that is taken as column names
    return f": if {condition}, write {fields[0].strip()}.0 for its first number" if all(map(is_number, fields)) else ""


# ---- what is wrong

SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'", None: "spaces"}


def _other_separator(fields: Sequence[str]) -> str:
    # what is wrong with a line of numbers that something else than commas separates; empty for another line
    line = ",".join(fields).replace('"', "")
    for separator, name in SEPARATORS.items():
        parts = [part.strip() for part in line.split(separator) if part.strip()]
        if len(parts) > 1 and all(is_number(part.replace(",", ".")) and part.strip(",") == part for part in parts):
            decimal = next((part for part in parts if "," in part), "")
            example = decimal if len(decimal) <= 20 else "1,5"
            more = f", and write {example.replace(',', '.')} for {example}" if decimal else ""
            return f": separate the numbers by commas, not by {name}{more}"
    return ""


def _no_number(fields: Sequence[str], first: bool) -> str:
    # what is wrong with a line that does not hold numbers alone
    column = [is_number(field) for field in fields].index(False)
    text = fields[column].strip()
    if first and not text and column == 0 and _names_columns(fields[1:]):
        more = ": if pandas has numbered the rows there, write to_csv(..., index=False)"
    elif not text and column == len(fields) - 1 > 0:
        more = ": leave out the comma at the end of the line, or fill in the number"
    elif text.lower() in MISSING or not any(map(str.isalnum, text)):
        more = ": a model needs all numbers of a sample: fill it in, or leave out the line"
    elif repairs := [repair for repair in _repairs(text) if len(repair) <= 40]:
        more = f": write {' or '.join(repairs)}"
    elif first and not any(map(is_number, fields)):
        more = ": if these are column names, delete the line"
    elif _is_name(text):
        more = ": if the column holds labels, leave it out"
    else:
        more = ""
    return f", column {column + 1}: must be a number, got {fields[column][:40]!r}{more}"


LEFT_OUT = "_'\u2019"  # between digits
MINUS = "\u2212\u2010\u2011\u2012\u2013\u2014"


def _repairs(text: str) -> list[str]:
    # the numbers for which a field may stand that is none, such as $1 or 1,5
    if text.lower() in BOOLEANS:
        return [BOOLEANS[text.lower()]]
    if not any(map(str.isdigit, text)) or any(unicodedata.category(each) == "No" for each in text):  # a raised 2, say
        return []
    plain = "".join(
        str(unicodedata.digit(each)) if each.isdecimal() else "-" if each in MINUS else each
        for each in unicodedata.normalize("NFKC", text)
        if not each.isspace() and each not in LEFT_OUT and unicodedata.category(each) != "Sc")
    if plain.startswith("(") and plain.endswith(")"):  # as accountants write what is negative
        plain = f"-{plain[1:-1]}"
    share = plain.endswith("%")
    found = [each for each in _without_commas(plain.removesuffix("%")) if is_number(each)]
    if share:
        return [repr(float(found[0]) / 100), found[0]] if found else []
    if not found and plain.lower().lstrip("+-").startswith("0x"):
        try:
            return [str(int(plain, 16))]
        except ValueError:
            return []
    return found


def _without_commas(text: str) -> list[str]:
    # commas before the decimals, or between thousands, or both where only the text's author knows
    if text.rfind(".") > text.find(",") >= 0:
        return [text.replace(",", "")]
    if text.count(",") > 1:
        return [text.replace(",", "")]
    whole, comma, rest = text.partition(",")
    if not comma:
        return [text]
    decimal = f"{whole.replace('.', '')}.{rest}"
    return [decimal, whole + rest] if len(rest) == 3 and "." not in whole else [decimal]
