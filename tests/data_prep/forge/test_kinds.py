"""Every kind, on drawn people."""

import dataclasses
import json

import numpy as np
import pytest
from forge_clips import LENGTH, person

from cpml_jax.errors import UserError
from data_prep.forge.kinds import KINDS, forge_clip, window
from data_prep.forge.shape import with_forehead

A, B = person(0), person(1)
MADE = {}


def made(kind, seed=1):
    if (kind, seed) not in MADE:
        MADE[kind, seed] = forge_clip(kind, A, B, seed)
    return MADE[kind, seed]


def test_the_kinds():
    assert list(KINDS) == ["swap", "selfblend", "reenact", "regen", "motion"]
    assert [kind.name for kind in KINDS.values() if kind.needs_other] == ["swap"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outside_the_mask_the_pixels_are_the_targets(kind, seed):
    forged = made(kind, seed)
    assert forged.frames.shape == A.frames.shape and forged.frames.dtype == np.uint8
    assert forged.mask.shape == A.frames.shape[:3] and set(np.unique(forged.mask)) <= {0, 255}
    np.testing.assert_array_equal(forged.frames[forged.mask == 0], A.frames[forged.mask == 0])
    share = (forged.mask > 0).mean()
    assert 0 < share < 0.6, "the mask is a part of the picture"
    assert np.abs(forged.frames.astype(int) - A.frames).max() > 8, "and something has changed"


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_lies_on_the_face(kind):
    points = with_forehead(A.landmarks)
    low, high = points.min(axis=1), points.max(axis=1)
    margin = 0.5 * (high - low)
    for plane, first, last in zip(made(kind).mask, low - margin, high + margin, strict=True):
        y, x = np.nonzero(plane)
        assert len(x) and x.min() > first[0] and x.max() < last[0] and y.min() > first[1] and y.max() < last[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_another_another(kind):
    again, other = forge_clip(kind, A, B, 1), made(kind, 2)
    assert again.frames.tobytes() == made(kind).frames.tobytes() and again.mask.tobytes() == made(kind).mask.tobytes()
    assert again.parameters == made(kind).parameters
    assert other.frames.tobytes() != again.frames.tobytes() and other.parameters != again.parameters


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_json_and_say_who_and_what(kind):
    about = json.loads(json.dumps(made(kind).parameters, allow_nan=False))
    assert about == made(kind).parameters
    assert (about["kind"], about["target"], about["source"], about["seed"]) == (kind, "v0", "v1", 1)
    assert (about["identity"], about["source_identity"]) == ("p0", "p1")
    assert len(about["forgery"]) > 4 and about["pulse"]["choice"] in ("whole", "removed", "transplanted", "delayed")


def test_the_pulse_is_left_whole_in_about_half_of_the_clips():
    short = [dataclasses.replace(clip, frames=clip.frames[:3], landmarks=clip.landmarks[:3], valid=clip.valid[:3])
             for clip in (A, B)]  # fmt: skip
    choices = [forge_clip("regen", *short, seed).parameters["pulse"]["choice"] for seed in range(60)]
    assert 18 <= choices.count("whole") <= 42 and set(choices) == {"whole", "removed", "transplanted", "delayed"}
    alone = {forge_clip("regen", short[0], short[0], seed).parameters["pulse"]["choice"] for seed in range(40)}
    assert alone == {"whole", "removed", "delayed"}, "nobody else's pulse to put in"


@pytest.mark.parametrize("kind", KINDS)
def test_a_repeated_picture_is_forged_once(kind):
    index = np.sort(np.r_[np.arange(12), [3, 7, 7]])
    slow = dataclasses.replace(A, frames=A.frames[index], landmarks=A.landmarks[:15], valid=A.valid[:15])
    forged = forge_clip(kind, slow, B, 4)
    repeats = slow.repeats()
    assert repeats.sum() == 3
    for array in (forged.frames, forged.mask):
        np.testing.assert_array_equal(array[repeats], array[np.flatnonzero(repeats) - 1])
    moving = dataclasses.replace(forged_clip(slow, forged)).repeats()
    assert moving.sum() == 3, "and only those"


def forged_clip(clip, forged):
    return dataclasses.replace(clip, frames=forged.frames)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [(-38, 0), (33, 28), (0, -50)])
def test_a_face_at_the_border(kind, shift):
    """Half of it may be outside: nothing breaks, and the rest of the picture stays."""
    moved = dataclasses.replace(
        A,
        frames=np.roll(A.frames[:8], shift, axis=(2, 1)),
        landmarks=A.landmarks[:8] + np.float32(shift),
        valid=A.valid[:8],
    )
    forged = forge_clip(kind, moved, B, 2)
    np.testing.assert_array_equal(forged.frames[forged.mask == 0], moved.frames[forged.mask == 0])


@pytest.mark.parametrize("kind", KINDS)
def test_landmarks_that_jump_for_a_frame_and_mouths_that_are_a_line(kind):
    landmarks = A.landmarks[:10].copy()
    landmarks[4] += [25, -14]
    landmarks[:, 48:68, 1] = landmarks[:, 48:49, 1]
    valid = A.valid[:10].copy()
    valid[4] = False
    odd = dataclasses.replace(A, frames=A.frames[:10], landmarks=landmarks, valid=valid)
    with np.errstate(divide="raise", invalid="raise"):
        forged = forge_clip(kind, odd, dataclasses.replace(odd, identity="p1", video="v1"), 3)
    np.testing.assert_array_equal(forged.frames[forged.mask == 0], odd.frames[forged.mask == 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 2, 7])
def test_clips_of_any_length_and_a_source_of_another(kind, length):
    short = dataclasses.replace(A, frames=A.frames[:length], landmarks=A.landmarks[:length], valid=A.valid[:length])
    assert len(forge_clip(kind, short, B, 5).frames) == length
    forged = forge_clip(kind, A, dataclasses.replace(short, identity="p1"), 5)
    assert len(forged.frames) == LENGTH


@pytest.mark.parametrize("kind", KINDS)
def test_a_square_of_another_size_and_a_face_alone(kind):
    large = person(2, 6, 192)
    source = B if KINDS[kind].needs_other else large
    forged = forge_clip(kind, large, source, 6)
    assert forged.frames.shape == large.frames.shape
    np.testing.assert_array_equal(forged.frames[forged.mask == 0], large.frames[forged.mask == 0])


def test_what_cannot_be_forged_says_why():
    with pytest.raises(UserError, match="unknown kind of forgery 'faceswap': one of swap, selfblend"):
        forge_clip("faceswap", A, B, 0)
    with pytest.raises(UserError, match="swap needs another person: v0 and v0 both show p0"):
        forge_clip("swap", A, A, 0)
    nobody = dataclasses.replace(B, valid=np.zeros(LENGTH, bool))
    with pytest.raises(UserError, match="v1: no frame with a face"):
        forge_clip("swap", A, nobody, 0)
    with pytest.raises(UserError, match="v0: the face is 6 pixels large"):
        forge_clip("regen", dataclasses.replace(A, landmarks=A.landmarks / 10), B, 0)


def test_the_window_holds_the_face_and_lies_in_the_picture():
    rows, columns = window(A)
    points = with_forehead(A.landmarks)
    assert columns.start < points[..., 0].min() and columns.stop > points[..., 0].max()
    assert 0 <= rows.start < rows.stop <= 128 and 0 <= columns.start < columns.stop <= 128


def test_seams_are_neither_always_visible_nor_never():
    """The step of colour across the mask's edge, against the target's own there, over some clips."""
    import cv2

    steps = []
    for seed in range(12):
        forged = forge_clip("swap", person(0, 3), person(1, 3), seed)
        mask = forged.mask[1]
        edge = (cv2.dilate(mask, np.ones((3, 3))) != cv2.erode(mask, np.ones((3, 3))))[..., None]
        gradient = [np.abs(np.diff(f[1].astype(float), axis=1, append=0)) for f in (forged.frames, person(0, 3).frames)]
        steps.append(float((np.abs(gradient[0] - gradient[1]) * edge).sum() / edge.sum() / 3))
    assert min(steps) < 0.6 < 2.0 < max(steps), steps
