"""Records of conditions from end to end: names, one track, separate measurements, exclusions, interruptions."""

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from data_prep import prepare as preparation
from data_prep import sources
from data_prep.conditions import corruptions, plan_file
from data_prep.conditions import prepare as condition_records
from data_prep.records import beam, work_file
from data_prep.records.process import Sampling
from data_prep.synthetic import generate
from tests.data_prep.records.shard_files import differing, files

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 48
NAMES = ("h264-crf40", "av1-crf18", "blur-5", "noise-2")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """One identity and a fake of it, raw and c40; a second fake as c40 alone."""
    root = tmp_path_factory.mktemp("drawn")
    generate.generate(
        str(root),
        style="a",
        identities={"test": 2},
        frames=FRAMES + 2,
        size=160,
        compressions={"test": ("raw", "c40")},
        methods=("Deepfakes",),
        seed=3,
        workers=1,
        progress=False,
    )
    shutil.rmtree(root / "original_sequences/youtube/c40")
    raw, whole = root / "manipulated_sequences/Deepfakes/raw/videos", root / "whole"
    raw.rename(whole)
    raw.mkdir()
    shutil.move(whole / "000_001.mp4", raw)
    (root / "original_sequences/youtube/raw/videos/001.mp4").write_bytes(b"\0" * 3000)
    return root


def prepare(root, records, protocol="corruption", **changes):
    settings = dict(num_frames=FRAMES, splits=(), draw=None, conditions=NAMES, pipelines=None) | changes
    source = sources.Source("faces", "ffpp", root, splits=settings["splits"], draw=settings["draw"])
    sampling = Sampling(settings["num_frames"], 1)
    return condition_records.prepare(
        source,
        sampling,
        protocol,
        records,
        conditions=settings["conditions"],
        workers=1,
        progress=False,
        pipelines=settings["pipelines"],
    )


@pytest.fixture(scope="module")
def prepared(drawn, tmp_path_factory):
    records = tmp_path_factory.mktemp("records")
    return records / prepare(drawn, records)


def test_a_mistyped_name_gets_a_hint_and_nothing_is_written(drawn, tmp_path):
    with pytest.raises(UserError, match="did you mean 'blur-3'"):
        prepare(drawn, tmp_path, conditions=("blurr-3",))
    with pytest.raises(UserError, match="compression_curve, corruption"):
        prepare(drawn, tmp_path, "curve", conditions=())
    with pytest.raises(UserError, match="split test"):
        prepare(drawn, tmp_path, splits=("train", "val"))
    assert not list(tmp_path.iterdir())


def test_the_original_and_its_copies_share_a_track_and_are_measured_separately(prepared):
    assert prepared.name == "faces.corruption"
    record_set = RecordSet(prepared)
    for video in ("real/000", "Deepfakes/000_001"):
        method, identity = video.split("/")
        by = {
            r["compression"]: record_set.read(r)
            for r in record_set.rows
            if (r["method"], r["video"]) == (method, identity)
        }
        assert list(by) == ["raw", *NAMES]
        for name in NAMES:
            np.testing.assert_array_equal(by[name]["box"], by["raw"]["box"])
            assert (by[name]["track_from"], by[name]["face_choice"]) == ("real/raw/000", "largest")
            assert by[name]["split"] == "test" and by[name]["label"] == by["raw"]["label"]
            for key in ("frames", "landmarks", "pulse_pos", "pulse_chrom"):
                assert not np.array_equal(by[name][key], by["raw"][key]), (name, key)
            np.testing.assert_array_equal(by[name]["pulse_truth"], by["raw"]["pulse_truth"])
        assert (by["av1-crf18"]["source_codec"], by["blur-5"]["source_codec"]) == ("libdav1d", "h264")
        assert by["h264-crf40"]["source_bitrate"] < by["av1-crf18"]["source_bitrate"] < by["raw"]["source_bitrate"]
        sharp = {name: np.diff(record["frames"].astype(float), axis=2).std() for name, record in by.items()}
        assert sharp["blur-5"] < 0.7 * sharp["raw"] < sharp["noise-2"]
    assert {row["clip_key"] for row in record_set.rows} == {
        "faces.corruption/real/000/0",
        "faces.corruption/Deepfakes/000_001/0",
    }


def test_a_video_without_copies_is_excluded_with_its_reason(prepared):
    reasons = {(row["method"], row["video"]): row["reason"] for row in RecordSet(prepared).excluded}
    assert reasons.keys() == {("real", "001"), ("Deepfakes", "001_000")}
    assert "zeros" in reasons["real", "001"] and "no file of it at raw" in reasons["Deepfakes", "001_000"]


def test_prepared_again_it_does_nothing_and_other_parameters_are_refused(drawn, prepared):
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    assert not (prepared / "work").exists() and not list(prepared.rglob("*.mp4"))
    assert prepare(drawn.parent / "gone", prepared.parent) == prepared.name
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before
    for changes in (dict(conditions=("blur-5",)), dict(num_frames=32), dict(draw={"seed": 4})):
        with pytest.raises(UserError, match="delete that folder"):
            prepare(drawn, prepared.parent, **changes)


def test_records_of_earlier_versions_are_reused(drawn, prepared, tmp_path):
    """They have the conditions under the name of variants."""
    records = tmp_path / prepared.name
    shutil.copytree(prepared, records)
    summary = json.loads((records / "prepare.json").read_text())
    summary["parameters"]["variants"] = summary["parameters"].pop("conditions")
    (records / "prepare.json").write_text(json.dumps(summary))
    assert prepare(drawn.parent / "gone", tmp_path) == prepared.name
    with pytest.raises(UserError, match="conditions.*delete that folder"):
        prepare(drawn, tmp_path, conditions=("blur-5",))


