"""Tracks and the choice among them, without MTCNN where it is not the matter."""

import tracemalloc

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from cpml_jax.errors import UserError
from data_prep.face import clips
from data_prep.face.crop import CropPath
from data_prep.face.detector import Detection, shared_detector
from data_prep.face.tracks import Track, _smooth
from data_prep.records import process
from data_prep.sources import Video
from data_prep.video.picture import Picture, Screen
from data_prep.video.reader import StreamInfo


def path(numbers):
    eyes = np.array([[20.0, 30.0], [40.0, 30.0]])
    return [(n, Detection(np.array([10.0, 10.0, 60.0, 60.0]), eyes, 0.99)) for n in numbers]


def track(length, size, start=0):
    return Track(
        start, np.full((length, 2), 60.0), np.full((length, 2), size), np.zeros(length), np.ones(length, bool), 0.99
    )


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


def test_a_frame_too_small_for_a_face_has_none():
    assert shared_detector()([np.full((16, 16, 3), 90, np.uint8)] * 2) == [[], []]


def listed(**changes):
    fields = dict(
        path="x.mp4", label=0, method="real", compression="raw", video="x", identity="x", source_identity="",
        target_video="", split="test", track_key="real/x",
    )  # fmt: skip
    return Video(**(fields | changes))


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """The windows that preparation plans for a video with the given tracks, or the reason that it gives."""

    def plan(*tracks, num_frames=160):
        ordered = sorted(tracks, key=lambda t: -t.area())
        windows = []
        monkeypatch.setattr(process.detector, "shared_detector", lambda: None)
        monkeypatch.setattr(clips, "track_video", lambda *_: (ordered, 1000))
        info = StreamInfo(30.0, 720, 1280, "h264", 1e6)
        monkeypatch.setattr(clips, "stream_info", lambda _: info)
        monkeypatch.setattr(clips, "cut_windows", lambda _, planned, __: windows.extend(planned) or iter(()))
        written = {}
        monkeypatch.setattr(process, "exclusion", lambda video, reason, window=None: written.setdefault("why", reason))
        process.process_group([listed()], tmp_path / "work.pickle", process.Sampling(num_frames, 1))
        return windows or written["why"]

    return plan


def test_the_largest_face_that_lasts_a_clip_is_chosen(planned):
    large_but_short, lasting, small = track(100, 300.0), track(400, 120.0, 100), track(500, 60.0)
    assert [w.first for w in planned(large_but_short, lasting, small)] == [100]
    assert "longest face track has 120 frames" in planned(large_but_short, track(120, 50.0))


def test_plan_windows_refuses_when_no_track_lasts():
    with pytest.raises(UserError, match="the video has 90 frames"):
        clips.plan_windows([track(90, 50.0)], 90, num_frames=160, max_windows=1)


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p", "rgb24"])
@pytest.mark.parametrize("height, width", [(270, 480), (181, 321)])
def test_the_face_alone_is_converted_to_the_same_bits_as_the_whole_picture(form, height, width):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    frame = VideoReformatter().reformat(av.VideoFrame.from_ndarray(noise, format="rgb24"), format=form)
    centres = np.array([(width / 2, height / 2), (3.0, 5.0), (width - 2.0, height - 4.0), (width + 30.0, -20.0)])
    for side in (40.0, 150.0, 300.0):
        path = CropPath(centres, side, 0.1, np.array([90.0, 100.0]))
        for index in range(len(centres)):
            picture, whole = Picture(frame, Screen(frame, 1.0)), Picture(frame, Screen(frame, 1.0)).rgb
            x, y, w, h = path.region(index, *picture.size)
            part = picture.region(x, y, w, h)
            np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])
            # OpenCV rounds positions to 1/32 pixel, and from another origin now and then to the next.
            crop, expected = path.crop(part, index, (x, y)).astype(int), path.crop(whole, index).astype(int)
            assert np.abs(crop - expected).max() <= 4 and (crop != expected).mean() < 0.01
