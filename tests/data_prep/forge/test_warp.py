import cv2
import numpy as np
import pytest
from scipy.spatial import Delaunay

from data_prep.forge.warp import triangulate, warp, warp_clip, warp_map

RNG = np.random.default_rng(0)
SHAPE = (60, 80)
CORNERS = np.array([[0, 0], [79, 0], [0, 59], [79, 59]], float)


def scattered(count=20):
    return np.concatenate([CORNERS, RNG.uniform(5, 55, (count, 2))])


def own_places():
    return np.moveaxis(np.mgrid[: SHAPE[0], : SHAPE[1]][::-1], 0, -1).astype(float)


def twin(places, origins, triangles):
    """Barycentric, one pixel after another; and which pixels lie well inside a triangle."""
    made, inside = own_places(), np.zeros(SHAPE, bool)
    for y, x in np.ndindex(*SHAPE):
        for triangle in triangles:
            weights = np.linalg.solve(np.vstack([places[triangle].T, np.ones(3)]), [x, y, 1])
            if (weights >= -1e-9).all():
                made[y, x] = weights @ origins[triangle]
                heights = weights * np.abs(np.linalg.det(np.vstack([places[triangle].T, np.ones(3)])))
                longest = np.linalg.norm(places[triangle] - np.roll(places[triangle], 1, axis=0), axis=1).max()
                inside[y, x] = heights.min() > 1.5 * longest  # pixels from the nearest edge, at least
                break
    return made, inside


def test_identical_points_are_the_identity():
    points = scattered()
    maps = warp_map(points, points, triangulate(points), SHAPE)
    np.testing.assert_allclose(maps, own_places(), atol=1e-4)
    picture = RNG.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(picture, maps), picture)


def test_an_affine_map_is_exact():
    points, linear, shift = scattered(), np.array([[1.05, 0.1], [-0.08, 0.93]]), np.array([2.0, -3.0])
    maps = warp_map(points, points @ linear.T + shift, triangulate(points), SHAPE)
    np.testing.assert_allclose(maps, own_places() @ linear.T + shift, atol=1e-3)


def test_piecewise_as_the_barycentric_twin():
    places = scattered(8)
    origins = places + RNG.uniform(-3, 3, places.shape)
    triangles = triangulate(places)
    np.testing.assert_array_equal(triangles, Delaunay(places).simplices)
    ours, (theirs, inside) = warp_map(places, origins, triangles, SHAPE), twin(places, origins, triangles)
    assert inside.mean() > 0.4
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-3)
    # A pixel beside an edge may be taken for the other triangle's, whose map continues within a pixel.
    np.testing.assert_allclose(ours, theirs, atol=1)
    assert np.abs(ours - theirs).mean() < 0.02


def test_outside_the_triangles_nothing_moves():
    points = np.array([[20, 20], [50, 20], [35, 45], [35, 30]], float)
    moved = points.copy()
    moved[3] += 4
    maps = warp_map(moved, points, triangulate(points), SHAPE)
    outside = cv2.fillConvexPoly(np.zeros(SHAPE, np.uint8), points[:3].astype(np.int32), 1) == 0
    np.testing.assert_array_equal(maps[outside], own_places()[outside])
    assert np.abs(maps - own_places()).max() > 2


@pytest.mark.parametrize("height", [0.0, 1e-9, 0.004])
def test_a_closed_mouth_opens_no_hole_and_divides_by_nothing(height):
    opened = np.concatenate([CORNERS, [[30, 30], [40, 27], [50, 30], [40, 33]]])
    closed = opened.copy()
    closed[5:8, 1] = 30, 30, 30
    closed[5, 1] -= height
    triangles = triangulate(opened)
    with np.errstate(all="raise"):
        maps = warp_map(closed, opened, triangles, SHAPE)
    assert np.isfinite(maps).all()
    assert np.abs(maps - own_places()).max() < 4, "no pixel comes from farther than the lips open"


def test_points_on_a_line_make_no_triangle():
    line = np.column_stack([np.arange(5.0), np.arange(5.0)])
    assert triangulate(line).shape == (0, 3)
    maps = warp_map(line, line + 1, triangulate(line), SHAPE)
    np.testing.assert_array_equal(maps, own_places())


def test_each_frame_comes_from_the_picture_that_was_chosen():
    points = scattered()
    pictures = np.stack([np.full((*SHAPE, 3), level, np.uint8) for level in (10, 20, 30)])
    made = warp_clip(pictures, np.stack([points] * 3), np.stack([points] * 4), SHAPE, np.array([2, 0, 0, 1]))
    assert [int(frame.mean()) for frame in made] == [30, 10, 10, 20]
