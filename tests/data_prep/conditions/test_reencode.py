"""Copies under conditions: the place of every pixel and frame, their cost in bits, and the same bytes every time."""

import errno
import functools
import resource
import subprocess
import sys

import av
import numpy as np
import pytest
from odd import encoder

from cpml_jax.conditions import CODECS, Codec, Corruption
from cpml_jax.errors import UserError
from data_prep.conditions import reencode
from data_prep.video.reader import VideoReader

TIMES = [k / 30 + (0.01 if k % 3 == 1 else 0.0) for k in range(16)]  # an uneven clock


@functools.cache
def drawn(height: int = 160, width: int = 160) -> tuple[np.ndarray, ...]:
    """A face, and a mark that goes 6 pixels further in every frame."""
    pictures = [picture.copy() for picture in encoder.draw(16)]
    for k, picture in enumerate(pictures):
        picture[100:120, 6 * k : 6 * k + 12] = 230
    return tuple(picture[:height, :width] for picture in pictures)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "video.mp4"
    encoder.encode(path, drawn(), times=TIMES, options={"crf": "4"})
    return path


def read(path) -> tuple[list[float], np.ndarray]:
    with VideoReader(path) as opened:
        frames = [(time, picture.rgb) for time, picture in opened.frames()]
    return [time for time, _ in frames], np.stack([picture for _, picture in frames])


def rewritten(video, condition, seed="key"):
    path = video.with_name(f"{condition.name}.mp4")
    reencode.write(path, reencode.Source(video), condition, seed)
    return path


def psnr(a, b) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


CONDITIONS = [Codec("h264", 16), Codec("h265", 12), Codec("vp9", 14), Codec("av1", 10), Corruption("social", 1)]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda c: c.name)
def test_every_frame_keeps_its_place_and_its_time(video, condition, capfd):
    path = rewritten(video, condition)
    (times, frames), (_, originals) = read(path), read(video)
    np.testing.assert_allclose(times, TIMES, atol=1e-3)
    assert frames.shape == originals.shape
    # The very frame: its mark lies elsewhere in every other.
    distances = ((frames[:, None].astype(np.float32) - originals) ** 2).mean((2, 3, 4))
    np.testing.assert_array_equal(distances.argmin(axis=1), np.arange(len(TIMES)))
    # The very pixels: any shift by one is farther off.
    here = psnr(frames, originals)
    for axis in (1, 2):
        assert here > max(psnr(np.roll(frames, by, axis), originals) for by in (-1, 1)) + 0.3
    assert here > 28
    with av.open(str(path)) as container:
        assert not container.streams.audio and len(container.streams.video) == 1
    assert capfd.readouterr() == ("", ""), "encoders write nothing"


@pytest.mark.parametrize("codec", CODECS)
def test_bits_and_likeness_fall_as_the_rate_factor_rises(video, codec):
    paths = [rewritten(video, Codec(codec, crf)) for crf in CODECS[codec].curve]
    sizes = [path.stat().st_size for path in paths]
    originals = read(video)[1]
    likeness = [psnr(read(path)[1], originals) for path in paths]
    assert sizes == sorted(sizes, reverse=True) and likeness == sorted(likeness, reverse=True)
    assert sizes[0] > 2 * sizes[-1] and likeness[0] > likeness[-1] + 5


@pytest.mark.parametrize("condition", [*CONDITIONS, Corruption("noise", 3)], ids=lambda c: c.name)
def test_the_same_bytes_every_time(video, condition, monkeypatch):
    source = reencode.Source(video)
    paths = [video.with_name(f"{k}.mp4") for k in range(3)]
    for path in paths[:2]:
        reencode.write(path, source, condition, "key")  # the second time from kept frames
    monkeypatch.setattr(reencode, "KEPT", 0)
    reencode.write(paths[2], reencode.Source(video), condition, "key")
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


def test_the_same_bytes_in_another_process(video):
    here = rewritten(video, Corruption("noise", 2))
    code = (
        "import sys; from pathlib import Path; from data_prep.conditions import reencode as r;"
        "from cpml_jax.conditions import parse;"
        "r.write(Path(sys.argv[2]), r.Source(sys.argv[1]), parse('noise-2'), 'key')"
    )
    elsewhere = video.with_name("elsewhere.mp4")
    subprocess.run([sys.executable, "-c", code, str(video), str(elsewhere)], check=True)
    assert elsewhere.read_bytes() == here.read_bytes()


