"""Suppression against the rule as a loop, over more boxes than are looked at together; squares; what lies inside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.face.mtcnn import boxes


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of whole pixels, many of them alike; scores with ties; three groups."""
    rng = np.random.default_rng(seed)
    corner, size = rng.integers(-5, 40, (count, 2)), rng.integers(0, 30, (count, 2))
    made = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    return made, rng.integers(0, 50, count).astype(np.float32) / 50, rng.integers(0, 3, count)


def union(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    whole = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - width * height
    return width * height / whole if whole else 0.0


def smaller(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1, 0)
    return width * height / min(np.prod(a[2:] - a[:2] + 1), np.prod(b[2:] - b[:2] + 1))


def by_loop(made, scores, group, threshold, share) -> set[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(group[i] != group[j] or share(made[i], made[j]) <= np.float32(threshold) for j in kept):
            kept.append(int(i))
    return set(kept)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 120), st.integers(0, 99), st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression_is_the_greedy_rule(count, seed, threshold):
    made, scores, group = drawn(count, seed)
    kept = boxes.suppress(made, scores, group, threshold)
    assert set(kept.tolist()) == by_loop(made, scores, group, threshold, union)
    assert (np.diff(scores[kept]) <= 0).all()


def test_suppression_of_many_boxes_is_the_greedy_rule():
    made, scores, group = drawn(900, 0)
    assert set(boxes.suppress(made, scores, group, 0.5).tolist()) == by_loop(made, scores, group, 0.5, union)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 99))
def test_the_last_suppression_goes_by_the_smaller_box(count, seed):
    made, _, group = drawn(count, seed)
    scores = np.random.default_rng(seed).permutation(count).astype(np.float32)  # of ties either may stay
    kept = boxes.suppress_inner(made, scores, group, 0.7)
    assert set(kept.tolist()) == by_loop(made, scores, group, 0.7, smaller)


def test_moved_squared_and_inside():
    one = np.array([[10, 20, 30, 60]], np.float32)
    np.testing.assert_array_equal(boxes.moved(one, np.array([[0.5, 0.5, 0, -0.25]], np.float32), 0), [[20, 40, 30, 50]])
    np.testing.assert_array_equal(boxes.moved(one, np.full((1, 4), 1, np.float32), 1), [[31, 61, 51, 101]])
    np.testing.assert_array_equal(boxes.squared(one), [[0, 20, 40, 60]])
    outer = np.array([[-3.9, 0.5, 99.9, 7.9], [5.0, 6.0, 9.0, 9.0]], np.float32)
    np.testing.assert_array_equal(boxes.inside(outer, 8, 50), [[0, 0, 50, 7], [4, 5, 9, 8]])


@pytest.mark.torch
def test_suppression_is_torchvisions():
    import torch
    from torchvision.ops import batched_nms

    made, scores, group = drawn(400, 1)
    theirs = batched_nms(*(torch.from_numpy(part) for part in (made, scores, group)), 0.5).numpy()
    np.testing.assert_array_equal(boxes.suppress(made, scores, group, 0.5), theirs)
