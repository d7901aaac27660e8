"""Augmentation: what happens to an image depends on seed, epoch and number alone."""

import hashlib
import re

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn.data import Augment, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip

rng = np.random.default_rng(0)
IMAGES = rng.integers(1, 256, (60, 3, 9, 12), np.uint8)
LABELS = rng.integers(0, 3, 60)
ALL = (RandomHorizontalFlip(), RandomVerticalFlip(0.3), RandomCrop((9, 12), padding=3), RandomRotation(30))


def network():
    model = nn.Model([nn.Rescale(1 / 255), nn.Flatten(), nn.Dense(3 * 9 * 12, 3, rng=0)])
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    model.finalize()
    return model


def bits(model):
    return [values.tobytes() for each in model.get_parameters() for values in each]


def test_the_same_images_on_every_machine():
    images = (np.arange(IMAGES.size) * 7 % 251).astype(np.uint8).reshape(IMAGES.shape)
    found = [hashlib.sha256(Augment(each, seed=2**63 + 5)(images, 7).tobytes()).hexdigest()[:8] for each in ALL]
    assert found == ["a46de49c", "b89ca605", "25a080d4", "11006c10"]


@pytest.mark.parametrize("transform", ALL)
def test_an_image_depends_on_seed_epoch_and_number(transform):
    augment = Augment(transform, seed=3)
    found = augment(IMAGES, 5)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and not np.shares_memory(found, IMAGES)
    np.testing.assert_array_equal(augment(IMAGES, 5), found)
    order = rng.permutation(60)
    np.testing.assert_array_equal(augment(IMAGES[order], 5, order), found[order])
    np.testing.assert_array_equal(augment(IMAGES[20:30], 5, range(20, 30)), found[20:30])
    assert augment(IMAGES[:0]).shape == IMAGES[:0].shape
    for other in (augment(IMAGES, 6), Augment(transform, seed=4)(IMAGES, 5), augment(IMAGES, 5, np.arange(1, 61)),
                  Augment(RandomHorizontalFlip(0), transform, seed=3)(IMAGES, 5)):
        assert not np.array_equal(other, found)
    for same in (np.asfortranarray(IMAGES), IMAGES.astype(np.float32), IMAGES.astype(">f8"), IMAGES.tolist()):
        np.testing.assert_array_equal(augment(same, 5), found)


def test_flips():
    images = rng.integers(0, 256, (4000, 1, 2, 3), np.uint8)
    for kind, axis in ((RandomHorizontalFlip, 3), (RandomVerticalFlip, 2)):
        for p in (0, 0.25, 0.5, 1):
            found = Augment(kind(p))(images)
            flipped, kept = ((found == each).all((1, 2, 3)) for each in (np.flip(images, axis), images))
            assert (flipped | kept).all() and abs(flipped.mean() - p) < 0.03


@pytest.mark.parametrize("mode", ("constant", "edge"))
def test_crops(mode):
    images = rng.integers(1, 256, (500, 2, 5, 6), np.uint8)
    found = Augment(RandomCrop((4, 6), padding=2, padding_mode=mode, fill=7))(images)
    more = {"constant_values": 7} if mode == "constant" else {}
    wide = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), mode, **more)
    seen = set()
    for image, whole in zip(found, wide):
        places = [(row, column) for row in range(6) for column in range(5)
                  if np.array_equal(image, whole[:, row:row + 4, column:column + 6])]
        assert places
        seen.add(places[0])
    assert len(seen) == 30
    np.testing.assert_array_equal(Augment(RandomCrop((5, 6)))(images), images)
    assert Augment(RandomCrop(3))(images).shape == (500, 2, 3, 3)


@pytest.mark.parametrize("shape", ((1, 8, 8), (3, 7, 7), (2, 6, 9)))
def test_rotations_by_right_angles(shape):
    images = rng.integers(1, 256, (2, *shape), np.uint8)
    for turns in range(-4, 5):
        found = Augment(RandomRotation((90 * turns, 90 * turns)))(images)
        if shape[1] == shape[2] or turns % 2 == 0:
            np.testing.assert_array_equal(found, np.rot90(images, turns, (2, 3)))


