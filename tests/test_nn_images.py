"""Folders of pictures: what is read, in which order, and what is refused."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest

from nnjit.nn import datasets, images

Image = pytest.importorskip("PIL.Image")
rng = np.random.default_rng(3)


def save(path, pixels, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **more)


def grey(height=3, width=5):
    return rng.integers(0, 256, (height, width), np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height):
    """A whole header, and no pixels."""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


@pytest.fixture
def book(tmp_path):
    """A folder as the book's: train/<label>/NNNN.png. Yields it and {(part, label): pictures}."""
    pictures = {(part, label): [grey() for _ in range(count)]
                for part, count in (("train", 3), ("test", 2)) for label in range(11)}
    for (part, label), arrays in pictures.items():
        for number, pixels in enumerate(arrays):
            save(tmp_path / part / str(label) / f"{number:04}.png", pixels)
    (tmp_path / "train" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / "10" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / "10" / "._0001.png").write_bytes(b"x")
    (tmp_path / "train" / "10" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "read me.txt").write_bytes(b"x")
    return tmp_path, pictures


def test_the_books_folder(book):
    path, pictures = book
    for folder in (path / "train", str(path / "train")):
        X, y, classes = datasets.image_folder(folder)
        assert classes == tuple(map(str, range(11))) and (X.dtype, y.dtype) == (np.uint8, np.int64)
        np.testing.assert_array_equal(y, np.arange(33) // 3)
        np.testing.assert_array_equal(X, [each for label in range(11) for each in pictures["train", label]])


def test_train_and_test(book):
    path, pictures = book
    (X, y), (X_test, y_test), classes = datasets.train_test_images(path)
    assert classes == tuple(map(str, range(11)))
    for part, found, labels in (("train", X, y), ("test", X_test, y_test)):
        expected, numbers, _ = datasets.image_folder(path / part)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(labels, numbers)
    save(path / "test" / "11" / "0.png", grey())
    with pytest.raises(ValueError, match="must have the same labels, got 0, .*, 10 and 0, .*, 10, 11$"):
        datasets.train_test_images(path)
    save(path / "train" / "11" / "0.png", grey(5, 3))
    with pytest.raises(ValueError, match="11/0.png: it has 3 x 5 pixels, but .*0/0000.png has 5 x 3"):
        datasets.train_test_images(path)


def test_one_colour_in_the_test_makes_all_coloured(book):
    path, pictures = book
    red = np.zeros((3, 5, 3), np.uint8)
    red[..., 0] = 200
    save(path / "test" / "10" / "0009.png", red)
    (X, _), (X_test, _), _ = datasets.train_test_images(path)
    assert X.shape == (33, 3, 5, 3) and X_test.shape == (23, 3, 5, 3)
    np.testing.assert_array_equal(X_test[-1], red)
    np.testing.assert_array_equal(X, np.repeat(datasets.image_folder(path / "train")[0][..., None], 3, axis=-1))
    np.testing.assert_array_equal(X, datasets.image_folder(path / "train", color=True)[0])
    X_grey = datasets.image_folder(path / "test", color=False)[0]
    assert X_grey.shape == (23, 3, 5)
    assert abs(X_grey[-1].astype(int) - 0.299 * 200).max() <= 1  # ITU-R BT.601's luma


def test_numbers_sort_as_numbers_before_names(tmp_path):
    for place, name in enumerate(("2", "10", "011", "Zebra", "apple", "b2")):
        for number in (9, 10, 1):
            save(tmp_path / name / f"{number}.png", np.full((1, 1), 20 * place + number))
    X, y, classes = datasets.image_folder(tmp_path)
    assert classes == ("2", "10", "011", "Zebra", "apple", "b2")
    np.testing.assert_array_equal(X.ravel(), [20 * place + number for place in range(6) for number in (1, 9, 10)])
    np.testing.assert_array_equal(y, np.arange(18) // 3)


def test_formats_and_modes(tmp_path):
    pixels = grey(8, 8) // 128 * 255  # two levels: without loss in all of them
    for suffix in ("png", "bmp", "gif", "pgm", "tif", "TIFF", "webp"):
        save(tmp_path / "grey" / f"a.{suffix}", pixels, **({"lossless": True} if suffix == "webp" else {}))
    Image.fromarray(pixels).convert("1").save(tmp_path / "grey" / "b.png")
    Image.fromarray(np.dstack([pixels, pixels // 2])).save(tmp_path / "grey" / "c.png")  # with transparency
    save(tmp_path / "grey" / "d.jpg", np.full((8, 8), 77), quality=95)
    X = datasets.image_folder(tmp_path, color=False)[0]
    assert len(X) == 10
    for found in X[:-1]:
        np.testing.assert_array_equal(found, pixels)
    assert abs(X[-1].astype(int) - 77).max() <= 1


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        datasets.image_folder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        datasets.image_folder(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="has no subfolders: it must hold one for each label"):
        datasets.image_folder(tmp_path)
    save(tmp_path / "cat" / "1.png", grey())
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / ".1.png").touch()
    with pytest.raises(FileNotFoundError, match="no pictures in .*dog: it counts as a label"):
        datasets.image_folder(tmp_path)
    save(tmp_path / "dog" / "2.png", grey())
    with pytest.raises(TypeError, match="color must be True, False or None, got 'rgb'"):
        datasets.image_folder(tmp_path, color="rgb")


def cut(path):
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (3, 5), np.uint8)).save(stream, path.suffix[1:])
    return stream.getvalue()[:-20]


@pytest.mark.parametrize("name, content, text", [
    ("a.png", lambda path: b"hello", "it is damaged, or no PNG picture"),
    ("a.gif", lambda path: b"", "it is damaged, or no GIF picture"),
    ("a.png", lambda path: png(5, 3), "truncated|damaged|broken"),
    ("a.bmp", cut, "truncated"),
    ("a.tiff", cut, "."),
    ("a.png", lambda path: png(10000, 10000), "exceeds limit of 89478485 pixels"),  # of which Pillow only warns
    ("a.png", lambda path: png(20000, 20000), "exceeds limit of 178956970 pixels"),
    ("a.png", lambda path: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 3\n", "it is damaged, or no PNG picture"),
])
def test_files_that_do_harm_are_named(tmp_path, name, content, text):
    save(tmp_path / "cat" / "0.png", grey())
    path = tmp_path / "dog" / name
    path.parent.mkdir()
    path.write_bytes(content(path))
    with pytest.raises(ValueError, match=rf"dog/{name}: .*({text})"):
        datasets.image_folder(tmp_path)


def test_more_than_8_bits_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((3, 5), 40000, np.uint16)).save(tmp_path / "a" / "1.png")
    with pytest.raises(ValueError, match="a/1.png: it has mode I;16.*, but must have 8 bits a channel"):
        datasets.image_folder(tmp_path)


def test_sizes_are_seen_before_anything_is_decoded(tmp_path, monkeypatch):
    for number in range(3):
        save(tmp_path / "a" / f"{number}.png", grey())
    save(tmp_path / "b" / "last.png", grey(5, 3))
    monkeypatch.setattr(Image.Image, "convert", lambda *args: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="b/last.png: it has 3 x 5 pixels, but .*a/0.png has 5 x 3"):
        datasets.image_folder(tmp_path)


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png"):
        images.read_images([tmp_path / "none.png"])


def test_find_images_takes_both_layouts(book):
    path, _ = book
    found = images.find_images(path / "train")
    assert [each.relative_to(path / "train").as_posix() for each in found] == [
        f"{label}/{number:04}.png" for label in range(11) for number in range(3)]
    assert images.find_images(path / "train" / "10") == found[-3:]
    assert images.find_images(path) == []


def test_without_pillow_the_command_is_named(book, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"^pictures need Pillow: \.venv/bin/pip install '\.\[images\]'$"):
        datasets.image_folder(book[0] / "train")


@pytest.mark.parametrize("kind, channels", ((2, 3), (4, 2), (6, 4)))
def test_16_bits_of_colours_are_refused(tmp_path, kind, channels):
    path = tmp_path / "a" / "1.png"
    path.parent.mkdir()
    lines = (b"\0" + b"\x12\x34" * channels * 2) * 2
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, kind, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    with pytest.raises(ValueError, match="a/1.png: it has more than 8 bits a channel"):
        images.image_folder(tmp_path)


def test_ppm_files_with_more_than_8_bits_are_refused(tmp_path):
    path = tmp_path / "a" / "1.ppm"
    path.parent.mkdir()
    path.write_bytes(b"P6 2 2 65535\n" + b"\x12\x34" * 12)
    with pytest.raises(ValueError, match="a/1.ppm: it has more than 8 bits a channel"):
        images.image_folder(tmp_path)
    path.write_bytes(b"P6 2 2 255\n" + b"\x12" * 12)
    assert (images.image_folder(tmp_path)[0] == 0x12).all()
    path.write_bytes(b"P6 2 2 15\n" + b"\x0f" * 12)
    assert (images.image_folder(tmp_path)[0] == 255).all()


def test_bmp_files_with_16_bits_a_pixel_are_read(tmp_path):
    path = tmp_path / "a" / "1.bmp"
    path.parent.mkdir()
    masks = struct.pack("<III", 0xf800, 0x7e0, 0x1f)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 74, 0, 0, 66)
                     + struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0) + masks + b"\xff\xff" * 4)
    assert (images.image_folder(tmp_path)[0] == 255).all()
