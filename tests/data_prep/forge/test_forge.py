"""From a folder of videos, some of them useless, to report.html by one command; killed, resumed, changed, refused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
import real_footage
from command import run_main
from drawn import contents, decode

from cpml_jax.errors import UserError
from data_prep import sources
from data_prep.forge import clip_files, shortcut
from data_prep.forge.generate import generate
from data_prep.records.beam import Pipelines
from data_prep.verify.verify import verify

TARGETS = ("anna_1", "ben", "cleo", "dan-one", "half_rate", "phone")
REPOSITORY = Path(__file__).resolve().parents[3]
# configs/forged.py, small: two kinds, 32 frames, a toy of a model that reads pulse and landmarks for two steps.
CONFIG = """
from cpml_jax.configs import forged

def get_config(real=""):
    config = forged.get_config(real)
    forge = config.data.sources.forged.forge
    forge.kinds, forge.frames, forge.size, forge.seed = ("swap", "selfblend"), 32, 96, 3
    forge.copies = {"train": 1, "val": 1, "test": 1}
    forge.compressions.test = ("raw", "c23", "c23+c28")
    config.update_from_flattened_dict({
        "data.num_frames": 28, "data.workers": 1, "train.methods": ("swap", "selfblend"), "train.batch_size": 2,
        "train.steps": 2, "train.eval_every": 2, "train.checkpoint_every": 2, "train.log_every": 1, "train.devices": 1,
        "optim.warmup_steps": 0, "eval.compressions": ("raw", "c23", "c23+c28"), "eval.batch_size": 4,
        "eval.diagnostics": False, "model.modalities": ("landmarks",), "loss.teacher": 0.0, "loss.cqsl": 0.0,
    })
    return config
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("forge")


@pytest.fixture(scope="module")
def real(place):
    return real_footage.write(place / "real", place / "scratch")


@pytest.fixture(scope="module")
def config(place, real):
    (place / "config.py").write_text(CONFIG)
    return f"--config={place / 'config.py'}:{real}"


@pytest.fixture(scope="module")
def run(place, config):
    """A finished run of the one command."""
    assert run_main(config, f"--workdir={place / 'run'}") == 0
    return place / "run"


@pytest.fixture(scope="module")
def forged(run):
    return run / "videos/forged"


def listed(root) -> list[dict[str, str]]:
    with open(root / "videos.csv", newline="") as file:
        return list(csv.DictReader(file))


def again(root, real, **changes) -> None:
    generate(root, input=real, **real_footage.FORGED | changes)


def test_one_command_goes_from_real_videos_to_the_report(run, forged):
    assert (run / "report.html").stat().st_size > 10_000
    results = json.loads((run / "evaluation.json").read_text())
    assert "c23+c28" in json.dumps(results)
    excluded = (run / "records/forged/excluded.jsonl").read_text()
    assert not excluded, excluded
    index = [json.loads(line) for line in (run / "records/forged/clips.jsonl").read_text().splitlines()]
    assert len(index) == len(listed(forged)) == 3 * (2 * 2 + 2 * 2 + 2 * 3)
    for row in index:  # one face track for a real clip and all that was made of it
        assert row["track_from"].startswith("real/raw/") and row["track_from"].endswith(
            row["target_video"] or row["video"]
        )


def test_every_video_is_used_or_listed_with_its_reason(forged):
    refused = [json.loads(line) for line in (forged / "refused.jsonl").read_text().splitlines()]
    reasons = {Path(line["path"]).name: line["reason"] for line in refused}
    assert reasons.keys() == real_footage.USELESS.keys()
    for name, words in real_footage.USELESS.items():
        assert words in reasons[name] and reasons[name] and "unexpected" not in reasons[name], reasons[name]
    rows = listed(forged)
    assert {row["identity"] for row in rows} == {"anna", "ben", "cleo", "dan", "half_rate", "phone"}
    assert {row["video"] for row in rows if row["label"] == "real"} == set(TARGETS)
    page = (forged / "forge.html").read_text()
    assert "two faces" in page and page.count("<video") == 2 * 12 and "<script" not in page


@pytest.mark.parametrize("pattern", ["swap/raw/*.mp4", "masks/*/*.mp4", "videos.csv", "squares/*.npz"])
def test_a_flipped_bit_is_named(forged, config, place, capsys, pattern):
    victim = next(iter(forged.glob(pattern)))
    whole = victim.read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 1
    try:
        victim.write_bytes(data)
        assert run_main("forge", config, f"--workdir={place / 'run'}") == 2
    finally:
        victim.write_bytes(whole)
    assert f"{victim}: damaged since it was made; delete that file" in capsys.readouterr().err


