"""Frames decoded: OpenCV's bits whatever the file, and memory that is written only where it should be."""

import cv2
import numpy as np
import pytest

from cpml_jax.data import frames
from cpml_jax.data.records import RecordSet

SAMPLINGS = ("444", "422", "420", "411", "440")


def picture(height=128, width=128):
    rng = np.random.default_rng(height + width)
    smooth = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def coded(image, suffix=".jpg", **parameters):
    named = [number for name, value in parameters.items() for number in (getattr(cv2, f"IMWRITE_{name}"), value)]
    return cv2.imencode(suffix, image, named)[1].tobytes()


def turned(data: bytes) -> bytes:
    """A JPEG file with an Exif segment that says: turn me by 90 degrees."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]


FILES = {
    f"{sampling} progressive={progressive} q{quality}": coded(
        picture(*shape),
        JPEG_SAMPLING_FACTOR=getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"),
        JPEG_PROGRESSIVE=progressive,
        JPEG_QUALITY=quality,
    )
    for sampling in SAMPLINGS
    for progressive, quality, shape in ((0, 95, (128, 128)), (1, 75, (97, 61)), (0, 20, (128, 128)))
} | {
    "grey": coded(picture()[..., 0]),
    "png": coded(picture(), ".png"),
    "turned": turned(coded(picture(128, 96))),
    "larger": coded(picture(300, 200)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("given", [False, True])
def test_a_file_gives_opencvs_bits(name, given):
    expected = cv2.imdecode(np.frombuffer(FILES[name], np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(
        frames.decode(FILES[name], np.empty((128, 128, 3), np.uint8) if given else None), expected
    )
    if name == "turned":
        assert expected.shape == (96, 128, 3)  # that OpenCV turns it is what the other way has to notice


@pytest.mark.parametrize("name", ["444 progressive=0 q95", "larger", "png", "turned"])
@pytest.mark.parametrize("size", [128, 32, 16])
def test_a_frame_lies_in_its_place_and_nothing_else_is_written(name, size):
    memory = np.full((3, size, size, 3), 7, np.uint8)
    image = frames.decode_into(FILES[name], memory[1], 128)
    expected = cv2.imdecode(np.frombuffer(FILES[name], np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(image, expected)
    if expected.shape != memory.shape[1:]:
        expected = cv2.resize(expected, (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(memory[1], expected)
    assert (memory[[0, 2]] == 7).all()


@pytest.mark.parametrize("data", [b"", b"no image", FILES["grey"][:-400], FILES["png"][:60], FILES["turned"][:50]])
def test_what_is_no_image_is_none(data):
    assert frames.decode(data, np.empty((128, 128, 3), np.uint8)) is None
    assert frames.decode_into(data, np.empty((16, 16, 3), np.uint8), 128) is None


@pytest.mark.parametrize("size", [128, 48, 16])
def test_records_give_the_bits_of_opencv_and_area_averages(tiny_records, size):
    """What every figure in docs/results.md was measured with."""
    records = RecordSet(tiny_records / "faces")
    for row in records.rows[::11]:
        files = records.read_coded(row)["frames"]
        images = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) for data in files]
        if size < 128:
            images = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images]
        np.testing.assert_array_equal(records.read(row, size)["frames"], images)
        memory = np.zeros((9, size, size, 3), np.uint8)
        given = records.read(row, size, num_frames=9, into=memory)["frames"]
        assert np.shares_memory(given, memory)
        np.testing.assert_array_equal(memory, images[:9])
