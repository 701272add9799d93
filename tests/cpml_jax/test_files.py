import os

import numpy as np
import pytest

from cpml_jax import files, lock


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    path.write_text("old")
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        files.write_whole(path, "new")
    assert os.listdir(tmp_path) == ["evaluation.json"] and path.read_text() == "old"


def test_what_a_killed_process_half_wrote_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    half = [f".evaluation.json.{'a1' * 16}.tmp", f"checkpoints/.config.json.{'0f' * 16}.tmp"]
    # A probe of the lock's is another process's; the rest are nobody's of ours.
    others = [f".lock.{'a1' * 16}.tmp", ".mine.tmp", "notes.tmp", f"checkpoints/a.{'a1' * 16}.tmp", "evaluation.json"]
    for name in (*half, *others):
        (tmp_path / name).write_text("x")
    with lock.held(tmp_path):
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*others, ".lock"}


def test_finite_leaves_plain_json():
    value = {
        "a": np.float32("nan"),
        "b": (np.int64(3), float("inf")),
        "c": np.array([1.0, np.nan]),
        "d": True,
        "e": "x",
    }
    assert files.finite(value) == {"a": None, "b": [3, None], "c": [1.0, None], "d": True, "e": "x"}
