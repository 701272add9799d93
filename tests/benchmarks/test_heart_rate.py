"""The heart-rate table: which clips are asked, and what its columns are."""

import types

import numpy as np
import pytest

from benchmarks import heart_rate
from cpml_jax.errors import UserError


def test_only_real_clips_of_a_known_rate_are_asked():
    def row(i, label, truth, compression="raw", split="test"):
        return dict(clip_id=f"{i}", label=label, heart_rate_truth=truth, compression=compression, split=split)

    rows = [
        row(3, 0, 70.0),
        row(1, 1, 70.0),
        row(2, 0, None),
        row(0, 0, 80.0),
        row(4, 0, 60.0, "c23"),
        row(5, 0, 60.0, split="val"),
    ]
    records = types.SimpleNamespace(rows=rows, directory="records")

    def asked(split="test", limit=0):
        return [row["clip_id"] for row in heart_rate.known(records, split, limit)]

    assert asked() == ["0", "3", "4"] and asked("all") == ["0", "3", "4", "5"] and asked(limit=1) == ["0", "4"]
    with pytest.raises(UserError, match="no real clip of the split 'train'"):
        asked("train")


def test_errors_in_beats_a_minute():
    errors = heart_rate.errors(np.array([60.0, 73.0, 90.0]), np.array([60.0, 70.0, 80.0]))
    assert errors == pytest.approx({"mae": 13 / 3, "median": 3.0, "within_3": 2 / 3, "pearson": errors["pearson"]})
    assert errors["pearson"] > 0.99
    assert heart_rate.errors(np.full(3, 60.0), np.arange(3.0))["pearson"] is None