@pytest.mark.parametrize("angle", (-170, -33.3, 5, 45, 61))
def test_rotations_are_pillows(angle):
    Image = needs("PIL.Image")
    images = rng.integers(1, 256, (3, 1, 40, 30), np.uint8)
    found = Augment(RandomRotation((angle, angle), fill=0))(images)
    for image, wish in zip(found, images):
        other = np.asarray(Image.fromarray(wish[0]).rotate(angle, Image.Resampling.NEAREST))
        assert (image[0] == other).mean() > 0.99  # halves are rounded otherwise


def test_angles_are_spread_over_the_range():
    image = np.zeros((300, 1, 41, 41), np.uint8)
    image[:, 0, 20, 40] = 1  # at the right
    found = Augment(RandomRotation((0, 90)))(image)
    rows = np.argwhere(found)[:, 2]
    assert len(rows) > 150 and rows.max() <= 20 and rows.min() <= 1  # some are lost between pixels


@pytest.mark.parametrize("call, error, text", (
    (lambda: RandomHorizontalFlip(1.5), ValueError, "p must be in 0..1, got 1.5"),
    (lambda: RandomVerticalFlip("a"), TypeError, "p must be a number, got 'a'"),
    (lambda: RandomCrop(None), TypeError, "size must be (height, width) or a number for both, got None"),
    (lambda: RandomCrop((1, 2, 3)), TypeError, "size must be (height, width) or a number for both, got (1, 2, 3)"),
    (lambda: RandomCrop(0), ValueError, "size must be at least 1, got 0"),
    (lambda: RandomCrop(3, padding=-1), ValueError, "padding must be at least 0, got -1"),
    (lambda: RandomCrop(3, padding_mode="wrap"), ValueError, "padding_mode must be 'constant' or 'edge', got 'wrap'"),
    (lambda: RandomRotation((3, 2)), ValueError, "degrees must be in -360..360, the lower first, got (3, 2)"),
    (lambda: RandomRotation(np.nan), ValueError, "degrees must be finite and at least 0, got nan"),
    (lambda: RandomRotation((1, 2, 3)), ValueError, "degrees must be a number or (low, high), got (1, 2, 3)"),
    (lambda: Augment(), ValueError, "Augment needs at least one transform"),
    (lambda: Augment(RandomCrop), TypeError, "Augment takes transforms such as RandomCrop(32, padding=4), got <class"),
    (lambda: Augment(*ALL, seed=-1), ValueError, "seed must be in 0..18446744073709551615, got -1"),
    (lambda: Augment(*ALL)(IMAGES[0]), ValueError, "images must have shape (N, C, H, W), got (3, 9, 12)"),
    (lambda: Augment(*ALL)(IMAGES.astype(str)), TypeError, "images must contain real numbers, got dtype <U3"),
    (lambda: Augment(*ALL)(IMAGES, -1), ValueError, "epoch must be in 0..140737488355327, got -1"),
    (lambda: Augment(*ALL)(IMAGES, 0, [1]), ValueError, "samples must be 60 whole numbers of at least 0, one for each"),
    (lambda: Augment(RandomCrop(20, padding=5))(IMAGES), ValueError,
     "images must have at least 20 x 20 pixels with their padding, got 19 x 22"),
    *[(lambda size=size: Augment(RandomCrop(3, padding=size))(IMAGES), ValueError,
       "the images with their padding would take ") for size in (2**40, 2**70)],
    *[(lambda wrong=wrong: Augment(*ALL).over(wrong), TypeError,
       "batches must be an iterable of batches (X, y) or (X, y, sample_weight), got ")
      for wrong in (None, 3, "ab", IMAGES)],
    (lambda: [*Augment(*ALL).over([(1, 2)])], ValueError, "images must have shape (N, C, H, W), got ()"),
    (lambda: [*Augment(*ALL).over([("a", 2)])], TypeError, "images must be an array, got 'a'"),
    (lambda: Augment(RandomCrop(3, padding=5, fill=-1))(IMAGES), ValueError,
     "fill must be a value of uint8, as the images have, got -1"),
    (lambda: network().train(IMAGES, LABELS, augment=3), TypeError,
     "augment must be a function such as nn.data.Augment(RandomHorizontalFlip()), got 3"),
    (lambda: network().train(IMAGES, LABELS, augment=RandomCrop(3)), TypeError, "augment must be a function such as"),
    (lambda: network().train(IMAGES, LABELS, augment=lambda images: images), TypeError,
     "augment must accept images, an epoch and the numbers of the images"),
    (lambda: network().train(IMAGES, LABELS, augment=Augment(RandomCrop(3))), ValueError,
     "augment must keep the shape of X, (60, 3, 9, 12), got (60, 3, 3, 3)"),
    (lambda: network().train(IMAGES.reshape(60, -1), LABELS, augment=Augment(*ALL)), ValueError,
     "augment: images must have shape (N, C, H, W), got (60, 324)")))
