import os

import numpy as np
import pytest

from cpml_jax import files


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    path.write_text("old")
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        files.write_whole(path, "new")
    assert os.listdir(tmp_path) == ["evaluation.json"] and path.read_text() == "old"


def test_finite_leaves_plain_json():
    value = {
        "a": np.float32("nan"),
        "b": (np.int64(3), float("inf")),
        "c": np.array([1.0, np.nan]),
        "d": True,
        "e": "x",
    }
    assert files.finite(value) == {"a": None, "b": [3, None], "c": [1.0, None], "d": True, "e": "x"}
