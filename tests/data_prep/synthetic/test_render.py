import numpy as np
import pytest

from data_prep.synthetic.identity import Expression, draw_identity, landmarks
from data_prep.synthetic.pulse import COLOUR_WEIGHTS
from data_prep.synthetic.render import cover, draw_face, draw_portrait

SIZE = 96
CANVAS = 2 * SIZE


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(draw_identity(0, "a", 0), SIZE)


def box(portrait, points: slice, margin: int = 2) -> tuple[slice, slice]:
    """Rows and columns of the canvas around some of the landmarks of an open mouth and open eyes."""
    chosen = landmarks(portrait.face, Expression(mouth=1.0))[points] * CANVAS
    (x0, y0), (x1, y1) = chosen.min(0).astype(int) - margin, chosen.max(0).astype(int) + margin + 1
    return slice(y0, y1), slice(x0, x1)


def test_a_polygon_covers_its_area_with_soft_edges():
    square = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    mask = cover(square, (64, 64), (0, 0), 64)
    assert mask.min() == 0 and mask.max() == 1 and mask.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(cover(square, (32, 32), (16, 16), 64), mask[16:48, 16:48])


def test_layers_have_their_shapes_and_the_face_is_covered(portrait):
    for layer in (portrait.base, portrait.pulsing, portrait.lit, portrait.lips):
        assert layer.shape == (CANVAS, CANVAS, 3) and layer.dtype == np.float32 and np.isfinite(layer).all()
    assert portrait.alpha.shape == (CANVAS, CANVAS)
    features = portrait.alpha[box(portrait, slice(17, 68))]
    assert features.mean() > 0.99 and features.min() > 0.5 and portrait.alpha[:4, :4].max() == 0


def test_the_pulse_adds_its_layer_mostly_green_and_nothing_outside_the_skin(portrait):
    rest, beat = draw_face(portrait, Expression(), 0.0), draw_face(portrait, Expression(), 1.0)
    cheek = box(portrait, slice(31, 36), margin=6)
    change = (beat - rest)[cheek].reshape(-1, 3).mean(0) / rest[cheek].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(change / change[1], COLOUR_WEIGHTS, rtol=0.03)
    assert 0.005 < change[1] < 0.03
    bare = portrait.alpha == 0
    np.testing.assert_array_equal(beat[bare], rest[bare])


@pytest.mark.parametrize(
    "expression, part", [(Expression(open=0.0), slice(36, 48)), (Expression(mouth=1.0), slice(48, 68))]
)
def test_an_expression_changes_its_part_of_the_face_and_nothing_else(portrait, expression, part):
    change = np.abs(draw_face(portrait, expression, 0.0) - draw_face(portrait, Expression(), 0.0)).max(-1)
    window = box(portrait, part, margin=8)
    assert change[window].max() > 20
    change[window] = 0
    assert change.max() == 0


def test_a_window_below_the_eyes_leaves_them_out(portrait):
    rows, columns = box(portrait, slice(48, 68))
    whole = draw_face(portrait, Expression(), 1.0)
    part = draw_face(portrait, Expression(), 1.0, (columns.start, rows.start, columns.stop, rows.stop))
    np.testing.assert_array_equal(part[rows, columns], whole[rows, columns])
    eyes = box(portrait, slice(36, 48))
    np.testing.assert_array_equal(part[eyes], portrait.base[eyes])
