import functools
import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest

from nnjit.nn import datasets

NAMES = list(datasets.FILES)


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


def idx(array, kind=8):
    header = bytes((0, 0, kind, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


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


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data on this machine, an empty cache, and a server that is not there."""
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(datasets, "BASE_URL", "http://127.0.0.1:9/")
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
    (b"", "no IDX file of 3 dimensions"),
    (b"P5 28 28 255 " + bytes(100), "no IDX file of 3 dimensions, it begins with '50352032'"),
    (idx(np.zeros((5, 28, 28)), kind=13), "no IDX file of 3 dimensions"),
    (idx(np.zeros(5)), "no IDX file of 3 dimensions"),
    (HEADER[:-1], "no IDX file of 3 dimensions"),
    (HEADER + bytes(3919), "promises 3920 bytes of data, the file holds 3919"),
    (HEADER + bytes(3921), "promises 3920 bytes of data, the file holds more"),
    (HEADER[:4] + (1 << 20).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2, "promises 822083584 bytes.*holds 0"),
    (HEADER[:4] + b"\xff" * 8 + bytes(4), "promises 4294967295 bytes, more than"),
    (HEADER[:4] + b"\xff" * 12, "promises 79228162458924105385300197375 bytes, more than"),
])
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_named(tmp_path, content, text, zipped):
    write(tmp_path, small_set(), zipped)
    path = tmp_path / (f"{NAMES[0]}.gz" if zipped else NAMES[0])
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=f"{path.name}: .*{text}"):
        datasets.fashion_mnist(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"hello" + b,
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
    with pytest.raises(ValueError, match="holds 100"):
        datasets._read_idx(path, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; promised are 800 MB


def test_counts_and_labels_that_do_not_fit(tmp_path):
    arrays = small_set()
    write(tmp_path, {**arrays, NAMES[1]: np.zeros(4)})
    with pytest.raises(ValueError, match=f"{NAMES[0]}.gz holds 5 images but .*{NAMES[1]}.gz 4 labels"):
        datasets.fashion_mnist(tmp_path)
    write(tmp_path, {**arrays, NAMES[3]: np.array([1, 10, 2])})
    with pytest.raises(ValueError, match=f"{NAMES[3]}.gz: labels must lie in 0..9, got 10"):
        datasets.fashion_mnist(tmp_path)


# ---- the download


@pytest.fixture
def server(nowhere, monkeypatch):
    """A web server with a small set, whose checksums are the expected ones. Yields its folder and requested paths."""
    write(nowhere / "www", small_set())
    digests = {name: hashlib.sha256((nowhere / "www" / f"{name}.gz").read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setattr(datasets, "FILES", digests)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=nowhere / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        monkeypatch.setattr(datasets, "BASE_URL", f"http://127.0.0.1:{running.server_port}/")
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


def test_a_missing_file_on_the_server(server):
    (server[0] / f"{NAMES[0]}.gz").unlink()
    with pytest.raises(FileNotFoundError, match="HTTP Error 404"):
        datasets.fashion_mnist()


# ---- the real one


@pytest.mark.skipif(not datasets.DEBIAN_FOLDER.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_itself(monkeypatch):
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    for name, digest in datasets.FILES.items():
        assert hashlib.sha256((datasets.DEBIAN_FOLDER / f"{name}.gz").read_bytes()).hexdigest() == digest
    (X, y), (X_test, y_test) = datasets.fashion_mnist()
    assert (X.shape, X_test.shape, y.shape, y_test.shape) == ((60000, 784), (10000, 784), (60000,), (10000,))
    assert (X.min(), X.max(), X.dtype, y.dtype) == (-1, 1, np.float32, np.int64)
    assert np.bincount(y).tolist() == [6000] * 10 and np.bincount(y_test).tolist() == [1000] * 10
    assert y[:5].tolist() == [9, 0, 0, 3, 0] and datasets.CLASSES[9] == "ankle boot"
    mean, deviation = X.mean(dtype=np.float64), X.std(dtype=np.float64)  # .2860 and .3530 of pixels in [0, 1]
    assert ((mean + 1) / 2, deviation / 2) == (pytest.approx(0.2860, abs=1e-4), pytest.approx(0.3530, abs=1e-4))
