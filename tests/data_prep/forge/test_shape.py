import numpy as np
import pytest
from forge_clips import person
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.forge.draws import Draws, bounce, wander
from data_prep.forge.matching import follow
from data_prep.forge.shape import RIGID, face_size, inverse, moved, ring, similarity, steady, with_forehead

RNG = np.random.default_rng(0)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.3, 3), st.floats(-3, 3), st.floats(-50, 50))
def test_a_similarity_is_found_again_and_undone(scale, angle, shift):
    points = RNG.normal(size=(4, 9, 2)) * 20
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    there = points @ np.array([[c, s], [-s, c]]) + shift
    matrices = similarity(points, there)
    np.testing.assert_allclose(moved(points, matrices), there, atol=1e-8)
    np.testing.assert_allclose(moved(there, inverse(matrices)), points, atol=1e-8)


def test_points_that_are_all_one_are_only_shifted():
    with np.errstate(all="raise"):
        matrix = similarity(np.full((3, 2), 4.0), np.array([[0.0, 0], [2, 0], [1, 3]]))
    np.testing.assert_allclose(matrix, [[1, 0, -3], [0, 1, -3]])


def test_the_heads_motion_is_taken_away_and_given_back():
    face, time = person(0).landmarks[0].astype(float), np.arange(30)
    blink = np.zeros((30, 68, 2))
    blink[10:14, 37:39, 1] = 2
    turn = 0.1 * np.sin(time / 5)
    rotation = np.stack([np.stack([np.cos(turn), np.sin(turn)], -1), np.stack([-np.sin(turn), np.cos(turn)], -1)], -2)
    nodding = (face + blink) @ rotation + np.stack([time, -time], -1)[:, None]
    shapes, back = steady(nodding)
    np.testing.assert_allclose(moved(shapes, back), nodding, atol=1e-8)
    assert np.ptp(shapes[:, RIGID], axis=0).max() < 1e-6
    assert np.allclose(np.linalg.norm(shapes[12, 37] - shapes[0, 37]), 2, atol=1e-6)


def test_the_forehead_lies_over_the_brows_and_the_ring_around_all():
    landmarks = person(0).landmarks
    points = with_forehead(landmarks)
    assert points.shape == (len(landmarks), 76, 2)
    assert (points[:, 68:, 1].max(axis=1) < landmarks[:, 30, 1]).all()
    assert (points[:, 70:74, 1].max(axis=1) < landmarks[:, 17:27, 1].min(axis=1)).all()
    around, size = ring(landmarks, 0.2), face_size(landmarks)
    nearest = np.linalg.norm(around[:, :, None] - points[:, None], axis=-1).min(axis=2)
    assert nearest.min() > 0.1 * size and np.ptp(around, axis=1).min() > 1.2 * size


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=20), st.integers(1, 40))
def test_bounce_stays_inside_and_never_jumps(indices, length):
    index = np.array(indices)
    there = bounce(index, length)
    assert (there >= 0).all() and (there < length).all()
    assert (np.abs(bounce(index + 1, length) - there) <= 1).all()


@pytest.mark.parametrize("slowness", [0, 0.7, 3, 15])
def test_wander_has_the_deviation_and_the_pace_that_it_says(slowness):
    path = wander(np.random.default_rng(1), 20000, 1, slowness)
    assert path.std() == pytest.approx(1, rel=0.15)
    if slowness > 1:  # a Gaussian-filtered course steps by 1 / (sqrt(2) slowness)
        assert np.diff(path, axis=0).std() == pytest.approx(1 / (np.sqrt(2) * slowness), rel=0.15)


def test_draws_are_all_written_down():
    draw = Draws(np.random.default_rng(0))
    values = [draw.uniform("a", 1, 2), draw.whole("b", 3, 4), draw.flag("c", 0.5), draw.choose("d", {"x": 1, "y": 0})]
    assert values == list(draw.parameters.values()) and values[3] == "x"
    assert {draw.whole("b", 3, 4) for _ in range(50)} == {3, 4}


def brute(wanted, have, stiffness):
    """Every path, for a clip small enough."""
    cost = ((wanted[:, None] - have[None]) ** 2).sum(-1)
    cost = cost / np.median(cost)
    best = None
    for path in np.ndindex(*[len(have)] * len(wanted)):
        total = sum(cost[t, n] for t, n in enumerate(path))
        total += stiffness * sum(min(abs(b - a - 1), 8) for a, b in zip(path[:-1], path[1:], strict=True))
        if best is None or total < best[0] - 1e-12:
            best = (total, path)
    return best[1]


@pytest.mark.parametrize("stiffness", [0, 0.2, 5])
def test_the_path_is_the_best_of_all_paths(stiffness):
    wanted, have = RNG.normal(size=(5, 2)), RNG.normal(size=(4, 2))
    assert tuple(follow(wanted, have, stiffness)) == brute(wanted, have, stiffness)


def test_what_is_there_is_followed():
    have = RNG.normal(size=(30, 3))
    np.testing.assert_array_equal(follow(have[5:20], have, 0.3), np.arange(5, 20))
    assert follow(have[:1], have[3:4], 1.0).tolist() == [0]
