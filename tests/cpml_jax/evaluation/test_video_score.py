import math

import numpy as np
import pytest

from cpml_jax import schema
from cpml_jax.evaluation import video_score
from cpml_jax.metrics import detection


def row(method, compression, video, label, **more):
    return {"video_key": schema.video_key("set", method, compression, video), "label": label, "video": video} | more


def test_video_key_does_not_merge_methods_or_compressions():
    methods = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    rows = [row(m, c, "000_003", 1) for m in methods for c in ("c23", "c40")]
    videos, margins = video_score.video_margins(rows, np.arange(8) / 8)
    assert len(videos) == 8 and margins.tolist() == (np.arange(8) / 8).tolist()


def test_a_video_has_the_mean_margin_of_its_clips_in_order():
    rows = [row("real", "c23", "007", 0), row("Deepfakes", "c23", "007_008", 1), row("real", "c23", "007", 0)]
    videos, margins = video_score.video_margins(rows, [0.1, 0.9, 0.3])
    assert [v["label"] for v in videos] == [0, 1]
    np.testing.assert_allclose(margins, [0.2, 0.9])
    assert video_score.video_margins([], [])[0] == []
    with pytest.raises(ValueError, match="both labels"):
        video_score.video_margins([rows[0], rows[2] | {"label": 1}], [0, 1])


def test_windows_are_averaged_as_margins_not_as_probabilities():
    """A fake seen clearly in one window (margin 12) and a little real in two (-1.5 each) is fake.

    As probabilities, (1 + 0.18 + 0.18) / 3 = 0.45, it was called real; a margin of 12 counted like one of 4.
    """
    margins = [12.0, -1.5, -1.5]
    _, (margin,) = video_score.video_margins([row("Deepfakes", "c23", "0", 1)] * 3, margins)
    assert margin == pytest.approx(3.0) and detection.sigmoid([margin])[0] > 0.9
    assert np.mean(detection.sigmoid(margins)) < 0.5


def test_the_highest_face_decides_and_records_have_one():
    assert video_score.face_margins([1.0, -2.0, 3.0], [1, 0, 1]) == {0: -2.0, 1: 2.0}
    assert video_score.deciding_face({0: -2.0, 1: 2.0}) == 1 and video_score.deciding_face({0: 1.0, 1: 1.0}) == 0
    rows = [row("real", "c23", "7", 0, face=face) for face in (0, 1, 1)]
    assert video_score.video_margins(rows, [-3.0, 2.0, 0.0])[1].tolist() == [1.0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"logit_margin": 2.5, "p_fake": 0.1}, 2.5),
        ({"p_fake": 0.5}, 0.0),
        ({"p_fake": 0.25}, math.log(1 / 3)),
        ({"p_fake": 1.0}, 36.0),
        ({"p_fake": 0}, -36.0),
        ({"logit_margin": None, "p_fake": 1e-300}, -36.0),
    ],
)
def test_old_lines_have_a_margin_too(line, expected):
    assert video_score.margin_of(line) == pytest.approx(expected)


@pytest.mark.parametrize("line", [{}, {"p_fake": None}, {"p_fake": float("nan")}, {"p_fake": "0.5"}, {"p_fake": True}])
def test_a_line_without_a_finite_score_has_none(line):
    assert math.isnan(video_score.margin_of(line))
