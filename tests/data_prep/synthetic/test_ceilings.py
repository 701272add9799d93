"""What each stream can see of which forgery, on a drawing of a few people, prepared as for training."""

import dataclasses
import json

import numpy as np
import pytest

from cpml_jax.data.records import RecordSet
from cpml_jax.evaluation.baselines import cross_validated
from data_prep.prepare import Sampling, Source, prepare
from data_prep.synthetic import ceilings, clip_statistics
from data_prep.synthetic.forgery import METHODS
from data_prep.synthetic.generate import generate

FRAMES = 128
COMPRESSIONS = ("raw", "c40")


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> RecordSet:
    root = tmp_path_factory.mktemp("ceilings")
    drawing = dict(style="a", identities={"test": 6}, frames=FRAMES, size=160, methods=METHODS, seed=5, workers=2)
    generate(root / "videos", **drawing, compressions={"test": COMPRESSIONS}, progress=False)
    source = Source("drawn", "ffpp", root / "videos", compressions=COMPRESSIONS, methods=METHODS, splits=("test",))
    prepare(source, Sampling(num_frames=FRAMES, max_windows=1), root / "records", workers=2, progress=False)
    return RecordSet(root / "records" / "drawn")


@pytest.fixture(scope="module")
def clips(records) -> dict:
    """(method, compression, target): record, with the target's true pulse."""
    result = {}
    for row in sorted(records.rows, key=lambda row: row["label"]):
        target = row["target_video"] or row["video"]
        clip = records.read(row)
        truth = clip if row["label"] == 0 else result["real", "raw", target]
        result[row["method"], row["compression"], target] = clip | {"truth": truth["pulse_truth"]}
    return result


def change(clips, method, compression, measure) -> float:
    """What the forgery changes: the mean of every fake's statistic less that of its own real video."""
    targets = sorted({key[2] for key in clips})
    return float(
        np.mean([measure(clips[method, compression, t]) - measure(clips["real", compression, t]) for t in targets])
    )


def pulse(clip) -> float:
    return clip_statistics.inner_pulse(clip["frames"], clip["landmarks"], clip["truth"])


def tremble(clip) -> float:
    return clip_statistics.trembling_mouth(clip["landmarks"])


def glide(clip) -> float:
    return clip_statistics.slow_lips(clip["landmarks"])


def texture(clip) -> float:
    """Contrast of the inner face's finest band, of one frame."""
    return float(clip_statistics.frame_features(clip["frames"], clip["landmarks"])[0])


@pytest.mark.parametrize(
    ("owner", "measure", "least"),
    [
        ("Deepfakes", pulse, -0.15),
        ("FaceSwap", texture, -0.15),
        ("NeuralTextures", tremble, 0.3),
        ("Face2Face", glide, 1),
    ],
)
def test_each_forgery_has_a_cue_at_raw_that_the_others_lack(clips, owner, measure, least):
    strength = change(clips, owner, "raw", measure)
    assert strength / least > 1
    for other in set(METHODS) - {owner}:
        assert abs(change(clips, other, "raw", measure)) < 0.6 * abs(strength), other


def test_compression_takes_pulse_and_texture_and_leaves_slow_lips(clips):
    left = {
        name: np.mean([pulse(clip) for key, clip in clips.items() if key[:2] == ("real", name)])
        for name in COMPRESSIONS
    }
    assert left["raw"] > 0.6 and left["c40"] < 0.4  # what is not left cannot be missing
    assert abs(change(clips, "FaceSwap", "c40", texture)) < 0.5 * abs(change(clips, "FaceSwap", "raw", texture))
    assert change(clips, "NeuralTextures", "c40", tremble) < 0.8 * change(clips, "NeuralTextures", "raw", tremble)
    assert change(clips, "Face2Face", "c40", glide) > 0


def test_the_command_prints_every_cell_and_writes_it(records, tmp_path, capsys):
    assert ceilings.main([str(records.directory), f"--json={tmp_path / 'cells.json'}"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split(" | ")[-5:] == ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "all |"]
    assert len(printed) == 2 + 2 * len(ceilings.STATISTICS)
    cells = json.loads((tmp_path / "cells.json").read_text())["cells"]
    assert len(cells) == 2 * 5 * len(ceilings.STATISTICS)
    assert set(cells[0]) == {field.name for field in dataclasses.fields(ceilings.Area)}


def test_records_without_a_true_pulse_are_refused(records, capsys):
    assert ceilings.main([str(records.directory), "--splits=train"]) == 2
    assert "has no drawn real videos with their true pulse" in capsys.readouterr().err


def test_the_standard_error_counts_people_and_not_videos():
    rng = np.random.default_rng(0)
    people = rng.normal(size=40)
    groups = np.repeat(np.arange(40), 2)
    labels = np.tile([0, 1], 40)
    scores = np.repeat(people, 2) + labels
    area, error = ceilings.auc_with_error(labels, scores, groups)
    many = np.tile(np.arange(80), 5)  # the same videos five times over tell nothing new
    assert ceilings.auc_with_error(labels[many], scores[many], groups[many]) == pytest.approx((area, error))
    assert 0.01 < error < 0.1
    assert np.isnan(ceilings.auc_with_error(labels[:4], scores[:4], groups[:4])[1])


def test_one_forgery_among_several_is_not_averaged_away():
    rng = np.random.default_rng(1)
    methods = np.array(["real", "Deepfakes", "FaceSwap"] * 60)
    values = rng.normal(size=(180, 2))
    values[methods == "Deepfakes", 0] += 3
    values[methods == "FaceSwap", 0] -= 3  # the other side: one line through both classes sees neither
    labels, groups = (methods != "real").astype(int), np.arange(180) // 3
    scores = ceilings._scores(values, list(methods), labels, groups)
    assert ceilings.auc_with_error(labels, scores, groups)[0] > 0.9
    single = ceilings.auc_with_error(labels, cross_validated(values, labels, groups), groups)[0]
    assert single < 0.7
