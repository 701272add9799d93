import dataclasses

import cv2
import numpy as np
import pytest

from cpml_jax.errors import UserError
from data_prep.crops import files

LINE = " ".join(str(number) for number in range(136))


def folder_of(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_images_come_in_order_of_their_numbers(tmp_path):
    folder = folder_of(tmp_path, "10.jpg", *(f"{number}.PNG" for number in range(1, 10)), "notes.txt", "x1.jpg")
    assert [path.stem for path in files.frame_files(folder)] == [str(number) for number in range(1, 11)]


def test_folders_without_a_whole_sequence_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        files.frame_files(tmp_path / "absent")
    with pytest.raises(UserError, match="no crops in it"):
        files.frame_files(folder_of(tmp_path, "notes.txt"))
    with pytest.raises(UserError, match="not contiguous: 4, 5, 6 and 1 more of 31 are missing"):
        files.frame_files(folder_of(tmp_path, *(f"{k:04d}.jpg" for k in range(32) if k not in (4, 5, 6, 8))))
    with pytest.raises(UserError, match="0031.jpg and 031.bmp have the same number"):
        files.frame_files(folder_of(tmp_path, "031.bmp"))


def test_landmarks_are_read_by_line_and_unknown_ones_are_nan(tmp_path):
    path = tmp_path / "landmarks.txt"
    path.write_text("\n".join([LINE, LINE.replace(" ", ","), " ".join(["0"] * 136), " ".join(["nan"] * 136), ""]))
    points = files.read_landmarks(path)
    assert points.shape == (4, 68, 2)
    for known in points[:2]:
        np.testing.assert_array_equal(known, np.arange(136.0).reshape(68, 2))
    assert np.isnan(points[2:]).all()


@pytest.mark.parametrize(
    "content, reason",
    [
        (f"{LINE}\n{LINE}\n{LINE[2:]}", "line 3: 135 numbers, a line of landmarks has 136"),
        (f"{LINE}\nx{LINE[1:]}", "line 2: a landmark coordinate is not a number"),
        (b"\xff\xfe\x00", "landmarks cannot be read \\(not text\\)"),
        (None, "landmarks cannot be read \\(No such file"),
    ],
)
def test_landmark_files_with_mistakes_are_refused(tmp_path, content, reason):
    path = tmp_path / "landmarks.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=reason):
        files.read_landmarks(path)


def test_only_a_jpeg_in_colour_keeps_its_bytes(tmp_path):
    picture = np.zeros((40, 30, 3), np.uint8)
    picture[..., 0] = 200  # blue for OpenCV, which is last in RGB
    for name, kept in (("a.jpg", True), ("a.png", False)):
        cv2.imwrite(str(tmp_path / name), picture)
        image, data = files.read_image(tmp_path / name)
        assert image.shape == (40, 30, 3) and image[5, 5].argmax() == 2
        assert data == ((tmp_path / name).read_bytes() if kept else None)
    cv2.imwrite(str(tmp_path / "grey.jpg"), picture[..., 0])
    image, data = files.read_image(tmp_path / "grey.jpg")
    assert data is None and image.shape == (40, 30, 3) and np.ptp(image, axis=2).max() == 0


def test_the_source_is_described_by_its_images(broken):
    info = files.stream_info(broken.path)
    assert (info.width, info.height, info.fps, info.codec) == (128, 128, 30.0, "mjpeg") and info.bitrate > 1e4


def test_another_state_of_the_files_is_another_video(broken, tmp_path):
    before = files.state(broken)
    assert files.state(broken) == before
    (tmp_path / "face0/0001.jpg").write_bytes(b"other")
    assert files.state(broken) != before
    assert files.state(dataclasses.replace(broken, path="/absent")) == (0, 0, 0)
