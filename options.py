"""The options of the command `nnjit`, its help, and what is said of a wrong option."""

import argparse
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .nn import backend
from .nn.commands import tables
from .nn.commands.tasks import NETWORKS, TASKS

DESCRIPTION = """\
Train small neural networks on compiled kernels, check the kernels, and measure their speed.

  nnjit train spiral --compare          train on the kernels and on plain NumPy, side by side
  nnjit train fashion-mnist             images of clothes, ten epochs
  nnjit predict MODEL.npz DATA.csv      predictions of a saved model for other data
  nnjit check                           do the kernels keep their promises on this machine?
  nnjit bench --quick                   how fast are they on this machine?
"""
TRAIN = """\
Train a network and print its loss and accuracy.

  spiral         classes: 300 points in the plane, 3 intertwined arms; network 2-64-3
  vertical       classes: 300 points in the plane, 3 upright clouds; network 2-64-3
  two-spirals    yes or no: 200 points in the plane, 2 intertwined arms; network 2-64-1
  sine           regression: 1000 points of a sine curve; network 1-64-64-1. An output counts as correct within a
                 250th of the curve's standard deviation
  fashion-mnist  classes: 60000 images of clothes, 10 kinds; network 784-128-128-10
"""
TRAIN_EXAMPLES = """\
examples:
  nnjit train spiral --compare
  nnjit train spiral --epochs 5000 --learning-rate 0.01 --plot spiral.png
  nnjit train fashion-mnist --epochs 3 --save clothes.npz
  nnjit train fashion-mnist --model lenet5 --plot lenet.png
  nnjit train fashion-mnist --data ~/fashion-mnist --backend numpy

The same command gives the same weights each time, to the bit. After Ctrl-C, --save writes the model as it is then.
Use the saved model with nnjit predict, or in Python with nn.Model.load(FILE).
"""
PREDICT = """\
Print the prediction of a saved model for each sample in a file, one line per sample:

  after softmax    the most probable class, counted from 0, and its probability
  after sigmoid    the probability of 1, and whether it is 1 or 0
  else             the outputs

This includes a softmax or sigmoid in the model's loss.

For a folder of images, the name of the image follows.
"""
PREDICT_EXAMPLES = """\
MODEL is what nnjit train --save or Model.save wrote. DATA is one of

  .csv             one sample per line: numbers and commas, no labels; a first line of names is a header, and so is
                   0,1,2,... over more than one column, as pandas writes it; a note says so
  -                the same from stdin
  .npy             an array whose first dimension counts the samples
  .npz             one such array, or one named X among others
  .png and others  an image, or a folder of images or of folders of images, as grey levels (needs Pillow)

An image is one sample, and must have the size of the images that the model was trained on. It is not cropped or
resized, but rotated to its EXIF orientation. Transparent images are composited onto white, or onto black with
--background 0. A model does not store how its data was scaled. Images are scaled to -1..1, as by nnjit train
fashion-mnist; for another model, use --scale. Fashion-MNIST has light clothes on black: --scale 1 -1 inverts a black
drawing on a white or transparent background.

examples:
  nnjit predict spiral.npz points.csv
  nnjit predict clothes.npz shirt.png
  nnjit predict clothes.npz drawing.png --scale 1 -1
  nnjit predict clothes.npz pixels.csv --scale -1 1 --output probabilities.npy
"""
MANY = 10**9
LARGE = 1e30  # far from the largest float32


class Mistake(Exception):
    """An error that the user can fix, printed as one line."""


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._negative_number_matcher = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)  # argparse's own lacks -1e5

    def error(self, message: str) -> NoReturn:
        raise Mistake(f"{message} (see {self.prog} --help)")


