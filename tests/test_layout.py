"""The rooms of the project: which files an operation has, and who may import whom."""

import ast
import inspect
import sys
import types
from pathlib import Path

import pytest

from nnjit import kernels
from nnjit.bench import contract, digests
from nnjit.bench.trainings import TRAININGS
from nnjit.kernels import reference

ROOT = Path(__file__).parent.parent
OPERATIONS = contract.operations()
CORE = sorted(path.stem for path in (ROOT / "kernels/core").glob("*.py") if path.stem != "__init__")
# for bench/ only
PEERS = {"jax", "mkl", "nnfs", "psutil", "pytest", "pytest_benchmark", "threadpoolctl", "torch", "tqdm"}

each = pytest.mark.parametrize("operation", OPERATIONS)


def sources(folder):
    return sorted((ROOT / folder).glob("*.py"))


def imports(path):
    """The names of all that a file imports, dots and all: `.jit`, `..kernels.softmax`, `numba.prange`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            for name in node.names:
                yield f"{start}{'' if start.endswith('.') else '.'}{name.name}"


def outsiders(path, allowed):
    """What a file imports and may not: a name is allowed with all that it holds."""
    return [name for name in imports(path)
            if not any(name == start or name.startswith(start.rstrip(".") + ".") for start in allowed)]


def lacking(names, others, what):
    """A line for each name that the others lack."""
    return [f"operation {name}: {what}" for name in sorted(set(names) - set(others))]


def test_an_operation_is_a_module_in_both_folders_and_in_all():
    of_kernels = {path.stem for path in sources("kernels")} - {"__init__"}
    of_reference = {path.stem for path in sources("kernels/reference")} - {"__init__"}
    listed = {name for name in kernels.__all__ if inspect.ismodule(getattr(kernels, name, kernels))}
    missing = [*lacking(of_kernels, of_reference, "no twin in kernels/reference"),
               *lacking(of_reference, of_kernels, "no module in kernels"),
               *lacking(of_reference, reference.__all__, "not in kernels.reference.__all__"),
               *lacking(of_kernels, listed, "not in kernels/__init__.py __all__"),
               *lacking(listed, of_kernels, "in kernels/__init__.py __all__, but no module")]
    assert not missing, "\n".join(missing)
    assert sorted(of_reference) == OPERATIONS


def test_an_operation_has_a_digest():
    names = {*OPERATIONS, *TRAININGS}
    missing = [*lacking(names, digests.DIGESTS, "no digest in bench/digests.py; python -m nnjit.bench.contract --write "
                                                "writes that file, see CONTRIBUTING.md"),
               *lacking(digests.DIGESTS, names, "a digest in bench/digests.py, but no module")]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("pattern", ("kernels/{}.py", "kernels/reference/{}.py", "tests/test_{}.py",
                                     "bench/bench_{}.py"))
@each
def test_an_operation_has_four_files(operation, pattern):
    path = pattern.format(operation)
    assert (ROOT / path).is_file(), f"the operation {operation} has no {path}"


def functions(module):
    kinds = types.FunctionType, types.BuiltinFunctionType
    return {name: value for name, value in vars(module).items() if isinstance(value, kinds)
            and value.__module__ == module.__name__ and not name.startswith("_")}


@each
def test_twins_are_twins(operation):
    kernel, twin = map(functions, contract.twins(operation))
    del twin["inputs"]
    kernel = {name: function for name, function in kernel.items() if name in ("forward", "backward", "step")}
    assert kernel.keys() == twin.keys() and kernel
    for name in kernel:
        ours, theirs = (inspect.signature(function).parameters for function in (kernel[name], twin[name]))
        assert list(ours) == list(theirs), f"{operation}.{name}"
        for parameter in ours:
            a, b = ours[parameter], theirs[parameter]
            assert a.kind == b.kind, f"{operation}.{name}: {parameter}"
            # a twin that writes several arrays says so by a tuple of None
            same = a.default == b.default or parameter == "out" and set(b.default) == {None}
            assert same, f"{operation}.{name}: default of {parameter}"
        assert ours["parallel"].kind is inspect.Parameter.KEYWORD_ONLY and ours["parallel"].default is None
        if "out" in ours:
            assert ours["out"].kind is inspect.Parameter.KEYWORD_ONLY and ours["out"].default is None


@each
def test_a_twin_lists_the_shapes_worth_testing(operation):
    twin = contract.twins(operation)[1]
    lengths = {len(shape) for shape in twin.SHAPES}
    assert lengths in ({len(twin.DIMENSIONS)}, {1}) and len({*twin.SHAPES}) == len(twin.SHAPES)


@each
def test_docstrings_tell_the_arguments_and_where_the_formula_is(operation):
    kernel, twin = contract.twins(operation)
    assert kernel.__doc__ and twin.__doc__ and twin.DIMENSIONS
    for name, function in functions(kernel).items():
        if name in ("forward", "backward", "step"):
            text = inspect.getdoc(function)
            assert text.endswith(f"Formula and source: kernels/reference/{operation}.py"), f"{operation}.{name}"
            for parameter in inspect.signature(function).parameters:
                assert parameter in text, f"{operation}.{name} does not tell what {parameter} is"


@each
def test_a_kernel_imports_what_it_may(operation):
    path = ROOT / "kernels" / f"{operation}.py"
    allowed = {"numpy", "numba.prange", "math", ".core", *(f".{name}" for name in OPERATIONS)}
    assert outsiders(path, allowed) == []


def test_reference_imports_numpy_only():
    for path in sources("kernels/reference"):
        own = {"importlib", "pkgutil"} if path.stem == "__init__" else {f".{name}" for name in OPERATIONS}
        assert outsiders(path, {"numpy", "math", "typing", *own}) == [], path.name


def room(place):
    """The room of a module of nn, named by its dotted path there."""
    first, _, rest = place.partition(".")
    return first if rest or first in ROOMS else "ground"


GROUND, PARTS = ("ground",), ("ground", "layers", "losses", "metrics", "optimizers")
ROOMS = {"ground": GROUND, "layers": PARTS, "losses": PARTS, "metrics": PARTS, "optimizers": PARTS,
         "data": ("ground", "data"), "training": (*PARTS, "training"), "inspect": (*PARTS, "training", "inspect"),
         "formats": (*PARTS, "training", "formats"), "nnfs": (*PARTS, "training", "formats"),
         "models": (*PARTS, "training", "models"),
         "commands": (*PARTS, "data", "training", "inspect", "formats", "models", "commands")}
# imported at the call of save, load or summary, which that module is made for
LATE = {("training.model", "formats.native"), ("training.model", "inspect.summary")}


def modules_of_nn():
    return {path.relative_to(ROOT / "nn").with_suffix("").as_posix().replace("/", "."): path
            for path in (ROOT / "nn").rglob("*.py")}


def imported(place, path, known):
    """The modules of nn that one imports."""
    package = place.split(".")[:-1]
    for name in imports(path):
        dots = len(name) - len(name.lstrip("."))
        if not dots or dots > len(package) + 1:
            continue
        parts = [*package[:len(package) + 1 - dots], *name[dots:].split(".")]
        while parts and ".".join(parts) not in known and ".".join([*parts, "__init__"]) not in known:
            parts.pop()
        yield ".".join(parts) if ".".join(parts) in known else ".".join([*parts, "__init__"])


def test_rooms_import_what_they_may():
    known = modules_of_nn()
    assert {room(place) for place in known} == {*ROOMS}
    wrong = [f"{place} imports {other}" for place, path in known.items() if place not in ("__init__", "__main__")
             for other in imported(place, path, known)
             if room(other) not in ROOMS[room(place)] and (place, other) not in LATE and other != "nnfs.__init__"]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_import_circle():
    known = modules_of_nn()
    needs = {place: {other for other in imported(place, path, known) if (place, other) not in LATE
                     and other.removesuffix("__init__").rstrip(".") != ".".join(place.split(".")[:-1])}
             for place, path in known.items() if place != "__init__"}
    while needs:
        free = [place for place, others in needs.items() if not others & needs.keys() - {place}]
        assert free, "circle among " + ", ".join(sorted(needs))
        for place in free:
            del needs[place]


def test_nn_does_not_reach_into_the_kernels():
    for place, path in modules_of_nn().items():
        hidden = [name for name in imports(path)
                  if name.split(".")[0] in ("numba", "llvmlite") or "kernels.core" in name]
        assert hidden == [], place
        assert not {"bench", "tests"} & {part for name in imports(path) for part in name.split(".")}, place


def test_the_books_attributes_are_looked_up_in_one_file():
    # a layer may have parameters of any names: nn asks `parameters_of` and `gradients_of`
    for place, path in modules_of_nn().items():
        if place in ("parameters", "nnfs"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in (
                    "getattr", "hasattr", "setattr"):
                named = {each.value for each in node.args if isinstance(each, ast.Constant)}
                assert not named & {"weights", "biases", "dweights", "dbiases"}, f"{path.name}:{node.lineno}"


LONG = {  # files of code of more than 320 lines, and why they are one
    "kernels/core/elementary.py": "functions that share their reductions and polynomials",
    "nn/nnfs.py": "all names of the book, which its readers import with *",
}


def test_no_file_is_two_rooms():
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in package()}
    assert {name for name, length in lengths.items() if length > 320} == {*LONG}


def test_bench_imports_no_tests():
    for path in sources("bench"):
        found = [name.split(".") for name in imports(path)]
        assert not [name for name in found if "tests" in name or "scalar" in name], path.name
        allowed = {"", "nnjit", "numpy", "numba", "llvmlite", *PEERS, *sys.stdlib_module_names}
        assert [name for name in found if name[0] not in allowed] == [], path.name


def package():
    return [*sources("."), *(path for folder in ("kernels", "nn", "bench") for path in (ROOT / folder).rglob("*.py"))]


def test_one_file_compiles_and_few_touch_llvm():
    for path in package():
        text = path.read_text()
        found = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)
                 and isinstance(node.value, ast.Name) and node.value.id in ("numba", "nb")}
        compilers = found & {"njit", "jit", "vectorize", "guvectorize", "generated_jit", "cfunc"}
        compilers |= {name for name in imports(path)
                      if name in ("numba.njit", "numba.jit", "numba.vectorize", "numba.guvectorize", "numba.cfunc")}
        assert not compilers or path.name == "compile.py", path
        if path.name not in ("llvm.py", "vectors.py", "memory.py", "tiles.py", "taps.py", "invoke.py", "objects.py",
                             "shuffles.py"):
            assert "llvmlite.ir" not in imports(path) and "llvmlite.ir" not in text, path
            assert not [name for name in imports(path) if name.startswith("numba.extending")], path


FAST = {"fastmath", "fast", "reassoc", "contract", "afn", "arcp", "nnan", "ninf", "nsz"}


def test_no_fastmath():
    for path in package():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.keyword) and node.arg == "fastmath"), path
            assert not (isinstance(node, ast.Constant) and node.value in FAST), path


def test_kernels_make_no_arrays_but_empty_ones():
    # nnfs.init() replaces np.dot, np.zeros and np.eye for the whole process
    for operation in OPERATIONS:
        tree = ast.parse((ROOT / "kernels" / f"{operation}.py").read_text())
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.MatMult)], operation
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name) and node.value.id == "np"}
        assert not used & {"dot", "zeros", "eye", "matmul", "random"}, operation


def test_only_the_backend_hands_kernels_to_nn():
    # layers, losses, optimizers and metrics call `backend.ops`, so that `nn.use` reaches all of them
    for place, path in modules_of_nn().items():
        if place != "backend":
            assert not [name for name in imports(path) if "kernels" in name.split(".")], place
            assert not [name for name in imports(path) if name.split(".")[0] == "importlib"], place


ARITHMETIC = {"exp", "log", "tanh", "sqrt", "power", "sum", "mean", "dot", "matmul", "einsum", "add", "subtract",
              "multiply", "divide", "maximum", "minimum", "clip", "where", "linalg", "cumsum", "var", "std", "average"}


def test_nn_leaves_the_arithmetic_to_the_kernels():
    # NumPy's exp and sums change with the CPU
    for place, path in modules_of_nn().items():
        if room(place) not in (*PARTS, "training") or place in ("files", "initializers", "schedules", "targets"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.MatMult), path.name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
                assert node.attr not in ARITHMETIC, f"{path.name}:{node.lineno}: np.{node.attr}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in {"sum", "mean", "dot", "var", "std"}, f"{path.name}:{node.lineno}"


def test_what_kernels_share_imports_no_twin_and_no_layer():
    for name in CORE:
        allowed = {"numpy", "numba", "llvmlite", "platformdirs", *sys.stdlib_module_names,
                   *(f".{other}" for other in CORE)}
        assert outsiders(ROOT / "kernels/core" / f"{name}.py", allowed) == [], name


def test_a_kernel_has_no_verbs_but_those_of_its_twin():
    for operation in OPERATIONS:
        more = functions(contract.twins(operation)[0]).keys() - {"forward", "backward", "step"}
        assert more <= {"product"}, f"{operation}: {more}"  # matmul.product: what dense calls


def test_kernels_take_numpy_as_np():
    # test_kernels_make_no_arrays_but_empty_ones looks at np.<name> only
    for operation in OPERATIONS:
        assert not [name for name in imports(ROOT / "kernels" / f"{operation}.py") if name.startswith("numpy.")]
