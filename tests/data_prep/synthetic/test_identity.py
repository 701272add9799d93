import numpy as np

from data_prep.synthetic.identity import Expression, brow, draw_identity, landmarks, lids, lips


def test_landmarks_lie_inside_the_picture_in_their_order():
    for number in range(20):
        points = landmarks(draw_identity(0, "a", number), Expression(mouth=0.5))
        assert points.shape == (68, 2) and points.min() > 0 and points.max() < 1
        assert points[0, 0] < points[16, 0] and points[8, 1] == points[:, 1].max()
        assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
        assert points[62, 1] < points[66, 1]  # the open mouth


def test_identities_follow_from_seed_style_and_number_alone():
    assert draw_identity(0, "a", 3) == draw_identity(0, "a", 3)
    others = [draw_identity(0, "a", 3), draw_identity(1, "a", 3), draw_identity(0, "b", 3), draw_identity(0, "a", 4)]
    assert len({face.detail_seed for face in others}) == len(others)


def test_lids_and_lips_meet_when_shut_and_part_when_open():
    face, u = draw_identity(0, "a", 0), np.linspace(-1, 1, 9)
    for openness, gap in ((1.0, True), (0.0, False)):
        upper, lower = lids(face, 1, openness, u)
        assert (lower[4, 1] - upper[4, 1] > face.eye_height) == gap
    for mouth, gap in ((1.0, 0.04), (0.0, 0.0)):
        _, inner_top, inner_bottom, _ = lips(face, Expression(mouth=mouth), u)
        np.testing.assert_allclose(inner_bottom[4, 1] - inner_top[4, 1], gap, atol=1e-12)


def test_a_brow_rises():
    face, u = draw_identity(0, "a", 0), np.linspace(-1, 1, 5)
    assert (brow(face, -1, 1.0, u)[:, 1] < brow(face, -1, 0.0, u)[:, 1]).all()
