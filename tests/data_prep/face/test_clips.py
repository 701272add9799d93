"""One file -> its clips: windows, several faces, cuts."""

import cv2
import numpy as np
import pytest
from odd.encoder import draw, encode

from cpml_jax.errors import UserError
from data_prep.face import clips, landmarks
from data_prep.face.clips import video_clips
from data_prep.face.tracks import Track


def track(length, size, start=0):
    return Track(
        start, np.full((length, 2), 60.0), np.full((length, 2), size), np.zeros(length), np.ones(length, bool), 0.99
    )


def test_plan_windows_refuses_when_no_track_lasts():
    with pytest.raises(UserError, match="the video has 90 frames"):
        clips.plan_windows([track(90, 50.0)], 90, num_frames=160, max_windows=1)


def test_no_more_windows_than_asked_for_of_each_track():
    tracks = [track(50, 60.0), track(30, 40.0, start=7)]
    planned = clips.plan_windows(tracks, 50, num_frames=16, max_windows=2)
    assert [(w.face, w.number, w.first) for w in planned] == [(0, 0, 0), (0, 1, 16), (1, 0, 7)]
    assert len(clips.plan_windows(tracks, 50, num_frames=16, max_windows=None)) == 4


def test_two_faces_are_two_tracks_and_a_lost_face_ends_its_track(tmp_path):
    left, right = draw(48, target=0), draw(48, target=1)
    both = [
        np.concatenate([a, np.full_like(a, 120) if k >= 30 else b], axis=1)
        for k, (a, b) in enumerate(zip(left, right, strict=True))
    ]
    encode(tmp_path / "two.mp4", both)
    made = list(video_clips(tmp_path / "two.mp4", num_frames=24))
    assert {clip.face for clip in made} == {0, 1}
    stays, lost = ([clip for clip in made if (clip.box[0, [0, 2]].mean() < 160) == left] for left in (True, False))
    assert [clip.window for clip in stays] == [0, 1] and [clip.window for clip in lost] == [0]
    assert {clip.face for clip in stays}.isdisjoint(clip.face for clip in lost)


def test_a_scene_cut_starts_another_track(tmp_path):
    frames = draw(30, target=0)
    shifted = [255 - cv2.flip(np.roll(frame, 60, axis=1), 1) // 3 for frame in frames]
    encode(tmp_path / "cut.mp4", frames + shifted + draw(30, target=1))
    made = list(video_clips(tmp_path / "cut.mp4", num_frames=24))
    assert made
    for clip in made:
        first = round(clip.start_s * 30)
        assert first // 30 == (first + 23) // 30, "a clip runs over the cut"


def test_a_video_without_a_face_gives_its_reason(tmp_path):
    encode(tmp_path / "grey.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 24)
    with pytest.raises(UserError, match="no face found in the video"):
        list(video_clips(tmp_path / "grey.mp4", num_frames=24))


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ((), [0, 10, 20]),
        (range(2, 4), [3, 13]),  # two hidden frames of ten are one too many: as soon as one of them is left behind
        (range(12, 16), [0, 15]),
        (range(0, 30), [0, 10, 20]),  # cutting says why
    ],
)
def test_a_window_that_is_too_invalid_gives_way_to_one_that_starts_later(hidden, expected):
    shown = np.ones(30, bool)
    shown[list(hidden)] = False
    assert clips.window_starts(shown, 10, None) == expected
    assert clips.window_starts(shown, 10, 1) == expected[:1]


def test_windows_spread_over_the_track():
    shown = np.ones(101, bool)
    assert clips.window_starts(shown, 10, 3, spread=True) == [0, 46, 91]
    assert clips.window_starts(shown, 10, 1, spread=True) == [45]
    assert clips.window_starts(shown, 60, 3, spread=True) == [20], "no more than fit"
    shown[46:50] = False
    assert clips.window_starts(shown, 10, 3, spread=True) == [0, 49, 91]
    assert clips.window_starts(np.ones(9, bool), 10, 3, spread=True) == []


class Forgetful:
    """The shared detector, but that it misses the face on the second frame that it is ever shown."""

    def __init__(self) -> None:
        self.detector, self.shown = clips.detectors.shared_detector(), 0
        self.identity = self.detector.identity

    def __call__(self, frames):
        first, self.shown = self.shown, self.shown + len(frames)
        return [[] if first + k == 1 else faces for k, faces in enumerate(self.detector(frames))]


def test_one_missed_key_frame_costs_no_window(tmp_path):
    encode(tmp_path / "a.mp4", draw(64))
    (clip,) = video_clips(tmp_path / "a.mp4", num_frames=60, detector=Forgetful())
    hidden = np.flatnonzero(~clip.valid)
    assert 0 < len(hidden) <= 6 and (np.abs(hidden - 15) <= 3).all()


def test_landmarks_off_the_face_are_invalid_and_bridged(tmp_path, monkeypatch):
    encode(tmp_path / "a.mp4", draw(64))
    (good,) = video_clips(tmp_path / "a.mp4", num_frames=64)
    assert good.valid.all()
    fit = landmarks.fit

    def mean_face_on_one_key_frame(frames, face):
        points = fit(frames, face)
        points[28:33] += 0.5 * np.ptp(points[0])
        return points

    monkeypatch.setattr(landmarks, "fit", mean_face_on_one_key_frame)
    monkeypatch.setattr(clips, "MAX_INVALID", 0.3)
    (clip,) = video_clips(tmp_path / "a.mp4", num_frames=64)
    assert not clip.valid[28:33].any() and clip.valid[:20].all() and clip.valid[41:].all()
    assert np.abs(np.diff(clip.landmarks, axis=0)).max() < 2 * np.abs(np.diff(good.landmarks, axis=0)).max()
    monkeypatch.setattr(clips, "MAX_INVALID", 0.05)
    with pytest.raises(UserError, match="landmarks off the face"):
        list(video_clips(tmp_path / "a.mp4", num_frames=64))
