import dataclasses

import numpy as np
import pytest
from forge_clips import person

from data_prep.forge import motion, reenact, swap
from data_prep.forge.draws import Draws
from data_prep.forge.shape import RIGID, face_size, steady

A, B = person(0), person(1)


def disturbed(seed, target=A, source=B):
    return motion.disturbed(Draws(np.random.default_rng(seed)), target, source)


@pytest.mark.parametrize("seed", range(6))
def test_movements_change_within_their_limits(seed):
    moves = disturbed(seed) - A.landmarks
    assert moves.shape == A.landmarks.shape and np.isfinite(moves).all()
    farthest = np.linalg.norm(moves, axis=-1).max() / face_size(A.landmarks)
    assert 0.003 < farthest <= motion.FARTHEST * 1.02


def test_the_head_moves_as_before():
    """Its pose may not jump: what is disturbed are the movements within the face."""
    for seed in range(4):
        before, after = (steady(points)[1] for points in (A.landmarks, disturbed(seed)))
        assert np.abs(after[:, :, 2] - before[:, :, 2]).max() < 0.1 * face_size(A.landmarks)
        rigid = np.linalg.norm((disturbed(seed) - A.landmarks)[:, RIGID], axis=-1).max()
        assert rigid <= motion.FARTHEST * 1.02 * face_size(A.landmarks)


def test_components_are_orthonormal_and_hold_what_moves():
    shapes, _ = steady(A.landmarks)
    movements = (shapes - shapes.mean(axis=0)).reshape(len(shapes), -1)
    basis = motion.components(movements)
    assert basis.shape == (motion.COMPONENTS, 136)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-9)
    left = movements - movements @ basis.T @ basis
    assert (left**2).sum() < 0.05 * (movements**2).sum()


def test_each_change_is_what_it_says():
    rng = np.random.default_rng(0)
    own, theirs = rng.normal(size=(50, 10)), 3 * rng.normal(size=(80, 10))
    seen = set()
    for seed in range(10):
        draw = Draws(np.random.default_rng(seed))
        change = motion.changed(draw, own, theirs)
        done = {entry["component"]: entry for entry in draw.parameters["changes"]}
        for number in range(10):
            if number not in done:
                assert not change[:, number].any()
                continue
            how, amount = done[number]["change"], done[number]["amount"]
            seen.add(how)
            course = own[:, number] + change[:, number]
            if how == "damped":
                np.testing.assert_allclose(course, (1 - amount) * own[:, number], atol=1e-12)
            elif how == "delayed":
                later, earlier = (course[amount:], own[:-amount]) if amount > 0 else (course[:amount], own[-amount:])
                np.testing.assert_allclose(later, earlier[:, number], atol=1e-12)
            else:
                assert course.std() == pytest.approx(own[:, number].std(), rel=0.5)
                assert abs(np.corrcoef(course, own[:, number])[0, 1]) < 0.6
        assert done.keys() & {0, 1, 2}, "one of the largest is among them"
    assert seen == set(motion.CHANGES)


def test_a_face_that_hardly_moves_is_moved_visibly_and_a_frozen_one_breaks_nothing():
    middle = A.landmarks.mean(axis=0, keepdims=True)
    calm = dataclasses.replace(A, landmarks=(middle + 0.3 * (A.landmarks - middle)).astype(np.float32))
    weak, strong = (np.abs(disturbed(2, clip) - clip.landmarks).max() for clip in (calm, A))
    assert weak > 0.3 * strong
    frozen = dataclasses.replace(A, landmarks=np.repeat(middle, len(A), axis=0).astype(np.float32))
    with np.errstate(divide="raise", invalid="raise"):
        assert np.isfinite(disturbed(2, frozen, frozen)).all()


def test_outside_the_margin_nothing_moves_and_pixels_are_the_targets():
    forged = motion.forge(A, B, np.random.default_rng(1))
    np.testing.assert_array_equal(forged.frames[forged.mask == 0], A.frames[forged.mask == 0])
    assert 0.02 < (forged.mask > 0).mean() < 0.7


def test_a_driven_face_follows_the_source():
    """The opening of the mouth, without the head's motion, correlates with the source's."""
    draw = Draws(np.random.default_rng(4))
    _, places = reenact.driven(draw, A, B)
    begin, kept = draw.parameters["begin"], draw.parameters["kept"]
    index = reenact.bounce(np.arange(len(A)) + begin, len(B))

    def opening(points):
        shapes, _ = steady(points)
        return shapes[:, 66, 1] - shapes[:, 62, 1]

    ours, theirs, now = opening(A.landmarks), opening(B.landmarks)[index], opening(places)
    expected = kept * (ours - ours.mean()) + draw.parameters["gain"] * (theirs - theirs.mean()) * (
        face_size(A.landmarks) / face_size(B.landmarks)
    )
    assert np.corrcoef(now, expected)[0, 1] > 0.9


def test_another_moment_is_another_moment():
    draw = Draws(np.random.default_rng(0))
    layer, places = reenact.moment(draw, A)
    assert draw.parameters["offset"] >= reenact.LEAST_OFFSET
    assert layer.shape == A.frames.shape and places.shape == A.landmarks.shape
    assert np.abs(layer[0].astype(int) - A.frames[0]).mean() > 0.5


def test_an_expression_in_between_leaves_the_jaw():
    between = swap.expression_between(A.landmarks, B.landmarks, 0.4)
    np.testing.assert_array_equal(between[:, :17], A.landmarks[:, :17])
    full = swap.expression_between(A.landmarks, B.landmarks, 1.0)
    np.testing.assert_allclose(between[:, 17:] - A.landmarks[:, 17:], 0.4 * (full - A.landmarks)[:, 17:], atol=1e-3)
    assert swap.expression_between(A.landmarks, B.landmarks, 0.0) is A.landmarks


@pytest.mark.parametrize("seed", range(8))
def test_moments_are_the_sources_and_never_invalid_ones_where_they_are_chosen(seed):
    valid = np.ones(len(B), bool)
    valid[5:30] = False
    draw = Draws(np.random.default_rng(seed))
    chosen = swap.moments(draw, A, dataclasses.replace(B, valid=valid))
    assert len(chosen) == len(A) and chosen.min() >= 0 and chosen.max() < len(B)
    if draw.parameters["moments"] != "sequence":
        assert valid[chosen].all()
    else:
        assert (np.abs(np.diff(chosen)) <= 1).all()
