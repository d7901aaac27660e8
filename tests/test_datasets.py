import dataclasses
import errno
import functools
import gzip
import hashlib
import http.server
import os
import pwd
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from nnjit import cli
from nnjit.nn.data import datasets, mnist

NAMES = mnist.NAMES


# ---- the nnfs package's points


def test_spiral_is_the_books():
    X, y = datasets.spiral(100, 3, seed=0)
    np.testing.assert_allclose(X[:5], [[0, 0], [.00299556, .00964661], [.01288097, .01556285], [.02997479, .0044481],
                                       [.03931246, .00932828]], atol=1e-8)  # printed with 8 digits, of float32 noise
    assert (X.shape, X.dtype, y.dtype) == ((300, 2), np.float32, np.int64)
    assert np.bincount(y).tolist() == [100, 100, 100]
    assert abs(np.linalg.norm(X, axis=1) - np.tile(np.linspace(0, 1, 100), 3)).max() < 1e-6


def test_vertical_stands_in_columns():
    X, y = datasets.vertical(200, 4, seed=1)
    assert (X.shape, X.dtype, y.dtype) == ((800, 2), np.float32, np.int64)
    centres = [X[y == k].mean(axis=0) for k in range(4)]
    np.testing.assert_allclose(centres, [[k / 3, 0.5] for k in range(4)], atol=0.03)


def test_sine():
    x, y = datasets.sine()
    assert x.shape == y.shape == (1000, 1) and x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(y, np.sin(2 * np.pi * x), atol=1e-6)
    assert (x[0, 0], x[-1, 0], len(datasets.sine(10)[0])) == (0, np.float32(0.999), 10)


