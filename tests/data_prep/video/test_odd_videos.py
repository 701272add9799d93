"""Ninety odd files in one real preparation: every one is prepared, and rightly, or excluded with its reason."""

import contextlib
import itertools
import os

import cv2
import numpy as np
import pytest
from odd import videos
from odd.videos import CLIP, NOT_UTF8, PREPARED, SET_ASIDE

from cpml_jax.data.records import RecordSet
from data_prep import prepare as preparation


@contextlib.contextmanager
def stderr_to(path):
    """Everything that this process writes to its stderr, C libraries included."""
    kept = os.dup(2)
    with open(path, "w") as file:
        os.dup2(file.fileno(), 2)
        try:
            with contextlib.redirect_stderr(file):
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """(record set, {name: reasons}, text of stderr)."""
    root = tmp_path_factory.mktemp("odd")
    videos.write(root / "videos")
    with stderr_to(root / "stderr"):
        source = preparation.Source("odd", "folder", root / "videos")
        preparation.prepare(source, preparation.Sampling(CLIP, 1), root / "records", workers=1, progress=False)
    records = RecordSet(root / "records/odd")
    return records, {row["video"]: row["reason"] for row in records.excluded}, (root / "stderr").read_text()


@pytest.fixture(scope="module")
def clips(outcome):
    """{name: record}"""
    return {row["video"]: outcome[0].read(row) for row in outcome[0].rows}


def brightness(frames) -> np.ndarray:
    """Mean grey level of every frame: it grows by about 3/4 a frame, whatever else happens."""
    return frames.mean(axis=(1, 2, 3))


def face(frames) -> np.ndarray:
    """The face of a clip, without its movements."""
    return frames.mean(axis=(0, 3))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_there_are_many_and_each_is_prepared_or_listed(outcome):
    records, reasons, _ = outcome
    names = [odd.name for odd in (*PREPARED, *SET_ASIDE)]
    prepared = {row["video"] for row in records.rows}
    assert len(names) >= 90 and len(set(names)) == len(names)
    # A name that is not UTF-8 has its byte written out (data_prep/sources/folder.py: printable).
    extra = {"a fake one.mp4", "caf\\xe9.mp4"} if NOT_UTF8 else {"a fake one.mp4"}
    assert prepared | reasons.keys() == {*names, *extra} and not prepared & reasons.keys()
    assert [row["label"] for row in records.rows if row["video"] == "a fake one.mp4"] == [1]


@pytest.mark.parametrize("odd", SET_ASIDE, ids=lambda odd: odd.name)
def test_what_cannot_serve_is_set_aside_with_a_reason(outcome, odd):
    reason = outcome[1].get(odd.name)
    assert reason is not None, "it was prepared"
    assert odd.reason and odd.reason in reason
    assert "unexpected" not in reason and "\n" not in reason and len(reason) < 160


@pytest.mark.parametrize("odd", PREPARED, ids=lambda odd: odd.name)
def test_what_can_serve_is_prepared(outcome, clips, odd):
    assert odd.name in clips, outcome[1].get(odd.name)
    assert clips[odd.name]["frames"].shape == (CLIP, 128, 128, 3)


@pytest.mark.parametrize("odd", [odd for odd in PREPARED if odd.like], ids=lambda odd: odd.name)
def test_it_shows_the_same_face_upright_in_the_same_colours_at_the_same_time(clips, odd):
    plain, frames = clips["plain.mp4"]["frames"].astype(float), clips[odd.name]["frames"].astype(float)
    ways = {
        (turns, mirror): likeness(np.rot90(face(frames), turns)[:, :: -1 if mirror else 1], face(plain))
        for turns, mirror in itertools.product(range(4), (False, True))
    }
    right = ways.pop((0, False))
    assert right > 0.92 and right > max(ways.values()) + 0.1, (right, ways)
    common = CLIP - odd.first
    plain, frames = plain[odd.first :], frames[:common]
    shift = (frames - plain).mean(axis=(0, 1, 2))
    assert np.abs(shift).max() < odd.like, shift
    late = (brightness(frames) - brightness(plain) - shift.mean()) / 0.75
    assert np.abs(late).max() < 2.5, f"frames: {late.round(1)}"


def test_stderr_holds_the_summary_and_nothing_else(outcome):
    """No traceback, and none of libav's messages about damaged streams."""
    records, _, text = outcome
    lines = text.strip().splitlines()
    assert lines[0] == f"odd: {len(records.rows)} clips"
    assert all(line.startswith(("  split", "  test", "  excluded", "to look at: ")) for line in lines[1:]), text


def test_grey_stays_grey_and_as_bright(clips):
    grey, plain = clips["grey.mp4"]["frames"].astype(float), clips["plain.mp4"]["frames"].astype(float)
    assert np.abs(np.diff(grey, axis=-1)).max() <= 2
    luma = plain @ [0.299, 0.587, 0.114]
    assert abs(grey.mean() - luma.mean()) < 3 and likeness(face(grey), luma.mean(axis=0)) > 0.92


def test_frozen_frames_stay_frozen(clips):
    assert np.ptp(brightness(clips["frozen.mp4"]["frames"])) < 1 < np.ptp(brightness(clips["plain.mp4"]["frames"]))


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("plain.mp4", 160, 160),
        ("wide pixels.mp4", 160, 160),
        ("tall pixels.mkv", 160, 160),
        ("odd size.mp4", 121, 161),
        ("very wide.mp4", 160, 960),
        ("very tall.mp4", 960, 160),
        ("size changes.h264", 160, 160),
    ],
)
def test_the_record_says_the_size_at_which_it_is_seen(clips, name, height, width):
    assert (clips[name]["source_height"], clips[name]["source_width"]) == (height, width)


@pytest.mark.parametrize(
    ("name", "rate"),
    [("240 per second.mp4", 240), ("25 per second.mp4", 25), ("stream without time.h264", 30), ("starts late.ts", 30)],
)
def test_the_record_says_the_rate_of_the_source(clips, name, rate):
    assert abs(clips[name]["source_fps"] / rate - 1) < 0.03


def test_frames_that_the_decoder_invented_are_marked(clips):
    assert 0.9 <= clips["slightly damaged.mp4"]["valid"].mean() < 1
    assert clips["plain.mp4"]["valid"].all()


def test_an_hdr_picture_shown_as_it_is_would_be_another(outcome, clips):
    """So that the comparison above is one: the tags matter, and by how much."""
    from odd.encoder import draw, hdr_frame

    picture = draw(1)[0]
    for curve in (16, 18):
        raw = hdr_frame(picture, curve).reformat(format="rgb24").to_ndarray()
        assert np.abs(raw.astype(float) - picture).mean() > 10
        small = cv2.resize(raw, (32, 32), interpolation=cv2.INTER_AREA)
        assert small.std() < cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA).std()
