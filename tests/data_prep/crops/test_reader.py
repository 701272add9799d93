"""The original project's tree, as it is read: the same as was written, and one line for every mistake."""

import cv2
import numpy as np
import pytest
from crop_folders import FRAMES, image, records, video_of

from cpml_jax.errors import UserError
from data_prep.crops import reader, writer
from data_prep.sources import Video
from data_prep.video import jpeg


@pytest.mark.parametrize("unit", writer.UNITS)
def test_written_and_read_again_it_is_the_same(made, tmp_path, unit):
    chosen = [record for record in made if record["video"] == "001"]
    writer.write(tmp_path / "new", chosen, unit=unit)
    for record in chosen:
        video = video_of(tmp_path / "new", f"original_sequences/youtube/{record['compression']}", "001")
        clips = list(reader.cut(video, FRAMES, None))
        assert [clip.window for clip in clips] == [0, 1]
        clip = clips[record["window"]]
        assert clip.coded == record["frames"]
        np.testing.assert_array_equal(clip.frames[3], jpeg.decode(record["frames"][3]))
        np.testing.assert_allclose(clip.landmarks, record["landmarks"], atol=1e-5)
        assert clip.landmarks.dtype == np.float32 and clip.valid.all() and clip.track_quality == 1
        np.testing.assert_array_equal(clip.box, np.tile([0, 0, 128, 128], (FRAMES, 1)))
        assert clip.pulse_pos.shape == (FRAMES,) and abs(clip.pulse_pos.std() - 1) < 1e-3
        assert clip.start_s == record["window"] * FRAMES / 30
        arrays = reader.read_clip(video.path, video.crop_landmarks, FRAMES, first=record["window"] * FRAMES)
        assert arrays.coded == record["frames"]


def test_windows_come_in_order_and_max_windows_counts(tmp_path):
    many = [r for r in records(windows=range(11)) if r["video_key"] == "faces/real/raw/000"]
    assert [r["window"] for r in many[:4]] == [0, 1, 10, 2], "sorted as ids are"
    writer.write(tmp_path / "new", many)
    clips = list(reader.cut(video_of(tmp_path / "new", "original_sequences/youtube/raw", "000"), FRAMES, 3))
    by = {record["window"]: record for record in many}
    assert [clip.coded == by[i]["frames"] for i, clip in enumerate(clips)] == [True] * 3
    spread = list(reader.cut(video_of(tmp_path / "new", "original_sequences/youtube/raw", "000"), FRAMES, 3, True))
    assert [clip.coded == by[i]["frames"] for i, clip in zip((0, 5, 10), spread, strict=True)] == [True] * 3


def cut_all(video: Video) -> list:
    return list(reader.cut(video, FRAMES, None))


def test_every_frame_needs_its_line_of_landmarks(broken, tmp_path):
    lines = (tmp_path / "000.txt").read_text().splitlines(keepends=True)
    (tmp_path / "000.txt").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="31 lines of landmarks for 32 frames"):
        cut_all(broken)


def test_too_few_frames(broken):
    with pytest.raises(UserError, match="^32 crops, a clip needs 33"):
        list(reader.cut(broken, 33, 1))
    with pytest.raises(UserError, match="32 crops, frames 20 to 35 were requested"):
        reader.read_clip(broken.path, broken.crop_landmarks, FRAMES, first=20)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda data: b"", "0003.jpg cannot be read"),
        (lambda data: b"no image at all", "0003.jpg cannot be read"),
        (lambda data: data[: len(data) // 2], "0003.jpg is cut off"),
    ],
)
def test_a_bad_image_costs_its_window_alone(broken, damage, reason):
    with open(image(broken, 3), "rb") as file:
        data = file.read()
    with open(image(broken, 3), "wb") as file:
        file.write(damage(data))
    (window, message), good = cut_all(broken)
    assert reason in message and window.number == 0 and good.window == 1