def parser(commands: Mapping[str, Callable[[argparse.Namespace], int]]) -> Parser:
    """The parser of `nnjit`: a command sets `run`, its function among these, and `parser`, its own."""
    found = Parser(prog="nnjit", description=DESCRIPTION, allow_abbrev=False,
                   formatter_class=argparse.RawDescriptionHelpFormatter)
    found.set_defaults(run=lambda options: found.parse_args(["--help"]), parser=found)
    found.add_argument("--version", action="version", version=f"nnjit {__version__}")
    places = found.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, summary: str, **more: Any) -> argparse.ArgumentParser:
        added = places.add_parser(name, help=summary, allow_abbrev=False,
                                  formatter_class=argparse.RawDescriptionHelpFormatter,
                                  **{"description": summary, **more})
        added.set_defaults(run=commands[name], parser=added)
        return added

    train = command("train", "train a network", description=TRAIN, epilog=TRAIN_EXAMPLES)
    train.add_argument("dataset", choices=TASKS, metavar="DATASET", help=" or ".join(TASKS))
    train.add_argument("--epochs", type=_whole(1, MANY), metavar="N",
                       help=f"passes over the data (default: {_defaults('epochs')})")
    train.add_argument("--batch-size", type=_whole(1, MANY), metavar="N",
                       help=f"samples per step (default: {_defaults('batch_size').replace('None', 'all')})")
    train.add_argument("--learning-rate", type=_rate, metavar="X",
                       help=f"learning rate of Adam (default: {_defaults('learning_rate')})")
    train.add_argument("--seed", type=_whole(0, 2**32 - 1), default=0, metavar="N",
                       help="seed of the initial weights, the points and the order of samples (default: %(default)s)")
    train.add_argument("--model", choices=("dense", *NETWORKS), default="dense",
                       help="for fashion-mnist: the network, dense layers (default) or LeNet-5, which trains for 5 "
                       "epochs in batches of 32 at 0.001 by default")
    train.add_argument("--backend", choices=backend.TWINS,
                       help="numba: the compiled kernels (default); numpy: the same in plain NumPy; with --compare: "
                       "whose model --save and --plot use")
    train.add_argument("--compare", action="store_true",
                       help="train on both backends from the same weights, and print the results and the ratio of "
                       "the times")
    train.add_argument("--save", type=_output(".npz"), metavar="FILE.npz", help="write the trained model")
    train.add_argument("--plot", type=_output(".png", ".svg", ".pdf"), metavar="FILE.png",
                       help="draw loss and accuracy by epoch, and the decisions, the fitted curve, or for LeNet-5 "
                       "wrong predictions and feature maps (needs matplotlib)")
    train.add_argument("--data", metavar="FOLDER", help="where Fashion-MNIST's four IDX files are (default: "
                       "$NNJIT_DATA, Debian's folder, or a download of 30 MB)")

    predict = command("predict", "predict the samples in a file with a saved model", description=PREDICT,
                      epilog=PREDICT_EXAMPLES)
    predict.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    predict.add_argument("data", metavar="DATA", help=".csv, .npy, .npz, an image, a folder of images, or - for stdin")
    predict.add_argument("--scale", type=_level, nargs=2, metavar=("LOW", "HIGH"),
                         help="scale 0..255 to LOW..HIGH (default: -1 1 for images; other data stays as it is)")
    predict.add_argument("--background", type=_whole(0, 255), metavar="LEVEL",
                         help="the grey level behind transparent images, from 0, black, to 255, white (default: 255)")
    predict.add_argument("--output", type=_output(".npy", ".csv"), metavar="FILE",
                         help="also write all outputs, as NumPy's npy or as csv")

    command("check", "check that the kernels keep their promises here (half a minute, once compiled)",
            description="Check on this machine that the kernels are right and give the same bits whatever the number\n"
            "of threads, in several Python threads and in child processes, and that models are saved and loaded.\n"
            "The digest that it prints is the same on every machine; a report of a fault needs all of its output.")
    bench = command("bench", "measure the kernels and whole training steps beside NumPy, or other libraries")
    bench.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
    bench.add_argument("--peers", action="store_true",
                       help="also measure PyTorch, JAX and scikit-learn, where they are installed (20 minutes)")
    bench.add_argument("--json", type=_output(".json"), metavar="FILE.json", help="write the figures")
    bench.add_argument("--markdown", type=_output(".md"), metavar="FILE.md", help="write the report")
    bench.add_argument("--roofline", type=_output(".png", ".svg", ".pdf"), metavar="FILE.png",
                       help="draw GFLOP/s against flops per byte under the machine's limits (needs matplotlib)")
    bench.add_argument("--against", metavar="FILE.json",
                       help="name what is slower than in this older report, and exit with 1 if anything is")
    bench.set_defaults(ops=[], source=None, pages=[])
    command("warm", "compile all kernels into the cache now")
    command("info", "print versions, processor, vectors, threads, cache folder")
    return found


def _defaults(field: str) -> str:
    return ", ".join(f"{getattr(task, field)} for {name}" for name, task in TASKS.items())


def _whole(least: int, most: int) -> Any:
    def convert(text: str) -> int:
        if not re.fullmatch(r"\s*[+-]?\d+\s*", text, re.ASCII):  # int takes 1_0, and the digits of all scripts
            raise argparse.ArgumentTypeError(f"must be a whole number, got {_short(text)!r}")
        if not least <= float(text) <= most:
            raise argparse.ArgumentTypeError(f"must be in {least}..{most}, got {_short(text)}")
        return int(text)
    return convert


def _number(text: str) -> float:
    if not tables.is_number(text):
        raise argparse.ArgumentTypeError(f"must be a number, got {_short(text)!r}")
    return float(text)


def _level(text: str) -> float:
    value = _number(text)
    if not -LARGE <= value <= LARGE:
        raise argparse.ArgumentTypeError(f"must be in {-LARGE:g}..{LARGE:g}, got {_short(text)}")
    return value


def _rate(text: str) -> float:
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0 and finite, got {_short(text)}")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _output(*suffixes: str) -> Any:
    # checked before hours of training, not after
    def convert(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"must end in {' or '.join(suffixes)}, got {text!r}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text} is a folder")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
        replaced = path.suffix.lower() not in (".json", ".md")  # by a new file; these two are written into
        places = [path] * path.exists() + [path.parent] * (replaced or not path.exists())
        if not all(os.access(place, os.W_OK) for place in places):
            raise argparse.ArgumentTypeError(f"{text} cannot be written")
        return path
    return convert
