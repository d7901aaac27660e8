"""Compilation, cache, threads and fork, mostly in child processes: a process decides about them only once."""

import ast
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import children
import numpy as np
import pytest
from children import finish

import nnjit
from nnjit import kernels
from nnjit.kernels import jit, relu, softmax

PACKAGE = Path(nnjit.__file__).parent
SOURCES = sorted((PACKAGE / "kernels").glob("*.py"))
THREADS = 4  # more than a small machine has cores: a thread is a thread

# A kernel that tells which threads ran it, and one that depends on another file.
PROBE = """
from numba import get_thread_id, prange
from .helper import plus
from .jit import loops

@loops
def who(x):
    for i in prange(x.size):
        x[i] = get_thread_id()

@loops
def add(x):
    for i in prange(x.size):
        x[i] = plus(x[i])

@loops
def slow(x):
    for i in range(100_000_000):
        x[i % x.size] += 1  # a cell that is not known in advance: it can't stay in a register
"""
HELPER = """
from .jit import inline

@inline
def plus(x):
    return x + {}
"""
# `work` returns the threads that ran each variant; `report` prints a last line for the parent.
PRELUDE = """
import hashlib, json, os, sys, threading
import numpy as np
from nnjit.kernels import jit, probe, tanh

def report(**found):
    print(json.dumps(found))

def ids(variant, dtype=np.float32):
    jit._launch()  # get_thread_id needs it in serial code as well
    x = np.full(64, -1, dtype)
    variant(x)
    return sorted(set(x.tolist()))

def work():
    return [ids(variant, dtype) for variant in (probe.who.serial, probe.who.parallel) for dtype in ("f4", "f8")]

def cache():
    both = probe.who.serial, probe.who.threads
    return [sum(sum(count.values()) for count in counts)
            for counts in ([d._cache_hits for d in both], [d._cache_misses for d in both])]

X = np.linspace(-3, 3, 50_000, dtype=np.float32)

def bits(parallel):
    return hashlib.sha256(tanh.forward(X, parallel=parallel)).hexdigest()
"""
RIGHT = [[0], [0], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """A folder with a copy of the package that also holds the probe."""
    folder = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("__pycache__", "reference")
    shutil.copytree(PACKAGE / "kernels", folder / "nnjit" / "kernels", ignore=ignored)
    shutil.copy(PACKAGE / "__init__.py", folder / "nnjit")
    (folder / "nnjit" / "kernels" / "probe.py").write_text(PROBE)
    (folder / "nnjit" / "kernels" / "helper.py").write_text(HELPER.format(1))
    return folder


@pytest.fixture(scope="session")
def filled(copied, tmp_path_factory):
    """A cache folder that holds the probe in all variants and types, and tanh."""
    folder = tmp_path_factory.mktemp("filled")
    found = child(copied, folder, "report(work=work(), cache=cache(), bits=[bits(False), bits(True)])")
    assert found["work"] == RIGHT and found["cache"] == [0, 4]
    assert found["bits"][0] == found["bits"][1]
    (folder / "bits").write_text(found["bits"][0])
    return folder


@pytest.fixture
def full(filled, tmp_path):
    """A copy of the filled cache folder, free to be damaged."""
    return shutil.copytree(filled, tmp_path / "full")


def start(package, cache, code, prelude=PRELUDE, before=(), **settings):
    here = {"PYTHONPATH": str(package), "NNJIT_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(THREADS)}
    return children.start("-c", prelude + textwrap.dedent(code), before=before, **here | settings)


def child(package, cache, code, prelude=PRELUDE, before=(), **settings):
    return finish(start(package, cache, code, prelude, before, **settings))


def entries(cache):
    return sorted(cache.glob("*/*probe.who*.bin"))


# ---- cache


def test_what_kernels_call_is_not_called_from_python():
    x = np.ones(20, np.float32)
    relu.forward(x)
    for function in (relu._forward_block, softmax._forward_block):
        with pytest.raises(TypeError, match="_forward_block can be called by kernels only"):
            function(x, x, 0, 4)


def test_second_start_compiles_nothing(copied, filled):
    before = {path: path.stat().st_mtime_ns for path in filled.rglob("*")}
    found = child(copied, filled, "report(work=work(), bits=[bits(False), bits(True)], cache=cache())")
    assert found["cache"] == [4, 0]
    assert found["work"] == RIGHT
    assert set(found["bits"]) == {(filled / "bits").read_text()}
    assert {path: path.stat().st_mtime_ns for path in filled.rglob("*")} == before


@pytest.mark.parametrize("first, second, threads", [("serial", "parallel", [0, 1, 2, 3]), ("parallel", "serial", [0])])
def test_variants_are_not_mistaken_for_each_other(copied, tmp_path, first, second, threads):
    child(copied, tmp_path, f"report(ids=ids(probe.who.{first}))")
    for hits_and_misses in ([0, 1], [1, 0]):
        found = child(copied, tmp_path, f"report(ids=ids(probe.who.{second}), cache=cache())")
        assert found == {"ids": threads, "cache": hits_and_misses}


def test_changed_helper_is_compiled(copied, tmp_path):
    package = shutil.copytree(copied, tmp_path / "package")
    code = "x = np.zeros(3); probe.add.serial(x); report(x=x.tolist(), folder=str(jit.cache_folder()))"
    before = child(package, tmp_path, code)
    (package / "nnjit" / "kernels" / "helper.py").write_text(HELPER.format(20))
    after = child(package, tmp_path, code)
    assert (before["x"], after["x"]) == ([1] * 3, [20] * 3)
    assert before["folder"] != after["folder"]


def test_two_versions_share_a_cache(copied, full, tmp_path):
    """One adds where the other subtracts, in a file that every kernel uses."""
    package = shutil.copytree(copied, tmp_path / "package")
    simd = package / "nnjit" / "kernels" / "simd.py"
    edited = simd.read_text().replace("(operator.add, ir.IRBuilder.fadd", "(operator.add, ir.IRBuilder.fsub")
    assert edited != simd.read_text()
    simd.write_text(edited)
    code = "report(bits=bits(False), hits=sum(tanh._forward_blocks.serial._cache_hits.values()))"
    right = (full / "bits").read_text()
    first = child(package, full, code)
    assert first["bits"] != right and first["hits"] == 0
    both = [start(copied, full, code), start(package, full, code)]
    assert [finish(process) for process in both] == [{"bits": right, "hits": 1}, first | {"hits": 1}]


def test_reloaded_module_is_compiled(copied, tmp_path):
    """It may have been edited since the digest was taken: neither is its code saved, nor the first one's loaded."""
    package = shutil.copytree(copied, tmp_path / "package")
    helper = package / "nnjit" / "kernels" / "helper.py"
    found = child(package, tmp_path, f"""
        import importlib
        from nnjit.kernels import helper
        x = np.zeros(3)
        probe.add.serial(x)
        with open({str(helper)!r}, "w") as file:
            file.write({HELPER.format(20)!r})  # longer: Python's own cache goes by size
        importlib.reload(helper), importlib.reload(probe)
        probe.add.serial(x)
        probe.add.serial(x.astype("f4"))
        report(x=x.tolist(), folder=str(jit.cache_folder()))
    """)
    assert found["x"] == [21] * 3
    assert len(list(Path(found["folder"]).iterdir())) == 1


def test_digest_depends_on_each_source(copied, tmp_path):
    package = shutil.copytree(copied, tmp_path / "package")
    found = child(package, tmp_path, """
        folder = jit.SOURCES
        digests = {"": jit._digest()}
        for path in folder.glob("*.py"):
            text = path.read_text()
            path.write_text(text + "#")
            digests[path.name] = jit._digest()
            path.write_text(text)
        (folder / "new.py").write_text("")
        digests["new"] = jit._digest()
        report(**digests)
    """)
    assert {path.name for path in SOURCES} < set(found)
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("setting", ["NUMBA_OPT=1", "NUMBA_SLP_VECTORIZE=1", "NUMBA_BOUNDSCHECK=1",
                                     "NUMBA_CPU_NAME=haswell"])
def test_digest_depends_on_compiler_settings(copied, filled, setting):
    found = child(copied, filled, "report(folder=str(jit.cache_folder()))", **dict([setting.split("=")]))
    assert Path(found["folder"]) not in filled.iterdir()


@pytest.mark.parametrize("place", ["file/below", "~nobody-of-this-name/cache"])
def test_unwritable_cache(copied, tmp_path, place):
    (tmp_path / "file").write_text("")
    cache = place if place.startswith("~") else tmp_path / place
    assert child(copied, cache, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [0, 4]}


def test_read_only_package_and_home(copied, filled, tmp_path):
    """What is there is used; what isn't can't be saved, and is compiled. Root obeys without its capabilities."""
    before = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if before and not shutil.which("setpriv"):
        pytest.skip("root may write anywhere: needs setpriv")
    (tmp_path / "caches" / "nnjit").mkdir(parents=True)
    shutil.copytree(filled, tmp_path / "caches" / "nnjit" / "code")
    package = shutil.copytree(copied, tmp_path / "package")
    state = sorted(tmp_path.rglob("*"))
    folders = [tmp_path, *(path for path in state if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        found = child(package, "", f"""
            try:
                open({str(tmp_path / "caches" / "file")!r}, "w")
            except PermissionError:
                x = np.zeros(3)
                probe.add.parallel(x)
                report(work=work(), cache=cache(), x=x.tolist())
        """, before=before, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "caches"))
        assert found == {"work": RIGHT, "cache": [4, 0], "x": [1] * 3}
        assert sorted(tmp_path.rglob("*")) == state
    finally:
        for folder in folders:
            folder.chmod(0o700)


def test_full_disk(copied, tmp_path):
    """Files end after 1000 bytes, in the middle of an entry: nothing is left of it."""
    found = child(copied, tmp_path, """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        report(work=work(), cache=cache())
    """)
    assert found == {"work": RIGHT, "cache": [0, 4]}
    (folder,) = tmp_path.iterdir()
    assert list(folder.iterdir()) == []


def test_entries_of_another_cpu(copied, full):
    """In the folder of this one, as after a copy."""
    settings = {"NUMBA_CPU_FEATURES": ""}
    other = Path(child(copied, full, "report(folder=str(jit.cache_folder()))", **settings)["folder"])
    assert not other.exists()
    entries(full)[0].parent.rename(other)
    assert child(copied, full, "report(work=work(), cache=cache())", **settings) == {"work": RIGHT, "cache": [0, 4]}


NO_HOME = """
import os, pwd
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown  # as for a user id that a container was merely told
os.environ.pop("HOME", None), os.environ.pop("XDG_CACHE_HOME", None)
"""


def test_user_without_a_home_folder(copied, tmp_path):
    found = child(copied, "", f"""
        os.chdir({str(tmp_path)!r})
        report(work=work(), cache=cache())
    """, NO_HOME + PRELUDE)
    assert found == {"work": RIGHT, "cache": [0, 4]}
    assert list(tmp_path.iterdir()) == []


def test_relative_home_folder(monkeypatch):
    """platformdirs before 4.0 answers so to a user without one: a folder ~ would appear in the working folder."""
    monkeypatch.delenv("NNJIT_CACHE_DIR", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **knobs: Path("~/.cache/nnjit"))
    with pytest.raises(RuntimeError, match="home"):
        jit.cache_folder()
    assert jit.info()["cache folder"] == "none: set NNJIT_CACHE_DIR"


def test_info_without_a_home_folder(copied):
    found = child(copied, "", "report(info=jit.info())", NO_HOME + PRELUDE)
    assert found["info"]["cpu"] and "cache folder" in found["info"]


def _truncate(paths):
    for path in paths:
        path.write_bytes(path.read_bytes()[:-1000])


def _empty(paths):
    for path in paths:
        path.write_bytes(b"")


def _garbage(paths):
    for path in paths:
        path.write_bytes(bytes(range(256)) * 20)


def _flip(paths):
    for path in paths:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def _swap(paths):
    """Each under the name of another: other variants, other types."""
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1]):
        path.write_bytes(content)


def _folders(paths):
    for path in paths:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("damage", [_truncate, _empty, _garbage, _flip, _swap, _folders])
def test_damaged_entries(copied, full, damage):
    paths = entries(full)
    assert len(paths) == 4
    damage(paths)
    assert child(copied, full, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [0, 4]}
    if damage is _swap:  # the new code took the damaged one's place
        assert child(copied, full, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [4, 0]}


def test_sealed_nonsense(copied, full):
    """An entry that is whole, but not what it should be, fails in unpickling: compile."""
    for path in entries(full):
        path.write_bytes(jit._seal(path, b"nonsense") + b"nonsense")
    assert child(copied, full, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [0, 4]}


def test_processes_fill_one_cache_at_once(copied, tmp_path):
    processes = [start(copied, tmp_path / "cache", "report(work=work())") for _ in range(8)]
    assert [finish(process) for process in processes] == [{"work": RIGHT}] * 8
    assert child(copied, tmp_path / "cache", "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [4, 0]}
    assert len(list((tmp_path / "cache").glob("*/*"))) == 4  # and no temporary file


def test_cache_is_private(copied, tmp_path):
    cache = tmp_path / "new" / "cache"
    child(copied, cache, "os.umask(0); report(ids=ids(probe.who.serial))")
    (entry,) = cache.glob("*/*")
    assert entry.stat().st_mode & 0o777 == 0o600
    for folder in (entry.parent, cache, cache.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


# code in `found`: work() with the warnings it gave
WARNED = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = work()
report(work=found, cache=cache(), warnings=[f"{w.category.__name__}: {w.message}" for w in caught],
       info=jit.info()["cache folder"])
"""


@pytest.mark.parametrize("which, who", [("cache", 0o020), ("folder", 0o002)])
def test_cache_that_others_can_write_to(copied, full, which, who):
    """Its entries would run as the user: none is loaded, none saved, and one warning tells why."""
    folder = entries(full)[0].parent
    place = full if which == "cache" else folder
    place.chmod(0o700 | who)
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    found = child(copied, full, WARNED)
    assert found["work"] == RIGHT and found["cache"] == [0, 4]
    assert {path: path.stat().st_ino for path in folder.iterdir()} == before
    assert found["warnings"] == [
        f"RuntimeWarning: compiled code is neither loaded nor saved, since other users can write to {place}: set "
        "NNJIT_CACHE_DIR to a folder that only you can write to"]
    assert found["info"] == f"{folder} (not used: other users can write to {place})"


def test_cache_in_a_sticky_folder(copied, full):
    """As below /tmp: others may write there, but not replace what belongs to the user."""
    full.chmod(0o1777)
    found = child(copied, full, WARNED)
    assert found == {"work": RIGHT, "cache": [4, 0], "warnings": [], "info": str(entries(full)[0].parent)}


def test_distrusted_folders(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "folder"
    assert jit._distrusted(folder) is None  # not there
    jit._make(folder)
    assert jit._distrusted(folder) is None
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert jit._distrusted(folder) == (f"{folder.parent} belongs to another user" if owner else None)  # root's
    if owner == 0:
        for place in (folder, folder.parent):
            os.chown(place, 4242, -1)
            assert jit._distrusted(folder) == f"{place} belongs to another user"
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        assert jit._distrusted(folder) is None
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert jit._distrusted(folder) == f"{folder.parent} belongs to another user"
        for place in (folder, folder.parent):
            os.chown(place, 0, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert jit._distrusted(folder) == f"{folder} is a symbolic link"
    monkeypatch.delattr(os, "geteuid")  # Windows
    assert jit._distrusted(folder) is None


def age(path, days):
    at = time.time() - days * jit.DAY
    os.utime(path, (at, at))


def test_old_folders_are_removed_with_a_new_one(copied, tmp_path):
    folders = {name: tmp_path / name for name in ("a" * 24, "b" * 24, "c" * 24, "d" * 24, "e" * 23, "Z" * 24)}
    for name, folder in folders.items():
        folder.mkdir(mode=0o700)
        (folder / "nnjit.kernels.relu._forward.serial-0.bin").write_text("")
    (tmp_path / ("c" * 24) / "a user's").write_text("")
    folders["d" * 24].chmod(0o777)
    for name, folder in folders.items():
        age(folder, 29 if name[0] == "a" else 31)
    file = tmp_path / ("f" * 24)
    file.write_text("")
    age(file, 31)
    code = "report(ids=ids(probe.who.serial), folder=str(jit.cache_folder()))"
    found = child(copied, tmp_path, code)
    new = Path(found["folder"])
    # b is gone, of c what isn't ours is left, and d is nobody's to tell
    assert set(tmp_path.iterdir()) == {new, file, *folders.values()} - {folders["b" * 24]}
    assert {path.name for path in folders["c" * 24].iterdir()} == {"a user's"}
    assert all(len(list(folders[letter].iterdir())) == 1 for letter in folders if letter[0] in "adeZ")
    age(folders["a" * 24], 31)
    child(copied, tmp_path, code.replace("serial", "parallel"))
    assert folders["a" * 24].exists()  # not at each start


def test_a_folder_in_use_stays_young(copied, full):
    folder = entries(full)[0].parent
    for days, young in ((0.9, False), (1.1, True)):
        age(folder, days)
        before = folder.stat().st_mtime
        assert child(copied, full, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [4, 0]}
        assert (folder.stat().st_mtime > before) is young


def test_cache_in_the_users_folder(copied, tmp_path):
    code = "report(folder=str(jit.cache_folder()), ids=ids(probe.who.serial))"
    found = child(copied, "", code, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "caches"))
    assert tmp_path in Path(found["folder"]).parents
    assert len(list(Path(found["folder"]).iterdir())) == 1


def test_kernels_outside_the_package_are_not_cached(copied, tmp_path):
    """Their sources are not part of the digest."""
    for number in (1, 2):
        (tmp_path / "script.py").write_text(textwrap.dedent(f"""
            import numpy as np
            from nnjit.kernels.jit import loops

            @loops
            def f(x):
                x[0] = {number}

            x = np.zeros(1)
            f.serial(x)
            print(int(x[0]))
        """))
        environment = os.environ | {"NNJIT_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(copied)}
        found = subprocess.run([sys.executable, tmp_path / "script.py"], env=environment, capture_output=True,
                               text=True)
        assert (found.stdout, found.stderr) == (f"{number}\n", "")


# ---- options


def nests():
    modules = [getattr(kernels, name) for name in kernels.__all__]
    return {f"{module.__name__}.{name}": nest for module in modules for name, nest in vars(module).items()
            if isinstance(nest, jit.loops)}


def test_options_of_every_kernel():
    assert len(nests()) > 10
    for name, nest in nests().items():
        for variant, parallel in ((nest.serial, None), (nest.threads, True)):
            options = variant.targetoptions
            assert options["nogil"] is True, name
            assert not options.get("fastmath") and options["error_model"] == "numpy", name
            assert options.get("parallel") is parallel, name


def test_no_kernel_uses_what_nnfs_replaces():
    """nnfs.init() replaces these for the whole process; what is compiled afterwards would see the replacements."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.MatMult), f"{path.name}: @"
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("dot", "zeros", "eye", "randn", "random"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("code", [
    "import nnfs; nnfs.init(); from nnjit.kernels import softmax",
    "from nnjit.kernels import softmax; import nnfs; nnfs.init()",
    "from nnjit.kernels import softmax; softmax.forward(x); import nnfs; nnfs.init()",
])
def test_nnfs_init_changes_nothing(copied, tmp_path, code):
    """Before the import, before the first compilation, and between that and the next."""
    prelude = "import json, numpy as np; x = np.linspace(-3, 3, 600, dtype='f4').reshape(20, 30)\n" + code
    found = child(copied, tmp_path, """
        assert np.zeros(1).dtype == np.float32
        y = softmax.forward(x.astype("f8"))
        print(json.dumps(y.dtype.name + y.tobytes().hex()))
    """, prelude)
    expected = softmax.forward(np.linspace(-3, 3, 600, dtype=np.float32).reshape(20, 30).astype(np.float64))
    assert found == "float64" + expected.tobytes().hex()


def test_import_compiles_nothing(copied, tmp_path):
    found = child(copied, tmp_path, """
        import json, threading
        from numba.core import event
        with event.install_recorder("numba:compile") as recorder:
            from nnjit import kernels
            threads = threading.active_count()
            at_import = len(recorder.buffer)
            kernels.relu.forward(kernels.check.np.ones(3))
        print(json.dumps([at_import, len(recorder.buffer) > 0, threads]))
    """, prelude="")
    assert found == [0, True, 1]


def test_disabled_jit(copied, filled):
    found = child(copied, filled, """
        import json
        try:
            import nnjit.kernels
        except ImportError as error:
            print(json.dumps(str(error)))
    """, prelude="", NUMBA_DISABLE_JIT="1")
    assert found == "nnjit's kernels are compiled code: unset NUMBA_DISABLE_JIT to use them"


# ---- capture


class Nest:
    def serial(self, *args):
        return "serial", args

    def parallel(self, *args):
        return "parallel", args


def test_capture_notes_the_calls_of_this_thread():
    nest, found = Nest(), []
    with jit.capture() as calls:
        other = threading.Thread(target=lambda: found.append(jit.pick(nest, True, False)("other")))
        other.start()
        other.join()
        found += [jit.pick(nest, True, False)(1, 2), jit.pick(nest, True, True)(3)]
    found.append(jit.pick(nest, True, False)("after"))
    assert found == [("serial", ("other",)), ("serial", (1, 2)), ("parallel", (3,)), ("serial", ("after",))]
    assert [args for _, args in calls] == [[1, 2], [3]]
    assert [again(*args) for again, args in tuple(calls)] == found[1:3]
    assert len(calls) == 2  # to do them again notes nothing


def test_capture_in_a_capture():
    nest = Nest()
    with jit.capture() as outer:
        jit.pick(nest, True, True)(1)
        with jit.capture() as inner:
            jit.pick(nest, True, True)(2)
        jit.pick(nest, True, True)(3)
    assert [args for _, args in inner] == [[2]] and [args for _, args in outer] == [[1], [3]]
    assert not jit._captures


def test_capture_ends_with_an_error():
    with pytest.raises(KeyError), jit.capture() as calls:
        raise KeyError
    jit.pick(Nest(), True, False)(1)
    assert calls == [] and not jit._captures


# ---- threads


def test_threads_start_with_the_first_parallel_call(copied, filled):
    found = child(copied, filled, """
        import nnjit.kernels
        def state():
            return [len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
                    jit.info()["threading layer"]]
        at_import = state()
        bits(False), tanh.forward(X[:10])
        serial = state()
        bits(True)
        report(at_import=at_import, serial=serial, parallel=state())
    """)
    # with SciPy installed, Numba's first call loads SciPy's BLAS, which starts a thread of its own
    assert found["at_import"][1] == found["serial"][1] == "not started"
    assert found["parallel"][1] in ("tbb", "omp", "workqueue")
    if found["serial"][0]:
        assert found["parallel"][0] > found["serial"][0]


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_layer_is_the_users(copied, filled, layer):
    if layer == "omp":
        pytest.importorskip("numba.np.ufunc.omppool", reason="no OpenMP library here", exc_type=ImportError)
    code = "report(bits=bits(True), layer=jit.info()['threading layer'], ids=ids(probe.who.parallel))"
    by_environment = child(copied, filled, code, NUMBA_THREADING_LAYER=layer)
    launched = f"""
        import numba
        numba.config.THREADING_LAYER = "{layer}"
        @numba.njit(parallel=True)
        def users(x):
            for i in numba.prange(x.size):
                x[i] += 1
        users(X.copy())
        assert numba.threading_layer() == "{layer}"
        numba.config.THREADING_LAYER = "default"
        {code}
    """
    expected = {"bits": (filled / "bits").read_text(), "layer": layer, "ids": [0, 1, 2, 3]}
    assert by_environment == child(copied, filled, launched) == expected


@pytest.mark.parametrize("launched", [False, True])
def test_python_threads_under_workqueue(copied, filled, launched):
    """Two threads inside abort the process: once the layer runs, and when both come first."""
    found = child(copied, filled, f"""
        if {launched}:
            bits(True)
        found, barrier = [], threading.Barrier(3)
        def run():
            barrier.wait()
            found.append({{bits(True) for _ in range(150)}})
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report(bits=sorted(set.union(*found)), count=len(found))
    """, NUMBA_THREADING_LAYER="workqueue")
    assert found == {"bits": [(filled / "bits").read_text()], "count": 3}


def test_signal_handler_may_compute_under_workqueue(copied, filled):
    """It runs in the thread that it interrupts, which may hold the lock."""
    found = child(copied, filled, """
        bits(True)
        with jit._lock:
            report(bits=bits(True))
    """, NUMBA_THREADING_LAYER="workqueue")
    assert found == {"bits": (filled / "bits").read_text()}


def test_kernels_release_the_gil(copied, filled):
    """Else no other Python thread could see what a kernel has half done."""
    found = child(copied, filled, """
        probe.slow.serial.compile("void(f8[::1])")
        x, seen = np.zeros(2), set()
        thread = threading.Thread(target=probe.slow.serial, args=(x,))
        thread.start()
        while thread.is_alive():
            seen.add(x[0])
        report(between=len(seen - {0, 50_000_000}), sum=x.sum())
    """)
    assert found["between"] > 0 and found["sum"] == 100_000_000


def test_two_threads_launch_once(monkeypatch):
    """Each would make its own lock otherwise, or remove the other's variable."""
    launches, inside = [], threading.Event()

    def launch():
        launches.append(threading.get_ident())
        inside.wait(0.2)  # time for the other to come in

    monkeypatch.setattr(jit, "_launched", False)
    monkeypatch.setattr(jit, "_lock", None)
    monkeypatch.setattr(jit.pool, "_launch_threads", launch)
    threads = [threading.Thread(target=jit._launch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(launches) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_forked_children_compute_serially(copied, filled, layer, how):
    """libgomp kills such a child, hangs or leaves the result unwritten; a child's child is no better."""
    found = child(copied, filled, f"""
        import multiprocessing, tempfile
        context = multiprocessing.get_context("fork")
        file = tempfile.TemporaryFile("w+")
        probe.add.serial, probe.add.threads = (lambda x: "serial"), (lambda x: "parallel")
        with jit.capture() as calls:
            assert jit.pick(probe.add, True, True)(X) == "parallel"
        def variant():
            (again, args), = calls
            return [jit.pick(probe.add, True, True)(X), again(*args)]
        def descend(depth):
            file.write(json.dumps([depth, bits(True), bits(None), variant()]))
            file.write("\\n")
            file.flush()
            if depth < 2:
                spawn(depth + 1)
        def spawn(depth):
            if "{how}" == "fork":
                process = os.fork()
                if process == 0:
                    descend(depth)
                    os._exit(0)
                assert os.waitpid(process, 0)[1] == 0
            else:
                process = context.Process(target=descend, args=(depth,))
                process.start()
                process.join()
                assert process.exitcode == 0
        before = bits(True)
        spawn(1)
        after = bits(True)
        file.seek(0)
        children = [json.loads(line) for line in file]
        file.close()
        report(parent=[before, after], children=children, still=variant())
    """, NUMBA_THREADING_LAYER=layer)
    right = (filled / "bits").read_text()
    assert found == {"parent": [right] * 2, "children": [[depth, right, right, ["serial"] * 2] for depth in (1, 2)],
                     "still": ["parallel"] * 2}


def test_number_of_threads(copied, filled):
    found = child(copied, filled, """
        import numba
        found = {}
        for n in (1, 2, 4, np.int64(3)):
            jit.set_num_threads(n)
            found[str(n)] = [jit.get_num_threads(), len(ids(probe.who.parallel)), numba.get_num_threads()]
        numba.set_num_threads(2)  # the user's own
        jit.set_num_threads(3)
        try:
            probe.who.parallel("no array")
        except numba.TypingError:
            found["error"] = numba.get_num_threads()
        found["mask"] = [len(ids(probe.who.parallel)), numba.get_num_threads()]
        report(**found)
    """)
    assert found == {"1": [1, 1, 4], "2": [2, 2, 4], "4": [4, 4, 4], "3": [3, 3, 4], "error": 2, "mask": [3, 2]}


@pytest.mark.parametrize("n, error", [
    (0, "ValueError: the number of threads must lie in 1..4, got 0 (set NUMBA_NUM_THREADS before the start for more)"),
    (-1, "ValueError: the number of threads must lie in 1..4, got -1"),
    (5, "ValueError: the number of threads must lie in 1..4, got 5"),
    (2.0, "TypeError: the number of threads must be an int, got float"),
    (True, "TypeError: the number of threads must be an int, got bool"),
    ("2", "TypeError: the number of threads must be an int, got str"),
    (None, "TypeError: the number of threads must be an int, got NoneType"),
])
def test_wrong_number_of_threads(monkeypatch, n, error):
    monkeypatch.setattr(jit.pool, "NUM_THREADS", 4)
    before = jit.get_num_threads()
    with pytest.raises((TypeError, ValueError)) as found:
        jit.set_num_threads(n)
    assert f"{found.type.__name__}: {found.value}".startswith(error)
    assert jit.get_num_threads() == before


@pytest.mark.parametrize("wish", ["0", "5", "-1", "two", "1.5", " "])
def test_wrong_threads_in_the_environment(monkeypatch, wish):
    monkeypatch.setattr(jit.pool, "NUM_THREADS", 4)
    monkeypatch.setenv("NNJIT_NUM_THREADS", wish)
    with pytest.raises(ValueError, match=f"NNJIT_NUM_THREADS must be a whole number in 1..4, got {wish!r}"):
        jit._threads_at_start()


def test_threads_in_the_environment(copied, filled):
    code = "report(threads=[jit.get_num_threads(), len(ids(probe.who.parallel))])"
    assert child(copied, filled, code, NNJIT_NUM_THREADS="3") == {"threads": [3, 3]}
    assert child(copied, filled, code, NNJIT_NUM_THREADS="") == {"threads": [4, 4]}


@pytest.mark.parametrize("settings, during", [
    ({}, jit.SPIN_COUNT), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None),
])
def test_environment_around_the_launch(copied, filled, settings, during):
    found = child(copied, filled, """
        before, launch, seen = dict(os.environ), jit.pool._launch_threads, []
        def recorded():
            seen.append(os.environ.get("GOMP_SPINCOUNT"))
            launch()
        jit.pool._launch_threads = recorded
        right = bits(True)
        report(seen=seen[0], same=before == dict(os.environ), bits=right)
    """, **settings)
    assert found == {"seen": during, "same": True, "bits": (filled / "bits").read_text()}