def test_wrong_arguments_are_named(call, error, text):
    with np.errstate(all="ignore"), pytest.raises(error, match=f"^{re.escape(text)}"):
        call()


# ---- in trainings


@pytest.mark.parametrize("shuffle", (False, True))
@pytest.mark.parametrize("size", (None, 16))
def test_trainings_augment_each_image_by_its_number(twin, size, shuffle):
    augment, model, other = Augment(*ALL, seed=5), network(), network()
    model.train(IMAGES, LABELS, epochs=2, batch_size=size, shuffle=shuffle, augment=augment)
    model.train(IMAGES, LABELS, epochs=2, batch_size=size, shuffle=shuffle, augment=augment)
    for epoch in range(4):
        order = np.random.default_rng([0, epoch]).permutation(60) if shuffle else np.arange(60)
        images = augment(IMAGES, epoch)[order]
        other.train(images, LABELS[order], batch_size=size, shuffle=False)
    assert bits(model) == bits(other) and len(set(model.history["loss"])) == 4
    if twin == "numba":
        assert model.why_not_recorded is None


def test_iterables_are_augmented_by_the_place_of_each_image():
    augment = Augment(*ALL, seed=5)
    batches = [(IMAGES[at:at + 16], LABELS[at:at + 16]) for at in range(0, 60, 16)]
    models = [network() for _ in range(3)]
    models[0].train(IMAGES, LABELS, epochs=3, batch_size=16, shuffle=False, augment=augment)
    models[1].train(batches, epochs=3, augment=augment)
    over = augment.over(batches)
    assert len(over) == 4
    models[2].train(over, epochs=3)
    assert bits(models[0]) == bits(models[1]) == bits(models[2])
    with pytest.raises(TypeError, match=r"^a batch must be \(x, y\) or \(x, y, sample_weight\), got array"):
        models[2].train(augment.over([IMAGES]))


def test_images_may_become_smaller_in_batches():
    model = nn.Model([nn.Rescale(1 / 255), nn.Flatten(), nn.Dense(3 * 8 * 8, 3, rng=0)])
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    model.finalize(input_shape=(3, 8, 8))
    model.train([(IMAGES, LABELS)], epochs=2, augment=Augment(RandomCrop(8)))
    assert len(model.history["loss"]) == 2


def test_other_functions_augment():
    seen, given = [], []

    def halved(images, epoch, samples):
        seen.append((epoch, samples.tolist()))
        given.append(images)
        return images / 2

    model, other = network(), network()
    model.train(IMAGES, LABELS, epochs=2, batch_size=40, shuffle=False, augment=halved)
    other.train(IMAGES / 2, LABELS, epochs=2, batch_size=40, shuffle=False)
    assert bits(model) == bits(other)
    assert not any(np.shares_memory(each, IMAGES) for each in given)
    assert seen == [(epoch, [*range(start, end)]) for epoch in (0, 1) for start, end in ((0, 40), (40, 60))]


@pytest.mark.parametrize("shuffle", (False, True))
@pytest.mark.parametrize("size", (None, 16))
def test_functions_may_change_images_in_place(size, shuffle):
    """Else each epoch would add to what those before have done, and to the images of the caller."""
    def darker(images, epoch, samples):
        images -= 0.125
        return images

    images = IMAGES.astype(np.float32)
    model, batched, other = network(), network(), network()
    for epochs in (2, 1):
        model.train(images, LABELS, epochs=epochs, batch_size=size, shuffle=shuffle, augment=darker)
        other.train(images - 0.125, LABELS, epochs=epochs, batch_size=size, shuffle=shuffle)
    assert bits(model) == bits(other)
    if not shuffle:
        step = size or len(images)
        batched.train([(images[at:at + step], LABELS[at:at + step]) for at in range(0, 60, step)], epochs=3,
                      augment=darker)
        assert bits(batched) == bits(other)
    np.testing.assert_array_equal(images, IMAGES)
