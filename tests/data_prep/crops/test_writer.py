"""The original project's tree, as it is written."""

import json

import numpy as np
import pytest
import tiny
from crop_folders import FRAMES, records

from cpml_jax.errors import UserError
from data_prep.crops import writer
from data_prep.records import work_file
from data_prep.video import jpeg


def test_the_layout_is_the_original_projects(tree):
    face = tree / "manipulated_sequences/Deepfakes/raw/crop_MTCNN/002_003/face0"
    assert sorted(path.name for path in face.iterdir()) == [f"{i:04d}.jpg" for i in range(2 * FRAMES)]
    lines = (tree / "original_sequences/youtube/c23/video_landmark_new/001.txt").read_text().splitlines()
    assert len(lines) == 2 * FRAMES and {len(line.split(" ")) for line in lines} == {136}
    assert (
        tree / "train.txt"
    ).read_text() == "Deepfakes,000_001,-1\nDeepfakes,001_000,-1\nyoutube,000,+1\nyoutube,001,+1\n"
    assert (tree / "test.txt").read_text().splitlines()[0] == "Deepfakes,002_003,-1"
    assert writer.is_complete(tree) and json.loads((tree / "crop_tree.json").read_text())["landmarks"] == "pixels"


def test_pixels_are_counted_from_the_middle_of_the_first(tmp_path):
    """A point on the middle of pixel (32, 96) of 128 is at -0.4921875 and 0.5078125 of the crop."""
    record = records(splits=(("test", (0,)),), windows=(0,))[-1]
    record["landmarks"] = np.tile(np.float32([-0.4921875, 0.5078125]), (FRAMES, 68, 1))
    writer.write(tmp_path / "new", [record])
    text = next((tmp_path / "new").rglob("video_landmark_new/*.txt")).read_text()
    assert text.split()[:4] == ["32.000", "96.000", "32.000", "96.000"]


def test_strings_may_come_as_tfds_hands_them_back(made, tree, tmp_path):
    coded = [{k: v.encode() if isinstance(v, str) else v for k, v in record.items()} for record in made]
    writer.write(tmp_path / "new", coded)
    relative = [path.relative_to(tree) for path in tree.rglob("*") if path.is_file()]
    assert len(relative) > 500
    for path in relative:
        assert (tmp_path / "new" / path).read_bytes() == (tree / path).read_bytes()


def test_any_name_is_one_folder_and_one_field(tmp_path):
    names = ["../../out", "a/b, c.mp4", "a%2Fb", ".hidden", "zwei Wörter.mp4", " x\n"]
    rng = np.random.default_rng(0)
    made = [tiny.record(rng, jpeg, "test", "Deepfakes", "c23", 0, 1) | {"video": name} for name in names]
    writer.write(tmp_path / "new", [work_file.complete("faces", record) for record in made])
    folders = {path.name for path in (tmp_path / "new/manipulated_sequences/Deepfakes/c23/crop_MTCNN").iterdir()}
    assert folders == {"%2E.%2F..%2Fout", "a%2Fb%2C c.mp4", "a%252Fb", "%2Ehidden", "zwei Wörter.mp4", "%20x%0A"}
    rows = [line.split(",") for line in (tmp_path / "new/test.txt").read_text(encoding="utf-8").splitlines()]
    assert {row[1] for row in rows} == folders and {len(row) for row in rows} == {3}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_is_not_ours_is_left_alone(made, tree, tmp_path):
    with pytest.raises(UserError, match="finished tree"):
        writer.write(tree, made)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        writer.write(tmp_path, made)
    with pytest.raises(UserError, match="cannot be written"):
        writer.write(tmp_path / "mine.txt" / "x", made)
    with pytest.raises(UserError, match="unit 'inches'"):
        writer.write(tmp_path / "new", made, unit="inches")
    two = [record | {"video_key": f"{i}/{record['video_key']}"} for i in range(2) for record in made[:1]]
    with pytest.raises(UserError, match="would both be"):
        writer.write(tmp_path / "new", two)
    with pytest.raises(ValueError, match="do not follow one another"):
        writer.write(tmp_path / "other", [made[0], made[2], made[1]])


def test_interrupted_it_is_begun_anew(made, tree, tmp_path):
    def interrupted():
        yield from made[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write(tmp_path / "new", interrupted())
    assert not writer.is_complete(tmp_path / "new")
    first = next((tmp_path / "new").rglob("face0"))
    (first / "9999.jpg").write_bytes(b"left over")
    writer.write(tmp_path / "new", made)
    written = {p.relative_to(tmp_path / "new") for p in (tmp_path / "new").rglob("*.jpg")}
    assert written == {p.relative_to(tree) for p in tree.rglob("*.jpg")}
