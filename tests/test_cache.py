"""The cache of compiled code, in child processes: what is in memory was not loaded."""

import compileall
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from probed import HELPER, NO_HOME, PACKAGE, PRELUDE, RIGHT, child, entries, finish, start

from nnjit.bench import contract
from nnjit.kernels.core import cache, compile, info

SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for folder in ("kernels", "kernels/core")
                 for path in (PACKAGE / folder).glob("*.py"))


def test_second_start_compiles_nothing(copied, filled):
    before = {path: path.stat().st_mtime_ns for path in filled.rglob("*")}
    found = child(copied, filled, "report(work=work(), bits=[bits(False), bits(True)], cache=cache())")
    assert found["cache"] == [4, 0]
    assert found["work"] == RIGHT
    assert set(found["bits"]) == {(filled / "bits").read_text()}
    assert {path: path.stat().st_mtime_ns for path in filled.rglob("*")} == before


def test_a_start_from_the_cache_can_compile_other_functions(copied, filled):
    """Even those that need all of Numba's runtime."""
    code = """
import numba
@numba.njit
def mine(n):
    return [np.ones(n), np.arange(n) + 0.5]
report(work=work(), mine=[x.tolist() for x in mine(2)], cache=cache())
"""
    found = child(copied, filled, code)
    assert (found["work"], found["mine"], found["cache"]) == (RIGHT, [[1, 1], [0.5, 1.5]], [4, 0])


@pytest.mark.parametrize("operation", contract.operations())
def test_what_an_operation_compiles_is_saved(operation):
    """Code that holds an address of this process is not, such as that which passes a function."""
    module = contract.twins(operation)[0]
    for case in contract.cases(operation, contract.small(operation), np.float32):
        contract.call(module, *case, parallel=False)
    folder = cache.cache_folder()
    found = {f"{name} of {kinds}": variant._cache._file(folder, kinds) for name, nest in vars(module).items()
             if isinstance(nest, compile.Nest) for variant in [nest.serial] for kinds in variant.overloads}
    assert [what for what, file in found.items() if not file.exists()] == []


@pytest.mark.sample(1)
@pytest.mark.parametrize("first, second, threads", [("serial", "parallel", [0, 1, 2, 3]), ("parallel", "serial", [0])])
def test_variants_are_not_mistaken_for_each_other(copied, tmp_path, first, second, threads):
    child(copied, tmp_path, f"report(ids=ids(probe.who.{first}))")
    for hits_and_misses in ([0, 1], [1, 0]):
        found = child(copied, tmp_path, f"report(ids=ids(probe.who.{second}), cache=cache())")
        assert found == {"ids": threads, "cache": hits_and_misses}


def test_before_compiling(copied, tmp_path):
    """Told once, the outermost alone, and only of what the cache lacks."""
    code = """
        from nnjit.kernels import before_compiling
        told = []
        with before_compiling(lambda folder: told.append(["outer", folder, len(entries())])):
            with before_compiling(lambda folder: told.append(["inner", folder])):
                ids(probe.who.serial)
                ids(probe.who.parallel)
        with before_compiling(lambda folder: told.append(["later", folder])):
            ids(probe.who.serial)
        with before_compiling(lambda folder: told.append(["other", folder])):
            pass
        ids(probe.who.serial, "f8")
        report(told=told)
    """
    prelude = PRELUDE + "entries = lambda: list(cache_folder().glob('*.bin'))\n"
    (tmp_path / "file").touch()
    for folder in (tmp_path / "cache", tmp_path / "file"):
        found = child(copied, folder, code, prelude)["told"]
        kept = None if folder.name == "file" else str(next(folder.iterdir()))
        assert found == [["outer", kept, 0]]
    assert child(copied, tmp_path / "cache", code, prelude) == {"told": []}


