import numpy as np

from data_prep.synthetic import motion
from data_prep.synthetic.identity import CENTRE

TIMES = np.arange(900) / 30


def test_a_head_at_rest_maps_the_canvas_onto_the_picture():
    """Pixel centres: canvas pixel 2k + 1/2 of a canvas of twice the side is picture pixel k."""
    matrix = motion.pose_matrix(np.zeros(5), 128, 64)
    np.testing.assert_allclose(matrix @ [20.5, 40.5, 1], [10, 20], atol=1e-9)


def test_a_pose_turns_and_scales_about_the_middle_of_the_face():
    pose = np.array([0.1, -0.05, np.pi / 2, np.log(2), 0.0])
    matrix = motion.pose_matrix(pose, 64, 64)
    centre = np.array(CENTRE) * 64 - 0.5
    np.testing.assert_allclose(matrix @ [*centre, 1], (np.array(CENTRE) + [0.1, -0.05]) * 64 - 0.5, atol=1e-9)
    np.testing.assert_allclose(matrix @ [*(centre + [1, 0]), 1] - matrix @ [*centre, 1], [0, 2], atol=1e-9)


def test_heads_move_by_fractions_of_a_pixel_per_frame_and_not_far():
    for seed in range(5):
        poses = motion.head_motion(np.random.default_rng(seed), TIMES)
        assert poses.shape == (900, 5) and (poses.std(axis=0) > 0).all()
        assert np.abs(np.diff(poses[:, :2], axis=0)).max() * 160 < 1
        assert np.abs(poses[:, :2]).max() < 0.1 and np.abs(poses[:, 2]).max() < 0.2


def test_faces_blink_speak_and_look_within_their_limits():
    moves = motion.expressions(np.random.default_rng(0), TIMES)
    opening, mouth = (np.array([getattr(move, name) for move in moves]) for name in ("open", "mouth"))
    shut = np.diff((opening < 0.5).astype(int)).clip(0).sum()
    assert 5 <= shut <= 15, "10 to 30 blinks per minute"
    assert 0 <= mouth.min() < 0.1 and 0.2 < mouth.max() <= 1
    assert all(abs(move.gaze_x) <= 1 and abs(move.gaze_y) <= 0.5 for move in moves)


def test_light_and_camera_stay_close_to_where_they_were():
    drift = motion.light_drift(np.random.default_rng(0), TIMES, 0.01)
    assert abs(drift.mean() - 1) < 0.01 and 0.003 < drift.std() < 0.02
    pan = np.concatenate([motion.camera_pan(np.random.default_rng(seed), TIMES) for seed in range(20)])
    assert np.abs(pan).max() < motion.PAN_MARGIN and np.ptp(pan) > 2


def test_a_pan_moves_the_background_by_its_pixels():
    room = np.random.default_rng(0).uniform(0, 255, (64 + 2 * motion.PAN_MARGIN,) * 2 + (3,)).astype(np.float32)
    margin = motion.PAN_MARGIN
    np.testing.assert_allclose(
        motion.pan_background(room, np.array([3, -2]), 64), room[margin + 2 : margin + 66, margin - 3 : margin + 61]
    )