def test_real_and_forged_differ_in_the_mask_alone(forged):
    rows = {row["path"]: row for row in listed(forged)}
    for path, row in rows.items():
        assert (forged / path).is_file()
        split_ends = {other["split"] for other in rows.values() if other["identity"] == row["identity"]}
        assert len(split_ends) == 1
        if row["label"] == "real" or row["compression"] != "raw":
            continue
        assert row["source_identity"] != row["identity"]
        original = decode(forged / f"real/raw/{row['target']}.mp4").astype(int)
        made, mask = decode(forged / path).astype(int), decode(forged / row["mask"])[..., 0] > 127
        assert original.shape == made.shape == (32, 96, 96, 3)
        apart = np.abs(original - made).mean(axis=-1)
        assert mask.any() and apart[mask].mean() > 2 * apart[~mask].mean() and np.median(apart[~mask]) < 2
        told = json.loads((forged / f"parameters/{row['method']}/{row['video']}.json").read_text())
        assert told["parameters"] and told["target"] == row["target"]


def test_the_page_finds_its_videos(forged):
    links = re.findall(r'<video src="([^"]+)"', (forged / "forge.html").read_text())
    assert links and all((forged / urllib.parse.unquote(link)).is_file() for link in links)


def test_the_source_says_what_lies_there(forged, config, run, capsys):
    videos = sources.list_videos("forged", forged)
    assert len({v.track_key for v in videos}) == 6 and {v.method for v in videos} == {"real", "swap", "selfblend"}
    fakes = [v for v in videos if v.label == 1]
    assert all(os.path.isfile(v.mask) and v.target_video and v.source_identity for v in fakes)
    assert verify("forged", forged, progress=False)["ok"]
    assert run_main("prepare", "--verify", config, f"--workdir={run}") == 0
    assert "test/swap/c23+c28" in capsys.readouterr().out
    with pytest.raises(UserError, match="no forged videos, videos.csv is missing"):
        sources.list_videos("forged", forged / "real")


