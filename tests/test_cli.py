import math
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from children import without_hint
from optional import needs

from nnjit import __version__, kernels, nn
from nnjit.kernels.core import cache
from nnjit import cli
from nnjit.nn.commands import predict, tasks
from nnjit.nn.data import datasets, mnist
from nnjit.nn.training.steps import Steps

pytestmark = pytest.mark.usefixtures("compiling_quietly")

SPIRAL = ["train", "spiral", "--epochs", "3"]


def run(*arguments, **more):
    done = subprocess.run([sys.executable, "-m", "nnjit.nn", *arguments], capture_output=True, text=True, **more)
    done.stderr = without_hint(done.stderr)
    return done


# ---- training


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("dataset", ["spiral", "vertical"])
def test_train_prints_the_figures_of_the_library(dataset, backend, capsys):
    before = nn.backend.name
    assert cli.main(["train", dataset, "--backend", backend, "--epochs", "12"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and nn.backend.name == before
    assert lines[0] == f"{dataset}: 300 samples, all in one batch; network 2-64-3, Adam at " + (
        "0.02, 12 epochs" if dataset == "spiral" else "0.05, 12 epochs")
    total, part = map(float, re.fullmatch(rf"(\S+) s on {backend}, of which validation (\S+) s", lines[-1]).groups())
    assert 0 < part < total
    create, rng = getattr(datasets, dataset), np.random.default_rng(0)
    model = nn.Model()
    for layer in (nn.Dense(2, 64, activation="relu", rng=rng), nn.Dense(64, 3, rng=rng), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), accuracy=nn.Accuracy(),
              optimizer=nn.Adam(0.02, decay=1e-5) if dataset == "spiral" else nn.Adam(0.05, decay=1e-3))
    model.finalize()
    with nn.use(backend):
        model.train(*create(100, 3, seed=0), epochs=12, validation_data=create(100, 3, seed=1))
    last = {name: values[-1] for name, values in model.history.items() if values}
    assert lines[-2] == (f"epoch 12   loss {last['loss']:.4f}   accuracy {last['accuracy']:.3f}   validation loss "
                         f"{last['val_loss']:.4f}   accuracy {last['val_accuracy']:.3f}")


def test_the_defaults_learn_the_points(tmp_path, capsys):
    for dataset, wish in (("spiral", 0.9), ("vertical", 0.88)):
        assert cli.main(["train", dataset]) == 0
        last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")][-1]
        assert float(last.split("accuracy ")[1].split()[0]) > wish


def test_options_reach_the_training(tmp_path, capsys):
    path = tmp_path / "a.npz"
    weights = {}
    for name, more in (("plain", []), ("again", []), ("seed", ["--seed", "1"]), ("rate", ["--learning-rate", ".01"]),
                       ("batch", ["--batch-size", "100"]), ("epochs", ["--epochs", "4"])):
        assert cli.main([*SPIRAL, "--save", str(path), *more]) == 0
        weights[name] = path.read_bytes()
    assert weights["plain"] == weights["again"]
    assert len(set(weights.values())) == len(weights) - 1
    assert "batches of 100" in capsys.readouterr().out


def test_save_writes_the_whole_model(tmp_path, capsys):
    path = tmp_path / "my spiral.npz"
    assert cli.main([*SPIRAL, "--save", str(path)]) == 0
    assert f"model: {path} (nnjit predict '{path}' DATA; in Python nn.Model.load('{path}'))" in capsys.readouterr().out
    model = nn.Model.load(path)
    loss = model.evaluate(*datasets.spiral(100, 3, seed=1))[0]
    assert cli.main([*SPIRAL]) == 0
    assert f"validation loss {loss:.4f}" in capsys.readouterr().out.splitlines()[-2]
    model.train(*datasets.spiral(100, 3, seed=0), epochs=2)  # goes on where the command stopped
    assert cli.main(["train", "spiral", "--epochs", "5", "--save", str(path)]) == 0
    for ours, theirs in zip(model.get_parameters(), nn.Model.load(path).get_parameters()):
        assert [each.tobytes() for each in ours] == [each.tobytes() for each in theirs]


@pytest.mark.parametrize("dataset, loss, accuracy", [("sine", 1e-4, 0.6), ("two-spirals", 0.1, 0.95)])
def test_regression_and_binary_learn(dataset, loss, accuracy, tmp_path, capsys):
    path = tmp_path / "a.npz"
    assert cli.main(["train", dataset, "--save", str(path)]) == 0
    last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")][-1].split()
    model = nn.Model.load(path)
    if dataset == "sine":
        X = np.linspace(0, 1, 500, dtype=np.float32)[:, None]
        wish = np.sin(2 * np.pi * X.astype(np.float64))
        found = np.mean((model.predict(X) - wish) ** 2)
        assert found < loss
        assert np.mean(np.abs(model.predict(X) - wish) < math.sqrt(0.5) / 250) > accuracy
    else:
        X, y = datasets.spiral(100, 2, seed=0)
        p = model.predict(X)[:, 0].astype(np.float64)
        found = -np.mean(np.log(np.where(y == 1, p, 1 - p)))
        assert found < loss and np.mean((p > 0.5) == y) > accuracy
        X, y = datasets.spiral(100, 2, seed=1)
        validation = np.mean((model.predict(X)[:, 0] > 0.5) == y)
        assert float(last[-1]) == pytest.approx(validation, abs=5e-4) and validation > 0.85
    assert float(last[3]) == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("dataset", ["sine", "two-spirals"])
def test_all_options_go_with_all_tasks(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tasks, "REST", 0)
    monkeypatch.setattr(tasks, "COMPARED_STEPS", 4)
    path = tmp_path / "a.npz"
    written = []
    for more in (["--backend", "numpy"], ["--backend", "numpy", "--compare"], [], ["--seed", "1"]):
        assert cli.main(["train", dataset, "--epochs", "4", "--save", str(path), *more]) == 0
        written.append(path.read_bytes())
        out = capsys.readouterr().out
        if "--compare" in more:
            assert float(re.search(r"no weight differs by more than (\S+)", out)[1]) < 1e-4
            assert len(re.findall(r"^(?:validation )?(?:loss|accuracy) .*\d +\d\S*$", out, re.M)) == 4
    assert written[0] == written[1] and len(set(written)) == 3


def test_small_losses_keep_their_digits():
    model = nn.Model()
    for value, wish in ((0.0012, "0.0012"), (0.00012345, "1.2e-04"), (0.0, "0.0000"), (math.nan, "nan")):
        model.history["loss"] = [1.0, value]
        assert tasks._last(model, "loss") == wish


def test_compare(capsys, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    fit = tasks._fit
    seconds = {"numba": iter([9, 0.25, 0.1, 0.3]), "numpy": iter([9, 1.0, 1.2, 0.8])}  # the first one warms up

    def taking(model, twin, *rest, **more):
        fit(model, twin, *rest, **more)
        took = next(seconds[twin])
        return took, took / 4

    monkeypatch.setattr(tasks, "_fit", taking)
    monkeypatch.setattr(tasks, "ENOUGH", 3.6)
    assert cli.main(["train", "spiral", "--epochs", "20", "--compare", "--save", str(path), "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    figures = {line[:28].strip(): [float(x) for x in line[28:].split()] for line in out.splitlines()
               if re.fullmatch(r"[a-z, ]{28}( +\d+\.\d+){2}", line)}
    assert set(figures) == {"loss", "accuracy", "validation loss", "validation accuracy", "time of the training, s",
                            "of which validation, s"}
    for name, (ours, theirs) in figures.items():
        if not name.endswith(", s"):
            assert ours == pytest.approx(theirs, abs=5e-3)
    for total, part in zip(figures["time of the training, s"], figures["of which validation, s"]):
        assert 0 <= part < total
    assert re.findall(r"\S+ times", out) == ["4.0 times"]
    assert ("numba trains 4.0 times as fast as numpy, validation included, compilation not "
            "(medians of 3 trainings each)\n") in out
    difference = float(re.search(r"after 20 steps from the same weights, no weight differs by more than (\S+)", out)[1])
    assert 0 < difference < 1e-4
    # of both trained models the one on --backend is saved
    saved = path.read_bytes()
    monkeypatch.setattr(tasks, "_fit", fit)
    assert cli.main(["train", "spiral", "--epochs", "20", "--save", str(path), "--backend", "numpy"]) == 0
    assert path.read_bytes() == saved


def test_fashion_mnist_from_a_folder(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, shape, largest in zip(mnist.NAMES, ((300, 28, 28), (300,), (60, 28, 28), (60,)), (256, 10) * 2):
        header = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
        (tmp_path / name).write_bytes(header + rng.integers(0, largest, shape, np.uint8).tobytes())
    assert cli.main(["train", "fashion-mnist", "--data", str(tmp_path), "--epochs", "2", "--compare",
                     "--plot", str(tmp_path / "a.png")]) == 0
    out = capsys.readouterr().out
    assert "300 samples, batches of 128; network 784-128-128-10, Adam at 0.001, 2 epochs" in out
    assert float(re.search(r"no weight differs by more than (\S+)", out)[1]) < 1e-4
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"hello")
    assert cli.main(["train", "fashion-mnist", "--data", str(tmp_path)]) == 2
    assert re.fullmatch(r"nnjit: error: .*t10k-labels-idx1-ubyte: not an IDX file: .*\n", capsys.readouterr().err)


@pytest.mark.skipif(not mnist.FASHION.system.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_an_epoch_of_fashion_mnist(monkeypatch, capsys):
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    assert cli.main(["train", "fashion-mnist", "--epochs", "1"]) == 0
    last = capsys.readouterr().out.splitlines()[-2]
    assert float(last.split()[-1]) > 0.8, last  # ten epochs reach .87


def test_a_loss_that_explodes_is_said_in_words(capsys):
    with np.errstate(all="raise"):
        assert cli.main([*SPIRAL, "--backend", "numpy", "--learning-rate", "1e38", "--epochs", "20"]) == 0
    out, err = capsys.readouterr()
    assert DIVERGED in out and err == ""


DIVERGED = "the training diverged, its loss is no longer finite: try a smaller --learning-rate\n"


@pytest.mark.parametrize("dataset, epochs, rate", [("spiral", 20, "1e30"), ("sine", 2, "1e30"), ("spiral", 1, "1e308")])
def test_a_comparison_of_trainings_that_diverge(dataset, epochs, rate, capsys, monkeypatch):
    """Also where only the validation's loss tells, or it is infinite and not nan."""
    monkeypatch.setattr(tasks, "REST", 0)
    assert cli.main(["train", dataset, "--compare", "--learning-rate", rate, "--epochs", str(epochs)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith(f"\n{DIVERGED}") and err == ""
    assert "times as fast" not in out and "no weight" not in out and "time of the training" not in out
    assert len(re.findall(r"^(?:validation )?(?:loss|accuracy)(?: +\S+){2}$", out, re.M)) == 4


def test_a_comparison_of_which_one_training_diverges(capsys, monkeypatch):
    fit = tasks._fit

    def diverging(model, twin, *rest):
        found = fit(model, twin, *rest)
        model.history["loss"][-1] = math.inf if twin == "numpy" else model.history["loss"][-1]
        return found

    monkeypatch.setattr(tasks, "REST", 0)
    monkeypatch.setattr(tasks, "_fit", diverging)
    assert cli.main(["train", "spiral", "--compare", "--epochs", "1"]) == 0
    assert capsys.readouterr().out.endswith(f"\n{DIVERGED}")


def test_a_comparison_of_weights_that_diverge_after_the_training(capsys, monkeypatch):
    class Exploding(nn.Model):
        def get_parameters(self):
            pairs = super().get_parameters()
            pairs[1][0][0, 0] = np.nan
            return pairs

    monkeypatch.setattr(tasks, "REST", 0)
    monkeypatch.setattr(tasks, "ENOUGH", 0)
    monkeypatch.setattr(tasks, "Model", Exploding)
    assert cli.main(["train", "spiral", "--compare", "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == ("after 20 steps from the same weights, these are no longer finite: try a smaller "
                                    "--learning-rate")
    assert " times as fast" in out and err == ""


def test_a_training_that_diverged_is_drawn_without_a_warning(tmp_path):
    needs("matplotlib")
    done = run("train", "sine", "--backend", "numpy", "--epochs", "3", "--learning-rate", "1e30", "--plot", "a.png",
               cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "a.png").exists()


# ---- interrupts


def interrupted(capsys, *arguments, code=130):
    """What a command that Ctrl-C ends says of it."""
    assert cli.main(list(arguments)) == code
    err = capsys.readouterr().err
    assert err.startswith("nnjit: ") and err.count("\n") == 1
    return err[7:-1]


def interrupt(*_, **__):
    raise KeyboardInterrupt


def at_call(number, function=interrupt, error=KeyboardInterrupt):
    """A function that raises when it is called for that time, and else is `function`."""
    calls = []

    def call(*args, **more):
        calls.append(None)
        if len(calls) == number:
            raise error
        return function(*args, **more)

    return call


TEN = ["train", "spiral", "--epochs", "10", "--save", "a.npz"]


@pytest.fixture
def saved(tmp_path, monkeypatch, capsys):
    """A working directory; of each number of epochs, the file that the command writes."""
    def after(epochs, *more):
        assert cli.main(["train", "spiral", "--epochs", str(epochs), "--save", "b.npz", *more]) == 0
        capsys.readouterr()
        return Path("b.npz").read_bytes()

    monkeypatch.chdir(tmp_path)
    return after


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_an_interrupted_training_is_saved(backend, saved, capsys, monkeypatch):
    more = ["--backend", backend]
    wish = saved(3, *more), nn.Model.load("b.npz") if saved(4, *more) else None
    monkeypatch.setattr(tasks, "say", at_call(3, print))
    assert interrupted(capsys, *TEN, *more) == ("interrupted in epoch 4 of 10: the model as of then is saved to a.npz")
    assert Path("a.npz").read_bytes() == wish[0]
    monkeypatch.setattr(tasks, "say", print)
    evaluate = Steps.validate
    monkeypatch.setattr(Steps, "validate", at_call(4 + (backend == "numba"), evaluate))  # one to warm up
    assert interrupted(capsys, *TEN, *more) == ("interrupted in epoch 4 of 10: the model as of then is saved to a.npz")
    model = nn.Model.load("a.npz")
    assert len(model.history["loss"]) == 3
    for ours, theirs in zip(model.get_parameters(), wish[1].get_parameters()):
        assert [each.tobytes() for each in ours] == [each.tobytes() for each in theirs]


@pytest.mark.parametrize("arguments, place", [
    ([], "before the first step"), (["--compare", "--backend", "numpy"], "before the first step on numpy")])
def test_an_interrupt_before_the_first_step_keeps_the_old_file(arguments, place, saved, capsys, monkeypatch):
    monkeypatch.setattr(nn.Model, "train", interrupt)
    assert interrupted(capsys, *TEN, *arguments) == f"interrupted {place}: nothing is saved"
    assert os.listdir() == []
    Path("a.npz").write_text("old")
    assert interrupted(capsys, *TEN, *arguments) == f"interrupted {place}: nothing is saved, a.npz stays as it was"
    assert Path("a.npz").read_text() == "old"


@pytest.mark.parametrize("backend, wish, epochs", [("numba", "after epoch 10 of 10 on numba", 10),
                                                   ("numpy", "in epoch 4 of 10 on numpy", 3)])
def test_an_interrupted_comparison_says_whose_model_is_saved(backend, wish, epochs, saved, capsys, monkeypatch):
    monkeypatch.setattr(tasks, "say", at_call(13, print))
    text = interrupted(capsys, *TEN, "--compare", "--backend", backend)
    assert text == f"interrupted {wish}: the model as of then is saved to a.npz"
    found = Path("a.npz").read_bytes()
    monkeypatch.setattr(tasks, "say", print)
    assert found == saved(epochs, "--backend", backend)


def test_an_interrupt_while_the_trained_model_is_saved(saved, capsys, monkeypatch):
    monkeypatch.setattr(np, "savez", at_call(1, np.savez))
    assert interrupted(capsys, *TEN) == "interrupted after epoch 10 of 10: the model as of then is saved to a.npz"
    assert Path("a.npz").read_bytes() == saved(10)


def test_a_second_interrupt_keeps_the_old_file(saved, capsys, monkeypatch):
    Path("a.npz").write_text("old")
    monkeypatch.setattr(np, "savez", interrupt)
    text = interrupted(capsys, *TEN)
    assert text == "interrupted again, while a.npz was being written: it is the old file or the new"
    assert Path("a.npz").read_text() == "old" and os.listdir() == ["a.npz"]


def test_an_interrupted_training_that_cannot_be_saved(saved, capsys, monkeypatch):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tasks, "say", at_call(3, print))
    monkeypatch.setattr(np, "savez", full)
    assert interrupted(capsys, *TEN) == ("interrupted in epoch 4 of 10: [Errno 28] No space left on device: "
                                         "'a.npz'")
    assert os.listdir() == []


def test_an_interrupt_does_not_save_a_model_that_exploded(saved, capsys, monkeypatch):
    Path("a.npz").write_text("old")
    monkeypatch.setattr(tasks, "say", at_call(10, print))
    text = interrupted(capsys, *TEN, "--learning-rate", "1e38")
    assert text == ("interrupted after epoch 10 of 10, the loss no longer finite: "
                    "nothing is saved, a.npz stays as it was")
    assert Path("a.npz").read_text() == "old"


def test_an_interrupted_training_is_drawn(saved, capsys, monkeypatch):
    needs("matplotlib")
    monkeypatch.setattr(tasks, "say", at_call(3, print))
    assert interrupted(capsys, *TEN, "--plot", "a.png") == (
        "interrupted in epoch 4 of 10: the model as of then is saved to a.npz, and drawn in a.png")
    assert sorted(os.listdir()) == ["a.npz", "a.png"] and Path("a.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(tasks, "say", at_call(3, print))
    assert interrupted(capsys, "train", "spiral", "--epochs", "10", "--plot", "b.png") == (
        "interrupted in epoch 4 of 10: the model as of then is drawn in b.png, but not saved without --save FILE.npz")
    assert Path("b.png").exists()
    monkeypatch.setattr(Steps, "validate", at_call(1 + 1, Steps.validate))  # no figure is known yet
    assert interrupted(capsys, *TEN, "--plot", "c.png") == (
        "interrupted in epoch 1 of 10: the model as of then is saved to a.npz")
    assert not Path("c.png").exists()


def test_an_interrupted_drawing_leaves_the_old_image(saved, capsys, monkeypatch):
    figure = needs("matplotlib.figure")

    def half(self, to, **more):
        with open(to, "wb") if isinstance(to, (str, Path)) else to as file:
            file.write(b"half")
        raise KeyboardInterrupt

    Path("a.png").write_text("old")
    monkeypatch.setattr(figure.Figure, "savefig", half)
    assert interrupted(capsys, *TEN, "--plot", "a.png") == "interrupted"
    assert Path("a.png").read_text() == "old" and Path("a.npz").exists()


def test_a_closed_output_does_not_cost_the_model(saved, capsys, monkeypatch):
    wish = saved(3)
    monkeypatch.setattr(tasks, "say", at_call(3, print, OSError(28, "No space left on device")))
    assert cli.main(TEN) == 2
    assert capsys.readouterr().err == ("nnjit: interrupted in epoch 4 of 10: the model as of then is saved to a.npz\n"
                                       "nnjit: error: [Errno 28] No space left on device\n")
    assert Path("a.npz").read_bytes() == wish


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_job_that_is_ended_is_saved(name, code, saved, capsys, monkeypatch):
    number = getattr(signal, name)
    former = signal.signal(number, signal.SIG_DFL)
    try:
        evaluate, calls = Steps.validate, []

        def end(self, *args):
            found = evaluate(self, *args)
            calls.append(found)
            if len(calls) == 4:  # one to warm up
                os.kill(os.getpid(), number)
            return found

        monkeypatch.setattr(Steps, "validate", end)
        assert interrupted(capsys, *TEN, code=code) == (
            "interrupted in epoch 3 of 10: the model as of then is saved to a.npz")
        assert signal.getsignal(number) is signal.SIG_DFL
        assert len(nn.Model.load("a.npz").history["loss"]) == 2
        signal.signal(number, signal.SIG_IGN)  # as by nohup
        assert cli.main(TEN) == 0
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, former)


# ---- compiling

HINT = "nnjit: compiling kernels for this CPU, "


@pytest.mark.parametrize("writable", (True, False))
def test_a_command_says_that_it_compiles(tmp_path, writable):
    """Before it does, and only where the cache lacks a kernel."""
    model = nn.Model()
    model.add(nn.Softplus())  # one small kernel
    model.finalize()
    model.save(tmp_path / "a.npz")
    (tmp_path / "a.csv").write_text("5,2\n")
    (tmp_path / "file").touch()
    folder = tmp_path / ("cache" if writable else "file")
    said = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "nnjit.nn", "predict", "a.npz", "a.csv"], cwd=tmp_path, text=True,
                              capture_output=True, env=os.environ | {"NNJIT_CACHE_DIR": str(folder)})
        assert done.returncode == 0 and done.stdout
        said.append(done.stderr)
    each_time = (f"{HINT}each time: 10 to 60 seconds (the cache folder cannot be written, set NNJIT_CACHE_DIR to "
                 "another)\n")
    once = f"{HINT}once: 10 to 60 seconds (kept in {folder / cache.DIGEST})\n"
    assert said == ([once, ""] if writable else [each_time, each_time])


@pytest.mark.parametrize("progress, terminal, said", [(None, True, 1), (None, False, 0), (True, False, 1),
                                                      (False, True, 0)])
def test_a_training_says_on_a_terminal_that_it_compiles(progress, terminal, said, capsys, monkeypatch):
    monkeypatch.setattr(nn.backend, "before_compiling", kernels.before_compiling)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    model = tasks.TASKS["spiral"].model(Namespace(seed=0, learning_rate=0.1))
    cache._tell()  # as when a kernel is compiled
    model.train(*datasets.spiral(10, 3, seed=0), epochs=3, progress=progress, callback=lambda epoch: cache._tell())
    cache._tell()
    assert capsys.readouterr().err.count(HINT) == said


def test_what_is_timed_compiles_nothing(tmp_path):
    code = """if 1:
        from nnjit.kernels.core.cache import Cache
        from nnjit import cli
        from nnjit.nn.commands import tasks

        used, load, warm_up = [], Cache._load, tasks._warm_up

        def noted(self, *rest):
            used.append(self._name)
            return load(self, *rest)

        def forget(*args):
            warm_up(*args)
            print(len(used) > 10)
            used.clear()

        Cache._load, tasks._warm_up = noted, forget
        cli.main("train vertical --epochs 4 --batch-size 32".split())
        print(used)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "\nTrue\n" in done.stdout and done.stdout.endswith("\n[]\n"), done


# ---- plots


@pytest.mark.parametrize("dataset, suffix, magic", [("spiral", "png", b"\x89PNG"), ("vertical", "svg", b"<?xml"),
                                                    ("spiral", "pdf", b"%PDF"), ("sine", "png", b"\x89PNG"),
                                                    ("two-spirals", "png", b"\x89PNG")])
def test_plot(tmp_path, capsys, dataset, suffix, magic):
    needs("matplotlib")
    path = tmp_path / f"a.{suffix}"
    assert cli.main(["train", dataset, "--epochs", "5", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(magic) and path.stat().st_size > 5000
    assert f"plot: {path}" in capsys.readouterr().out


def test_the_plot_shows_the_decisions(tmp_path):
    needs("matplotlib")
    from matplotlib import image
    X, y = datasets.vertical(100, 3, seed=0)
    pictures = []
    for weights in ([[40, 20, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]):  # classes by x, or the first everywhere
        model = nn.Model()
        model.add(nn.Dense(2, 3))
        model.layers[0].weights, model.layers[0].biases = weights, [0, 8, 16] if any(weights[0]) else [1, 0, 0]
        model.finalize()
        model.history["loss"] = model.history["accuracy"] = [0.5, 0.25]
        from nnjit.nn.inspect.plot import plot
        plot(tmp_path / "a.png", model, X, y, title="t")
        pictures.append(image.imread(tmp_path / "a.png")[..., :3])
    assert pictures[0].shape == pictures[1].shape
    changed = (pictures[0] != pictures[1]).any(axis=-1)
    assert 0.05 < changed.mean() < 0.4 and not changed[:, :changed.shape[1] // 2].any()


def drawn(monkeypatch, model, X, y, tmp_path):
    """The axes of the third panel."""
    from matplotlib.figure import Figure
    from nnjit.nn.inspect.plot import plot
    figures = []
    real = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *to, **more: (figures.append(self), real(self, *to, **more)))
    model.history["loss"] = model.history["accuracy"] = [0.5, 0.25]
    plot(tmp_path / "a.png", model, X, y)
    return figures[0].axes[2]


def test_the_plot_of_a_regression_shows_data_and_outputs(tmp_path, monkeypatch):
    needs("matplotlib")
    model = nn.Model()
    model.add(nn.Dense(1, 2))
    model.layers[0].weights, model.layers[0].biases = [[3, -1]], [1, 0]
    model.finalize()
    X = np.array([[4.0], [0.0], [2.0]], np.float32)  # unsorted
    points_1, points_2, line_1, line_2 = drawn(monkeypatch, model, X, np.hstack([X, -X]), tmp_path).lines
    np.testing.assert_array_equal(points_2.get_xydata(), [[4, -4], [0, 0], [2, -2]])
    for line, slope, offset in ((line_1, 3, 1), (line_2, -1, 0)):
        x = line.get_xdata()
        assert (x[0], x[-1]) == (0, 4) and (np.diff(x) > 0).all() and len(x) > 100
        np.testing.assert_allclose(line.get_ydata(), slope * x + offset, atol=1e-5)


def test_the_plot_of_a_binary_model_shows_its_decisions(tmp_path, monkeypatch):
    needs("matplotlib")
    model = nn.Model()
    model.add(nn.Dense(2, 1, activation="sigmoid"))
    model.layers[0].weights, model.layers[0].biases = [[0], [8]], [-2]  # 1 above the line y = 0.25
    model.finalize()
    X = np.array([[0, 0], [1, 1], [0, 1]], np.float32)
    axes = drawn(monkeypatch, model, X, np.array([0, 1, 1]), tmp_path)
    [picture] = axes.images
    low, high = picture.get_extent()[2:]
    cells = picture.get_array()
    height = np.linspace(low, high, len(cells))
    below, above = (np.unique(cells[rows].reshape(-1, 3), axis=0) for rows in (height < 0.25, height > 0.25))
    assert len(below) == len(above) == 1 and (below != above).any()
    zeros, ones = axes.collections
    np.testing.assert_array_equal(zeros.get_offsets(), [[0, 0]])
    np.testing.assert_array_equal(ones.get_offsets(), [[1, 1], [0, 1]])


def test_without_matplotlib_one_line_before_the_training(tmp_path, capsys, monkeypatch):
    real = cli.importlib.util.find_spec
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name))
    assert cli.main([*SPIRAL, "--plot", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr() == ("", "nnjit: error: --plot needs matplotlib: .venv/bin/pip install '.[plot]'\n")


# ---- mistakes


@pytest.mark.parametrize("arguments, text", [
    (["tarin"], "argument COMMAND: invalid choice: 'tarin'"),
    (["train"], "the following arguments are required: DATASET"),
    (["train", "mnist"], "argument DATASET: invalid choice: 'mnist'"),
    ([*SPIRAL, "--epochs", "0"], "argument --epochs: must be in 1..1000000000, got 0 (see nnjit train --help)\n"),
    ([*SPIRAL, "--epochs", "2.5"], "argument --epochs: must be a whole number, got '2.5'"),
    ([*SPIRAL, "--batch-size", "-3"], "argument --batch-size: must be in 1..1000000000, got -3 (see"),
    ([*SPIRAL, "--learning-rate", "-1"], "argument --learning-rate: must be above 0 and finite, got -1"),
    ([*SPIRAL, "--learning-rate", "nan"], "argument --learning-rate: must be above 0 and finite, got nan"),
    ([*SPIRAL, "--learning-rate", "inf"], "argument --learning-rate: must be above 0 and finite, got inf"),
    ([*SPIRAL, "--learning-rate", "x"], "argument --learning-rate: must be a number, got 'x'"),
    ([*SPIRAL, "--seed", "-1"], "argument --seed: must be in 0..4294967295, got -1"),
    ([*SPIRAL, "--seed", "4294967296"], "argument --seed: must be in 0..4294967295"),
    ([*SPIRAL, "--backend", "torch"], "argument --backend: invalid choice: 'torch'"),
    ([*SPIRAL, "--epoch", "3"], "unrecognized arguments: --epoch 3 (see nnjit train --help)"),
    ([*SPIRAL, "--data", "."], "--data goes with fashion-mnist, spiral is computed"),
    (["train", "sine", "--data", "."], "--data goes with fashion-mnist, sine is computed"),
    ([*SPIRAL, "--compare", "--backend", "numba"], "--compare trains on both backends; --backend then says whose"),
    ([*SPIRAL, "--save", "a.txt"], "argument --save: must end in .npz, got 'a.txt'"),
    ([*SPIRAL, "--plot", "a.jpg"], "argument --plot: must end in .png or .svg or .pdf, got 'a.jpg'"),
    ([*SPIRAL, "--save", "no/where/a.npz"], "argument --save: there is no folder no/where"),
    ([*SPIRAL, "--plot", "folder.png"], "argument --plot: folder.png is a folder"),
    (["train", "fashion-mnist", "--data", "none"], "no Fashion-MNIST in none: train-images-idx3-ubyte.gz is missing"),
    (["bench", "--json", "a"], "argument --json: must end in .json, got 'a'"),
    (["bench", "--roofline", "a.jpg"], "argument --roofline: must end in .png or .svg or .pdf, got 'a.jpg'"),
    (["bench", "--quick", "--against", "none.json"], "none.json cannot be read: No such file or directory"),
    (["info", "more"], "unrecognized arguments: more (see nnjit info --help)"),
])
def test_mistakes_are_one_line_and_nothing_is_trained(arguments, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"nnjit: error: {text}") and err.count("\n") == 1 and err.endswith("\n")
    assert os.listdir(tmp_path) == ["folder.png"]


HOSTILE = {  # what is no number for any option: how it is shown
    "1" + "0" * 5000: "1000000000", "-1" + "0" * 4000: "-1000000000", "nan": "nan", "-inf": "-inf", "1e400": "1e400",
    "": "", " ": " ", "text": "text", "1_0": "1_0", "\uff11\uff12": "\uff11\uff12", "0x10": "0x10", "1,5": "1,5",
    "\u22121": "\u22121", "-": "-", "\n": r"\n"}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:9]))
def test_hostile_numbers_are_one_line(text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for option, words in (("--epochs", ["train", "spiral"]), ("--batch-size", ["train", "spiral"]),
                          ("--seed", ["train", "spiral"]), ("--learning-rate", ["train", "spiral"]),
                          ("--background", ["predict", "a.npz", "a"]), ("--scale", ["predict", "a.npz", "a.csv", "0"])):
        words = [*words[:3], option, *words[3:]]
        assert cli.main([*words, text]) == 2
        err = capsys.readouterr().err
        found = re.fullmatch(rf"nnjit: error: argument {option}: must be .*, got (.*) \(see nnjit .* --help\)\n", err)
        assert found, err
        assert found[1].strip("'").startswith(HOSTILE[text]) and len(found[1]) < 60


def test_scales_may_be_negative_in_any_spelling(capsys):
    for texts in (("-1", "1"), ("-1e0", "1e0"), ("-1.", "-.5"), ("-1E-5", "+1"), ("0", "-1e5")):
        options = cli.parser(cli.COMMANDS).parse_args(["predict", "a.npz", "a.csv", "--scale", *texts])
        assert options.scale == [float(text) for text in texts]
    for texts in (("1e308", "-1e308"), ("0", "1e31"), ("-2e30", "0")):
        assert cli.main(["predict", "a.npz", "a.csv", "--scale", *texts]) == 2
        assert "argument --scale: must be in -1e+30..1e+30, got " in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert cli.main([*SPIRAL, "--save", str(tmp_path / "a.npz")]) == 2
    assert "a.npz cannot be written" in capsys.readouterr().err


def test_a_file_in_an_unwritable_folder_cannot_be_replaced(tmp_path, capsys, monkeypatch):
    """Said before the training."""
    monkeypatch.setattr(cli.os, "access", lambda path, mode: Path(path) != tmp_path)
    for name, option in (("a.npz", "--save"), ("a.svg", "--plot")):
        (tmp_path / name).touch()
        assert cli.main([*SPIRAL, option, str(tmp_path / name)]) == 2
        assert f"{name} cannot be written" in capsys.readouterr().err


def test_a_write_that_fails_is_one_line(tmp_path, capsys, monkeypatch):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert cli.main([*SPIRAL, "--save", str(tmp_path / "a.npz")]) == 2
    assert capsys.readouterr().err == f"nnjit: error: [Errno 28] No space left on device: '{tmp_path / 'a.npz'}'\n"


def linear(path):
    model = nn.Model()
    model.add(nn.Linear())
    model.finalize()
    model.save(path)


FULL = "/dev/full"
needs_full = pytest.mark.skipif(not os.path.exists(FULL), reason="needs /dev/full")


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["info"], ["--help"], SPIRAL, ["predict", "a.npz", "a.csv"]], ids=" ".join)
def test_a_full_output_is_named(arguments, unbuffered, tmp_path):
    linear(tmp_path / "a.npz")
    (tmp_path / "a.csv").write_text("5,2\n" * 20_000)  # more than a buffer
    with open(FULL, "w") as full:
        done = subprocess.run([sys.executable, "-m", "nnjit", *arguments], cwd=tmp_path, text=True, stdout=full,
                              stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (2, "nnjit: error: [Errno 28] No space left on device: 'stdout'\n")


@needs_full
def test_a_full_stderr_costs_no_prediction(tmp_path):
    linear(tmp_path / "a.npz")
    (tmp_path / "a.csv").write_text("x,y\n5,nan\n")
    for data, code, out in (("a.csv", 0, "5.0 nan\n"), ("none.csv", 2, "")):
        with open(FULL, "w") as full:
            done = subprocess.run([sys.executable, "-m", "nnjit", "predict", "a.npz", data], cwd=tmp_path, text=True,
                                  stdout=subprocess.PIPE, stderr=full)
        assert (done.returncode, done.stdout) == (code, out)


@needs_full
@pytest.mark.parametrize("option, name, arguments", [
    ("--plot", "a.png", SPIRAL), ("--json", "a.json", ["bench"]), ("--markdown", "a.md", ["bench"]),
    ("--roofline", "a.png", ["bench"])])
def test_a_full_disk_is_named(option, name, arguments, capsys, tmp_path, monkeypatch):
    if name == "a.png":
        needs("matplotlib")
    monkeypatch.chdir(tmp_path)
    from nnjit.bench import report
    made = report.load(max((Path(__file__).parent.parent / "bench" / "results").glob("*.json")))
    monkeypatch.setattr(report, "measure", lambda *_: made)
    os.symlink(FULL, name)
    assert cli.main([*arguments, option, name]) == 2
    assert capsys.readouterr().err == f"nnjit: error: [Errno 28] No space left on device: '{name}'\n"


# ---- the process


def test_help(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == out
    for command in ("train", "predict", "check", "bench", "warm", "info"):
        assert re.search(rf"^    {command} ", out, re.M)
        assert cli.main([command, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: nnjit {command} ")
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"nnjit {__version__}\n"


def test_the_help_names_the_real_defaults(capsys):
    def of(field):
        return ", ".join(f"{getattr(task, field) or 'all'} for {name}" for name, task in tasks.TASKS.items())

    real = {
        "--epochs": of("epochs"), "--batch-size": of("batch_size"), "--learning-rate": of("learning_rate"),
        "--seed": str(cli.parser(cli.COMMANDS).parse_args(SPIRAL).seed),
        "--data": "$NNJIT_DATA, Debian's folder, or a download of 30 MB",
        "--scale": "{:g} {:g} for images; other data stays as it is".format(*predict.PICTURES),
        "--background": str(predict.images.WHITE)}
    found = {}
    for command in ("train", "predict", "check", "bench", "warm", "info"):
        cli.main([command, "--help"])
        for option in re.split(r"^ +(?=--)", capsys.readouterr().out, flags=re.M)[1:]:
            words = option.split()
            default = re.search(r"\(default: ([^)]*)\)", " ".join(words))
            if default:
                found[words[0]] = default[1]
    assert found == real


def test_python_m():
    done = run(*SPIRAL)
    assert (done.returncode, done.stderr) == (0, "") and "epoch 3   loss " in done.stdout
    done = run("train", "spiral", "--epochs", "-1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_warm_start_loads_little():
    code = ("import sys; from nnjit.cli import main; main(['train', 'spiral', '--epochs', '10']); "
            "print([m for m in ('matplotlib', 'tqdm', 'urllib.request', 'torch') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n"), done


def test_a_closed_pipe_is_quiet():
    command = [sys.executable, "-u", "-m", "nnjit.nn", "train", "spiral", "--backend", "numpy", "--epochs", "3000"]
    # a runner in the background ignores the signal, and its children would
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


@pytest.mark.parametrize("arguments", (["info"], SPIRAL))
def test_without_an_output_a_command_does_its_work(arguments, tmp_path):
    save = ["--save", "a.npz"] if "train" in arguments else []
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "nnjit.nn", *arguments, *save],
                          cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, without_hint(done.stderr)) == (0, "")
    assert (tmp_path / "a.npz").exists() == bool(save)


def test_names_that_an_output_cannot_show_are_escaped(tmp_path):
    for name, shown in (("\u00e9.npz", "model: \\xe9.npz"), ("\udcff.npz", "model: \\udcff.npz")):
        done = run(*SPIRAL, "--save", name, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stderr) == (0, "") and shown in done.stdout


def test_ctrl_c_is_one_line():
    command = [sys.executable, "-u", "-m", "nnjit.nn", "train", "spiral", "--backend", "numpy", "--epochs", "10000000"]
    # a runner in the background ignores the signal, and its children would
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert re.fullmatch(r"nnjit: interrupted in epoch \d+ of 10000000: nothing is saved without --save FILE.npz\n",
                            process.stderr.read())
        assert process.wait() == 130


def test_the_other_commands_hand_over(monkeypatch, capsys):
    from nnjit import bench

    class Selfcheck:
        def check(self, progress):
            return 3 if progress is True else 0

    class Contract:
        def warm(self, progress):
            print("warm", progress)

    class Report:
        def main(self, options):
            print(options.quick, options.peers, options.json, options.markdown, options.roofline, options.against,
                  options.ops, options.source, options.pages)
            return 4

    monkeypatch.setattr(bench, "contract", Contract(), raising=False)
    monkeypatch.setattr(bench, "selfcheck", Selfcheck(), raising=False)
    monkeypatch.setattr(bench, "report", Report(), raising=False)
    monkeypatch.setattr(kernels, "info", lambda: {"python": "1.2", "threads": "2"}, raising=False)
    assert cli.main(["check"]) == 3
    about = [["nnjit:", __version__], ["python:", "1.2"], ["threads:", "2"]]
    assert [line.split() for line in capsys.readouterr().out.split("\n")] == [*about, [], []]
    assert cli.main(["bench", "--quick", "--json", "a.json"]) == 4
    assert cli.main(["bench", "--peers", "--roofline", "a.png", "--against", "b.json"]) == 4
    assert cli.main(["warm"]) == 0
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out.split("\n")
    assert out[:3] == ["True False a.json None None None [] None []",
                       "False True None None a.png b.json [] None []", "warm True"]
    assert [line.split() for line in out[3:6]] == about


def test_tasks_are_sound():
    for task in tasks.TASKS.values():
        assert len(task.sizes) >= 2 and task.epochs > 0 and 0 < task.learning_rate < 1 and math.isfinite(task.decay)


STARTS = ["-c", "import sys, nnjit; sys.exit(nnjit.main())"], ["-m", "nnjit"], ["-m", "nnjit.nn"], ["-Bmnnjit.nn"]
each_start = pytest.mark.parametrize("start", STARTS, ids=" ".join)


@each_start
@pytest.mark.parametrize("name, value", (("NNJIT_NUM_THREADS", "many"), ("NUMBA_DISABLE_JIT", "1")))
def test_a_nonsense_variable_is_one_line(start, name, value):
    done = subprocess.run([sys.executable, *start, "info"], env={**os.environ, name: value}, capture_output=True,
                          text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(f"nnjit: .*{name}.*\n", done.stderr)


@each_start
@pytest.mark.parametrize("module", ["nnjit.nn", "nnjit.nn.commands.tasks"])
def test_ctrl_c_while_modules_are_loaded_is_one_line(start, module, tmp_path):
    """At that module's import: nnjit.nn comes before any code of the command."""
    (tmp_path / "sitecustomize.py").write_text(f"""if 1:
        import sys

        class Interrupting:
            def find_spec(self, name, *_):
                if name == {module!r}:
                    def load(*_):
                        raise KeyboardInterrupt
                    found = next(spec for each in sys.meta_path[1:] if (spec := each.find_spec(name, *_)))
                    found.loader.exec_module = load
                    return found

        sys.meta_path.insert(0, Interrupting())
        """)
    done = subprocess.run([sys.executable, *start, "info"], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "nnjit: interrupted\n")


@each_start
def test_each_start_is_the_command(start):
    done = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nnjit {__version__}\n", "")


def test_errors_of_others_keep_their_traceback():
    """Where a program imports this package, and where another module of it is started."""
    for start in (["-c", "import nnjit.nn"], ["-m", "nnjit.bench.contract"], ["-m", "nnjit.cli"]):
        done = subprocess.run([sys.executable, *start], env={**os.environ, "NNJIT_NUM_THREADS": "many"},
                              capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.startswith("Traceback")
