"""Real files through the real preparation: drawn faces, bad files, two faces, kill and resume."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import published
import pytest

from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from data_prep import prepare as preparation
from data_prep.face.clips import video_clips
from data_prep.records import pack, process
from data_prep.synthetic import generate

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 48
METHODS = ("Deepfakes",)
SELECTION = dict(compressions=("raw", "c40"), methods=METHODS, splits=("test",))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two identities, real and Deepfakes, raw and c40, a little longer than a clip."""
    root = tmp_path_factory.mktemp("drawn")
    generate.generate(
        str(root), style="a", identities={"test": 2}, frames=FRAMES + 8, size=160,
        compressions={"test": ("raw", "c40")}, methods=METHODS, seed=3, workers=1, progress=False,
    )  # fmt: skip
    return root


def prepare(root, records, num_frames=FRAMES, **changes):
    source = preparation.Source("faces", "ffpp", root, **(SELECTION | changes))
    return preparation.prepare(source, preparation.Sampling(num_frames, 1), records, workers=1, progress=False)


@pytest.fixture(scope="module")
def prepared(drawn, tmp_path_factory):
    records = tmp_path_factory.mktemp("records")
    return records, prepare(drawn, records)


def real_video(drawn) -> Path:
    return drawn / "original_sequences/youtube/raw/videos/000.mp4"


