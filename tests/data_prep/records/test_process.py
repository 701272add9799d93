"""Videos that share a track: which face, whose measurements, which work file."""

import dataclasses

import numpy as np
import pytest
from odd.encoder import draw, encode

from data_prep.face import clips
from data_prep.face.clips import FaceClip
from data_prep.face.tracks import Track
from data_prep.records import process, work_file
from data_prep.records.process import Sampling
from data_prep.sources import Video
from data_prep.video.reader import StreamInfo


def track(length, size, start=0):
    return Track(
        start, np.full((length, 2), 60.0), np.full((length, 2), size), np.zeros(length), np.ones(length, bool), 0.99
    )


def listed(**changes):
    fields = dict(
        path="x.mp4", label=0, method="real", compression="raw", video="x", identity="x", source_identity="",
        target_video="", split="test", track_key="real/x",
    )  # fmt: skip
    return Video(**(fields | changes))


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """The windows that preparation plans for a video with the given tracks, or the reason that it gives."""

    def plan(*tracks, num_frames=160):
        ordered = sorted(tracks, key=lambda t: -t.area())
        windows = []
        monkeypatch.setattr(process.detector, "shared_detector", lambda _: None)
        monkeypatch.setattr(clips, "track_video", lambda *_: (ordered, 1000))
        info = StreamInfo(30.0, 720, 1280, "h264", 1e6)
        monkeypatch.setattr(clips, "stream_info", lambda *_: info)
        monkeypatch.setattr(clips, "cut_windows", lambda _, planned, *__: windows.extend(planned) or iter(()))
        written = {}
        monkeypatch.setattr(process, "exclusion", lambda video, reason, window=None: written.setdefault("why", reason))
        process.process_group([listed()], tmp_path / "work.npz", process.Sampling(num_frames, 1))
        return windows or written["why"]

    return plan


def test_the_largest_face_that_lasts_a_clip_is_chosen(planned):
    large_but_short, lasting, small = track(100, 300.0), track(400, 120.0, 100), track(500, 60.0)
    assert [w.first for w in planned(large_but_short, lasting, small)] == [100, 260], "the second if the first fails"
    assert "longest face track has 120 frames" in planned(large_but_short, track(120, 50.0))


def test_one_work_file_per_state_of_the_videos(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"1")
    video = listed(path=str(path))
    key = process.group_key([video])
    assert process.group_key([video]) == key and len(key) == 24
    assert process.group_key([video, listed(path=str(path), compression="c40")]) != key, "a compression was added"
    assert process.group_key([listed(path=str(path), identity="y")]) != key, "the source names somebody else"
    path.write_bytes(b"12")
    assert process.group_key([video]) != key, "the file was replaced"
    path.unlink()
    assert process.group_key([video]) != key


def test_the_best_compression_of_the_real_video_is_searched_first():
    group = [
        listed(label=label, method=method, compression=compression, path=f"{method}-{compression}")
        for label, method in ((1, "Deepfakes"), (0, "real"))
        for compression in ("c40", "raw")
    ]
    assert [v.path for v in process.in_order(group)] == ["real-raw", "Deepfakes-raw", "real-c40", "Deepfakes-c40"]


def test_the_true_wave_is_that_of_the_clips_frames(tmp_path):
    times = np.arange(90) / 30
    np.savez(tmp_path / "truth.npz", times_s=times, pulse=np.sin(2 * np.pi * times), heart_rate=np.full(90, 60.0))
    wave, rate = process.truth(str(tmp_path / "truth.npz"), 1.0, 30)
    assert rate == 60.0 and wave.dtype == np.float32
    np.testing.assert_allclose(wave, np.sqrt(2) * np.sin(2 * np.pi * np.arange(30) / 30), atol=1e-3)
    wave, rate = process.truth("", 0.0, 30)
    assert np.isnan(wave).all() and np.isnan(rate)


def test_an_unexpected_error_excludes_one_video_and_is_named(tmp_path, monkeypatch):
    encode(tmp_path / "a.mp4", draw(4))

    def broken(*_):
        raise RuntimeError("out of cheese")

    monkeypatch.setattr(clips, "stream_info", broken)
    group = [listed(path=str(tmp_path / "a.mp4"))]
    process.process_group(group, tmp_path / "work.npz", Sampling(4, 1))
    records, excluded = work_file.read(tmp_path / "work.npz")
    assert not records and excluded[0]["reason"] == "unexpected RuntimeError: out of cheese"


