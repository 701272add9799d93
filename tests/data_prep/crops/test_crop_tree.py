"""The original project's tree: written and read again it is the same, and every mistake has its line."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from data_prep.crops import crop_clips, crop_files, crop_tree
from data_prep.records import work_file
from data_prep.sources import Video
from data_prep.video import jpeg

FRAMES = tiny.NUM_FRAMES


def records(splits=(("train", (0, 1)), ("test", (2, 3))), windows=(0, 1)):
    rng = np.random.default_rng(0)
    made = [
        work_file.complete("faces", tiny.record(rng, jpeg, split, method, compression, i, i ^ 1) | {"window": window})
        for split, identities in splits
        for i in identities
        for method in ("real", "Deepfakes")
        for compression in ("raw", "c23")
        for window in windows
    ]
    return sorted(made, key=lambda record: record["clip_id"])


@pytest.fixture(scope="module")
def made():
    return records()


@pytest.fixture(scope="module")
def tree(made, tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    assert crop_tree.write(root, iter(made)) == {"test": 4, "train": 4}
    return root


@pytest.fixture
def broken(tree, tmp_path):
    """A copy of one video's crops and landmarks, to be damaged."""
    video = listed(tree, "original_sequences/youtube/c23", "000")
    shutil.copytree(video.path, tmp_path / "face0")
    shutil.copy(video.crop_landmarks, tmp_path / "000.txt")
    return dataclasses.replace(video, path=str(tmp_path / "face0"), crop_landmarks=str(tmp_path / "000.txt"))


def listed(root, sequence: str, video: str) -> Video:
    return Video(
        path=str(root / sequence / "crop_MTCNN" / video / "face0"),
        label=0,
        method="real",
        compression="c23",
        video=video,
        identity=video,
        source_identity="",
        target_video="",
        split="test",
        track_key=video,
        crop_landmarks=str(root / sequence / "video_landmark_new" / f"{video}.txt"),
    )


def image(video: Video, number: int):
    return f"{video.path}/{number:04d}.jpg"


def test_the_layout_is_the_original_projects(tree):
    face = tree / "manipulated_sequences/Deepfakes/raw/crop_MTCNN/002_003/face0"
    assert sorted(path.name for path in face.iterdir()) == [f"{i:04d}.jpg" for i in range(2 * FRAMES)]
    lines = (tree / "original_sequences/youtube/c23/video_landmark_new/001.txt").read_text().splitlines()
    assert len(lines) == 2 * FRAMES and {len(line.split(" ")) for line in lines} == {136}
    assert (
        tree / "train.txt"
    ).read_text() == "Deepfakes,000_001,-1\nDeepfakes,001_000,-1\nyoutube,000,+1\nyoutube,001,+1\n"
    assert (tree / "test.txt").read_text().splitlines()[0] == "Deepfakes,002_003,-1"
    assert crop_tree.is_complete(tree) and json.loads((tree / "crop_tree.json").read_text())["landmarks"] == "pixels"


@pytest.mark.parametrize("unit", crop_tree.UNITS)
def test_written_and_read_again_it_is_the_same(made, tmp_path, unit):
    chosen = [record for record in made if record["video"] == "001"]
    crop_tree.write(tmp_path / "new", chosen, unit=unit)
    for record in chosen:
        video = listed(tmp_path / "new", f"original_sequences/youtube/{record['compression']}", "001")
        clips = list(crop_clips.cut(video, FRAMES, None))
        assert [clip.window for clip in clips] == [0, 1]
        clip = clips[record["window"]]
        assert clip.coded == record["frames"]
        np.testing.assert_array_equal(clip.frames[3], jpeg.decode(record["frames"][3]))
        np.testing.assert_allclose(clip.landmarks, record["landmarks"], atol=1e-5)
        assert clip.landmarks.dtype == np.float32 and clip.valid.all() and clip.track_quality == 1
        np.testing.assert_array_equal(clip.box, np.tile([0, 0, 128, 128], (FRAMES, 1)))
        assert clip.pulse_pos.shape == (FRAMES,) and abs(clip.pulse_pos.std() - 1) < 1e-3
        assert clip.start_s == record["window"] * FRAMES / 30
        arrays = crop_clips.read_clip(video.path, video.crop_landmarks, FRAMES, first=record["window"] * FRAMES)
        assert arrays.coded == record["frames"]


