"""Which real videos there are and whom they show: folders, CSVs, and what is refused of either. No video is opened."""

import pytest

from cpml_jax.errors import UserError
from data_prep.forge.listing import divided, person, real_videos, video_name

PEOPLE = ("a", "b", "c", "d", "e", "f")


def folder(root, *names):
    for name in names or [f"{one}_1.mp4" for one in PEOPLE]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def table(root, *lines, head="path,identity,split,label"):
    path = root / "list.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def rows(*changed, split=("train", "train", "val", "val", "test", "test")):
    return [f"{one}.mp4,{one},{part},real" for one, part in zip(PEOPLE, split, strict=True)] + list(changed)


def people(place, output):
    return {one.video: one.identity for one in real_videos(place, output)[0]}


def test_a_folder_names_people_by_folders_and_file_names(tmp_path):
    names = ["anna/one.mp4", "anna/deep/two_1.mov", "ben_1.mp4", "ben_22.mp4", "IMG_0001.mp4", "IMG_0002.mp4", "_3.mp4"]
    found = people(folder(tmp_path / "real", *names, "anna/notes.txt", ".hidden.mp4", "zoë/x.webm"), tmp_path / "out")
    assert found == {
        "anna-one": "anna", "anna-deep-two_1": "anna", "ben_1": "ben", "ben_22": "ben", "IMG_0001": "IMG_0001",
        "IMG_0002": "IMG_0002", "_3": "_3", "zoë-x": "zoë",
    }  # fmt: skip


def test_a_file_beside_a_folder_of_its_name_shows_the_same_person(tmp_path):
    names = ["anna/1.mp4", "anna_2.mp4", *(f"{name}.mp4" for name in PEOPLE)]
    found = people(folder(tmp_path / "real", *names), tmp_path / "out")
    assert found["anna-1"] == found["anna_2"] == "anna"


def test_names_are_fit_for_files(tmp_path):
    long = video_name((tmp_path / ("ü" * 90 + ".mp4")).relative_to(tmp_path))
    assert len(long.encode()) <= 80 and long != video_name((tmp_path / ("ü" * 91 + ".mp4")).relative_to(tmp_path))
    assert video_name((tmp_path / "a b/c?.mp4").relative_to(tmp_path)) == "a-b-c-"
    odd = (tmp_path / b"\xff_1.mp4".decode("utf-8", "surrogateescape")).relative_to(tmp_path)
    assert person(odd).encode() and video_name(odd).encode()
    with pytest.raises(UserError, match="both be called a-b; rename"):
        people(folder(tmp_path / "real", "a/b.mp4", "a-b.mp4", *(f"{n}.mp4" for n in "cdefg")), tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["anna_1.mp4", "anna_2.mp4"], "2 videos of one person alone, 'anna'"),
        (["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"], "5 videos of 5 people; a forgery takes another person"),
        (["notes.txt"], "no video files in this folder"),
    ],
)
def test_too_few_people_are_refused(tmp_path, names, message):
    with pytest.raises(UserError, match=message) as caught:
        real_videos(folder(tmp_path / "real", *names), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_the_output_is_no_input(tmp_path):
    real = folder(tmp_path / "real")
    for output in (real, real / "runs/forged", tmp_path):
        with pytest.raises(UserError, match="which lies in the folder of the real ones or around it"):
            real_videos(real, output)
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(UserError, match="choose another --workdir"):
        real_videos(tmp_path / "link", real / "out")
    with pytest.raises(UserError, match=r"line 2: real/a_1.mp4 lies in .*out"):
        real_videos(table(tmp_path, "real/a_1.mp4,a,train,real"), tmp_path / "real")  # its own folder as `out`
    with pytest.raises(UserError, match="no such folder or CSV"):
        real_videos(tmp_path / "nowhere", tmp_path / "out")


def test_a_csv(tmp_path):
    path = table(tmp_path, *rows("b/2.mp4,b,train,0", "fake.mp4,b,test,FAKE", "fake2.mp4,,,1"))
    found, notes = real_videos(path, tmp_path / "out")
    assert {one.video: one.split for one in found} == {
        "a": "train", "b": "train", "b-2": "train", "c": "val", "d": "val", "e": "test", "f": "test",
    }  # fmt: skip
    assert notes == [f"{path}: 2 fake videos left out; only real ones are forged"]
    found, notes = real_videos(table(tmp_path, *(f"{one}_1.mp4" for one in PEOPLE), head="path"), tmp_path / "out")
    assert [one.identity for one in found] == list(PEOPLE) and not notes


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (rows("a_2.mp4,a,test,real"), "person 'a' is in the splits train and test"),
        (rows("g.mp4,g,,real"), "g.mp4 has no split, others have one"),
        (rows("g.mp4,g,dev,real"), "line 8: split 'dev'"),
        (rows("g.mp4,g,test,perhaps"), "line 8: label 'perhaps'"),
        (rows("./a.mp4,a,train,real"), "line 8: ./a.mp4 is listed twice"),
        (rows(",g,test,real"), "line 8: the path is empty"),
        (rows(split=("train",) * 3 + ("val",) * 2 + ("test",)), "1 person in the test split; it needs 2"),
        ([], "the first line must name the columns"),
    ],
)
def test_csvs_that_cannot_be(tmp_path, lines, message):
    with pytest.raises(UserError, match=message) as caught:
        real_videos(table(tmp_path, *lines), tmp_path / "out")
    assert "\n" not in str(caught.value) and "list.csv" in str(caught.value)


def test_nobody_is_in_two_splits(tmp_path):
    real = folder(tmp_path / "real", *(f"p{n:02d}_{clip}.mp4" for n in range(50) for clip in (1, 2)))
    found = real_videos(real, tmp_path / "out")[0]
    split_of = {}
    for one in divided(found, 3):
        assert split_of.setdefault(one.identity, one.split) == one.split
    counts = {split: list(split_of.values()).count(split) for split in ("train", "val", "test")}
    assert counts == {"train": 31, "val": 8, "test": 11}
    assert divided(found, 3) == divided(found, 3) != divided(found, 4)
    six = divided([one for one in found if one.identity < "p06"], 0)
    assert sorted({one.identity: one.split for one in six}.values()) == ["test"] * 2 + ["train"] * 2 + ["val"] * 2
