"""Folders of images: what is read, in which order, and what is refused."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn.data import ImageFolder, datasets, images

Image = needs("PIL.Image")
rng = np.random.default_rng(3)


def save(path, pixels, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **more)


def grey(height=3, width=5):
    return rng.integers(0, 256, (height, width), np.uint8)


def folder(path, *images, suffix="png", **more):
    """A folder of one label with Pillow's images."""
    (path / "a").mkdir(parents=True)
    for number, image in enumerate(images):
        image.save(path / "a" / f"{number}.{suffix}", **more)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, lines=b"", bits=8, before=b"", behind=b""):
    """An image of grey levels, by default a whole header and no pixels; chunks before and behind the pixels."""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
            + before + chunk(b"IDAT", zlib.compress(lines)) + behind + chunk(b"IEND", b""))


@pytest.fixture
def book(tmp_path):
    """A folder as the book's: train/<label>/NNNN.png. Yields it and {(part, label): images}."""
    images = {(part, label): [grey() for _ in range(count)]
              for part, count in (("train", 3), ("test", 2)) for label in range(11)}
    for (part, label), arrays in images.items():
        for number, pixels in enumerate(arrays):
            save(tmp_path / part / str(label) / f"{number:04}.png", pixels)
    (tmp_path / "train" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / "10" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / "10" / "._0001.png").write_bytes(b"x")
    (tmp_path / "train" / "10" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "read me.txt").write_bytes(b"x")
    return tmp_path, images


def test_the_books_folder(book):
    path, images = book
    for folder in (path / "train", str(path / "train")):
        X, y, classes = datasets.image_folder(folder)
        assert classes == tuple(map(str, range(11))) and (X.dtype, y.dtype) == (np.uint8, np.int64)
        np.testing.assert_array_equal(y, np.arange(33) // 3)
        np.testing.assert_array_equal(X, [each for label in range(11) for each in images["train", label]])


def test_train_and_test(book):
    path, images = book
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
    path, images = book
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
    Image.fromarray(np.dstack([pixels, np.full_like(pixels, 255)])).save(tmp_path / "grey" / "c.png")  # all opaque
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
    with pytest.raises(FileNotFoundError, match="has no subfolders: it must have one for each label"):
        datasets.image_folder(tmp_path)
    save(tmp_path / "cat" / "1.png", grey())
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / ".1.png").touch()
    with pytest.raises(FileNotFoundError, match="no images in .*dog: it counts as a label"):
        datasets.image_folder(tmp_path)
    save(tmp_path / "dog" / "2.png", grey())
    for color in ("rgb", "False", 1, 0, np.zeros(2)):
        with pytest.raises(TypeError, match="color must be True, False or None, got "):
            datasets.image_folder(tmp_path, color=color)


def test_a_broken_link_is_no_image_to_leave_out(tmp_path):
    for label in ("cat", "dog"):
        save(tmp_path / label / "1.png", grey())
    (tmp_path / "dog" / "2.png").symlink_to(tmp_path / "dog" / "1.png")
    assert len(datasets.image_folder(tmp_path)[0]) == 3
    (tmp_path / "dog" / "3.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(FileNotFoundError, match="3.png"):
        datasets.image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="3.png"):
        list(ImageFolder(tmp_path, batch_size=4, size=3))


def cut(path):
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (3, 5), np.uint8)).save(stream, path.suffix[1:])
    return stream.getvalue()[:-20]


