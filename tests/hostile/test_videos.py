"""Damaged videos of twelve codecs through `predict`: an answer or one line each, in bounded memory, nothing touched."""

import json
from pathlib import Path

import pytest

from hostile import bench, bombs, clips, counts, mutations
from hostile.test_bombs import check_leading

WHOLE = 200  # mutations of each codec
FEW = {"h264.mp4": 4, "vp9.webm": 3, "mpeg4.avi": 3}  # codec -> mutations that run with the suite


def write(sandbox: bench.Sandbox, name: str, data: bytes, numbers) -> list[Path]:
    """Mutations of a file, under names that say what they are, and the file itself."""
    paths = []
    for number in numbers:
        kind, changed = mutations.mutated(data, number)
        paths.append(sandbox.videos / f"{number:03d}.{kind}.{name}")
        paths[-1].write_bytes(changed)
    paths.append(sandbox.videos / name)
    paths[-1].write_bytes(data)
    return paths


def check(part: str, outcomes: list[bench.Outcome], sandbox: bench.Sandbox) -> None:
    counts.say(counts.of(part, outcomes))
    assert bench.problems(outcomes) == []
    assert sandbox.changes() == []
    for one in outcomes:
        if Path(one.path).name in clips.CODECS:
            assert one.kind == "answer", f"undamaged, and refused: {one.said}"


def test_some_damaged_videos_and_bombs(tmp_path):
    """In one process, since most of the time goes into starting it."""
    sandbox = bench.Sandbox(tmp_path)
    paths = []
    for name, data in clips.encoded(tuple(FEW)).items():
        paths += write(sandbox, name, data, range(0, 7 * FEW[name], 7))
    outcomes = bench.predict_all([*paths, *bombs.write(sandbox.videos, bombs.FEW)], sandbox)
    check("some damaged videos and bombs", outcomes, sandbox)
    check_leading(outcomes)
    (wide,) = [one for one in outcomes if one.path.endswith("wide.gif")]
    assert "data.limits.pixels" in json.loads(wide.said)["error"]


@pytest.mark.hostile
@pytest.mark.parametrize("name", clips.CODECS)
def test_damaged_videos(tmp_path, name):
    sandbox = bench.Sandbox(tmp_path)
    paths = write(sandbox, name, clips.encoded((name,))[name], range(WHOLE))
    check(f"damaged {name}", bench.predict_all(paths, sandbox, workers=2), sandbox)


def test_the_bench_sees_a_crash_a_hang_and_a_change(tmp_path, monkeypatch):
    """A process that dies at one file and sleeps at another: both are told, the others are answered."""
    (tmp_path / "fake/hostile").mkdir(parents=True)
    (tmp_path / "fake/hostile/__init__.py").write_text("")
    (tmp_path / "fake/hostile/worker.py").write_text(
        "import json, os, sys, time\n"
        "for path in sys.stdin.buffer.read().split(b'\\0')[:-1]:\n"
        "    if path.endswith(b'dies'): os.abort()\n"
        "    if path.endswith(b'sleeps'): time.sleep(600)\n"
        "    if path.endswith(b'writes'): open(os.environ['HOME'] + '/mine.txt', 'a').write('!')\n"
        "    answer = json.dumps({'video': os.fsdecode(path), 'error': 'no'})\n"
        "    print(json.dumps({'answer': answer, 'seconds': 1, 'megabytes': 9999}), flush=True)\n"
    )
    sandbox = bench.Sandbox(tmp_path / "box")
    monkeypatch.setattr(bench, "ROOT", tmp_path / "fake")
    monkeypatch.setattr(bench, "PATIENCE", 3.0)
    paths = [sandbox.videos / name for name in ("a", "dies", "b", "sleeps", "writes")]
    outcomes = bench.predict_all(paths, sandbox)
    assert [one.kind for one in outcomes] == ["refused", "crashed", "refused", "hung", "refused"]
    assert "status -6" in outcomes[1].said and len(bench.problems(outcomes)) == 5
    assert sandbox.changes() == [str(sandbox.root / "home/mine.txt")]
    assert json.loads(outcomes[0].said)["error"] == "no"
