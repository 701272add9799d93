"""The untrained statistics, on clips whose answer is known."""

import numpy as np
import pytest

from cpml_jax.evaluation import baselines
from cpml_jax.metrics import detection
from cpml_jax.schema import CROP_SIZE

T, S = 128, CROP_SIZE


def face() -> np.ndarray:
    """(68, 2) landmarks of a plain frontal face in [-1, 1]."""
    jaw = np.pi * (1 - np.arange(17) / 16)
    points = np.zeros((68, 2))
    points[:17] = np.stack([0.7 * np.cos(jaw), 0.1 + 0.8 * np.sin(jaw)], -1)
    points[17:27] = np.stack([np.linspace(-0.5, 0.5, 10), np.full(10, -0.35)], -1)
    points[27:31, 1] = -0.2, -0.1, 0, 0.1
    points[31:36] = [(-0.1, 0.2), (-0.05, 0.2), (0, 0.2), (0.05, 0.2), (0.1, 0.2)]
    ring = np.arange(6) / 6 * 2 * np.pi
    for start, x in ((36, -0.25), (42, 0.25)):
        points[start : start + 6] = np.stack([x + 0.1 * np.cos(ring), -0.2 + 0.05 * np.sin(ring)], -1)
    ring = np.arange(20) / 20 * 2 * np.pi
    points[48:] = np.stack([0.2 * np.cos(ring), 0.45 + 0.08 * np.sin(ring)], -1)
    return points.astype(np.float32)


def clip_of(inner_phase: float, rng: np.random.Generator) -> np.ndarray:
    """(T, S, S, 3) uint8: skin that pulses at 72 beats/min, the inner face `inner_phase` radians later."""
    inner, _ = baselines.inner_and_rim(face(), S)
    time = np.arange(T) / 30.0
    wave = np.sin(2 * np.pi * 1.2 * time)
    later = np.sin(2 * np.pi * 1.2 * time + inner_phase)
    change = np.where(inner[None] > 0, later[:, None, None], wave[:, None, None])
    colour = np.array([150.0, 110.0, 90.0]) + change[..., None] * np.array([0.4, 1.2, 0.6])
    return (colour + rng.normal(0, 2, (T, S, S, 3))).round().clip(0, 255).astype(np.uint8)


def test_energy_is_in_square_pixels_of_the_crop():
    still = np.broadcast_to(face(), (T, 68, 2))
    assert baselines.landmark_energy(still) == 0
    drift = still + np.linspace(0, 1, T)[:, None, None]
    assert baselines.landmark_energy(drift) == pytest.approx(0, abs=1e-9)  # speed is not restlessness
    noise = np.random.default_rng(0).normal(size=(2000, 68, 2)) * (2 / CROP_SIZE)  # 1 pixel in x and in y
    assert baselines.landmark_energy(noise) == pytest.approx(2 * 6, rel=0.02)  # 1 + 4 + 1 of each axis


def test_energy_skips_frames_that_were_not_measured():
    landmarks = np.broadcast_to(face(), (T, 68, 2)).copy()
    landmarks[50] += 1
    valid = np.arange(T) != 50
    assert baselines.landmark_energy(landmarks) > 0
    assert baselines.landmark_energy(landmarks, valid) == 0
    assert np.isnan(baselines.landmark_energy(landmarks, np.arange(T) % 2 == 0))


def test_sharpness_is_that_of_each_cell_of_the_middle_frame():
    frames = np.full((T, S, S, 3), 128, np.uint8)
    frames[T // 2, :20, 108:] += np.random.default_rng(0).integers(0, 50, (20, 20, 1), dtype=np.uint8)
    grid = baselines.sharpness_grid(frames)
    assert grid.shape == (36,) and grid.argmax() == 5 and grid[5] > 5
    assert np.delete(grid, [5, 4, 11, 10]).max() == 0  # the Laplacian reaches one pixel over the cells' borders
    assert baselines.sharpness_grid(np.roll(frames, 1, axis=0)).max() == 0


def test_masks_are_apart_and_lie_on_the_face():
    inner, rim = baselines.inner_and_rim(face(), S)
    assert not (inner & rim).any() and set(np.unique(inner)) == {0, 1}
    middle = lambda x, y: (int((y + 1) * S / 2), int((x + 1) * S / 2))  # noqa: E731
    assert inner[middle(0, 0)] and not inner[middle(0.25, -0.2)] and not inner[middle(0, 0.45)]  # no eye, no mouth
    assert rim[middle(0, 0.8)] and rim[middle(0.6, 0.1)] and rim[middle(0, -0.55)]  # chin, cheek, forehead
    assert not rim[middle(0.95, 0.95)] and not rim[middle(0, -0.95)]


def test_agreement_tells_a_shared_pulse_from_anothers():
    rng = np.random.default_rng(0)
    landmarks = np.broadcast_to(face(), (T, 68, 2))
    assert baselines.inner_rim_agreement(clip_of(0.0, rng), landmarks) > 0.8
    assert abs(baselines.inner_rim_agreement(clip_of(np.pi / 2, rng), landmarks)) < 0.4
    assert baselines.inner_rim_agreement(clip_of(np.pi, rng), landmarks) < -0.8


def test_agreement_of_flat_or_absent_skin_is_zero():
    flat = np.full((T, S, S, 3), 100, np.uint8)
    assert baselines.inner_rim_agreement(flat, np.broadcast_to(face(), (T, 68, 2))) == 0
    outside = np.broadcast_to(face() + 5, (T, 68, 2))
    assert baselines.inner_rim_agreement(clip_of(0.0, np.random.default_rng(0)), outside) == 0


def row(method: str, video: str, identity: str, source: str = "") -> dict:
    return {"video_key": f"faces/{method}/raw/{video}", "identity": identity, "source_identity": source}


def test_groups_join_everyone_who_is_in_a_video_together():
    rows = [
        row("real", "a", "a"),
        row("FaceSwap", "a_b", "a", "b"),
        row("real", "b", "b"),
        row("FaceSwap", "c_b", "c", "b"),
        row("real", "d", "d"),
        row("real", "e", ""),
        row("real", "f", ""),
        row("FaceSwap", "d_", "d"),
    ]
    groups = baselines.identity_groups(rows)
    assert groups[0] == groups[1] == groups[2] == groups[3] and groups[4] == groups[7]
    assert len(set(groups)) == 4  # nobody is known of e and f: each is a group


def test_cross_validation_reads_a_cue_and_cannot_remember_people():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 10)
    labels = np.tile(np.arange(10) % 2, 12)
    people = rng.normal(size=(12, 36))[groups] * 3  # tells the group, nothing else
    noise = rng.normal(size=(120, 36))
    cue = np.zeros((120, 36))
    cue[:, 7] = 4 * labels
    scores = baselines.cross_validated(noise + cue, labels, groups)
    assert scores.shape == (120,) and detection.auc(labels, scores) > 0.9
    assert 0.3 < detection.auc(labels, baselines.cross_validated(people + noise, labels, groups)) < 0.7
    # One label a group: whoever could remember people would have an AUC of 1.
    of_group = groups % 2
    assert detection.auc(of_group, baselines.cross_validated(people + noise, of_group, groups)) < 0.9


def test_cross_validation_without_both_classes_on_both_sides_gives_nothing():
    features = np.random.default_rng(0).normal(size=(8, 36))
    assert baselines.cross_validated(features, np.arange(8) % 2, np.zeros(8, int)) is None
    assert baselines.cross_validated(features, np.zeros(8, int), np.arange(8)) is None
