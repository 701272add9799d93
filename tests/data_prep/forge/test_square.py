import cv2
import numpy as np
import pytest
from odd.encoder import SEED, draw, encode

from cpml_jax.errors import UserError
from data_prep.face.tracks import Track
from data_prep.forge import square
from data_prep.forge.square import Square, find_square, only_face, read_square, square_path
from data_prep.synthetic.scene import Scene


def track(length=100, size=100.0, start=0, centre=(320.0, 180.0), moving=0.0):
    path = np.repeat(np.array([centre]), length, axis=0)
    path[:, 0] += moving * np.arange(length)
    return Track(start, path, np.full((length, 2), size), np.zeros(length), np.ones(length, bool), 0.99)


def test_a_face_that_does_not_last_or_is_small_or_not_alone_is_refused():
    assert only_face([track(80), track(40, 90.0)], 60).size[0, 0] == 100
    with pytest.raises(UserError, match="shown for 50 frames at 30 frames/s at most, a clip needs 60"):
        only_face([track(50), track(20)], 60)
    with pytest.raises(UserError, match="the face is 30 pixels large, a forgery needs at least 48"):
        only_face([track(80, 30.0)], 60)
    with pytest.raises(UserError, match="two faces of similar size"):
        only_face([track(80), track(80, 70.0)], 60)
    assert len(only_face([track(80), track(80, 40.0)], 60)) == 80, "somebody small in the background"
    assert only_face([track(100), track(100, 90.0, start=100)], 60).start == 0, "one after the other"


def test_the_square_is_still_where_the_face_is_and_slow_where_it_walks():
    side, centre = square_path(track(), 0, 100, 360, 640)
    assert side == pytest.approx(185) and not np.ptp(centre, axis=0).any()
    sway = track()
    sway.centre[:, 1] += 10 * np.sin(np.arange(100))
    assert not np.ptp(square_path(sway, 0, 100, 360, 640)[1], axis=0).any()
    side, centre = square_path(track(moving=2.0), 0, 100, 360, 640)
    assert np.ptp(centre[:, 0]) > 100 and not np.ptp(centre[:, 1])
    assert np.abs(np.diff(centre, n=2, axis=0)).max() < 0.2


@pytest.mark.parametrize("centre", [(50.0, 60.0), (600.0, 320.0)])
def test_the_square_lies_inside_the_picture(centre):
    side, path = square_path(track(centre=centre), 0, 100, 360, 640)
    assert (path >= side / 2).all() and (path <= np.array([640, 360]) - side / 2).all()


def test_a_small_picture_gets_a_smaller_square_or_a_reason():
    side, path = square_path(track(centre=(60.0, 60.0)), 0, 100, 120, 140)
    assert side == 120 and (path[:, 1] == 60).all()
    with pytest.raises(
        UserError, match="fills the picture: its square needs 1.1 times its 100 pixels, the picture has"
    ):
        square_path(track(centre=(50.0, 50.0)), 0, 100, 104, 120)
    with pytest.raises(UserError, match="over the border"):
        square_path(track(centre=(20.0, 180.0)), 0, 100, 360, 640)


def test_landmarks_outside_the_picture():
    points = np.full((20, 68, 2), 50.0)
    assert not square.over_border(points, 100.0, 100, 100)
    points[:2, 0, 1] = -5
    assert not square.over_border(points, 100.0, 100, 100), "a few frames"
    points[:, 0, 1] = -5
    assert square.over_border(points, 100.0, 100, 100)
    points[:, 0, 1] = 104
    assert square.over_border(points, 100.0, 100, 100)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    wide = [cv2.copyMakeBorder(frame, 20, 20, 90, 50, cv2.BORDER_REFLECT) for frame in draw(44)]
    encode(path, wide, options={"crf": "12"})
    return path


def test_from_a_file_to_a_clip(video, tmp_path):
    found = find_square(video, frames=40, size=128)
    assert len(found) == 40 and found.valid.all() and found.landmarks.dtype == np.float32
    np.savez(tmp_path / "s.npz", **found.arrays())
    again = Square.of(np.load(tmp_path / "s.npz"))
    clip = read_square(video, again, video="a", identity="p")
    assert clip.frames.shape == (40, 128, 128, 3) and clip.size == 128 and len(clip) == 40
    assert (clip.video, clip.identity) == ("a", "p") and not clip.repeats().any()
    # The landmarks are where the drawn face's are.
    truth = Scene(seed=SEED, style="a", target=0, frames=44, size=160).truth()["landmarks"][:40]
    scale = 128 / found.side
    where = (truth + [90, 20] + 0.5 - (found.centre - found.side / 2)[:, None]) * scale - 0.5
    assert np.linalg.norm(found.landmarks - where, axis=-1).mean() < 2.5
    # And the frames are cut from where the square says: the same part of the picture, made larger.
    x, y = np.round(found.centre[0] - found.side / 2).astype(int)
    side = round(found.side)
    picture = cv2.copyMakeBorder(draw(44)[0], 20, 20, 90, 50, cv2.BORDER_REFLECT)[y : y + side, x : x + side]
    assert np.abs(cv2.resize(picture, (128, 128)).astype(int) - clip.frames[0]).mean() < 6


def test_too_short_a_video(video):
    with pytest.raises(UserError, match="44 frames at 30 frames/s"):
        find_square(video, frames=60)
    assert len(find_square(video, frames=60, min_frames=40, size=64)) == 44


def test_a_file_that_was_cut_off_since(video, tmp_path):
    found = find_square(video, frames=40, size=64)
    encode(tmp_path / "b.mp4", draw(20))
    with pytest.raises(UserError, match="the file ends before the clip does"):
        read_square(tmp_path / "b.mp4", found)


def test_repeated_pictures_stay_one_picture_in_a_square_that_moves(tmp_path):
    faces = draw(40)
    drifting = [
        cv2.copyMakeBorder(face, 10, 10, 20 + 3 * k, 140 - 3 * k, cv2.BORDER_REFLECT) for k, face in enumerate(faces)
    ]
    encode(tmp_path / "slow.mp4", drifting, rate=15)
    found = find_square(tmp_path / "slow.mp4", frames=60, size=96)
    assert np.ptp(found.centre[:, 0]) > 30
    clip = read_square(tmp_path / "slow.mp4", found)
    assert clip.repeats().sum() >= 29  # a window may begin with the second of two
    np.testing.assert_array_equal(clip.repeats(), ~np.diff(found.centre[:, 0], prepend=-1).astype(bool))


def test_two_people_are_refused(tmp_path):
    both = [np.concatenate(pair, axis=1) for pair in zip(draw(44, target=0), draw(44, target=1), strict=True)]
    encode(tmp_path / "two.mp4", both)
    with pytest.raises(UserError, match="two faces of similar size are shown all the time"):
        find_square(tmp_path / "two.mp4", frames=40)
