"""What the compiled gate learns of a public function: plans, from the calls of loop nests that it was seen to make.

A plan is made only if everything that the nests read is an argument or was written by a nest before, and if the result
consists of arguments, of arrays that nests wrote and of what nests returned. So nothing is left out that the function
does in Python, but for checks, and what these depend on is in the key (see record.py). Numbers are fixed at first. A
number that has changed, while nothing else did than words equal to it, is passed on from then on, if it lies in the
range that the checks noted.
"""

from types import MethodType

import numpy as np

from . import gate, record
from .capture import capture
from .compile import nest_of, signature_and_address
from .invoke import address, call_one, words_of
from .notes import noting
from .replay import Replay

MOST_PLANS = 1024  # of a function
MOST_ALIKE = 4  # plans that differ in numbers alone, before the function in Python makes all others of the kind
HEAP_TYPE = 1 << 9  # of the flags of classes that may change: Py_TPFLAGS_HEAPTYPE
RELEASE_FROM = 16_384  # elements that the nests' arrays have: from about 1 us on others may run meanwhile


class Unfit(Exception):
    """No plan can be made of a call."""


class Record:
    """The record of a call, from its bytes."""

    def __init__(self, content):
        self.words = np.frombuffer(content, np.int64)
        self.key = self._part(record.KEY, record.WORDS)
        self.values = self._part(record.VALUE, record.VALUES)
        self.hash = int(self.words[record.HASH // 8])
        self.floats = [word == record.FLOAT_TAG for word in self.key if word in record.NUMBER_TAGS]

    def _part(self, start, count):
        return self.words[start // 8:start // 8 + self.words[count // 8]].tolist()


def flat(args, names_and_values):
    """The arguments of a call in the order of the record: those of tuples one by one."""
    for x in (*args, *names_and_values.values()):
        if type(x) is tuple:
            yield from x
        else:
            yield x


class Plan:
    """One plan: `content` is what the compiled gate reads.

    The words of its calls are kept as well, to compare those of another call with them.
    """

    def __init__(self, call, args, options, calls=None, result=None):
        self.record = call
        # the key has their addresses
        self.held = [*options, *(x for x in flat(args, options) if type(x) in (str, type))]
        # of the numbers among the arguments: rules, and of those that are passed on: calls and places of their words
        self.rules = [(gate.ANY, 0, 0) if calls is None else (gate.EXACT, bits, 0) for bits in call.values]
        self.passed: dict[int, list[tuple[int, int]]] = {}
        self.patches = []  # of each call: pairs of the place of a word and what goes there, as a place in the record
        self.words, self.functions, self.expected = [], [], []
        self.made = []  # of new arrays: address of the dtype, number of dimensions, lengths; or 0, place on the stack
        self.stack = 0  # bytes there
        self.written = self.released = 0
        self.results, self.size = [], gate.NO_RESULT
        if calls is not None:
            self._read(args, options, calls, result)
            del self.objects, self.places  # or the arrays of this call would live as long as the plan
        self.content = self._content(refused=calls is None)

    def _read(self, args, options, calls, result):
        given = [x for x in flat(args, options) if type(x) is np.ndarray]
        parallel = any(isinstance(variant, MethodType) for variant, _ in calls)
        if parallel or not calls or len(calls) > gate.MOST_CALLS:
            raise Unfit
        if Replay.unexplained(calls, given) is not None:
            raise Unfit
        if any(type(x) is type and x.__flags__ & HEAP_TYPE for x in flat(args, options)):
            raise Unfit
        self._find_arrays(given, calls, result)
        for number, (variant, values) in enumerate(calls):
            self._read_call(number, variant, values, calls.results[number])
        self._check_order(calls)
        items = result if type(result) is tuple else (result,)
        self.size = len(items) if type(result) is tuple else gate.SINGLE
        numbers = [x for x in flat(args, options) if type(x) in (int, float)]
        self.results = [self._result(x, calls, numbers) for x in items]
        if sum(x.size for _, values in calls for x in values if isinstance(x, np.ndarray)) >= RELEASE_FROM:
            self.released = 1

    def _find_arrays(self, given, calls, result):
        """Number all arrays: those given, new ones that are returned, and what else nests write."""
        self.places: dict[int, int] = {}  # of an address: the number
        self.objects, self.given = list(given), len(given)
        for number, x in enumerate(given):
            self.places.setdefault(address(x), number)
        returned = [x for x in (result if type(result) is tuple else (result,)) if type(x) is np.ndarray]
        used = [(x, name in nest_of(variant).writes) for variant, values in calls
                for name, x in zip(nest_of(variant).names, values) if isinstance(x, np.ndarray)]
        for x in returned:
            if not any(x is y for y in self.objects):
                if x.base is not None or not x.flags.carray or (x.size and not any(
                        written and address(y) == address(x) and y.nbytes == x.nbytes for y, written in used)):
                    raise Unfit
                self._add(x)
        for x, _ in used:
            if address(x) not in self.places:
                whole = max((y for y, _ in used if address(y) == address(x)), key=lambda y: y.nbytes)
                self._add(whole, hidden=True)
        if len(self.made) > record.MOST_NEW or len(given) > record.MOST_ARRAYS:
            raise Unfit
        spans = sorted((address(x), address(x) + x.nbytes) for x in self.objects[len(given):])
        if any(first[1] > second[0] for first, second in zip(spans, spans[1:])):
            raise Unfit

    def _add(self, x, hidden=False):
        if x.ndim > record.MOST_DIMENSIONS:
            raise Unfit
        self.places.setdefault(address(x), len(self.objects))
        self.objects.append(x)
        end = self.stack + (x.nbytes + 63) // 64 * 64
        if hidden and end <= 8 * gate.STACK:
            self.made.append((0, self.stack))
            self.stack = end
        else:
            self.made.append((id(x.dtype), x.ndim, *x.shape))

    def _read_call(self, number, variant, values, returned):
        nest = nest_of(variant)
        signature, code = signature_and_address(variant, tuple(map(variant.typeof_pyval, values)))
        words, patches = [code], []
        for name, value in zip(nest.names, values):
            if isinstance(value, np.ndarray):
                place = self.places[address(value)]
                if value.nbytes > self.objects[place].nbytes:
                    raise Unfit
                if place < self.given and (name in nest.writes or name in nest.updates):
                    self.written |= 1 << place
                patches.append((8 * (len(words) + 4), record.ADDRESS + 8 * place))
                words += words_of(value)
                words[-1 - 2 * value.ndim] = 0
            else:
                words += words_of(value)
        words.append(0)
        if len(words) > gate.MOST_CALL_WORDS:
            raise Unfit
        self.functions.append(call_one(signature))
        self.words.append(words)
        self.patches.append(patches)
        self.expected.append((gate.NOTHING, 0) if returned is None else (gate.EQUAL, words_of(returned)[0]))

    def _check_order(self, calls):
        """Only the last call may update: if one after it failed, Python would make all again, and update twice."""
        for variant, _ in calls[:-1]:
            if nest_of(variant).updates:
                raise Unfit

    def _result(self, x, calls, numbers):
        if x is None:
            return gate.ABSENT, 0
        if type(x) is np.ndarray:
            return gate.ARRAY, next(i for i, y in enumerate(self.objects) if y is x)
        for number, value in enumerate(calls.results):
            if type(value) is type(x) in (int, float) and (value is x or type(x) is int and value == x):
                self.expected[number] = gate.RETURNED, 0
                return gate.INTEGER if type(x) is int else gate.REAL, number
        for number, value in enumerate(numbers):
            if value is x and type(x) is float:
                return gate.PASSED, number
        raise Unfit

    def generalise(self, other, notes):
        """Pass on the numbers that differ from those of another plan. Whether they explain all that differs."""
        if (self.functions, self.made, self.written, self.results, self.size, self.expected, self.patches) != (
                other.functions, other.made, other.written, other.results, other.size, other.expected, other.patches):
            return False
        mine, others = self.record.values, other.record.values
        passed: dict[int, list[tuple[int, int]]] = {i: [] for i, (a, b) in enumerate(zip(mine, others)) if a != b}
        for call, (words, former) in enumerate(zip(self.words, other.words)):
            for at, pair in enumerate(zip(words, former, strict=True)):
                if pair[0] != pair[1]:
                    causes = [i for i in passed if (mine[i], others[i]) == pair]
                    if len(causes) != 1:
                        return False
                    passed[causes[0]].append((call, at))
        for i, places in passed.items():
            rule = self._rule(i, notes)
            if not places or rule is None:
                return False
            self.rules[i] = rule
        for i, places in other.passed.items():
            if i not in passed:
                self.rules[i], passed[i] = other.rules[i], places
        self.passed = passed
        self.content = self._content()
        return True

    def _rule(self, i, notes):
        """The rule of number i of the call, by what the checks noted."""
        bits, is_float = self.record.values[i], self.record.floats[i]
        value = float(np.int64(bits).view(np.float64)) if is_float else bits
        if (type(value), value) not in notes:
            return None
        low, high, zero = notes[type(value), value]
        if not is_float:
            return gate.WHOLE, low, high
        return gate.NUMBER if zero else gate.NOT_ZERO, *words_of(low), *words_of(high)

    def _content(self, refused=False):
        key = [*self.record.key]
        rules = [word for rule in self.rules for word in rule]
        new = [word for entry in self.made for word in (*entry, *[0] * (gate.NEW // 8 - len(entry)))]
        calls = []
        for number, (function, words, (expect, value)) in enumerate(zip(self.functions, self.words, self.expected)):
            patches = self.patches[number] + [(8 * at, record.VALUE + 8 * i) for i, places in self.passed.items()
                                              for call, at in places if call == number]
            calls += [function, len(words), len(patches), expect, value, *words]
            calls += [word for patch in patches for word in patch]
        results = [word for result in self.results for word in result]
        starts = np.cumsum([gate.P_KEY // 8 + len(key), len(rules), len(new), len(calls)]) * 8
        header = [self.record.hash, len(key), self.written, self.released, len(self.made),
                  gate.REFUSED if refused else len(self.words), self.size, *starts.tolist()]
        return np.array([*header, *key, *rules, *new, *calls, *results], np.int64)


def _view(x, views, originals):
    if type(x) is tuple:
        return tuple(_view(each, views, originals) for each in x)
    if type(x) is not np.ndarray:
        return x
    if id(x) not in views:
        views[id(x)] = x.view()
        originals[id(views[id(x)])] = x
    return views[id(x)]


def _original(x, originals):
    return tuple(_original(each, originals) for each in x) if type(x) is tuple else originals.get(id(x), x)


def learn(describe, function, args, options):
    """The result of a call of a function in Python, and what was learnt: a record, a plan or None, and notes."""
    views: dict[int, np.ndarray] = {}  # of the arrays, whose shapes other threads may change
    originals: dict[int, np.ndarray] = {}
    args, options = _view(args, views, originals), {
        name: _view(x, views, originals) for name, x in options.items()}
    content = describe(*args, **options)
    with noting() as notes, capture(checks=True) as calls:
        result = function(*args, **options)
    if not content or calls.foreign:  # the first: another thread changed an argument before
        return _original(result, originals), None, None, None
    call = Record(content)
    try:
        plan = Plan(call, args, options, calls, result)
    except Unfit:
        plan = None
    return _original(result, originals), call, plan, notes
