"""Bombs: small files that decode to much. Refused before anything is decoded, or where it lies; in one line."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hostile.bombs import gif, grey, growing
from odd.encoder import encode

from cpml_jax.errors import UserError
from cpml_jax.limits import Limits
from data_prep.records.process import Sampling
from data_prep.video.reader import VideoReader

SMALL = Limits(pixels=100 * 100, frames=20, seconds=1.0)


def read(path, limits=SMALL) -> int:
    with VideoReader(path, limits) as video:
        return sum(picture.rgb.shape[0] > 0 for _, picture in video.frames())


def refused(path, limits=SMALL) -> str:
    with pytest.raises(UserError) as error:
        read(path, limits)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_within_the_limits_is_read(tmp_path):
    encode(tmp_path / "a.mp4", grey(100, 20))
    assert read(tmp_path / "a.mp4") == 20


def test_a_container_that_says_its_size_is_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    encode(tmp_path / "a.mp4", grey(102, 3))
    gif(16_000)(tmp_path / "a.gif")
    monkeypatch.setattr(VideoReader, "_decode", lambda self: pytest.fail("decoded"))
    assert "102x102 pixels; data.limits.pixels allows 10000" in refused(tmp_path / "a.mp4")
    assert "16000x16000 pixels; data.limits.pixels allows" in refused(tmp_path / "a.gif", Limits())


def test_frames_that_grow_inside_the_file_are_not_decoded(tmp_path):
    """After some small ones: the decoder refuses before it makes room, and what is only a little larger is refused."""
    growing((64, 8), (512, 8))(tmp_path / "a.h264")
    with VideoReader(tmp_path / "a.h264", SMALL) as video:
        assert {frame.width for frame in video._decoded} == {64} and video.damaged
    with VideoReader(tmp_path / "a.h264") as video:
        assert {frame.width for frame in video._decoded} == {64, 512}
    growing((64, 8), (128, 8))(tmp_path / "b.h264")
    assert "128x128 pixels" in refused(tmp_path / "b.h264")


def test_pixels_that_are_stretched_count_as_shown(tmp_path):
    encode(tmp_path / "a.mp4", grey(96, 3), aspect="3")
    assert "288x96 pixels" in refused(tmp_path / "a.mp4")


def test_deep_pixels_count_for_more(tmp_path):
    encode(tmp_path / "a.mp4", grey(98, 3), codec="libx264", pix_fmt="yuv444p10le")
    assert "yuv444p10le) take 0 MB each; data.limits.pixels" in refused(tmp_path / "a.mp4")


def test_frames_and_length_are_counted_as_they_come(tmp_path):
    encode(tmp_path / "many.mp4", grey(64, 21))
    assert "21 frames; data.limits.frames allows 20" in refused(tmp_path / "many.mp4")
    growing((64, 25))(tmp_path / "many.h264")
    assert "more than 20 frames" in refused(tmp_path / "many.h264")
    encode(tmp_path / "long.mp4", grey(64, 12), times=[i / 10 for i in range(12)])
    assert "longer than 1 s" in refused(tmp_path / "long.mp4")


def test_the_time_for_decoding_is_bounded(tmp_path):
    encode(tmp_path / "a.mp4", grey(64, 10))
    assert "decoding takes more than 1e-09 s" in refused(tmp_path / "a.mp4", Limits(decoding=1e-9))


def test_bombs_take_little_memory(tmp_path):
    """A GIF of 16,000 x 16,000, 1 GB a frame, and a PNG among ready-made crops, 144 million pixels in 140 kB."""
    gif(16_000)(tmp_path / "a.gif")
    done, data = cv2.imencode(".png", np.zeros((12_000, 12_000), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done and len(data) < 200_000
    (tmp_path / "0.png").write_bytes(data.tobytes())
    code = """
import pathlib, resource, sys
from data_prep.crops.files import read_image
from data_prep.video.reader import VideoReader
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def frames(path):
    with VideoReader(path) as video: return list(video.frames())
folder, before = pathlib.Path(sys.argv[1]), peak()
for read, name in ((frames, "a.gif"), (read_image, "0.png")):
    try: read(folder / name)
    except Exception as error: print(type(error).__name__, error)
print(peak() - before)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    first, second, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert first.startswith("UserError its frames have 16000x16000 pixels") and int(kilobytes) < 100_000
    assert second == "UserError 0.png cannot be read as an image"


def test_limits_are_a_parameter_of_the_records_where_they_are_not_the_defaults():
    assert "limits" not in Sampling(16, 1).parameters()
    assert Sampling(16, 1, limits=SMALL).parameters()["limits"]["pixels"] == 10_000