def array_records(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*.array_record*")}


def test_records_hold_what_the_schema_says(drawn, prepared):
    records, summary = prepared
    assert summary["clips"]["total"] == 8 and not summary["excluded"]
    record_set = RecordSet(records / "faces")
    for row in record_set.rows:
        record = record_set.read(row)
        assert record["frames"].shape == (FRAMES, 128, 128, 3) and record["frames"].std() > 20
        assert record["valid"].all() and row["track_quality"] > 0.9
        inside = np.abs(record["landmarks"]) < 1
        assert inside.mean() > 0.95 and record["landmarks"][..., 1].std() > 0.2
        assert np.isfinite(record["pulse_truth"]).all() or row["method"] == "Deepfakes"  # some of which have none
        assert (row["source_fps"], row["source_height"], row["source_codec"]) == (30.0, 160, "h264")
    assert {(r["method"], r["compression"]) for r in record_set.rows} == {
        (m, c) for m in ("real", "Deepfakes") for c in ("raw", "c40")
    }
    page = (records / "faces" / "preparation.html").read_text()
    assert page.count("data:image/jpeg") >= 8 * 6 and "faces/Deepfakes/c40/000_001" in page.replace(" ", "")


def test_compressions_share_the_box_and_measure_for_themselves(prepared):
    record_set = RecordSet(prepared[0] / "faces")
    by = {row["compression"]: record_set.read(row) for row in record_set.rows if row["clip_key"] == "faces/real/000/0"}
    np.testing.assert_array_equal(by["raw"]["box"], by["c40"]["box"])
    assert not np.array_equal(by["raw"]["landmarks"], by["c40"]["landmarks"])
    assert not np.array_equal(by["raw"]["pulse_pos"], by["c40"]["pulse_pos"])
    assert np.corrcoef(by["raw"]["pulse_pos"], by["raw"]["pulse_truth"])[0, 1] > 0.6


def test_one_search_for_faces_serves_every_file_of_a_target(drawn, prepared, tmp_path, monkeypatch):
    searched = []
    track_video = process.clips.track_video

    def watched(path, detector, limits):
        searched.append(path)
        return track_video(path, detector, limits)

    monkeypatch.setattr(process.clips, "track_video", watched)
    prepare(drawn, tmp_path)
    originals = drawn / "original_sequences/youtube/raw/videos"
    assert sorted(searched) == [str(originals / "000.mp4"), str(originals / "001.mp4")]
    record_set = RecordSet(tmp_path / "faces")
    real, fake = (
        record_set.read(next(row for row in record_set.rows if row["clip_id"] == f"faces/{name}/0"))
        for name in ("real/raw/000", "Deepfakes/c40/000_001")
    )
    np.testing.assert_array_equal(real["box"], fake["box"])
    assert not np.array_equal(real["landmarks"], fake["landmarks"])
    assert {row["track_from"] for row in record_set.rows} == {"real/raw/000", "real/raw/001"}
    assert {(row["face_choice"], row["sampler"]) for row in record_set.rows} == {
        ("largest", "start=track;stride=1;count=48;fps=30;windows=1")
    }


def test_the_box_is_smooth(prepared):
    """Its path bends by less than a tenth of a pixel a frame: below what reaches the skin's mean."""
    record_set = RecordSet(prepared[0] / "faces")
    box = record_set.read(record_set.rows[0])["box"].astype(float)
    assert np.abs(np.diff(box, n=2, axis=0)).max() < 0.1
    np.testing.assert_allclose(np.ptp(box[:, 2] - box[:, 0]), 0, atol=1e-3)


def test_prepared_again_it_does_nothing_and_other_parameters_are_refused(drawn, prepared):
    records, summary = prepared
    before = (records / "faces" / "prepare.json").stat().st_mtime_ns
    assert prepare(drawn, records) == summary
    assert (records / "faces" / "prepare.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="num_frames=48, now it is 32"):
        prepare(drawn, records, num_frames=32)


def in_a_process(drawn, records) -> subprocess.Popen:
    """Its own, as after a kill: protobuf orders a record's fields differently in every process."""
    code = f"import test_prepare as t; t.prepare({str(drawn)!r}, {str(records)!r})"
    places = (ROOT, ROOT / "tests", ROOT / "tests" / "data_prep")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)


def kill_when(process: subprocess.Popen, moment) -> None:
    while not moment():
        assert process.poll() in (None, 0), "it did not stop by our hand"
        if process.returncode == 0:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_and_started_again_it_gives_the_same_bytes(drawn, prepared, tmp_path):
    work, summary = tmp_path / "faces" / "work", tmp_path / "faces" / "prepare.json"
    kill_when(in_a_process(drawn, tmp_path), lambda: any(work.glob("*.npz")))
    assert not summary.exists(), "the kill came too late to show anything"
    first = {path.name: path.stat().st_mtime_ns for path in work.glob("*.npz")}
    assert len(first) == 1
    # And at a moment that nobody chose, as when a machine goes down.
    ends = time.monotonic() + random.uniform(1.0, 4.0)
    kill_when(in_a_process(drawn, tmp_path), lambda: time.monotonic() > ends)
    if not summary.exists():
        assert {path.name: path.stat().st_mtime_ns for path in work.glob("*.npz")}.items() >= first.items()
    assert in_a_process(drawn, tmp_path).wait() == 0
    assert array_records(tmp_path) == array_records(prepared[0]) and summary.exists()
    assert (tmp_path / "faces" / "clips.jsonl").read_bytes() == (prepared[0] / "faces" / "clips.jsonl").read_bytes()
    assert not work.exists()


STAYS = """
import os, sys, time
from pathlib import Path
from data_prep.prepare import run_jobs

def stay(file):
    Path(file).write_text(str(os.getpid()))
    time.sleep(3600)

if __name__ == "__main__":
    names = [os.path.join(sys.argv[1], name) for name in "ab"]
    run_jobs("jobs", "job", stay, [(name,) for name in names], [Path(name + ".done") for name in names], 2, False)
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = tmp_path / "stays.py"
    script.write_text(STAYS)
    started = [tmp_path / name for name in "ab"]
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    kill_when(process, lambda: all(file.is_file() and file.read_text() for file in started))
    pids = [int(file.read_text()) for file in started]
    assert process.pid not in pids and pids[0] != pids[1]
    deadline = time.monotonic() + 120  # a hang, not slowness: they would sleep for an hour
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"{pids} are left"
        time.sleep(0.1)


def write(path: Path, frames) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def read(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_every_bad_file_is_listed_with_its_reason_and_the_rest_goes_on(drawn, tmp_path):
    real, fake = tmp_path / "videos/real", tmp_path / "videos/fake"
    real.mkdir(parents=True)
    fake.mkdir()
    good, frames = real_video(drawn), read(real_video(drawn))
    shutil.copy(good, real / "good one ü.mp4")
    shutil.copy(good, fake / "wrong extension.txt")
    (real / "empty.mp4").write_bytes(b"")
    (real / "noise.mp4").write_bytes(os.urandom(5000))
    (real / "truncated.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 3])
    (real / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    write(real / "short.mp4", frames[:20])
    write(real / "faceless.mp4", [np.full((96, 96, 3), 90, np.uint8)] * FRAMES)
    source = preparation.Source("mixed", "folder", tmp_path / "videos")
    sampling = preparation.Sampling(FRAMES, 1)
    summary = preparation.prepare(source, sampling, tmp_path / "records", workers=1, progress=False)
    record_set = RecordSet(tmp_path / "records/mixed")
    assert {row["video"] for row in record_set.rows} == {"good one ü.mp4", "wrong extension.txt"}
    reasons = {row["video"]: row["reason"] for row in record_set.excluded}
    assert "empty" in reasons["empty.mp4"] and "no face" in reasons["faceless.mp4"]
    assert "20 frames" in reasons["short.mp4"] and f"needs {FRAMES}" in reasons["short.mp4"]
    assert reasons.keys() == {"empty.mp4", "noise.mp4", "truncated.mp4", "dangling.mp4", "short.mp4", "faceless.mp4"}
    assert not any("unexpected" in reason for reason in reasons.values()), reasons
    assert sum(summary["excluded"].values()) == 6


def test_work_of_an_interruption_serves_the_same_videos_alone(drawn, prepared, tmp_path, monkeypatch):
    """Another root whose videos have the same names, taken up where the first was interrupted."""
    other = tmp_path / "other"
    shutil.copytree(drawn, other)
    videos = other / "original_sequences/youtube"
    for compression in ("raw", "c40"):  # here 000 shows what 001 shows
        shutil.copy(videos / compression / "videos/001.mp4", videos / compression / "videos/000.mp4")
    records = tmp_path / "records"
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn, records)
    prepare(other, records)
    record_set = RecordSet(records / "faces")
    by = {
        row["video"]: record_set.read(row) for row in record_set.rows if row["video_key"].startswith("faces/real/raw")
    }
    np.testing.assert_array_equal(by["000"]["frames"], by["001"]["frames"])


def test_prediction_and_records_see_the_same(drawn, prepared):
    record_set = RecordSet(prepared[0] / "faces")
    row = next(r for r in record_set.rows if r["clip_id"] == "faces/real/raw/000/0")
    clip = next(iter(video_clips(real_video(drawn), num_frames=FRAMES)))
    np.testing.assert_allclose(clip.landmarks, record_set.read(row)["landmarks"], atol=1e-6)
    np.testing.assert_allclose(clip.pulse_pos, record_set.read(row)["pulse_pos"], atol=1e-6)


def test_no_tensorflow_and_no_networks_where_records_are_read(prepared):
    code = (
        "import sys; from cpml_jax.data.records import RecordSet; s = RecordSet(sys.argv[1]); s.read(s.rows[0]);"
        "print([m for m in ('tensorflow', 'onnxruntime', 'av', 'dlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared[0] / "faces")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_summary_is_json_and_text(prepared):
    summary = json.loads((prepared[0] / "faces/prepare.json").read_text())
    published.check("prepare", summary)
    assert summary["clips"]["test/real/raw"] == 2 and len(summary["sha256"]) == 64
    assert "Deepfakes" in pack.summary_text("faces", summary)
