"""Files of models: those that earlier versions wrote give the same bits, and what is wrong with any other is named."""

import json
from pathlib import Path

import old_files
import pytest

from nnjit import nn

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("name", old_files.BUILD)
def test_a_file_of_an_earlier_version_gives_the_same_bits(tmp_path, name):
    """Predicted, evaluated, trained on, and once more after it was saved by this version."""
    path, wish = FILES / f"{name}.npz", json.loads((FILES / f"{name}.json").read_text())
    for again in (tmp_path / "a.npz", tmp_path / "b.npz"):
        if name == "parameters":
            model = old_files.build(name)
            model.load_parameters(path)
            model.save_parameters(again)
        else:
            model = nn.Model.load(path)
            model.save(again)
        assert old_files.results(model, name) == wish
        path = again


def test_every_kept_file_is_read():
    assert sorted(path.stem for path in FILES.glob("*.npz")) == sorted(old_files.BUILD)
    assert [layer.trainable for layer in nn.Model.load(FILES / "frozen.npz").layers] == [True, False, True, True]
