import numpy as np
import pytest
from fake_evaluation import FRAMES, INPUT, FakeRecords, FakeScorer

from cpml_jax.errors import UserError
from cpml_jax.evaluation import clip_scores
from cpml_jax.metrics import detection


def scored(records, scorer=None, excluded=None):
    rows = [row for row in records.rows if row["split"] == "test"]
    excluded = [] if excluded is None else excluded
    return rows, clip_scores.score_clips(scorer or FakeScorer(), records, rows, INPUT, excluded=excluded)


def test_every_clip_has_a_line_with_its_rows_keys_and_what_the_model_gave():
    records = FakeRecords("a")
    rows, scores = scored(records)
    assert list(scores.lines) == [row["clip_id"] for row in rows] == list(scores.arrays)
    for row, line in zip(rows, scores.of(rows), strict=True):
        assert {key: line[key] for key in clip_scores.ROW_KEYS} == {key: row[key] for key in clip_scores.ROW_KEYS}
        assert line["p_fake"] == pytest.approx(records.score(row) / 255.0)
        logits = scores.arrays[row["clip_id"]]["logits"].astype(np.float64)
        assert line["logit_margin"] == pytest.approx(logits[1] - logits[0], rel=1e-6)
        assert line["p_fake"] == pytest.approx(float(detection.p_fake(logits[None])[0]), rel=1e-6)


def test_the_wave_is_compared_with_the_trace_and_with_the_truth_of_its_clip_alone():
    rows, scores = scored(FakeRecords("a"))
    for line in scores.of(rows):
        assert (line["pulse_correlation_truth"] is None) == (line["label"] == 1)  # only reals have a true wave here
        assert 0.5 < line["pulse_correlation_pos"] < 0.999 and 40 <= line["heart_rate_bpm"] <= 180
        assert line["heart_rate_pos_bpm"] == 72.0
    truths = [line["pulse_correlation_truth"] for line in scores.of(rows) if line["label"] == 0]
    assert min(truths) > 0.999
    assert scores.waves(scores.of(rows)).shape == (len(rows), FRAMES)


def test_records_of_before_true_waves_have_none():
    class Before(FakeRecords):
        def read(self, row, frame_size, stills=(), **_):
            record = super().read(row, frame_size)
            del record["pulse_truth"]
            return record

    rows, scores = scored(Before("a"))
    assert {line["pulse_correlation_truth"] for line in scores.of(rows)} == {None}


def test_without_the_rppg_stream_there_are_no_pulse_figures():
    rows, scores = scored(FakeRecords("a"), FakeScorer(wave=False))
    lines = scores.of(rows)
    assert set(lines[0]) == {*clip_scores.ROW_KEYS, "p_fake", "logit_margin", "valid"} and scores.waves(lines) is None
    assert set(scores.arrays[rows[0]["clip_id"]]) == {"unified", "logits"}


def test_a_corrupt_clip_has_no_line_and_a_reason():
    clean = FakeRecords("a")
    bad = clean.rows[-1]["clip_id"]
    excluded = []
    rows, scores = scored(FakeRecords("a", corrupt=(bad,)), excluded=excluded)
    assert bad not in scores.lines and len(scores.of(rows)) == len(rows) - 1
    assert [entry["clip_id"] for entry in excluded] == [bad]


def test_a_score_that_is_not_finite_names_the_clip():
    with pytest.raises(UserError, match="score of clip a/"):
        scored(FakeRecords("a"), FakeScorer(broken=True))


def test_features_are_stacked_in_the_order_of_the_lines(tmp_path):
    rows, scores = scored(FakeRecords("a"))
    clip_scores.write_features(tmp_path / "features.npz", scores, np.eye(2, 4))
    with np.load(tmp_path / "features.npz") as file:
        assert list(file["clip_id"]) == list(scores.lines)
        assert file["wave"].shape == file["trace"].shape == (len(rows), FRAMES)
        assert file["class_embeddings"].dtype == np.float32
    clip_scores.write_features(tmp_path / "features.npz", clip_scores.ClipScores(), None)
    with np.load(tmp_path / "features.npz") as file:
        assert file.files == ["clip_id"] and len(file["clip_id"]) == 0
