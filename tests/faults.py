"""JSON with one fault, and how Python speaks of it: for tests of what reads JSON."""

import json
import re

LEFT_OUT = object()  # the value, with its name
PYTHON = re.compile(r"Error|object (has|is|cannot|does)|NoneType|unhashable|unexpected|positional|subscript|iterable|"
                    r"literal|could not convert|argument \d|zip\(|missing \d|__\w+__|too large|recursion|inhomogeneous|"
                    r"array element|ufunc|indices|unpack|<class|got <|not supported|Infinity")


def ways(tree, way=()):
    """The ways to all values in JSON: names and numbers."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*way, key)
        yield from ways(value, (*way, key))


def each(tree, wrong, turns=1):
    """(way, JSON) in which the value at that way is one of the wrong ones; at each value a part of them, in turns."""
    text = json.dumps(tree)
    for number, way in enumerate(ways(tree)):
        for value in wrong[number % turns::turns]:
            found = holder = json.loads(text)
            for key in way[:-1]:
                holder = holder[key]
            if value is LEFT_OUT:
                del holder[way[-1]]
            else:
                holder[way[-1]] = value
            yield way, found