def test_pixels_are_counted_from_the_middle_of_the_first(tmp_path):
    """A point on the middle of pixel (32, 96) of 128 is at -0.4921875 and 0.5078125 of the crop."""
    record = records(splits=(("test", (0,)),), windows=(0,))[-1]
    record["landmarks"] = np.tile(np.float32([-0.4921875, 0.5078125]), (FRAMES, 68, 1))
    crop_tree.write(tmp_path / "new", [record])
    text = next((tmp_path / "new").rglob("video_landmark_new/*.txt")).read_text()
    assert text.split()[:4] == ["32.000", "96.000", "32.000", "96.000"]


def test_windows_come_in_order_and_max_windows_counts(tmp_path):
    many = [r for r in records(windows=range(11)) if r["video_key"] == "faces/real/raw/000"]
    assert [r["window"] for r in many[:4]] == [0, 1, 10, 2], "sorted as ids are"
    crop_tree.write(tmp_path / "new", many)
    clips = list(crop_clips.cut(listed(tmp_path / "new", "original_sequences/youtube/raw", "000"), FRAMES, 3))
    by = {record["window"]: record for record in many}
    assert [clip.coded == by[i]["frames"] for i, clip in enumerate(clips)] == [True] * 3


def test_strings_may_come_as_tfds_hands_them_back(made, tree, tmp_path):
    coded = [{k: v.encode() if isinstance(v, str) else v for k, v in record.items()} for record in made]
    crop_tree.write(tmp_path / "new", coded)
    relative = [path.relative_to(tree) for path in tree.rglob("*") if path.is_file()]
    assert len(relative) > 500
    for path in relative:
        assert (tmp_path / "new" / path).read_bytes() == (tree / path).read_bytes()


def test_any_name_is_one_folder_and_one_field(tmp_path):
    names = ["../../out", "a/b, c.mp4", "a%2Fb", ".hidden", "zwei Wörter.mp4", " x\n"]
    rng = np.random.default_rng(0)
    made = [tiny.record(rng, jpeg, "test", "Deepfakes", "c23", 0, 1) | {"video": name} for name in names]
    crop_tree.write(tmp_path / "new", [work_file.complete("faces", record) for record in made])
    folders = {path.name for path in (tmp_path / "new/manipulated_sequences/Deepfakes/c23/crop_MTCNN").iterdir()}
    assert folders == {"%2E.%2F..%2Fout", "a%2Fb%2C c.mp4", "a%252Fb", "%2Ehidden", "zwei Wörter.mp4", "%20x%0A"}
    rows = [line.split(",") for line in (tmp_path / "new/test.txt").read_text(encoding="utf-8").splitlines()]
    assert {row[1] for row in rows} == folders and {len(row) for row in rows} == {3}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_is_not_ours_is_left_alone(made, tree, tmp_path):
    with pytest.raises(UserError, match="finished tree"):
        crop_tree.write(tree, made)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        crop_tree.write(tmp_path, made)
    with pytest.raises(UserError, match="cannot be written"):
        crop_tree.write(tmp_path / "mine.txt" / "x", made)
    with pytest.raises(UserError, match="unit 'inches'"):
        crop_tree.write(tmp_path / "new", made, unit="inches")
    two = [record | {"video_key": f"{i}/{record['video_key']}"} for i in range(2) for record in made[:1]]
    with pytest.raises(UserError, match="would both be"):
        crop_tree.write(tmp_path / "new", two)
    with pytest.raises(ValueError, match="do not follow one another"):
        crop_tree.write(tmp_path / "other", [made[0], made[2], made[1]])