def test_frames_without_landmarks_are_interpolated_and_marked(broken, tmp_path):
    lines = (tmp_path / "000.txt").read_text().splitlines()
    before, after = (np.array(lines[i].split(), float) for i in (4, 6))
    lines[5] = " ".join(["0"] * 136)
    lines[FRAMES : FRAMES + 3] = [" ".join(["nan"] * 136)] * 3
    (tmp_path / "000.txt").write_text("\n".join(lines))
    clip, (window, reason) = cut_all(broken)
    assert list(np.flatnonzero(~clip.valid)) == [5]
    expected = ((before + after) / 2 + 0.5).reshape(68, 2) / 64 - 1
    np.testing.assert_allclose(clip.landmarks[5], expected, atol=1e-5)
    assert reason.startswith("19% of the clip's frames have no landmarks") and window.number == 1
    (tmp_path / "000.txt").write_text("\n".join([lines[5]] * 2 * FRAMES))
    assert all("none of the clip's frames" in reason for _, reason in cut_all(broken))


def test_landmarks_of_another_picture_are_refused(broken, tmp_path):
    points = np.loadtxt(tmp_path / "000.txt")
    np.savetxt(tmp_path / "000.txt", points + 300)
    assert all("0% of the landmarks' coordinates lie in the crops" in reason for _, reason in cut_all(broken))


def test_other_sizes_become_squares_of_128_and_faces_keep_their_proportions(broken, tmp_path):
    """A dot drawn on a landmark is under that landmark afterwards, whatever the image's size and shape."""
    spot = np.array([61, 150])  # x, y in pixels of images 130 wide and 200 high
    for number in range(2 * FRAMES):
        picture = np.full((200, 130, 3), 90, np.uint8)
        cv2.circle(picture, spot.tolist(), 5, (255, 255, 255), -1)
        cv2.imwrite(image(broken, number), picture)
    np.savetxt(tmp_path / "000.txt", np.tile(spot, (2 * FRAMES, 68)))
    clip = cut_all(broken)[0]
    assert clip.frames.shape == (FRAMES, 128, 128, 3) and len(clip.coded) == FRAMES
    ys, xs = np.nonzero(jpeg.decode(clip.coded[0])[..., 0] > 170)
    np.testing.assert_allclose(clip.landmarks[0, 0], (np.array([xs.mean(), ys.mean()]) + 0.5) / 64 - 1, atol=0.01)
    assert np.ptp(xs) == np.ptp(ys)
    np.testing.assert_array_equal(clip.box[0], [-35, 0, 165, 200])
    inside = 2 * (spot + 0.5) / [130, 200] - 1
    np.savetxt(tmp_path / "000.txt", np.tile(inside, (2 * FRAMES, 68)))
    np.testing.assert_allclose(cut_all(broken)[0].landmarks, clip.landmarks, atol=1e-5)


def test_grey_and_png_are_coded_as_records_are_and_numbers_may_start_at_1(broken, tmp_path):
    grey = cv2.cvtColor(cv2.imread(image(broken, 0)), cv2.COLOR_BGR2GRAY)
    cv2.imwrite(image(broken, 0), grey)
    picture = cv2.imread(image(broken, 1))
    (tmp_path / "face0/0001.jpg").unlink()
    cv2.imwrite(str(tmp_path / "face0/0001.png"), picture)
    clip = cut_all(broken)[0]
    assert cv2.imdecode(np.frombuffer(clip.coded[0], np.uint8), cv2.IMREAD_UNCHANGED).shape == (128, 128, 3)
    assert clip.coded[1].startswith(b"\xff\xd8") and clip.frames[1, 5, 5, 0] == picture[5, 5, 2]
    for path in sorted((tmp_path / "face0").iterdir(), reverse=True):
        path.rename(path.with_stem(f"{int(path.stem) + 1:04d}"))
    assert cut_all(broken)[0].coded == clip.coded