def test_storage_costs_nothing(video):
    """Frames that are not dropped are those of the original, bit for bit; and so is the noise of another corruption."""
    times, frames = read(rewritten(video, Corruption("frames", 3)))
    all_times, originals = read(video)
    places = [int(np.argmin(np.abs(np.subtract(all_times, time)))) for time in times]
    assert 1 < len(places) < len(TIMES) and places[0] == 0 and places[-1] == len(TIMES) - 1
    np.testing.assert_array_equal(frames, originals[places])
    noisy = reencode.corrupted(reencode.Source(video), Corruption("noise", 5), "key")
    np.testing.assert_array_equal(read(rewritten(video, Corruption("noise", 5)))[1], [p for _, p in noisy])


def test_a_reader_repeats_what_was_dropped(video):
    with VideoReader(video) as whole, VideoReader(rewritten(video, Corruption("frames", 5))) as dropped:
        count = [sum(1 for _ in opened.resampled()) for opened in (whole, dropped)]
    assert count[0] == count[1]


@pytest.mark.parametrize(
    "condition", [CONDITIONS[0], CONDITIONS[3], Corruption("jpeg", 1), CONDITIONS[4]], ids=lambda c: c.name
)
def test_odd_sizes_are_made_even_at_the_far_edges(tmp_path, condition):
    path = tmp_path / "odd.mkv"
    encoder.encode(path, drawn(131, 133), codec="ffv1", pix_fmt="bgr0")
    frames, originals = read(rewritten(path, condition))[1], read(path)[1]
    even = isinstance(condition, Codec)
    assert frames.shape[1:3] == ((132, 134) if even else (131, 133))
    frames = frames[:, :131, :133]
    assert psnr(frames, originals) > max(psnr(np.roll(frames, 1, axis), originals) for axis in (1, 2)) + 0.3


def test_what_the_header_turns_is_upright_in_the_copy(tmp_path):
    path = tmp_path / "turned.mp4"
    encoder.encode(path, drawn(128, 160), rotate=90)
    frames, originals = read(rewritten(path, Codec("h264", 10)))[1], read(path)[1]
    assert frames.shape[1:3] == (160, 128) and psnr(frames, originals) > 35


@pytest.mark.parametrize("tags", [{"color_range": 2}, {"color_range": 1, "colorspace": 1}], ids=["full", "bt709"])
@pytest.mark.parametrize("condition", [Codec("h264", 4), Corruption("frames", 1)], ids=lambda c: c.name)
def test_colours_mean_the_same(tmp_path, tags, condition):
    path = tmp_path / "colours.mp4"
    encoder.encode(path, drawn(), tags=tags)
    (times, frames), (all_times, originals) = read(rewritten(path, condition)), read(path)
    originals = originals[[int(np.argmin(np.abs(np.subtract(all_times, t)))) for t in times]]
    # By way of RGB (full range) a level is lost in FFmpeg's rounding; a mistaken range or matrix is worth 8 and more.
    np.testing.assert_allclose(frames.mean((0, 1, 2)), originals.mean((0, 1, 2)), atol=2.0)


def test_only_as_much_as_is_wanted(video):
    path = video.with_name("short.mp4")
    reencode.write(path, reencode.Source(video, until=0.25), Codec("h264", 30))
    times = read(path)[0]
    assert times == pytest.approx([time for time in TIMES if time < 0.25], abs=1e-3)


@pytest.mark.parametrize("strengths", [range(1, 6)])
def test_posting_twice_takes_more_at_every_strength(video, strengths):
    likeness = [psnr(read(rewritten(video, Corruption("social", s)))[1], read(video)[1]) for s in strengths]
    assert all(a > b for a, b in zip(likeness, likeness[1:], strict=False)), likeness


def test_what_cannot_be_encoded_is_a_reason_and_a_full_disk_an_error(video, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:900])
    for condition in (Codec("h264", 23), Corruption("social", 2)):
        with pytest.raises(UserError):
            reencode.write(tmp_path / "out.mp4", reencode.Source(broken), condition)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            reencode.write(tmp_path / "out.mp4", reencode.Source(video), Corruption("noise", 5), "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG and not isinstance(caught.value, av.FFmpegError)


def test_an_encoder_that_refuses_a_size_is_a_reason(tmp_path):
    path = tmp_path / "small.mkv"
    encoder.encode(path, [picture[:4, :2] for picture in drawn()], codec="ffv1", pix_fmt="bgr0")
    with pytest.raises(UserError, match="cannot be encoded as av1-crf30"):
        rewritten(path, Codec("av1", 30))