def unseen(length, hidden):
    made = track(length, 60.0)
    made.seen[list(hidden)] = False
    return made


def test_a_window_too_invalid_gives_way_and_the_video_stays(planned):
    (window,) = planned(unseen(200, range(10, 40)), num_frames=160)
    assert window.first == 16 and window.seen.mean() == 0.85


@pytest.fixture
def searched(monkeypatch):
    """Paths of the files that were searched for a face, of which each has one of 40 frames."""
    paths = []
    monkeypatch.setattr(process.detector, "shared_detector", lambda _: None)
    monkeypatch.setattr(clips, "track_video", lambda path, *_: paths.append(path) or ([track(40, 60.0)], 40))
    return paths


def test_a_fake_at_another_rate_or_length_gets_its_own_track(tmp_path, searched):
    """Frame n of the fake at 25 frames/s is frame n of its real at 30: the real's boxes would come at wrong moments."""
    pictures = draw(40)
    files = {"real": dict(rate=30), "slow": dict(rate=25), "same": dict(rate=30), "short": dict(rate=30)}
    for name, options in files.items():
        encode(tmp_path / f"{name}.mp4", pictures[:30] if name == "short" else pictures, **options)
    group = [listed(path=str(tmp_path / f"{name}.mp4"), video=name, label=int(name != "real")) for name in files]
    tracks = process.SharedTracks(group, Sampling(24, 1))
    origins = {video.video: tracks.cut(video)[0]["track_from"].split("/")[-1] for video in group}
    assert origins == {"real": "real", "slow": "slow", "same": "real", "short": "short"}
    assert [path.split("/")[-1] for path in searched] == ["real.mp4", "slow.mp4", "short.mp4"]


def test_the_next_window_serves_all_files_of_a_group_where_one_cannot_be_measured(tmp_path, searched, monkeypatch):
    """Known once the best file is cut: landmarks off the face, or damaged frames."""
    encode(tmp_path / "a.mp4", draw(40))
    group = [listed(path=str(tmp_path / "a.mp4"), compression=name) for name in ("raw", "c40")]
    cut = []

    def cut_windows(path, windows, *_):
        cut.append([window.number for window in windows])
        for window in windows:
            fields = dict.fromkeys((field.name for field in dataclasses.fields(FaceClip)), None)
            yield (window, "landmarks off the face") if window.number == 0 else FaceClip(**fields | {"window": 1})

    monkeypatch.setattr(clips, "cut_windows", cut_windows)
    tracks = process.SharedTracks(group, Sampling(16, 1))
    for video in group:
        assert [result.window for result in tracks.cut(video)[1]] == [1]
    assert cut == [[0, 1], [1]] and len(searched) == 1
    assert [window.number for window in tracks.windows(group[0], clips.stream_info(group[0].path))[0]] == [1]


@pytest.mark.parametrize(("split", "face"), [("train", "mask"), ("val", "largest"), ("test", "largest")])
def test_no_mask_chooses_a_face_where_a_detector_is_tested(tmp_path, monkeypatch, split, face):
    encode(tmp_path / "a.mp4", draw(40))
    monkeypatch.setattr(process.detector, "shared_detector", lambda _: None)
    monkeypatch.setattr(clips, "track_video", lambda *_: ([track(40, 60.0), track(40, 30.0)], 40))
    monkeypatch.setattr(process.mask, "manipulated", lambda tracks, masks: tracks[1] if masks else None)
    video = listed(path=str(tmp_path / "a.mp4"), label=1, method="Deepfakes", split=split, mask="mask.mp4")
    about, _ = process.SharedTracks([video], Sampling(16, 1)).cut(video)
    assert about["face_choice"] == face


def test_the_sampler_of_a_record_says_how_windows_lie():
    assert Sampling(160, 2).describe() == "start=track;stride=1;count=160;fps=30;windows=2"
    assert Sampling(160, 2, "spread").describe() == "start=spread;stride=1;count=160;fps=30;windows=2"
    assert Sampling(160, 2).parameters() == {"num_frames": 160, "max_windows": 2}, "as records of earlier versions"
    assert Sampling(160, 2, "spread").parameters()["windows"] == "spread"
