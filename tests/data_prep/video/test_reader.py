import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from cpml_jax.errors import UserError
from data_prep.video.reader import VideoReader


def write(path, times, *, rate=1000, size=(48, 64), codec="ffv1"):
    """A video whose k-th frame has grey level 10 + 3k and is shown at times[k] seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for k, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 10 + 3 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time * rate), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(path):
    """Which source frame stands at every thirtieth of a second, and whether it was measured there."""
    with VideoReader(path) as video:
        frames = [(picture.rgb, measured) for picture, measured in video.resampled()]
    return [round((float(image.mean()) - 10) / 3) for image, _ in frames], [measured for _, measured in frames]


def nearest(times, count):
    return [int(np.abs(np.asarray(times) - k / 30).argmin()) for k in range(count)]


def test_30_frames_a_second_pass_one_to_one(tmp_path):
    frames, measured = numbers(write(tmp_path / "a.mp4", np.arange(40) / 30))
    assert frames == list(range(40)) and all(measured)


def test_25_frames_a_second_become_30_by_time(tmp_path):
    times = np.arange(50) / 25
    frames, measured = numbers(write(tmp_path / "a.mp4", times))
    assert len(frames) == 60 and all(measured)
    # k/30 and j/25 meet half-way between two frames at k = 3 (mod 6): either neighbour is the nearest there.
    for k, (mine, true) in enumerate(zip(frames, nearest(times, 60), strict=True)):
        assert mine == true or (k % 6 == 3 and abs(mine - true) == 1)


def test_a_variable_rate_is_resampled_by_its_time_stamps(tmp_path):
    times = np.cumsum(np.r_[0.0, np.random.default_rng(0).uniform(0.021, 0.06, 60)]).round(3)
    frames, _ = numbers(write(tmp_path / "a.mp4", times))
    for k, mine in enumerate(frames):
        assert abs(times[mine] - k / 30) <= abs(times[nearest(times, k + 1)[k]] - k / 30) + 2e-3


def test_a_hole_in_the_video_is_filled_and_marked(tmp_path):
    times = np.r_[np.arange(20) / 30, 1.2 + np.arange(20) / 30]
    frames, measured = numbers(write(tmp_path / "a.mp4", times))
    hole = [k for k, m in enumerate(measured) if not m]
    assert hole and min(hole) / 30 > 19 / 30 and max(hole) / 30 < 1.2
    assert frames[40:45] == [24, 25, 26, 27, 28]


def test_a_cut_file_gives_what_it_holds(tmp_path):
    path = write(tmp_path / "a.mkv", np.arange(60) / 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with VideoReader(path) as video:
        assert 5 < sum(1 for _ in video.resampled()) < 60


def test_the_stream_says_what_it_is(tmp_path):
    with VideoReader(write(tmp_path / "a.mp4", np.arange(50) / 25)) as video:
        info = video.info()
    assert (info.height, info.width, info.codec) == (48, 64, "ffv1") and abs(info.fps - 25) < 0.1 and info.bitrate > 0


def test_a_turned_video_stands_upright_and_says_its_upright_size(tmp_path):
    path = write(tmp_path / "a.mp4", np.arange(5) / 30, size=(48, 64))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # version 0; a phone's mark for a quarter turn clockwise
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)
    path.write_bytes(data)
    with VideoReader(path) as video:
        info = video.info()
        assert next(video.resampled())[0].rgb.shape == (64, 48, 3)
    assert (info.height, info.width) == (64, 48)


def test_a_time_stamp_hours_ahead_is_not_filled_with_hours(tmp_path):
    frames, _ = numbers(write(tmp_path / "a.mp4", np.r_[np.arange(20) / 30, 7200 + np.arange(20) / 30]))
    assert 38 <= len(frames) <= 42 and frames[0] == 0 and frames[-1] == 39


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "empty"), (b"not a video" * 99, "opened")]
)
def test_what_is_no_video_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        VideoReader(path)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="no video stream"):
        VideoReader(path)


def times_seen(path, change) -> list[float]:
    """Times of the frames of 30 frames/s whose time stamps (ms) were changed after decoding: no muxer writes such."""
    with VideoReader(write(path, np.arange(30) / 30)) as video:
        frames = list(video._decoded)
        stamps = [frame.pts for frame in frames]
        change(stamps)
        for frame, stamp in zip(frames, stamps, strict=True):
            frame.pts = stamp
        video._decoded = (frame for frame in frames)  # closed at the end, as the decoder is
        return [time for time, _ in video.frames()]


def test_one_time_stamp_hours_ahead_does_not_cost_the_rest(tmp_path):
    """The clock comes back after it: what follows is not taken for the past."""

    def change(stamps):
        stamps[10] += 7_200_000

    seen = times_seen(tmp_path / "a.mkv", change)
    np.testing.assert_allclose(seen, np.arange(30) / 30, atol=2e-3)


def test_a_frame_out_of_order_is_passed_over(tmp_path):
    def change(stamps):
        stamps[10], stamps[11] = stamps[11], stamps[10]

    seen = times_seen(tmp_path / "a.mkv", change)
    np.testing.assert_allclose(seen, np.delete(np.arange(30), 10) / 30, atol=2e-3)


@pytest.mark.parametrize("count", [12, 60])
def test_a_slide_show_is_refused_before_it_is_repeated_for_hours(tmp_path, count):
    """Its stamps are 50 s apart: less than what counts as a broken one."""
    path, looked_at = write(tmp_path / "a.mkv", 50.0 * np.arange(count), size=(16, 16)), 0
    with VideoReader(path) as video, pytest.raises(UserError, match="0.02 frames/s"):
        for _ in video.resampled():
            looked_at += 1
    assert looked_at <= 50 * 30 * 31


def test_ten_frames_a_second_are_enough_and_all_measured(tmp_path):
    frames, measured = numbers(write(tmp_path / "a.mp4", np.arange(20) / 10))
    assert all(measured) and len(frames) == 59 and frames[::3] == list(range(20))
