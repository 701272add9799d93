"""Tracks from key frames: linking, cuts, smoothing, memory."""

import tracemalloc

import numpy as np
import pytest

from data_prep.face.detector import Detection
from data_prep.face.tracks import DETECTION_SIDE, FINE_INTERVAL, KEY_INTERVAL, LOST, _smooth, find_tracks, overlap


def path(numbers) -> list:
    return [(n, face(10.0, 10.0, 50.0)) for n in numbers]


def test_a_long_video_needs_memory_by_its_length_not_its_square():
    tracemalloc.start()
    _smooth(path(range(0, 18_000, 15)), 18_000)  # ten minutes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_seen_is_what_the_nearest_key_frame_shows():
    keys = path([0, 15, 30, 44])
    keys[1] = (15, None)
    seen = _smooth(keys, 50).seen
    nearest = [min((0, 15, 30, 44), key=lambda n: abs(n - frame)) for frame in range(50)]
    np.testing.assert_array_equal(seen, [n != 15 for n in nearest])


class Frame:
    """A picture of one grey level."""

    def __init__(self, side: int = 96, level: int = 90) -> None:
        self.rgb, self.level = np.full((side, side, 3), level, np.uint8), level

    @property
    def size(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def thumbnail(self) -> np.ndarray:
        return np.full((32, 32), self.level, np.float32)


class Boxes:
    """A detector that gives one list of boxes after another, frame by frame, and remembers the frames' sides."""

    identity = {"name": "boxes"}

    def __init__(self, boxes) -> None:
        self.boxes, self.batches = list(boxes), []

    def __call__(self, frames):
        self.batches.append([frame.shape[0] for frame in frames])
        return [[face(*box) for box in self.boxes.pop(0)] for _ in frames]


def face(x: float, y: float, side: float) -> Detection:
    places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Detection(np.array([x, y, x + side, y + side]), np.array([x, y]) + side * places, 0.95)


def test_only_key_frames_and_the_last_are_searched_in_batches():
    detector = Boxes([[(10, 10, 40)]] * 6)
    tracks, count = find_tracks((Frame() for _ in range(5 * KEY_INTERVAL - 3)), detector)
    assert count == 72 and [len(batch) for batch in detector.batches] == [4, 2]
    assert [len(track) for track in tracks] == [72] and tracks[0].seen.all()
    np.testing.assert_allclose(tracks[0].centre, 30.0)
    np.testing.assert_allclose(tracks[0].size, 40.0)


def test_large_frames_are_searched_small_and_tracked_in_their_own_pixels():
    detector = Boxes([[(30, 30, 120)]] * 2)
    (track,), _ = find_tracks((Frame(side=4 * DETECTION_SIDE) for _ in range(KEY_INTERVAL)), detector)
    assert detector.batches == [[DETECTION_SIDE, DETECTION_SIDE]]
    np.testing.assert_allclose(track.size, 480.0)


class Numbered:
    """A detector of frames that carry their number: what a function of it says, and which frames were searched."""

    identity = {"name": "numbered"}

    def __init__(self, boxes) -> None:
        self.boxes, self.searched = boxes, []

    def __call__(self, frames):
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        self.searched += numbers
        return [[face(*box) for box in self.boxes(number)] for number in numbers]


def numbered(count: int):
    for number in range(count):
        frame = Frame()
        frame.rgb[0, 0] = number
        yield frame


def test_a_face_missing_for_a_second_ends_its_track():
    frames = 6 * KEY_INTERVAL
    detector = Numbered(lambda n: [] if 2 * KEY_INTERVAL <= n < 4 * KEY_INTERVAL else [(10, 10, 40)])
    tracks, _ = find_tracks(numbered(frames), detector)
    spans = sorted((track.start, track.start + len(track)) for track in tracks)
    assert LOST == 30 and spans == [(0, 2 * KEY_INTERVAL), (4 * KEY_INTERVAL, frames)]


def test_a_face_missed_once_is_searched_more_finely_and_its_track_goes_on():
    detector = Numbered(lambda n: [] if n == KEY_INTERVAL else [(10, 10, 40)])
    ((track,), count) = find_tracks(numbered(4 * KEY_INTERVAL), detector)
    assert (track.start, len(track)) == (0, count) and sorted(track.points) == [0, 5, 10, 20, 25, 30, 45, 59]
    hidden = np.flatnonzero(~track.seen)
    assert len(hidden) and np.abs(hidden - KEY_INTERVAL).max() <= FINE_INTERVAL / 2


def test_a_moving_face_is_searched_more_finely_where_it_moves():
    def box(number):  # rests, crosses a third of its width in half a second, rests
        return [(10 + 14 * np.clip(number - 20, 0, 5) / 5, 10, 40)]

    detector = Numbered(box)
    (track,), _ = find_tracks(numbered(4 * KEY_INTERVAL), detector)
    assert sorted(detector.searched) == [0, 15, 20, 25, 30, 45, 59]
    assert sorted(track.points) == sorted(detector.searched)


def test_a_cut_between_scenes_ends_every_track_and_is_a_key_frame():
    detector = Boxes([[(10, 10, 40)]] * 5)
    cut = KEY_INTERVAL + 4
    frames = (Frame(level=90 if k < cut else 200) for k in range(2 * KEY_INTERVAL))
    tracks, _ = find_tracks(frames, detector)
    assert sorted((track.start, len(track)) for track in tracks) == [(0, cut), (cut, 2 * KEY_INTERVAL - cut)]


def test_overlap_is_intersection_over_union():
    box = np.array([0.0, 0.0, 2.0, 2.0])
    assert overlap(box, box) == 1.0 and overlap(box, box + 2) == 0.0
    assert overlap(box, box + [1, 0, 1, 0]) == pytest.approx(2 / 6)