def test_another_table_is_another_parameter_set(drawn, prepared, monkeypatch):
    monkeypatch.setitem(corruptions.PARAMETERS, "blur", (7, 9, 13, 17, 23))
    with pytest.raises(UserError, match="conditions"):
        prepare(drawn, prepared.parent)


def test_killed_and_started_again_it_gives_the_same_bytes(drawn, prepared, tmp_path, monkeypatch):
    def gone(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # after the search for faces
        patch.setattr(condition_records, "process_video", gone)
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn, tmp_path)
    work = tmp_path / "faces.corruption/work"
    assert len(list(work.glob("*.windows"))) == 2 and not list(work.glob("*.npz"))
    code = f"import test_prepare as t; t.prepare({str(drawn)!r}, {str(tmp_path)!r})"
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))
    environment = os.environ | {"PYTHONPATH": path}
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    while running.poll() is None and not list(work.glob("*.mp4")):  # in the middle of a video
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "faces.corruption/prepare.json").exists(), "the kill came too late to show anything"
    done, made = list(work.glob("*.npz")), []
    process_video = condition_records.process_video
    monkeypatch.setattr(condition_records, "process_video", lambda *job: made.append(job) or process_video(*job))
    monkeypatch.setattr(condition_records, "find_faces", gone)  # the faces are found
    prepare(drawn, tmp_path)
    assert len(made) + len(done) == 3
    again = RecordSet(tmp_path / "faces.corruption")
    for name in ("clips.jsonl", "excluded.jsonl"):
        assert (again.directory / name).read_bytes() == (prepared / name).read_bytes()
    summaries = [json.loads((folder / "prepare.json").read_text()) for folder in (again.directory, prepared)]
    assert summaries[0] == summaries[1] and not work.exists()
    whole = RecordSet(prepared)
    for row in whole.rows:
        one, other = whole.read(row), again.read(row)
        for key in ("frames", "landmarks", "pulse_pos", "valid"):
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="apache_beam is not installed")
def test_through_beam_every_file_is_the_same_and_what_was_finished_without_it_is_kept(
    drawn, prepared, tmp_path, monkeypatch
):
    pipelines = beam.Pipelines("FnApiRunner")  # as in tests/data_prep/records/test_beam.py
    process_video, made = condition_records.process_video, []

    def one(*job):
        if made:
            raise KeyboardInterrupt
        made.append(job)
        process_video(*job)

    with monkeypatch.context() as patch:
        patch.setattr(condition_records, "process_video", one)
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn, tmp_path)
    (finished,) = (tmp_path / "faces.corruption/work").glob("*.npz")
    before = finished.stat().st_mtime_ns, finished.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(condition_records, "find_faces", None)  # those are found
        patch.setattr(preparation, "pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn, tmp_path, pipelines=pipelines)
    assert (finished.stat().st_mtime_ns, finished.read_bytes()) == before
    with monkeypatch.context() as patch:
        patch.setattr(condition_records, "process_video", None)  # those are measured
        prepare(drawn, tmp_path, pipelines=pipelines)
    assert differing(files(tmp_path / prepared.name), files(prepared)) == []


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="apache_beam is not installed")
def test_a_worker_of_beam_that_sees_other_videos_stops_the_run(drawn, tmp_path, monkeypatch):
    def elsewhere(dataset, stages, pipelines):  # a mount that the workers lack
        for stage in stages:
            for job in stage.jobs:
                job.videos[:] = [dataclasses.replace(video, path=video.path + ".gone") for video in job.videos]
        original(dataset, stages, pipelines)

    original = condition_records.pipeline.process
    monkeypatch.setattr(condition_records.pipeline, "process", elsewhere)
    with pytest.raises(UserError, match="step Faces failed.*a worker sees another file.*all workers share"):
        prepare(drawn, tmp_path, pipelines=beam.Pipelines("FnApiRunner"))
    assert not (tmp_path / "faces.corruption/prepare.json").exists()


def test_a_full_disk_stops_everything_and_another_error_one_video():
    with pytest.raises(OSError):
        condition_records.reason(OSError(28, "No space left on device"))
    assert condition_records.reason(UserError("no face")) == "no face"
    assert condition_records.reason(OSError(5, "Input/output error")).startswith("unexpected OSError")


def test_a_frame_that_the_original_lacks_is_invalid_in_every_copy(drawn, tmp_path):
    """Where the original could not be measured, the copy's frame only looks sound."""
    video = sources.list_videos("ffpp", str(drawn), compressions=("raw",), splits=("test",))[0]
    assert video.video == "000_001"
    plan = tmp_path / "a.windows"
    condition_records.find_faces([video], plan, Sampling(FRAMES, 1))
    ((windows, origin),) = plan_file.read(plan)
    windows[0].seen[7] = False
    plan_file.write(plan, [(windows, origin)])
    out = tmp_path / "out.npz"
    condition_records.process_video("faces", video, plan, 0, ("h264-crf40",), out, Sampling(FRAMES, 1))
    records, excluded = work_file.read(out)
    assert [record["compression"] for record in records] == ["raw", "h264-crf40"] and not excluded
    assert all(not record["valid"][7] and record["valid"].sum() == FRAMES - 1 for record in records)


def test_ready_made_crops_are_refused(monkeypatch):
    crop = sources.Video("crops/0", 0, "real", "raw", "0", "0", "", "", "test", "0", crop_landmarks="0.txt")
    monkeypatch.setattr(sources, "list_videos", lambda *_, **__: [crop])
    with pytest.raises(UserError, match="ready-made crops"):
        condition_records.best_compression(sources.Source("crops", "crop_tree", "crops"))
