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


def test_wave_and_trace_are_measured_on_the_same_clips(monkeypatch):
    def sine(rate):
        return np.sin(2 * np.pi * rate / 60 * np.arange(300) / 30).astype(np.float32)

    rows = [dict(clip_id="0", label=0, heart_rate_truth=90.0, compression="c23", split="test")]
    record = {"frames": np.zeros((300, 8, 8, 3), np.uint8), "pulse_pos": sine(72)}
    records = types.SimpleNamespace(rows=rows, directory="records", read=lambda row: record)
    monkeypatch.setattr(heart_rate, "reader", lambda weights, frames: lambda clip: sine(90))
    (estimate,) = heart_rate.measure(records, "weights", "test", 0)
    assert (estimate["clip_id"], estimate["compression"], estimate["truth"]) == ("0", "c23", 90.0)
    assert estimate["physformer"] == pytest.approx(90, abs=1) and estimate["pos"] == pytest.approx(72, abs=1)