def test_interrupted_it_is_begun_anew(made, tree, tmp_path):
    def interrupted():
        yield from made[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crop_tree.write(tmp_path / "new", interrupted())
    assert not crop_tree.is_complete(tmp_path / "new")
    first = next((tmp_path / "new").rglob("face0"))
    (first / "9999.jpg").write_bytes(b"left over")
    crop_tree.write(tmp_path / "new", made)
    written = {p.relative_to(tmp_path / "new") for p in (tmp_path / "new").rglob("*.jpg")}
    assert written == {p.relative_to(tree) for p in tree.rglob("*.jpg")}


def cut_all(video: Video) -> list:
    return list(crop_clips.cut(video, FRAMES, None))


def test_mistakes_of_the_whole_folder(broken, tmp_path):
    text = (tmp_path / "000.txt").read_text()
    lines = text.splitlines(keepends=True)

    def refused(match, landmarks=text):
        (tmp_path / "000.txt").write_text(landmarks)
        with pytest.raises(UserError, match=match):
            cut_all(broken)
        (tmp_path / "000.txt").write_text(text)

    refused("31 lines of landmarks for 32 frames", "".join(lines[:-1]))
    refused(
        "line 3: 135 numbers, a line of landmarks has 136", "".join([*lines[:2], lines[2].split(" ", 1)[1], *lines[3:]])
    )
    refused("line 2: not a number", "".join([lines[0], lines[1].replace(lines[1].split()[7], "x", 1), *lines[2:]]))
    (tmp_path / "face0/0031.jpg").rename(tmp_path / "face0/31.png")
    (tmp_path / "face0/031.bmp").write_bytes(b"")
    refused("have one number")
    (tmp_path / "face0/031.bmp").unlink()
    for number in (4, 5, 6, 8):
        (tmp_path / f"face0/{number:04d}.jpg").unlink()
    refused("not contiguous, 4, 5, 6 and 1 more of 31 missing")
    shutil.rmtree(tmp_path / "face0")
    refused("no such folder")
    (tmp_path / "face0").mkdir()
    refused("no crops in it")
    with pytest.raises(UserError, match="landmarks cannot be read"):
        crop_files.read_landmarks(tmp_path / "absent.txt")
    (tmp_path / "noise.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text"):
        crop_files.read_landmarks(tmp_path / "noise.txt")


def test_too_few_frames(broken):
    with pytest.raises(UserError, match="there are 32 crops, a clip needs 33"):
        list(crop_clips.cut(broken, 33, 1))
    with pytest.raises(UserError, match="frames 20 to 35 were asked for"):
        crop_clips.read_clip(broken.path, broken.crop_landmarks, FRAMES, first=20)


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
    (window, said), good = cut_all(broken)
    assert reason in said and window.number == 0 and good.window == 1


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
    info = crop_files.stream_info(broken.path)
    assert (info.width, info.height, info.fps, info.codec) == (130, 200, 30.0, "mjpeg") and info.bitrate > 1e4


def test_grey_and_png_are_coded_as_records_are_and_numbers_may_start_at_1(broken, tmp_path):
    grey = cv2.cvtColor(cv2.imread(image(broken, 0)), cv2.COLOR_BGR2GRAY)
    cv2.imwrite(image(broken, 0), grey)
    picture = cv2.imread(image(broken, 1))
    (tmp_path / "face0/0001.jpg").unlink()
    cv2.imwrite(str(tmp_path / "face0/0001.png"), picture)
    clip = cut_all(broken)[0]
    assert cv2.imdecode(np.frombuffer(clip.coded[0], np.uint8), cv2.IMREAD_UNCHANGED).shape == (128, 128, 3)
    assert clip.coded[1].startswith(b"\xff\xd8") and clip.frames[1, 5, 5, 0] == picture[5, 5, 2]
    before = crop_files.state(broken)
    for path in sorted((tmp_path / "face0").iterdir(), reverse=True):
        path.rename(path.with_stem(f"{int(path.stem) + 1:04d}"))
    assert cut_all(broken)[0].coded == clip.coded
    (tmp_path / "face0/0001.jpg").write_bytes(b"other")
    assert crop_files.state(broken) != before and crop_files.state(dataclasses.replace(broken, path="/absent")) == (
        0,
        0,
        0,
    )
