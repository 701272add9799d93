"""prepare --verify and --crop_tree through the real command, on drawn videos."""

import json
import shutil

import pytest
from command import run_main
from odd.encoder import draw, encode

from data_prep import sources
from data_prep.crops.reader import read_clip

CLIP = 32


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for folder, target in (("real", 0), ("fake", 1)):
        (root / folder).mkdir()
        encode(root / folder / f"{folder}.mp4", draw(CLIP, target=target))
    return root


def prepare(videos, workdir, *more) -> int:
    return run_main(
        "prepare", f"--config=configs/folder.py:{videos}", f"--workdir={workdir}", f"--config.data.num_frames={CLIP}",
        "--config.data.workers=1", *more,
    )  # fmt: skip


def test_verify_looks_and_makes_nothing(videos, tmp_path, capsys):
    assert prepare(videos, tmp_path / "run", "--verify") == 0
    assert "test/real/unknown" in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_another_data_set_stops_there(videos, tmp_path, capsys):
    shutil.copytree(videos, tmp_path / "videos")
    shutil.copy(tmp_path / "videos/real/real.mp4", tmp_path / "videos/fake/copy.mp4")
    assert prepare(tmp_path / "videos", tmp_path / "run", "--verify") == 2
    captured = capsys.readouterr()
    assert "copy.mp4" in captured.out and "error: folder: not the expected data set" in captured.err
    assert not (tmp_path / "run").exists()


def test_the_crop_tree_is_the_records_and_can_be_read(videos, tmp_path, capsys):
    assert prepare(videos, tmp_path / "run", f"--crop_tree={tmp_path / 'tree'}") == 0
    tree = tmp_path / "tree/folder"
    assert (tree / "test.txt").read_text().splitlines() == ["fake,fake.mp4,-1", "youtube,real.mp4,+1"]
    listed = sources.list_videos("crop_tree", str(tree), splits=("test",))
    assert {(v.label, v.video) for v in listed} == {(0, "real.mp4"), (1, "fake.mp4")}
    for video in listed:
        assert read_clip(video.path, video.crop_landmarks, CLIP).valid.all()
    page = (tmp_path / "run/records/folder/preparation.html").read_text()
    assert "fake.mp4" in page and "to look at: " in capsys.readouterr().err
    # And from the tree records again, with the same pictures and nothing detected.
    assert run_main(
        "prepare", f"--config=configs/crop_tree.py:{tree}", f"--workdir={tmp_path / 'again'}",
        f"--config.data.num_frames={CLIP}", "--config.data.workers=1",
        "--config.data.sources.crop_tree.splits=('test',)",
    ) == 0  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "again/records/crop_tree/clips.jsonl").read_text().splitlines()]
    assert {(row["label"], row["face_choice"]) for row in rows} == {(0, "given"), (1, "given")}


@pytest.mark.parametrize(
    ("arguments", "captured"),
    [
        (("train", "--verify"), "--verify goes with prepare: main.py prepare"),
        (("--crop_tree=x",), "--crop_tree goes with prepare: main.py prepare"),
        (("prepare", "--verify", "--crop_tree=x"), "give one of the two"),
        (("prepare", "--beam_options=a=b"), "give --beam_runner too"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(tmp_path, capsys, arguments, captured):
    assert run_main(*arguments, "--config=configs/folder.py:x", f"--workdir={tmp_path}") == 2
    assert captured in capsys.readouterr().err
