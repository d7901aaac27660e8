"""MNIST, EMNIST and CIFAR from their files: every layout, and files that somebody made to do harm."""

import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from test_datasets import NAMES, idx, small_set, write

from nnjit.nn.data import cifar, datasets, mnist, pickles

rng = np.random.default_rng(0)
SIZE = 3072


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data on this machine, an empty cache, and servers that are not there."""
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module, name in ((mnist, "FASHION"), (mnist, "MNIST"), (mnist, "EMNIST"), (cifar, "CIFAR10"),
                         (cifar, "CIFAR100")):
        monkeypatch.setattr(module, name, dataclasses.replace(getattr(module, name), url="http://127.0.0.1:9/",
                                                              system=None))
    return tmp_path


# ---- MNIST and EMNIST


def test_images_and_bytes_of_mnist(nowhere):
    arrays = small_set()
    write(nowhere / "set", arrays)
    pixels = arrays[NAMES[0]].reshape(-1, 1, 28, 28)
    for load in (datasets.mnist, datasets.fashion_mnist):
        (X, y), (X_test, _) = load(nowhere / "set", images=True)
        assert X.shape == (5, 1, 28, 28) and X_test.shape == (3, 1, 28, 28) and X.dtype == np.float32
        np.testing.assert_array_equal(X, ((pixels - 127.5) / 127.5).astype(np.float32))
        np.testing.assert_array_equal(y, arrays[NAMES[1]])
        np.testing.assert_array_equal(load(nowhere / "set")[0][0], X.reshape(5, 784))
        (raw, _), _ = load(nowhere / "set", scale=False)
        np.testing.assert_array_equal(raw, pixels.reshape(5, 784))
        assert raw.dtype == np.uint8 and load(nowhere / "set", images=True, scale=False)[1][0].shape == (3, 1, 28, 28)


def test_images_of_mnist_have_28_rows_and_columns(nowhere):
    write(nowhere, {**small_set(), NAMES[2]: np.zeros((3, 14, 56))})
    with pytest.raises(ValueError, match=f"{NAMES[2]}.gz must contain images of 28 x 28 pixels, got 3 of 14 x 56$"):
        datasets.mnist(nowhere, images=True)


def test_mnist_is_not_taken_from_the_files_of_fashion_mnist(nowhere, monkeypatch):
    monkeypatch.setenv("NNJIT_DATA", str(nowhere / "set"))
    write(nowhere / "set", small_set())
    assert len(datasets.fashion_mnist()[0][0]) == 5
    text = (r"^no MNIST: \(1\) no folder was given; \(2\) NNJIT_DATA=.* lacks files; \(3\) the download from "
            r"http://.*:9/ into .*mnist failed: .*. Get train-images-idx3-ubyte.gz, .* on another machine, and put it "
            r"into a folder for mnist\(folder\)$")
    with pytest.raises(FileNotFoundError, match=text):
        datasets.mnist()
    write(nowhere / "set" / "mnist", small_set(train=6))
    write(nowhere / "set" / "fashion-mnist", small_set(train=7))
    assert len(datasets.mnist()[0][0]) == 6 and len(datasets.fashion_mnist()[0][0]) == 7


def letters(split="letters", first=1, classes=26):
    arrays = [rng.integers(0, 256, (4, 28, 28)), np.array([first, first + 3, first + classes - 1, first])] * 2
    return {f"emnist-{split}-{name.replace('t10k', 'test')}": array for name, array in zip(NAMES, arrays)}


@pytest.mark.parametrize("place", ("set", "set/gzip", "zip"))
@pytest.mark.parametrize("split", mnist.SPLITS)
def test_emnist(nowhere, split, place):
    arrays = letters(split, int(split == "letters"), mnist.SPLITS[split])
    if place == "zip":
        (nowhere / "set").mkdir()
        with zipfile.ZipFile(nowhere / "set" / "gzip.zip", "w") as file:
            for name, array in arrays.items():
                file.writestr(f"gzip/{name}.gz", gzip.compress(idx(array)))
    else:
        (nowhere / place).mkdir(parents=True)
        write(nowhere / place, arrays)
    (X, y), (X_test, y_test) = datasets.emnist(split, nowhere / "set", images=True, scale=False)
    upright = next(iter(arrays.values())).transpose(0, 2, 1)  # the files have columns for rows
    np.testing.assert_array_equal(X[:, 0], upright)
    np.testing.assert_array_equal(y, [0, 3, mnist.SPLITS[split] - 1, 0])
    assert X_test.shape == X.shape and y_test.dtype == np.int64
    with pytest.raises(FileNotFoundError, match="no EMNIST in .*: emnist-.*-train-images-idx3.* is missing"):
        datasets.emnist(split, nowhere)


def test_wrong_files_of_emnist_are_named(nowhere):
    write(nowhere / "a", letters(first=0))
    with pytest.raises(ValueError, match="a/emnist-letters-train-labels.*: labels must lie in 1..26, got 0$"):
        datasets.emnist("letters", nowhere / "a")
    (nowhere / "b").mkdir()
    for content in (b"hello", b"PK\3\4" + bytes(100)):
        (nowhere / "b" / "gzip.zip").write_bytes(content)
        with pytest.raises(ValueError, match="b/gzip.zip: gzip/emnist-digits-train-images.*gz is damaged, or"):
            datasets.emnist("digits", nowhere / "b")
    for split in ("letter", 3, None):
        with pytest.raises((TypeError, ValueError), match="^split must be one of 'balanced', 'byclass', .*, got "):
            datasets.emnist(split)


# ---- CIFAR


def images(count, classes=10):
    return rng.integers(0, 256, (count, SIZE), np.uint8), [int(label) for label in rng.integers(0, classes, count)]


def of_python_2(found):
    """A pickle as Python 2 and NumPy of then write it: the official files are such ones."""
    def text(content):
        return b"U" + bytes([len(content)]) + content

    def number(value):
        return b"K" + bytes([value])

    def array(x):
        return (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85U\1btR"  # an empty one
                b"(" + number(1) + number(len(x)) + b"M" + struct.pack("<H", x.shape[1]) + b"\x86cnumpy\ndtype\n(U\2u1"
                + number(0) + number(1) + b"tR(" + number(3) + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
                + number(0) + b"tb\x89T" + struct.pack("<i", x.nbytes) + x.tobytes() + b"tb")

    return b"\x80\2}q\1(" + b"".join(
        text(key) + (array(value) if isinstance(value, np.ndarray) else b"](" + b"".join(map(number, value)) + b"e")
        for key, value in found.items()) + b"u."


def pickled(X, labels, protocol=2, **more):
    if protocol == "Python 2":
        return of_python_2({b"data": X, b"labels": labels, **more})
    return pickle.dumps({b"data": X, b"labels": labels, b"filenames": [b"a.png"] * len(X), **more}, protocol)


def rows(X, *labels):
    return np.concatenate([np.array([*labels], np.uint8).T, X], axis=1).tobytes()


def tar(contents, inner):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo(inner), None)
        for name, content in contents.items():
            info = tarfile.TarInfo(f"{inner}/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def ten():
    return {name: images(count) for name, count in zip(cifar.TEN, (3, 1, 2, 1, 2, 4))}


def put(folder, contents, place, inner, archive):
    folder.mkdir(exist_ok=True)
    if place == "archive":
        (folder / archive).write_bytes(tar(contents, inner))
        return
    folder = folder / inner if place == "inner" else folder
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("place", ("folder", "inner", "archive"))
@pytest.mark.parametrize("kind", (0, 2, 3, 4, "Python 2", "binary"))
def test_cifar10(nowhere, ten, kind, place):
    if kind == "binary":
        contents = {f"{name}.bin": rows(X, labels) for name, (X, labels) in ten.items()}
    else:
        contents = {name: pickled(*each, protocol=kind) for name, each in ten.items()}
    put(nowhere / "set", contents, place, *cifar.LAYOUTS10[kind == "binary"][:2])
    (X, y), (X_test, y_test) = datasets.cifar10(nowhere / "set", scale=False)
    *train, test = ten.values()
    np.testing.assert_array_equal(X, np.concatenate([x for x, _ in train]).reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(X_test, test[0].reshape(-1, 3, 32, 32))
    assert y.tolist() == sum([labels for _, labels in train], []) and y_test.tolist() == test[1]
    assert (X.dtype, y.dtype, len(cifar.CIFAR10_CLASSES)) == (np.uint8, np.int64, 10)
    (scaled, _), _ = datasets.cifar10(nowhere / "set")
    np.testing.assert_array_equal(scaled, ((X - 127.5) / 127.5).astype(np.float32))


@pytest.mark.parametrize("place", ("folder", "inner"))
@pytest.mark.parametrize("binary", (False, True))
def test_one_file_of_cifar_that_is_missing_is_named(nowhere, ten, binary, place):
    end = ".bin" if binary else ""
    contents = {name + end: b"" for name in ten if name != "data_batch_4"}
    put(nowhere / "set", contents, place, *cifar.LAYOUTS10[binary][:2])
    with pytest.raises(FileNotFoundError, match=f"no CIFAR-10 in .*: data_batch_4{end} is missing"):
        datasets.cifar10(nowhere / "set")


@pytest.mark.parametrize("binary", (False, True))
@pytest.mark.parametrize("place", ("folder", "inner", "archive"))
def test_cifar100(nowhere, binary, place):
    parts = {name: (*images(count, 100), [int(each) for each in rng.integers(0, 20, count)])
             for name, count in (("train", 5), ("test", 2))}
    contents = {f"{name}.bin" if binary else name: rows(X, coarse, fine) if binary else pickle.dumps(
        {"data": X, "fine_labels": fine, "coarse_labels": coarse}, 2) for name, (X, fine, coarse) in parts.items()}
    put(nowhere / "set", contents, place, *cifar.LAYOUTS100[binary][:2])
    for coarse in (False, True):
        (X, y), (_, y_test) = datasets.cifar100(nowhere / "set", coarse=coarse, scale=False)
        np.testing.assert_array_equal(X, parts["train"][0].reshape(-1, 3, 32, 32))
        assert y.tolist() == parts["train"][1 + coarse] and y_test.tolist() == parts["test"][1 + coarse]


class Run:
    """What runs a command when it is unpickled by pickle itself."""

    def __reduce__(self):
        return os.system, ("touch harm",)


X, LABELS = images(2)
NO_ARRAY = b"(cnumpy\ndtype\n(V\2tRt."


@pytest.mark.parametrize("content, text", (
    (b"", "the pickle is damaged at byte 0, or is none"),
    (b"hello", "the pickle is damaged at byte 0, or is none"),
    (pickle.dumps({b"data": Run()}), "the pickle is damaged at byte .*: it names 'posix.system', and loading that"),
    (pickle.dumps(os.system), "it names 'posix.system', and loading that could run code"),
    (b"cbuiltins\neval\n(V1\ntR.", "at byte 0, or is none: it names 'builtins.eval', and loading that could run code"),
    (b"(Vtouch harm\nios\nsystem\n.", "it has the opcode INST, which no pickle of arrays"),
    (b"\x80\4]\x81.", "it has the opcode NEWOBJ"),
    (b"cnumpy\nndarray\n(K\1K\1tR.", "an array in it is not of uint8"),
    (b"cnumpy\ndtype\n(VO8\ntR.", "an array in it is not of uint8"),
    (pickled(X, LABELS)[:-20], "the pickle is damaged at byte"),
    (pickle.dumps({b"data": X.astype(float), b"labels": LABELS}, 2), "an array in it is not of uint8"),
    (pickled(X.astype(np.int8), LABELS), "an array in it is not of uint8"),
    (pickled(X, LABELS).replace(b"M\0\x0c", b"M\1\x0c"), "cannot reshape array of size 6144"),
    (pickle.dumps([1]), "its pickle must be of a dict, got list"),
    (pickle.dumps({b"labels": LABELS}), r"data must be an array \(N, 3072\) of uint8, got NoneType"),
    (pickled(X[:, :5], LABELS, protocol=4), r"data must be an array \(N, 3072\) of uint8, got an array \(2, 5\)"),
    (pickled(X, LABELS[:1]), "labels must be a list of 2 whole numbers"),
    (pickled(X, [0.5, 1]), "it has the opcode BINFLOAT"),
    (pickled(X, [1, 10]), "labels must lie in 0..9, got 10 at image 1"),
    (pickled(X, [-1, 1]), "labels must lie in 0..9, got -1 at image 0"),
    (pickled(X, [2**70, 1]), "labels must be a list of 2 whole numbers"),
    (b"\x80\2r\xff\xff\xff\xff.", "the pickle is damaged at byte 2"),  # a place of 4 G in the memo
    (b"}" + b"(" * 50 + b")" + b"\x85" * 100_000 + b"Ns.", "its opcodes do not fit"),  # a hash that fills the stack
    (b"\x80\4\x8e" + struct.pack("<Q", 2**62) + b"a.", "the pickle is damaged at byte 2"),
    (b"(" * 9, "the pickle is damaged at byte 8|the pickle is damaged"),
    (b".", "the pickle is damaged at byte 0"), (b"(s.", "damaged at byte 1"), (b"Rb.", "damaged at byte 0"),
))
def test_damaged_pickles_are_named_and_run_nothing(nowhere, ten, monkeypatch, content, text):
    monkeypatch.chdir(nowhere)
    contents = {name: pickled(*each) for name, each in ten.items()}
    for place in ("folder", "archive"):
        put(nowhere / place, {**contents, "data_batch_3": content}, place, *cifar.LAYOUTS10[0][:2])
        name = "cifar-10-python.tar.gz/data_batch_3" if place == "archive" else "data_batch_3"
        with pytest.raises(ValueError, match=f"{place}/{name}: .*({text})"):
            datasets.cifar10(nowhere / place)
    assert not (nowhere / "harm").exists()


def test_copies_in_a_pickle_take_no_memory():
    import tracemalloc
    long = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20)
    content = b"](" + long + b"q\0" + b"c_codecs\nencode\nh\0Vlatin1\n\x86R" * 1000 + b"e."
    tracemalloc.start()
    found = pickles.load(content)
    assert len(found) == 1001 and found[1] == b"a" * (1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("change, text", (
    (lambda content: content[:-30], "damaged: |the archive ends within a file"),
    (lambda content: b"hello", "damaged: Not a gzipped file"),
    (lambda content: gzip.compress(gzip.decompress(content)[:2000]), "the archive ends within a file"),
    (lambda content: gzip.compress(bytes(512)), "it lacks data_batch_1"),
    (lambda content: gzip.compress(b"a" * 512), "it is no tar archive: a size in it is b'a+'"),
    (lambda content: gzip.compress(b"data_batch_1".ljust(124, b"\0") + b"77777777777\0" + bytes(376)),
     "it would expand to more than 1073741824 bytes"),
))
def test_damaged_archives_are_named(nowhere, ten, change, text):
    put(nowhere, {name: pickled(*each) for name, each in ten.items()}, "archive", *cifar.LAYOUTS10[0][:2])
    path = nowhere / "cifar-10-python.tar.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^{path}: ({text})"):
        datasets.cifar10(nowhere)


@pytest.mark.parametrize("content, text", (
    (b"", "it must have 3073 bytes for each image, got 0 in all, which ends within image 0"),
    (bytes(3072), ".*got 3072 in all, which ends within image 0"),
    (bytes(3 * 3073 + 5), ".*got 9224 in all, which ends within image 3"),
    (bytes(3073) + b"\x0a" + bytes(3072), "labels must lie in 0..9, got 10 at image 1")))
def test_damaged_binary_files_are_named(nowhere, ten, content, text):
    contents = {f"{name}.bin": rows(X, labels) for name, (X, labels) in ten.items()}
    put(nowhere, {**contents, "test_batch.bin": content}, "folder", *cifar.LAYOUTS10[1][:2])
    with pytest.raises(ValueError, match=f"^{nowhere / 'test_batch.bin'}: {text}"):
        datasets.cifar10(nowhere)
    os.remove(nowhere / "test_batch.bin")
    os.mkfifo(nowhere / "test_batch.bin")
    with pytest.raises(FileNotFoundError, match="no CIFAR-10 in .*: test_batch.bin is missing"):
        datasets.cifar10(nowhere)


def test_downloads_of_cifar_are_checked(nowhere, ten, monkeypatch, capsys):
    (nowhere / "www").mkdir()
    content = tar({name: pickled(*each) for name, each in ten.items()}, "cifar-10-batches-py")
    (nowhere / "www" / "cifar-10-python.tar.gz").write_bytes(content)
    for kind, digest in (("MD5", hashlib.md5(content).hexdigest()), ("SHA-256", hashlib.sha256(content).hexdigest())):
        for files, wish in (({"cifar-10-python.tar.gz": digest[::-1]}, "other"),
                            ({"cifar-10-python.tar.gz": digest}, "right")):
            monkeypatch.setattr(cifar, "CIFAR10", dataclasses.replace(
                cifar.CIFAR10, url=f"file://{nowhere}/www/", files=files, folder=f"{kind}"))
            if wish == "other":
                with pytest.raises(FileNotFoundError, match=f"tar.gz has {kind} {digest}, not {digest[::-1]}. Get "):
                    datasets.cifar10()
                assert not list((nowhere / "cache" / "nnjit" / kind).iterdir())
            else:
                assert len(datasets.cifar10()[0][0]) == 9
    assert capsys.readouterr().err.count("downloading") == 4
