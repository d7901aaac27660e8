"""A report as a JSON file, which is written whole or not at all, and checked when it is read."""

import json
import re
from collections.abc import Collection
from typing import Any

from ..nn.checks import finite, positive, shown, whole
from ..nn.files import read_json, reading, write_text
from .figures import BESIDE, NAMES, Failure, Report

MACHINE = ("processor", "system", "vector registers")  # texts
ROW = ("group", "dtype", "flops", "bytes", "footprint", "seconds")


def load(path: str) -> Report:
    """Read a JSON report. Raises Failure that says what is wrong with it."""
    try:
        with reading(path) as file:
            content = file.read()
        report = read_json(content, "it")
        _check(report)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", 2) from error
    except (TypeError, ValueError) as error:
        raise Failure(f"{path} is no report that `nnjit bench --json` wrote: {error}", 2) from error
    return report


def save(report: Report, path: str) -> None:
    """Write a JSON report, one row a line."""
    lists = [name for name in ("calls", "rows") if name in report]
    head = json.dumps({name: value for name, value in report.items() if name not in lists}, indent=1)
    parts = [f'"{name}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in report[name]) + "\n ]" for name in lists]
    write_text(path, ",\n ".join([head[:-2], *parts]) + "\n}\n")


def _check(report: Any) -> None:
    _object("it", report, ("machine", "limits", "rounds", "rows"))
    machine = _object("its machine", report["machine"], (*MACHINE, "threads", "caches", "versions"))
    whole("threads of its machine", machine["threads"])
    whole("its rounds", report["rounds"])
    _texts("its machine", {name: machine[name] for name in MACHINE})
    _texts("caches", _object("caches", machine["caches"]))
    _texts("versions", _object("versions", machine["versions"], ("python", "numpy")))
    if not _object("its limits", report["limits"]):
        raise ValueError("its limits must be those of one number of threads at least")
    for count, limits in report["limits"].items():
        what = f"its limits with {shown(count)} threads"
        if not re.fullmatch("[1-9][0-9]{0,5}", count):
            raise ValueError(f"its limits must be by numbers of threads, got {shown(count)}")
        _object(what, limits, ("gflops", "copy"))
        for dtype in ("f32", "f64"):
            positive(what, _object(what, limits["gflops"], ("f32", "f64"))[dtype])
        for each in _list(f"{what}, copy,", limits["copy"]):
            for value in _list(f"{what}, copy,", each, 2):
                positive(what, value)
    for number, row in enumerate(_list("its rows", report["rows"]), 1):
        _check_row(f"row {number}", row, report["limits"])
    if "calls" in report:  # older reports have none
        _check_calls(report["calls"])


def _check_calls(calls: Any) -> None:
    if not isinstance(calls, list):
        raise ValueError(f"its calls must be a list, got {shown(calls)}")
    for number, row in enumerate(calls, 1):
        what = f"call {number}"
        _object(what, row, ("call", "seconds"))
        _texts(what, {"call": row["call"]})
        what = f"{what}, {row['call'][:60]}"
        found = _object(f"seconds of {what}", row["seconds"], ("numpy", "nnjit"))
        for name, times in found.items():
            _times(f"seconds of {shown(name)} in {what}", times)
        _as_many(what, found)


def _check_row(what: str, row: Any, counts: Collection[str]) -> None:
    _object(what, row, ROW)
    _texts(what, {"group": row["group"]})
    if not row["group"].strip() or row["dtype"] not in ("f32", "f64"):
        raise ValueError(f"{what} must have a group and the dtype f32 or f64, got {shown(row['group'])} and "
                         f"{shown(row['dtype'])}")
    what = f"{what}, {row['group'][:60]}"
    finite(f"flops of {what}", row["flops"])
    for name in ("bytes", "footprint"):
        positive(f"{name} of {what}", row[name])
    found = _object(f"seconds of {what}", row["seconds"], ("nnjit",))
    if len(found) == 1:
        raise ValueError(f"seconds of {what} must be of nnjit and another")
    for name, seconds in found.items():
        if name not in NAMES:
            raise ValueError(f"seconds of {what} must be of {', '.join(NAMES)}, got {shown(name)}")
        _object(f"seconds of {name} in {what}", seconds, counts)
        for count in counts:
            _times(f"seconds of {name} with {count} threads in {what}", seconds[count])
    for count in counts:
        _as_many(f"{what}, with {count} threads", {name: seconds[count] for name, seconds in found.items()})
    if "peak" in row:
        _object(f"peak of {what}", row["peak"], counts)
    for name in BESIDE:
        for count, values in _object(f"{name} of {what}", row.get(name, {})).items():
            if count not in counts:
                raise ValueError(f"{name} of {what} must be by numbers of threads, got {shown(count)}")
            _times(f"{name} with {count} threads in {what}", values)
            _as_many(f"{what}, with {count} threads", {"nnjit": found["nnjit"][count], name: values})


def _times(what: str, values: Any) -> None:
    for value in _list(what, values):
        positive(what, value)


def _as_many(what: str, found: dict[str, list[Any]]) -> None:
    rounds = {name: len(values) for name, values in found.items()}
    if len({*rounds.values()}) > 1:
        raise ValueError(f"figures of {what} must be of as many rounds for all, got {rounds}")


def _object(what: str, value: Any, names: Collection[str] = ()) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, got {shown(value)}")
    for name in names:
        if name not in value:
            raise ValueError(f"{what} must have {name!r}")
    return value


def _list(what: str, value: Any, count: int | None = None) -> list[Any]:
    if not isinstance(value, list) or not value or count not in (None, len(value)):
        raise ValueError(f"{what} must be a list of {'elements' if count is None else count}, got {shown(value)}")
    return value


def _texts(what: str, found: dict[str, Any]) -> None:
    for name, value in found.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} of {what} must be text, got {shown(value)}")
