"""Properties of the input: each moves with what it is named after, whatever the picture shows."""

import cv2
import numpy as np
import pytest

from cpml_jax.doubt import properties

FRAMES = 24


def record(seed=0, **changes):
    rng = np.random.default_rng(seed)
    still = cv2.GaussianBlur(rng.uniform(0, 255, (128, 128, 3)).astype(np.float32), (0, 0), 2)
    still = (still - still.min()) / np.ptp(still) * 200 + 20
    frames = np.clip(still + rng.normal(scale=2, size=(FRAMES, 128, 128, 1)), 0, 255).astype(np.uint8)
    box = np.tile([10.0, 20.0, 138.0, 148.0], (FRAMES, 1)) + rng.normal(scale=0.2, size=(FRAMES, 1))
    landmarks = np.tile(rng.uniform(-0.5, 0.5, (68, 2)), (FRAMES, 1, 1)) + rng.normal(scale=1e-3, size=(FRAMES, 68, 2))
    made = dict(
        frames=frames, box=box, landmarks=landmarks, valid=np.ones(FRAMES, bool), pulse_pos=rng.normal(size=FRAMES)
    )
    return made | changes


def of(**changes):
    return dict(zip(properties.NAMES, properties.measure(record(**changes)), strict=True))


def each(function):
    return np.stack([function(frame) for frame in record()["frames"]])


PLAIN = record()


@pytest.mark.parametrize(
    ("name", "lower", "higher"),
    [
        ("face_size", dict(box=PLAIN["box"] / 4), dict(box=PLAIN["box"] * 4)),
        ("sharpness", dict(frames=each(lambda f: cv2.GaussianBlur(f, (0, 0), 2))), {}),
        ("fine_detail", dict(frames=each(lambda f: cv2.GaussianBlur(f, (0, 0), 2))), {}),
        ("flat_area", {}, dict(frames=each(lambda f: cv2.imdecode(cv2.imencode(".jpg", f, [1, 5])[1], 1)))),
        ("grain", dict(frames=PLAIN["frames"][:1].repeat(FRAMES, 0)), {}),
        ("brightness", dict(frames=PLAIN["frames"] // 2), {}),
        ("contrast", dict(frames=PLAIN["frames"] // 2 + 60), {}),
        ("saturation", dict(frames=PLAIN["frames"][..., :1].repeat(3, -1)), {}),
        ("landmark_motion", {}, dict(landmarks=PLAIN["landmarks"] * np.linspace(0, 9, FRAMES)[:, None, None] ** 2)),
        ("head_motion", {}, dict(box=PLAIN["box"] + 9 * np.arange(FRAMES)[:, None])),
        ("pulse_snr", {}, dict(pulse_pos=np.sin(2 * np.pi * 1.2 * np.arange(FRAMES) / 30))),
    ],
)  # fmt: skip
def test_a_property_moves_with_what_it_is_named_after(name, lower, higher):
    low, high = of(**lower)[name], of(**higher)[name]
    floor = next(each.floor for each in properties.PROPERTIES if each.name == name)
    assert high - low > 2 * floor


def test_double_the_size_is_one_step_and_position_is_none():
    assert of(box=2 * PLAIN["box"])["face_size"] == pytest.approx(of()["face_size"] + 1)
    assert of(box=PLAIN["box"] + 50)["head_motion"] == pytest.approx(of()["head_motion"])


def test_what_cannot_be_measured_is_unknown_and_the_rest_is_known():
    values = of(valid=np.zeros(FRAMES, bool), pulse_pos=np.full(FRAMES, np.nan))
    assert {name for name, value in values.items() if not np.isfinite(value)} == {
        "face_size", "landmark_motion", "pulse_snr",
    }  # fmt: skip
    short = {name: value[:1] for name, value in PLAIN.items()}
    assert np.isfinite(properties.measure(short)[properties.NAMES.index("brightness")])


def test_pairs_are_neighbours_over_the_whole_clip():
    frames = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None]
    pairs = properties.chosen_pairs(frames)[:, 0, 0, 0].astype(int)
    assert (pairs[1::2] - pairs[0::2] == 1).all() and pairs[0] == 0 and pairs[-1] == FRAMES - 1