def test_changed_helper_is_compiled(copied, tmp_path):
    package = shutil.copytree(copied, tmp_path / "package")
    code = "x = np.zeros(3); probe.add.serial(x); report(x=x.tolist(), folder=str(cache_folder()))"
    before = child(package, tmp_path, code)
    (package / "nnjit" / "kernels" / "helper.py").write_text(HELPER.format(20))
    after = child(package, tmp_path, code)
    assert (before["x"], after["x"]) == ([1] * 3, [20] * 3)
    assert before["folder"] != after["folder"]


@pytest.mark.parametrize("owner, name, value", [
    ("numba", "__version__", "0"), ("llvmlite", "__version__", "0"), ("numpy", "__version__", "0"),
    ("sys", "version_info", (3, 99, 0))])
def test_a_folder_for_each_version_of_what_compiles(monkeypatch, owner, name, value):
    assert cache._digest() == cache.DIGEST
    with monkeypatch.context() as patch:
        patch.setattr(getattr(cache, owner), name, value)
        assert cache._digest() != cache.DIGEST


def test_two_versions_share_a_cache(copied, full, tmp_path):
    """One adds where the other multiplies, in a file that every kernel uses."""
    package = shutil.copytree(copied, tmp_path / "package")
    vectors = package / "nnjit" / "kernels" / "core" / "vectors.py"
    edited = vectors.read_text().replace("(operator.mul, ir.IRBuilder.fmul", "(operator.mul, ir.IRBuilder.fadd")
    assert edited != vectors.read_text()
    vectors.write_text(edited)
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
        report(x=x.tolist(), folder=str(cache_folder()))
    """)
    assert found["x"] == [21] * 3
    assert len(list(Path(found["folder"]).iterdir())) == 1


def test_digest_depends_on_each_source(copied, tmp_path):
    package = shutil.copytree(copied, tmp_path / "package")
    found = child(package, tmp_path, """
        from nnjit.kernels.core.cache import KERNELS as folder, _digest
        digests = {"": _digest()}
        for path in folder.rglob("*.py"):
            if path.parent.name != "reference":
                text = path.read_text()
                path.write_text(text + "#")
                digests[path.relative_to(folder.parent).as_posix()] = _digest()
                path.write_text(text)
        for place in (folder, folder / "core"):
            (place / "new.py").write_text("")
            digests[f"new in {place.name}"] = _digest()
        report(**digests)
    """)
    assert set(SOURCES) < set(found)
    assert len(set(found.values())) == len(found)


@pytest.mark.sample(1)
@pytest.mark.parametrize("setting", ["NUMBA_OPT=1", "NUMBA_SLP_VECTORIZE=1", "NUMBA_BOUNDSCHECK=1",
                                     "NUMBA_CPU_NAME=haswell"])
def test_digest_depends_on_compiler_settings(copied, filled, setting):
    found = child(copied, filled, "report(folder=str(cache_folder()))", **dict([setting.split("=")]))
    assert Path(found["folder"]) not in filled.iterdir()


@pytest.mark.sample(1)
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
    other = Path(child(copied, full, "report(folder=str(cache_folder()))", **settings)["folder"])
    assert not other.exists()
    entries(full)[0].parent.rename(other)
    assert child(copied, full, "report(work=work(), cache=cache())", **settings) == {"work": RIGHT, "cache": [0, 4]}


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
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **options: Path("~/.cache/nnjit"))
    with pytest.raises(RuntimeError, match="home"):
        cache.cache_folder()
    assert info.info()["cache folder"] == "none: set NNJIT_CACHE_DIR"


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
        path.write_bytes(cache._seal(path, b"nonsense") + b"nonsense")
    assert child(copied, full, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [0, 4]}


def test_processes_fill_one_cache_at_once(copied, tmp_path):
    processes = [start(copied, tmp_path / "cache", "report(work=work())") for _ in range(4)]
    assert [finish(process) for process in processes] == [{"work": RIGHT}] * 4
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
       info=info.info()["cache folder"])
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
    assert cache.distrusted(folder) is None  # not there
    cache._make(folder)
    assert cache.distrusted(folder) is None
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert cache.distrusted(folder) == (f"{folder.parent} belongs to another user" if owner else None)  # root's
    if owner == 0:
        for place in (folder, folder.parent):
            os.chown(place, 4242, -1)
            assert cache.distrusted(folder) == f"{place} belongs to another user"
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        assert cache.distrusted(folder) is None
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert cache.distrusted(folder) == f"{folder.parent} belongs to another user"
        for place in (folder, folder.parent):
            os.chown(place, 0, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert cache.distrusted(folder) == f"{folder} is a symbolic link"
    monkeypatch.delattr(os, "geteuid")  # Windows
    assert cache.distrusted(folder) is None


def age(path, days):
    at = time.time() - days * cache.DAY
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
    code = "report(ids=ids(probe.who.serial), folder=str(cache_folder()))"
    found = child(copied, tmp_path, code)
    new = Path(found["folder"])
    # b is gone, of c what isn't ours is left, and d is nobody's to tell
    assert set(tmp_path.iterdir()) == {new, file, *folders.values()} - {folders["b" * 24]}
    assert {path.name for path in folders["c" * 24].iterdir()} == {"a user's"}
    assert all(len(list(folders[letter].iterdir())) == 1 for letter in folders if letter[0] in "adeZ")
    age(folders["a" * 24], 31)
    child(copied, tmp_path, code.replace("serial", "parallel"))
    assert folders["a" * 24].exists()  # not at each start


def test_a_look_whether_the_cache_can_be_written_removes_old_folders_too(tmp_path, monkeypatch):
    monkeypatch.setenv("NNJIT_CACHE_DIR", str(tmp_path))
    old = tmp_path / ("a" * 24)
    old.mkdir(mode=0o700)
    age(old, 31)
    assert cache.writable()
    assert list(tmp_path.iterdir()) == [tmp_path / cache.DIGEST]


def test_a_folder_in_use_stays_young(copied, full):
    folder = entries(full)[0].parent
    for days, young in ((0.9, False), (1.1, True)):
        age(folder, days)
        before = folder.stat().st_mtime
        assert child(copied, full, "report(work=work(), cache=cache())") == {"work": RIGHT, "cache": [4, 0]}
        assert (folder.stat().st_mtime > before) is young


def test_cache_in_the_users_folder(copied, tmp_path):
    code = "report(folder=str(cache_folder()), ids=ids(probe.who.serial))"
    found = child(copied, "", code, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "caches"))
    assert tmp_path in Path(found["folder"]).parents
    assert len(list(Path(found["folder"]).iterdir())) == 1


def test_kernels_outside_the_package_are_not_cached(copied, tmp_path):
    """Their sources are not part of the digest."""
    for number in (1, 2):
        (tmp_path / "script.py").write_text(textwrap.dedent(f"""
            import numpy as np
            from nnjit.kernels.core.compile import loops

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


@pytest.mark.parametrize("kind", ["zip", "compiled"])
def test_kernels_without_a_source_file_are_not_cached(copied, tmp_path, kind):
    """From an archive, or as bytecode alone: the digest cannot tell two versions apart."""
    found = []
    for number in (1, 20):
        package = shutil.copytree(copied, tmp_path / "package")
        (package / "nnjit" / "kernels" / "helper.py").write_text(HELPER.format(number))
        if kind == "zip":
            path = shutil.make_archive(tmp_path / "package", "zip", package)
        else:
            path = package
            compileall.compile_dir(package, quiet=2, legacy=True)
            for source in package.rglob("*.py"):
                source.unlink()
        found.append(child(path, tmp_path / "cache", "x = np.zeros(3); probe.add.serial(x); report(x=x.tolist())"))
        shutil.rmtree(package)
    assert found == [{"x": [1] * 3}, {"x": [20] * 3}]
