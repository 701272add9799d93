import numpy as np

from data_prep.synthetic import motion
from data_prep.synthetic.identity import CENTRE

TIMES = np.arange(900) / 30


def test_a_head_at_rest_maps_the_canvas_onto_the_picture():
    """Pixel centres: canvas pixel 2k + 1/2 of a canvas of twice the side is picture pixel k."""
    matrix = motion.pose_matrix(np.zeros(7), 128, 64)
    np.testing.assert_allclose(matrix @ [20.5, 40.5, 1], [10, 20], atol=1e-9)


def test_a_pose_turns_and_scales_about_the_middle_of_the_face():
    pose = np.array([0.1, -0.05, np.pi / 2, np.log(2), 0.0, 0.0, 0.0])
    matrix = motion.pose_matrix(pose, 64, 64)
    centre = np.array(CENTRE) * 64 - 0.5
    np.testing.assert_allclose(matrix @ [*centre, 1], (np.array(CENTRE) + [0.1, -0.05]) * 64 - 0.5, atol=1e-9)
    np.testing.assert_allclose(matrix @ [*(centre + [1, 0]), 1] - matrix @ [*centre, 1], [0, 2], atol=1e-9)


def speeds(poses: np.ndarray) -> np.ndarray:
    """Rms speed of the head in face sides a second."""
    return np.sqrt((np.diff(poses[:, :2], axis=0) ** 2).sum(1).mean()) * 30 / motion.FACE


def test_some_heads_rest_and_some_move_and_none_leaves_the_picture():
    poses = [motion.head_motion(np.random.default_rng(seed), TIMES) for seed in range(40)]
    assert all(pose.shape == (900, 7) and (pose.std(axis=0) > 0).all() for pose in poses)
    assert max(np.abs(pose[:, :2]).max() for pose in poses) < 0.14
    assert max(np.abs(pose[:, 2]).max() for pose in poses) < 0.29
    low, middle, high = np.percentile([speeds(pose) for pose in poses], [10, 50, 90])
    assert 0.02 < low < 0.1 < middle < 0.3 < high < 0.6, "real heads: 0.054, 0.16, 0.38"


def test_motion_falls_with_frequency_and_has_its_speed():
    signal, speed = motion.wander(np.random.default_rng(0), TIMES, 0.12, 9.0, 1.8, 50)
    power = (np.abs(np.fft.rfft(signal * np.hanning(900)[:, None], axis=0)) ** 2).mean(1)
    frequency = np.fft.rfftfreq(900, 1 / 30)
    band = lambda low, high: power[(frequency >= low) & (frequency < high)].sum()  # noqa: E731
    assert 4 < band(1, 2) / band(2, 4) < 9 and band(4, 8) > 100 * band(10, 15)  # an octave takes 2^(2 x 1.8 - 1)
    np.testing.assert_allclose(signal.std(), 1, rtol=0.15)
    slow = signal[::5]  # 6 frames/s: what is slower than SLOW, roughly
    np.testing.assert_allclose(np.diff(slow, axis=0).std() * 6, speed, rtol=0.4)


def test_a_quantile_follows_its_table():
    rng = np.random.default_rng(0)
    drawn = [motion.quantile(rng, motion.HEAD_SPEED, common, 0.7) for common in rng.standard_normal(4000)]
    np.testing.assert_allclose(np.percentile(drawn, [10, 25, 50, 75, 90]), motion.HEAD_SPEED[1:-1], rtol=0.1)


def test_faces_blink_speak_and_look_within_their_limits():
    everybody = [motion.expressions(np.random.default_rng(seed), TIMES) for seed in range(30)]
    values = {
        name: np.array([[getattr(move, name) for move in moves] for moves in everybody])
        for name in ("open", "mouth", "gaze_x", "gaze_y")
    }
    blinks = np.diff((values["open"] < 0.5).astype(int), axis=1).clip(0).sum(1) * 2  # a minute
    assert blinks.min() < 8 and 10 < np.median(blinks) < 40 and blinks.max() < 85
    mouth = values["mouth"]
    assert 0 <= mouth.min() and mouth.max() <= 1
    low, high = np.percentile(mouth.std(1), [10, 90])
    assert high > 2 * low, "some talk more than others"
    assert np.abs(values["gaze_x"]).max() <= 1 and np.abs(values["gaze_y"]).max() <= 0.5


def test_light_and_camera_stay_close_to_where_they_were():
    light = motion.light(np.random.default_rng(0), TIMES, 0.01, 96)
    assert light.shape == (900, 96) and abs(light.mean() - 1) < 0.01 and 0.003 < light.std() < 0.03
    shakes = [motion.camera_shake(np.random.default_rng(seed), TIMES) for seed in range(40)]
    assert np.abs(shakes).max() < 0.05
    low, high = np.percentile([np.diff(shake, axis=0).std() for shake in shakes], [10, 90])
    assert high > 4 * low


def test_a_pan_moves_the_background_by_its_pixels():
    room = np.random.default_rng(0).uniform(0, 255, (64 + 2 * motion.PAN_MARGIN,) * 2 + (3,)).astype(np.float32)
    margin = motion.PAN_MARGIN
    np.testing.assert_allclose(
        motion.pan_background(room, np.array([3, -2]), 64), room[margin + 2 : margin + 66, margin - 3 : margin + 61]
    )