def test_killed_twice_it_ends_with_the_same_bytes(forged, real, tmp_path, monkeypatch):
    root = tmp_path / "forged"
    shutil.copytree(forged / "squares", root / "squares")
    # The squares are there: the child needs no detector, and begins with the clips.
    arguments = f"{str(root)!r}, input={str(real)!r}, **{real_footage.FORGED!r}"
    code = f"from data_prep.forge.generate import generate; generate({arguments})"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": "."})
    while child.poll() is None and len(list(root.rglob("*.mp4"))) < 3:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    check_whole(root)
    made, count = clip_files.encode, iter(range(9))

    def interrupted(videos, frames, *more):
        """Encodes nine times, then is interrupted."""
        if next(count, None) is None:
            raise KeyboardInterrupt
        made(videos, frames, *more)

    monkeypatch.setattr(clip_files, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again(root, real)
    monkeypatch.undo()
    check_whole(root)
    (root / "swap/raw").mkdir(parents=True, exist_ok=True)
    (root / "swap/raw/left.mp4.part").write_bytes(b"half")
    again(root, real)
    assert contents(root) == contents(forged)


def check_whole(root) -> None:
    """What an interruption left has all of its frames, and no forgery lacks its real clip."""
    assert all(len(decode(path)) == 32 for path in root.rglob("*.mp4")) and not (root / "videos.csv").exists()
    for kind in ("swap", "selfblend"):
        for path in root.glob(f"{kind}/*/*.mp4"):
            target = next(name for name in TARGETS if path.name.startswith(f"{name}_"))
            assert (root / f"real/raw/{target}.mp4").is_file()


def test_what_is_missing_is_made_again_and_nothing_else(forged, real):
    before = contents(forged)
    rows = [row for row in listed(forged) if row["method"] == "swap"]
    victims = [forged / rows[0]["path"], forged / rows[-1]["mask"], forged / "forge.html", forged / "real/c23/ben.mp4"]
    for victim in victims:
        victim.unlink()
    times = {path: path.stat().st_mtime_ns for path in forged.rglob("*.mp4")}
    again(forged, real)
    assert contents(forged) == before
    assert all(path.stat().st_mtime_ns == moment for path, moment in times.items())


def test_a_forgery_that_fails_is_listed_and_its_real_clip_stays(forged, real, tmp_path, monkeypatch):
    root = tmp_path / "forged"
    shutil.copytree(forged / "squares", root / "squares")
    made = clip_files.forge_clip

    def failing(kind, target, source, seed):
        if kind == "swap" and target.video == "ben":
            raise IndexError("a bug")
        return made(kind, target, source, seed)

    monkeypatch.setattr(clip_files, "forge_clip", failing)
    again(root, real)
    monkeypatch.undo()
    before = contents(root)
    again(root, real)
    assert contents(root) == before, "what failed is not tried again"
    refused = [json.loads(line) for line in (root / "refused.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in refused if "swap" in line["path"]] == ["unexpected IndexError: a bug"]
    absent = {row["path"] for row in listed(forged)} - {row["path"] for row in listed(root)}
    assert absent and all(path.startswith("swap/") and "/ben_" in path for path in absent)
    assert not (root / "swap/raw" / Path(sorted(absent)[0]).name).exists() and (root / "real/raw/ben.mp4").exists()


def test_on_beam_the_same_bytes(forged, real, tmp_path):
    pytest.importorskip("apache_beam")
    root = tmp_path / "forged"
    shutil.copytree(forged / "squares", root / "squares")
    (root / "squares/short.npz").unlink()
    again(root, real, pipelines=Pipelines("FnApiRunner"))
    assert contents(root) == contents(forged)


def test_other_parameters_and_other_videos_are_refused(forged, real, tmp_path):
    with pytest.raises(UserError, match=r"videos forged with other parameters \(seed: 3, now 4\)"):
        again(forged, real, seed=4)
    with pytest.raises(UserError, match=r"other parameters \(compressions"):
        again(forged, real, compressions=dict.fromkeys(("train", "val", "test"), ("raw", "c23")))
    fewer = shutil.copytree(real, tmp_path / "fewer")
    (fewer / "noise.mp4").unlink()
    with pytest.raises(UserError, match=r"other parameters \(videos: 12, now 11\)"):
        again(forged, fewer)


def test_too_few_that_can_be_used(forged, real, tmp_path):
    few = shutil.copytree(real, tmp_path / "few")
    (few / "ben.mp4").write_bytes(b"")
    shutil.copytree(forged / "squares", tmp_path / "out/squares")
    (tmp_path / "out/squares/ben.npz").unlink()
    with pytest.raises(UserError, match=r"1 person in the train split can be used.*refused.jsonl") as caught:
        again(tmp_path / "out", few)
    assert "ben.mp4" in (tmp_path / "out/refused.jsonl").read_text() and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(kinds=("swap", "paint")), "kinds"),
        (dict(kinds=()), "kinds"),
        (dict(copies=dict(train=1, val=1)), "copies.test=0"),
        (dict(compressions=dict(train=("raw",), val=("raw",), test=("c99",))), "compressions.test"),
        (dict(size=97), "size"),
        (dict(frames=8), "frames"),
    ],
)
def test_parameters_that_cannot_be_are_refused(change, message, real, tmp_path):
    with pytest.raises(UserError, match=message):
        again(tmp_path / "new", real, **change)
    assert not (tmp_path / "new").exists()


def test_mistakes_on_the_command_line_are_one_line(config, real, tmp_path, capsys):
    def refusal(*arguments) -> str:
        capsys.readouterr()
        assert run_main(*arguments, f"--workdir={tmp_path / 'run'}") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and not (tmp_path / "run/videos").exists()
        return error

    assert "data.sources.forged.forge.input is empty" in refusal("forge", "--config=configs/forged.py")
    assert "has no source to forge" in refusal("forge", "--config=configs/synthetic.py")
    key = "--config.data.sources.forged.forge"
    assert "forge.input=/nowhere" not in refusal("forge", config, f"{key}.input=/nowhere")
    for change, words in (
        (f"{key}.frames=24", "data.num_frames=28 is more than the clips have"),
        (f"{key}.kinds=('swap',)", "train.methods has 'selfblend'"),
        (f"{key}.compressions.train=('raw',)", "train.compressions has 'c23'"),
        (f"{key}.compressions.test=('raw','c77')", "forge.compressions.test"),
        (f"{key}.copies.val=0", "forge.copies.val=0; it is a whole number above 0"),
        (f"{key}.size=95", "forge.size=95; it is even"),
    ):
        assert words in refusal(config, change)


def test_the_shortcut_command(forged, capsys):
    assert shortcut.compressions_of(str(forged)) == ["raw", "c23"]
    assert shortcut.main([str(forged), "raw"]) == 0
    assert re.fullmatch(r"raw: selfblend [01]\.\d\d  swap [01]\.\d\d  all [01]\.\d\d\n", capsys.readouterr().out)
    assert shortcut.main([str(forged), "c40"]) == 2 and shortcut.main([]) == 2
    assert shortcut.statistics(str(forged / "real/raw/ben.mp4")).shape == (18,)