@pytest.mark.parametrize("name, content, text", [
    ("a.png", lambda path: b"hello", "it is damaged, or not a PNG image"),
    ("a.gif", lambda path: b"", "it is damaged, or not a GIF image"),
    ("a.png", lambda path: png(5, 3), "truncated|damaged|broken"),
    ("a.bmp", cut, "truncated"),
    ("a.tiff", cut, "."),
    ("a.png", lambda path: png(10000, 10000), "exceeds limit of 89478485 pixels"),  # of which Pillow only warns
    ("a.png", lambda path: png(20000, 20000), "exceeds limit of 178956970 pixels"),
    ("a.png", lambda path: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 3\n", "it is damaged, or not a PNG image"),
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
    with pytest.raises(ImportError, match=r"^images need Pillow: \.venv/bin/pip install '\.\[images\]'$"):
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


# ---- transparency


def over(levels, alpha, behind):
    """What is seen of levels on a background, to the nearest whole number."""
    levels, alpha = np.asarray(levels, int), np.asarray(alpha, int)
    return (2 * (alpha * levels + (255 - alpha) * np.asarray(behind, int)) + 255) // 510


def with_alpha(mode, channels):
    """An image of all pairs of a level and an alpha, 64 x 64; its colours and its alpha."""
    alpha, level = np.meshgrid(np.arange(2, 256, 4), np.arange(0, 256, 4) + 3)
    colours = np.dstack([level, 255 - level, level // 2][:channels])
    return Image.fromarray(np.dstack([colours, alpha]).astype(np.uint8), mode), colours, alpha


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("mode, suffix", [("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tiff"), ("LA", "png"),
                                          ("LA", "tif")])
@pytest.mark.parametrize("background", [None, 0, np.uint8(100), (200, 30, 7), [9, 9, 9], np.array([1, 2, 3])])
def test_a_transparent_image_is_composited_onto_the_background(tmp_path, mode, suffix, background):
    image, colours, alpha = with_alpha(mode, 3 if mode == "RGBA" else 1)
    folder(tmp_path, image, suffix=suffix, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    more = {} if background is None else {"background": background}
    behind = np.broadcast_to(255 if background is None else background, 3)
    wish = over(np.broadcast_to(colours, (64, 64, 3)), alpha[..., None], behind)
    X = datasets.image_folder(tmp_path, color=True, **more)[0]
    np.testing.assert_array_equal(X[0], wish)
    luma = (wish @ [19595, 38470, 7471] + 2**15) >> 16  # BT.601's in 16 bits
    np.testing.assert_array_equal(datasets.image_folder(tmp_path, color=False, **more)[0][0], luma)
    X = datasets.image_folder(tmp_path, **more)[0]
    grey = mode == "LA" and len(set(behind)) == 1
    np.testing.assert_array_equal(X[0], luma if grey else wish)


def palette(*levels):
    """Pixels 0, 1, 2 of a palette."""
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putdata([0, 1, 2])
    image.putpalette([level for level in levels for _ in range(3)])
    return image


PIXELS = Image.fromarray(np.array([[0, 50, 200]], np.uint8))


@pytest.mark.parametrize("image, suffix, more, wish", [
    (palette(10, 50, 200), "png", {"transparency": 1}, [10, 99, 200]),
    (palette(10, 50, 200), "png", {"transparency": b"\xff\x80\x00"}, [10, over(50, 128, 99), 99]),
    (palette(10, 50, 200), "gif", {"transparency": 2}, [10, 50, 99]),
    (palette(10, 50, 200), "gif", {"transparency": 2, "save_all": True, "append_images": [palette(1, 2, 3)]},
     [10, 50, 99]),
    (palette(10, 50, 200).convert("PA"), "tiff", {}, [10, 50, 200]),
    (PIXELS, "png", {"transparency": 50}, [0, 99, 200]),
    (PIXELS.convert("1", dither=0), "png", {"transparency": 0}, [99, 99, 255]),
    (PIXELS.convert("1", dither=0), "png", {"transparency": 1}, [0, 0, 99]),
    (PIXELS.convert("RGB"), "png", {"transparency": (200, 200, 200)}, [0, 50, 99]),
])
def test_all_ways_to_be_transparent(tmp_path, image, suffix, more, wish):
    X = datasets.image_folder(folder(tmp_path, image, suffix=suffix, **more), color=False, background=99)[0]
    assert X.tolist() == [[wish]]


@pytest.mark.parametrize("bits, lines, level, wish", [
    (1, 0b01000000, 1, [0, 99]), (2, 0b01100000, 1, [99, 170]), (4, 0xF7, 15, [99, 119])])
def test_the_transparent_level_of_fewer_bits(tmp_path, bits, lines, level, wish):
    path = folder(tmp_path) / "a" / "1.png"
    for place in ("before", "behind"):  # the pixels
        path.write_bytes(png(2, 1, bytes((0, lines)), bits, **{place: chunk(b"tRNS", struct.pack(">H", level))}))
        X, _, _ = datasets.image_folder(tmp_path, background=99)
        assert X.tolist() == [[wish]], place


def test_a_colour_behind_transparent_images_makes_all_coloured(tmp_path):
    folder(tmp_path / "opaque", PIXELS)
    assert datasets.image_folder(tmp_path / "opaque", background=(1, 2, 3))[0].shape == (1, 1, 3)
    folder(tmp_path / "both", PIXELS, Image.new("LA", (3, 1)))
    X, _, _ = datasets.image_folder(tmp_path / "both", background=(1, 2, 3))
    assert X.tolist() == [[[[0] * 3, [50] * 3, [200] * 3]], [[[1, 2, 3]] * 3]]
    for part in ("train", "test"):
        folder(tmp_path / "parts" / part, Image.new("LA", (3, 1)))
    (X, _), (X_test, _), _ = datasets.train_test_images(tmp_path / "parts", background=7)
    assert (X == 7).all() and (X_test == 7).all()


@pytest.mark.parametrize("background, error", [
    (-1, ValueError), (256, ValueError), ((0, 0, 256), ValueError), (1.0, TypeError), ("white", TypeError),
    (b"abc", TypeError), ((0, 0), TypeError), (True, TypeError), (None, TypeError), ((0, 0, 0.5), TypeError),
    (np.zeros((3, 3), int), TypeError), (np.array(5), TypeError)])
def test_a_wrong_background_is_named(tmp_path, background, error):
    with pytest.raises(error, match="^background must be "):
        datasets.image_folder(folder(tmp_path, PIXELS), background=background)


# ---- orientation

UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
STORED = {1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: UPRIGHT[::-1, ::-1], 4: UPRIGHT[::-1], 5: UPRIGHT.T,
          6: UPRIGHT[:, ::-1].T, 7: UPRIGHT[::-1, ::-1].T, 8: UPRIGHT[::-1].T}  # Exif 2.3, tag 274


def exif(orientation):
    found = Image.Exif()
    found[0x112] = orientation
    return found


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
def test_images_are_turned_upright(tmp_path, suffix):
    more = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    (tmp_path / "a").mkdir()
    Image.fromarray(UPRIGHT).save(tmp_path / "a" / f"0.{suffix}", **more)
    for orientation, pixels in STORED.items():
        Image.fromarray(pixels).save(tmp_path / "a" / f"{orientation}.{suffix}", exif=exif(orientation), **more)
    X, _, _ = datasets.image_folder(tmp_path, color=False)
    assert X.shape == (9, 2, 3)
    assert abs(X - UPRIGHT.astype(int)).max() <= (2 if suffix == "jpg" else 0)
    Image.fromarray(STORED[6]).save(tmp_path / "a" / f"9.{suffix}", **more)
    with pytest.raises(ValueError, match=rf"a/9.{suffix}: it has 2 x 3 pixels, but .*a/0.{suffix} has 3 x 2"):
        datasets.image_folder(tmp_path)


def test_an_orientation_behind_the_pixels(tmp_path):
    lines = b"".join(b"\0" + row.tobytes() for row in STORED[6])
    content = png(2, 3, lines, behind=chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0")))
    for names in ("12", "21"):
        folder(tmp_path / names)
        (tmp_path / names / "a" / f"{names[0]}.png").write_bytes(content)
        Image.fromarray(UPRIGHT).save(tmp_path / names / "a" / f"{names[1]}.png")
        np.testing.assert_array_equal(datasets.image_folder(tmp_path / names)[0], [UPRIGHT] * 2)
    folder(tmp_path / "b", Image.fromarray(STORED[6]))
    (tmp_path / "b" / "a" / "1.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a/1.png: it has 3 x 2 pixels, but .*a/0.png has 2 x 3: "
                       r"resize them, as nn.data.ImageFolder\(..., size=\(3, 2\)\) does"):
        datasets.image_folder(tmp_path / "b")


@pytest.mark.parametrize("damage", [b"", b"MM", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", bytes(30)])
def test_a_damaged_orientation_is_none(tmp_path, damage):
    folder(tmp_path, Image.fromarray(UPRIGHT))
    lines = b"".join(b"\0" + row.tobytes() for row in UPRIGHT)
    (tmp_path / "a" / "1.png").write_bytes(png(3, 2, lines, before=chunk(b"eXIf", damage)))
    Image.fromarray(UPRIGHT).save(tmp_path / "a" / "2.webp", lossless=True, exif=damage or b"x")
    Image.fromarray(UPRIGHT).save(tmp_path / "a" / "3.png", exif=exif(9))
    np.testing.assert_array_equal(datasets.image_folder(tmp_path, color=False)[0], [UPRIGHT] * 4)


# ---- other modes


def test_other_colours_become_red_green_and_blue(tmp_path):
    folder(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), Image.new("RGB", (8, 8), (255, 0, 0)), suffix="tiff")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a" / "2.jpg")
    Image.new("LAB", (8, 8), (138, 209, 198)).save(tmp_path / "a" / "3.tiff")  # CIE's 54, 81, 70, or nearly red
    X, _, _ = datasets.image_folder(tmp_path)
    assert abs(X - np.array([255, 0, 0])).max() <= 5
    X, _, _ = datasets.image_folder(tmp_path, color=False)
    assert abs(X - 76.0).max() <= 2


# ---- a batch at a time


@pytest.fixture
def animals(tmp_path):
    """11 images in colour of 4 x 6 pixels, whose first is their number, in three subfolders."""
    for number in range(11):
        pixels = rng.integers(0, 256, (4, 6, 3), np.uint8)
        pixels[0, 0] = number
        save(tmp_path / ("10", "9", "cat")[number % 3] / f"{number}.png", pixels)
    return tmp_path


def test_a_folder_gives_its_images_in_batches(animals):
    X, y, classes = datasets.image_folder(animals)
    for path in (animals, str(animals)):
        given = ImageFolder(path, batch_size=4, shuffle=False, scale=False)
        assert (len(given), given.classes, len(given.paths)) == (3, ("9", "10", "cat"), 11) and given.classes == classes
        for _ in range(2):
            batches = list(given)
            assert [x.shape for x, _ in batches] == [(4, 3, 4, 6), (4, 3, 4, 6), (3, 3, 4, 6)]
            np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X.transpose(0, 3, 1, 2), strict=True)
            np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), y, strict=True)
    scaled = np.concatenate([x for x, _ in ImageFolder(animals, batch_size=5, shuffle=False)])
    np.testing.assert_array_equal(scaled, ((X.transpose(0, 3, 1, 2) - 127.5) / 127.5).astype(np.float32), strict=True)
    grey = next(iter(ImageFolder(animals, batch_size=11, shuffle=False, color=False, scale=False)))[0]
    np.testing.assert_array_equal(grey[:, 0], datasets.image_folder(animals, color=False)[0])


def test_each_pass_has_another_order(animals):
    def numbers(given):
        return [(int(image[0, 0, 0]), int(label)) for x, y in given for image, label in zip(x, y)]

    given, same, other = (ImageFolder(animals, batch_size=4, scale=False, seed=seed) for seed in (1, 1, 2))
    passes = [numbers(given) for _ in range(3)]
    assert passes == [numbers(same) for _ in range(3)] and numbers(other) != passes[0]
    assert len({tuple(each) for each in passes}) == 3
    labels = {number: (1, 0, 2)[number % 3] for number in range(11)}
    assert all(sorted(each) == sorted(labels.items()) for each in passes)
    assert len(numbers(ImageFolder(animals, batch_size=4, drop_last=True))) == 8
    for seed in (None, np.random.default_rng(0)):
        assert len(numbers(ImageFolder(animals, batch_size=4, seed=seed))) == 11


@pytest.mark.parametrize("size, shape", (((2, 3), (2, 3)), (5, (5, 5)), ((4, 6), (4, 6))))
def test_images_are_resized(animals, size, shape):
    save(animals / "cat" / "wide.png", rng.integers(0, 256, (4, 30, 3), np.uint8))
    x, _ = next(iter(ImageFolder(animals, batch_size=20, size=size, shuffle=False, scale=False)))
    assert x.shape == (12, 3, *shape)
    for image, path in zip(x, ImageFolder(animals, batch_size=1).paths):
        with Image.open(path) as opened:
            wish = np.asarray(opened.resize(shape[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(image, wish.transpose(2, 0, 1))
    with pytest.raises(ValueError, match="cat/wide.png: it has 30 x 4 pixels, but .*9/1.png has 6 x 4"):
        list(ImageFolder(animals, batch_size=4, shuffle=False))


def test_only_a_batch_is_read_and_a_broken_image_is_named(animals):
    (animals / "cat" / "11.png").write_bytes(b"hello")
    batches = iter(ImageFolder(animals, batch_size=4, shuffle=False))
    next(batches)
    next(batches)
    with pytest.raises(ValueError, match="cat/11.png: it is damaged, or not a PNG image"):
        next(batches)
    given = ImageFolder(animals, batch_size=4, shuffle=False)
    (animals / "9" / "4.png").unlink()
    with pytest.raises(FileNotFoundError, match="9/4.png"):
        next(iter(given))


@pytest.mark.parametrize("more, error, text", (
    ({"size": (2, 3, 4)}, TypeError, r"size must be \(height, width\) or a number for both, got \(2, 3, 4\)"),
    ({"size": 0}, ValueError, "size must be at least 1, got 0"),
    ({"size": "ab"}, TypeError, r"size must be \(height, width\) or a number for both, got 'ab'"),
    ({"batch_size": 12, "drop_last": True}, ValueError, "drop_last=True leaves no batch: .* has 11 images, and batch_"),
    ({"background": "red"}, TypeError, "background must be a grey level or")))
def test_wrong_arguments_of_a_folder(animals, more, error, text):
    with pytest.raises(error, match=f"^{text}"):
        ImageFolder(animals, **{"batch_size": 4, **more})
    with pytest.raises(FileNotFoundError, match="has no subfolders: it must have one for each label"):
        ImageFolder(animals / "cat", batch_size=4)


def test_a_size_beyond_memory_is_named(animals):
    for size, error in ((2**40, ValueError), (2**70, ValueError), (2**22, MemoryError)):
        with pytest.raises(error, match="^4 images of this size would take [0-9]+ bytes, more than "):
            next(iter(ImageFolder(animals, batch_size=4, size=size)))


def test_models_train_on_folders(animals):
    X, y, _ = datasets.image_folder(animals)
    X = (X.transpose(0, 3, 1, 2) - np.float32(127.5)) / np.float32(127.5)
    models = []
    for _ in range(2):
        model = nn.Model([nn.Flatten(), nn.Dense(72, 3, rng=0), nn.Softmax()])
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
        model.finalize()
        models.append(model)
    given = ImageFolder(animals, batch_size=4, shuffle=False)
    models[0].train(given, epochs=3, validation_data=given)
    models[1].train(X, y, epochs=3, batch_size=4, shuffle=False, validation_data=(X, y))
    assert models[0].history == models[1].history and len(models[0].history["val_loss"]) == 3
    np.testing.assert_array_equal(models[0].predict(given), models[1].predict(X, batch_size=4))
    assert models[0].evaluate(given) == models[1].evaluate(X, y, batch_size=4)
