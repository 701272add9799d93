import dataclasses

import numpy as np
from fake_evaluation import INPUT, SIZE, FakeRecords

from cpml_jax.evaluation import saliency
from cpml_jax.schema import CROP_SIZE


def lines_of(margins, label):
    return [{"clip_id": f"{label}/{i}", "label": label, "logit_margin": float(m)} for i, m in enumerate(margins)]


def test_the_most_wrong_and_the_most_right_of_each_class_are_chosen():
    lines = lines_of([3, -1, 0, -5, 2, 1], 0) + lines_of([3, -1, 0, -5, 2, 1], 1)
    assert saliency.choose(lines) == ["0/0", "0/4", "0/1", "0/3", "1/3", "1/1", "1/4", "1/0"]


def test_few_clips_are_chosen_once():
    assert saliency.choose(lines_of([1.0, -1.0, 0.0], 1)) == ["1/1", "1/2", "1/0"]
    assert saliency.choose([]) == []


class Scorer:
    """A clip's map is its own first pixel."""

    def __init__(self):
        self.batches = []

    def saliency(self, batch):
        self.batches.append(len(batch["frames"]))
        value = batch["frames"][:, 0, 0, 0, 0, 0].astype(np.float32)
        return np.tile(value[:, None, None], (1, SIZE, SIZE))


def test_maps_are_written_in_the_order_of_choice(tmp_path):
    records = FakeRecords("a")
    rows = [row for row in records.rows if row["split"] == "test"]
    lines = [
        {"clip_id": row["clip_id"], "label": row["label"], "logit_margin": records.score(row) / 100} for row in rows
    ]
    scorer = Scorer()
    saliency.write(tmp_path, scorer, {"a": records}, lines, dataclasses.replace(INPUT, batch_size=64))
    with np.load(tmp_path / "saliency.npz") as file:
        assert list(file["clip_id"]) == saliency.choose(lines) and file["saliency"].shape == (8, SIZE, SIZE)
        scores = {row["clip_id"]: records.score(row) for row in rows}
        assert [scores[name] for name in file["clip_id"]] == file["saliency"][:, 0, 0].tolist()
    assert scorer.batches == [8]  # no larger than what was chosen


def test_a_clip_that_cannot_be_read_and_a_run_without_clips_leave_fewer_maps(tmp_path):
    records = FakeRecords("a")
    chosen = [row for row in records.rows if row["split"] == "test"][:2]
    records.corrupt = {chosen[0]["clip_id"]}
    lines = [{"clip_id": row["clip_id"], "label": row["label"], "logit_margin": 0.0} for row in chosen]
    saliency.write(tmp_path, Scorer(), {"a": records}, lines, INPUT)
    with np.load(tmp_path / "saliency.npz") as file:
        assert list(file["clip_id"]) == [chosen[1]["clip_id"]]
    saliency.write(tmp_path, Scorer(), {"a": records}, [], INPUT)
    with np.load(tmp_path / "saliency.npz") as file:
        assert file["saliency"].shape == (0, CROP_SIZE, CROP_SIZE)
