"""Doubt on drawn people: new ones are seldom undetermined, and other footage of the very same ones is."""

import functools

import cv2
import numpy as np
import pytest
from scipy.stats import binom

from cpml_jax.doubt import properties
from cpml_jax.doubt.calibration import calibrate
from cpml_jax.doubt.distance import Measured
from cpml_jax.evaluation.heart_rate import Pulse, of_face, of_window
from data_prep.synthetic.scene import Scene, film

LEVEL, FRAMES, SIZE = 0.05, 6, 96
PEOPLE = {"train": 16, "val": 22, "test": 16}


@functools.cache
def record(number):
    scene = Scene(seed=9, style="a", target=number, method="", source=-1, frames=FRAMES, size=SIZE)
    frames = np.stack([frame for (frame,) in film([scene])])
    truth = scene.truth()
    trace = np.asarray(truth["pulse"], np.float32)
    landmarks = np.asarray(truth["landmarks"]) / (SIZE / 2) - 1
    return dict(frames=frames, box=truth["box"], landmarks=landmarks, valid=np.ones(FRAMES, bool), pulse_pos=trace)


def measured(number, change=lambda frame: frame):
    """As a model that sees the coarse picture would have it."""
    clip = record(number)
    clip = clip | {"frames": np.stack([change(frame) for frame in clip["frames"]])}
    coarse = cv2.resize(clip["frames"][0], (2, 2), interpolation=cv2.INTER_AREA).astype(np.float64)
    return Measured(coarse.reshape(-1), properties.measure(clip))


@pytest.fixture(scope="module")
def known():
    rows, clips = {"train": [], "val": []}, {}
    for split, numbers in (("train", range(16)), ("val", range(16, 38))):
        for n in numbers:
            rows[split].append(dict(clip_id=f"{n}/0", video_key=str(n), identity=str(n), video=str(n), label=0))
            clips[f"{n}/0"] = measured(n)
    return calibrate(rows["train"], rows["val"], clips, "a", LEVEL)


def test_new_drawn_people_are_undetermined_within_the_binomial_band(known):
    assert (known.over, known.sources, known.count) == ("groups of people", "validation", 22)
    number = PEOPLE["test"]
    false = sum(known.judge([measured(n)]).undetermined for n in range(38, 38 + number))
    assert false <= binom.ppf(0.999, number, LEVEL)


def test_other_footage_of_them_is_undetermined(known):
    def washed(frame):
        return cv2.GaussianBlur(frame, (0, 0), 4)

    judged = [known.judge([measured(n, washed)]) for n in range(38, 46)]
    assert np.mean([each.undetermined for each in judged]) > 0.8
    said = " ".join(reason for each in judged for reason in each.reasons)
    assert "the picture is softer" in said or "fine detail is weaker" in said


@pytest.mark.parametrize(("pos_p", "given"), [(0.001, True), (0.05, True), (0.06, False), (float("nan"), False)])
def test_a_window_has_a_rate_where_its_trace_is_more_than_noise(pos_p, given):
    window = of_window(Pulse(70.0, 1.0, 71.0, 1.5, pos_p))
    assert window == {"heart_rate_bpm": 70.0 if given else None, "heart_rate_snr_db": 1.0 if given else None}


def test_noise_gives_a_face_a_rate_no_more_often_than_the_level():
    rng = np.random.default_rng(0)
    for windows in (1, 2, 5, 20):
        given = sum(
            of_face([Pulse(70.0, 1.0, 71.0, 1.5, p) for p in rng.uniform(size=windows)])["heart_rate_bpm"] is not None
            for _ in range(600)
        )
        assert given <= binom.ppf(0.9995, 600, LEVEL)
    steady = [Pulse(70.0, None, 71.0, 1.5, 0.001)] * 5 + [Pulse(140.0, 9.0, 150.0, 9.0, 0.9)] * 5
    rates = of_face(steady)
    assert (rates["heart_rate_bpm"], rates["heart_rate_snr_db"], rates["heart_rate_pos_bpm"]) == (70.0, None, 71.0)