@pytest.mark.parametrize("create", [datasets.spiral, datasets.vertical])
def test_seeds(create):
    first, again, other = (create(10, 2, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    np.random.seed(1)
    assert np.array_equal(create(10, 2)[0], first)  # NumPy's global generator, as in the package
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    create(10, 2, seed=1)
    np.testing.assert_array_equal(np.random.random(3), expected)
    with pytest.raises(ValueError):
        create(10, 2, seed=-1)
    create(10, 2, seed=1)


@pytest.mark.parametrize("create", [datasets.spiral, datasets.vertical])
@pytest.mark.parametrize("samples, classes, seed, error, text", [
    (10, 2, "a", TypeError, "seed must be a whole number, got 'a'"),
    (10, 2, 1.0, TypeError, "seed must be a whole number, got 1.0"),
    (10, 2, 2**32, ValueError, "seed must be in 0..4294967295, got 4294967296"),
    ("a", 2, 0, TypeError, "samples must be a whole number, got 'a'"),
    (0, 2, None, ValueError, "samples must be at least 1, got 0"),
    (10, True, 0, TypeError, "classes must be a whole number, got True"),
    (10, -1, 0, ValueError, "classes must be at least 1, got -1"),
])
def test_wrong_arguments_are_named(create, samples, classes, seed, error, text):
    before = np.random.get_state()[1].copy()
    with pytest.raises(error, match=f"^{text}$"):
        create(samples, classes, seed=seed)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    if seed is None:
        with pytest.raises(error, match=f"^{text}$"):
            datasets.sine(samples)


# ---- IDX files


def idx(array, kind=8, dtype="u1"):
    array = np.asarray(array)
    header = bytes((0, 0, kind, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(dtype).tobytes()


def small_set(train=5, test=3):
    rng = np.random.default_rng(0)
    arrays = []
    for count in (train, test):
        arrays += [rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)]
    return dict(zip(NAMES, arrays))


def write(folder, arrays, zipped=True):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        content = idx(array)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)


TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_idx_file(tmp_path, kind):
    dtype = np.dtype(TYPES[kind])
    if dtype.kind == "f":
        values = np.array([0.0, -0.0, 1.5, -np.inf, np.nan, np.finfo(dtype).max], dtype)
    else:
        values = np.array([0, 1, np.iinfo(dtype).min, np.iinfo(dtype).max, 5, 77], dtype)
    numbers = {"u1": "6B", "i1": "6b", "i2": "6h", "i4": "6i", "f4": "6f", "f8": "6d"}[TYPES[kind]]
    for shape in ((6,), (2, 3), (1, 3, 2), (6,) + (1,) * 63):
        content = (bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
                   + struct.pack(f">{numbers}", *values.tolist()))
        for name, written in (("a", content), ("a.idx.gz", gzip.compress(content)), ("zipped", gzip.compress(content)),
                              ("plain.gz", content)):
            (tmp_path / name).write_bytes(written)
            for path in (tmp_path / name, str(tmp_path / name), os.fsencode(tmp_path / name)):
                found = datasets.load_idx(path)
                assert (found.shape, found.dtype, found.dtype.isnative) == (shape, dtype, True)
                assert found.flags.writeable and found.flags.c_contiguous
                np.testing.assert_array_equal(found.ravel(), values)


@pytest.mark.parametrize("shape", [(0,), (0, 28, 28), (3, 0), (0, 1 << 15, 1 << 12)])
def test_an_idx_file_without_elements(tmp_path, shape):
    (tmp_path / "a").write_bytes(bytes((0, 0, 0x0E, len(shape))) + struct.pack(f">{len(shape)}I", *shape))
    assert datasets.load_idx(tmp_path / "a").shape == shape


@pytest.mark.parametrize("content, text", [
    (b"", "not an IDX file: it begins with ''"),
    (b"\0\0\x08", "not an IDX file: it begins with '000008'"),
    (b"\0\1\x08\1" + bytes(4), "not an IDX file: it begins with '00010801'"),
    (b"\x93NUMPY", "not an IDX file: it begins with '934e554d'"),
    (b"\0\0\x0a\1" + bytes(4), "elements of type 0x0a, which must be 0x08, 0x09, 0x0b, 0x0c, 0x0d or 0x0e"),
    (b"\0\0\x08\0\5", "0 dimensions, which must be 1 to 64"),
    (b"\0\0\x08\x41" + bytes(260), "65 dimensions, which must be 1 to 64"),
    (b"\0\0\x08\2" + bytes(7), "the file ends within its header"),
    (b"\0\0\x0e\1\0\0\0\2" + bytes(15), "promises 16 bytes of data, but the file has 15"),
    (b"\0\0\x0d\1\0\0\0\2" + bytes(9), "promises 8 bytes of data, but the file has more"),
    (b"\0\0\x08\1\x40\0\0\1", "promises more than 1073741824 bytes of data"),
    (b"\0\0\x0e\1\x08\0\0\1", "promises more than 1073741824 bytes of data"),
    (b"\0\0\x0e\4" + bytes(4) + b"\x40\0\0\0" * 3, "promises more than 1073741824 bytes of data"),
])
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_idx_files_are_named(tmp_path, content, text, zipped):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=f"^{path}: .*{text}$"):
        datasets.load_idx(path)


def test_an_idx_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        datasets.load_idx(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        datasets.load_idx(tmp_path)
    for path in (None, 3, 2.5):
        with pytest.raises(TypeError, match="PathLike"):
            datasets.load_idx(path)


def change(monkeypatch, **more):
    """Other places of Fashion-MNIST."""
    monkeypatch.setattr(mnist, "FASHION", dataclasses.replace(mnist.FASHION, **more))


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data on this machine, an empty cache, and a server that is not there."""
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    change(monkeypatch, url="http://127.0.0.1:9/", system=tmp_path / "debian")
    return tmp_path


@pytest.mark.parametrize("zipped", [True, False])
def test_a_given_folder(nowhere, zipped):
    arrays = small_set()
    write(nowhere / "set", arrays, zipped)
    for folder in (nowhere / "set", str(nowhere / "set")):
        (X, y), (X_test, y_test) = datasets.fashion_mnist(folder)
        for found, labels, name in ((X, y, "train"), (X_test, y_test, "t10k")):
            pixels = arrays[f"{name}-images-idx3-ubyte"].reshape(-1, 784)
            np.testing.assert_array_equal(found, ((pixels - 127.5) / 127.5).astype(np.float32))
            np.testing.assert_array_equal(labels, arrays[f"{name}-labels-idx1-ubyte"])
            assert (found.dtype, labels.dtype) == (np.float32, np.int64) and found.flags.writeable


def test_names_with_a_dot(nowhere):
    arrays = small_set()
    for number in range(4):
        folder = nowhere / str(number)
        write(folder, arrays, zipped=number < 2)
        for name in NAMES[number:]:
            ending = ".gz" if number < 2 else ""
            (folder / f"{name}{ending}").rename(folder / f"{name.replace('-idx', '.idx')}{ending}")
        (X, y), (X_test, y_test) = datasets.fashion_mnist(folder)
        for found, name in zip((X, y, X_test, y_test), NAMES):
            wish = arrays[name]
            np.testing.assert_array_equal(
                found, wish if wish.ndim == 1 else ((wish.reshape(-1, 784) - 127.5) / 127.5).astype(np.float32))


def resolved(*args, **more):
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("cache", [None, resolved, lambda *args, **more: Path("~/.cache/nnjit")])
def test_without_a_home_folder(nowhere, monkeypatch, capsys, cache):
    """As for a user id that a container was merely told. platformdirs raises, or, before 4.0, leaves the ~."""
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.chdir(nowhere)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    if cache:
        monkeypatch.setattr("platformdirs.user_cache_path", cache)
    text = (r"no Fashion-MNIST: \(1\) no folder was given; \(2\) NNJIT_DATA is not set; \(3\) .*debian \(Debian's "
            r"package dataset-fashion-mnist\) lacks files; \(4\) nothing can be downloaded without a home folder")
    with pytest.raises(FileNotFoundError, match=text):
        datasets.fashion_mnist()
    assert cli.main(["train", "fashion-mnist"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("nnjit: error: no Fashion-MNIST: (1)") and err.count("\n") == 1
    write(nowhere / "debian", small_set(train=7))
    assert len(datasets.fashion_mnist()[0][0]) == 7
    write(nowhere / "env", small_set(train=8))
    monkeypatch.setenv("NNJIT_DATA", str(nowhere / "env"))
    assert len(datasets.fashion_mnist()[0][0]) == 8
    assert sorted(path.name for path in nowhere.iterdir()) == ["debian", "env"]


@pytest.mark.parametrize("place", ["NNJIT_DATA", "XDG_CACHE_HOME"])
def test_a_place_that_may_not_be_looked_at_lacks_files(nowhere, monkeypatch, place):
    closed = nowhere / "closed"
    monkeypatch.setenv(place, str(closed))
    is_file = Path.is_file

    def denied(path):
        if closed in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(FileNotFoundError, match=r"\(1\) .*\(2\) .*\(3\) .*\(4\) the download .*"):
        datasets.fashion_mnist()
    write(nowhere / "debian", small_set(train=7))
    assert len(datasets.fashion_mnist()[0][0]) == 7


def test_the_places_in_order(nowhere, monkeypatch):
    cache = nowhere / "cache" / "nnjit" / "fashion-mnist"
    cache.parent.mkdir(parents=True)
    write(cache, small_set(train=6))
    assert len(datasets.fashion_mnist()[0][0]) == 6
    write(nowhere / "debian", small_set(train=7))
    assert len(datasets.fashion_mnist()[0][0]) == 7
    monkeypatch.setenv("NNJIT_DATA", str(nowhere / "env"))
    assert len(datasets.fashion_mnist()[0][0]) == 7
    write(nowhere / "env", small_set(train=8))
    assert len(datasets.fashion_mnist()[0][0]) == 8
    write(nowhere / "given", small_set(train=9))
    assert len(datasets.fashion_mnist(nowhere / "given")[0][0]) == 9


def test_nowhere_lists_the_four_places(nowhere, monkeypatch, capsys):
    places = [r"\(1\) no folder was given", r"\(2\) NNJIT_DATA is not set", r"\(3\) .*debian \(Debian's package ",
              r"\(4\) the download from http://127.0.0.1:9/ into .*cache/nnjit/fashion-mnist failed: .*refused"]
    with pytest.raises(FileNotFoundError, match=".*".join(places)):
        datasets.fashion_mnist()
    monkeypatch.setenv("NNJIT_DATA", "/no/where")
    with pytest.raises(FileNotFoundError, match=r"\(2\) NNJIT_DATA=/no/where lacks files"):
        datasets.fashion_mnist()
    assert list((nowhere / "cache" / "nnjit" / "fashion-mnist").iterdir()) == []


def test_a_given_folder_must_hold_all_four(nowhere):
    write(nowhere / "debian", small_set())
    arrays = small_set()
    del arrays["t10k-labels-idx1-ubyte"]
    write(nowhere / "given", arrays)
    with pytest.raises(FileNotFoundError, match="no Fashion-MNIST in .*given: t10k-labels-idx1-ubyte.gz is missing"):
        datasets.fashion_mnist(nowhere / "given")


HEADER = bytes((0, 0, 8, 3)) + (5).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2


@pytest.mark.parametrize("content, text", [
    (b"P5 28 28 255 " + bytes(100), "not an IDX file: it begins with '50352032'"),
    (idx(np.zeros((5, 28, 28)), 13, ">f4"), "must contain uint8 in 3 dimensions, got float32 in 3$"),
    (idx(np.zeros(5)), "must contain uint8 in 3 dimensions, got uint8 in 1"),
    (HEADER + bytes(3919), "promises 3920 bytes of data, but the file has 3919"),
    (HEADER[:4] + (1 << 20).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2, "promises 822083584 bytes.*has 0"),
])
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_named(tmp_path, content, text, zipped):
    write(tmp_path, small_set(), zipped)
    path = tmp_path / (f"{NAMES[0]}.gz" if zipped else NAMES[0])
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=f"{path.name}:? .*{text}"):
        datasets.fashion_mnist(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b + b"hello", lambda b: b[:3],
                                    lambda b: b[:40] + b"\xff" * 20 + b[60:]])
def test_damaged_gzip_is_named(tmp_path, damage):
    write(tmp_path, small_set())
    path = tmp_path / f"{NAMES[0]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path.name}: damaged: "):
        datasets.fashion_mnist(tmp_path)


def test_a_lying_header_takes_no_memory(tmp_path):
    import resource
    path = tmp_path / NAMES[0]
    path.write_bytes(HEADER[:4] + (1 << 20).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 + bytes(100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="has 100"):
        datasets.load_idx(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; promised are 800 MB


def test_counts_and_labels_that_do_not_fit(tmp_path):
    arrays = small_set()
    write(tmp_path, {**arrays, NAMES[1]: np.zeros(4)})
    with pytest.raises(ValueError, match=f"{NAMES[0]}.gz has 5 images, but .*{NAMES[1]}.gz has 4 labels"):
        datasets.fashion_mnist(tmp_path)
    write(tmp_path, {**arrays, NAMES[3]: np.array([1, 10, 2])})
    with pytest.raises(ValueError, match=f"{NAMES[3]}.gz: labels must lie in 0..9, got 10"):
        datasets.fashion_mnist(tmp_path)


# ---- the download


@pytest.fixture
def server(nowhere, monkeypatch):
    """A web server with a small set, whose checksums are the expected ones. Yields its folder and requested paths."""
    write(nowhere / "www", small_set())
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (nowhere / "www").iterdir()}
    files = {f"{name}.gz": digests[f"{name}.gz"] for name in NAMES}
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=nowhere / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        change(monkeypatch, url=f"http://127.0.0.1:{running.server_port}/", files=files)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield nowhere / "www", asked
        running.shutdown()
        thread.join()


def test_download_once_into_the_cache(server, nowhere, capsys):
    www, asked = server
    (X, _), _ = datasets.fashion_mnist()
    np.testing.assert_array_equal(X, datasets.fashion_mnist(www)[0][0])
    assert capsys.readouterr().err.count("downloading http://127.0.0.1") == 4
    cache = nowhere / "cache" / "nnjit" / "fashion-mnist"
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    del asked[:]
    datasets.fashion_mnist()
    assert (asked, capsys.readouterr().err) == ([], "")


def test_a_download_of_other_bytes_is_thrown_away(server, nowhere):
    www, asked = server
    path = www / f"{NAMES[2]}.gz"
    good = path.read_bytes()
    path.write_bytes(gzip.compress(idx(np.zeros((3, 28, 28)))))
    with pytest.raises(FileNotFoundError, match=f"{NAMES[2]}.gz has SHA-256 [0-9a-f]{{64}}, not "):
        datasets.fashion_mnist()
    cache = nowhere / "cache" / "nnjit" / "fashion-mnist"
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES[:2])
    path.write_bytes(good)
    del asked[:]
    assert len(datasets.fashion_mnist()[0][0]) == 5
    assert asked == [f"/{name}.gz" for name in NAMES[2:]]  # the good ones are kept


def test_an_endless_download_ends(server, nowhere, monkeypatch):
    change(monkeypatch, most=1000)
    with pytest.raises(FileNotFoundError, match=f"{NAMES[0]}.gz has more than 1000 bytes"):
        datasets.fashion_mnist()
    assert list((nowhere / "cache" / "nnjit" / "fashion-mnist").iterdir()) == []


def test_a_disk_that_fills_up_is_named_and_keeps_nothing(server, nowhere, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileNotFoundError, match=f"No space left on device: '.*{NAMES[0]}.gz'"):
        datasets.fashion_mnist()
    assert list((nowhere / "cache" / "nnjit" / "fashion-mnist").iterdir()) == []


def test_a_missing_file_on_the_server(server):
    (server[0] / f"{NAMES[0]}.gz").unlink()
    with pytest.raises(FileNotFoundError, match="HTTP Error 404"):
        datasets.fashion_mnist()


# ---- the real one


@pytest.mark.skipif(not mnist.FASHION.system.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_itself(monkeypatch):
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    for name, digest in mnist.FASHION.files.items():
        assert hashlib.sha256((mnist.FASHION.system / name).read_bytes()).hexdigest() == digest
    (X, y), (X_test, y_test) = datasets.fashion_mnist()
    assert (X.shape, X_test.shape, y.shape, y_test.shape) == ((60000, 784), (10000, 784), (60000,), (10000,))
    assert (X.min(), X.max(), X.dtype, y.dtype) == (-1, 1, np.float32, np.int64)
    assert np.bincount(y).tolist() == [6000] * 10 and np.bincount(y_test).tolist() == [1000] * 10
    assert y[:5].tolist() == [9, 0, 0, 3, 0] and datasets.CLASSES[9] == "ankle boot"
    mean, deviation = X.mean(dtype=np.float64), X.std(dtype=np.float64)  # .2860 and .3530 of pixels in [0, 1]
    assert ((mean + 1) / 2, deviation / 2) == (pytest.approx(0.2860, abs=1e-4), pytest.approx(0.3530, abs=1e-4))
