"""Small files that decode to much or lead elsewhere, and large ones, through `predict`: bounded time and memory."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd.encoder import draw, encode

from hostile import bench, bombs, counts

LEADING = {name for name in bombs.BOMBS if name.endswith((".m3u8", ".mpd", ".sdp")) or name in ("concat.mp4",)}
LEADING |= {"playlist as.mp4", "subtitles.mp4"}


def through(part: str, folder: Path, names) -> list[bench.Outcome]:
    sandbox = bench.Sandbox(folder)
    outcomes = bench.predict_all(bombs.write(sandbox.videos, names), sandbox)
    counts.say(counts.of(part, outcomes))
    assert bench.problems(outcomes) == [] and sandbox.changes() == []
    check_leading(outcomes)
    return outcomes


def check_leading(outcomes: list[bench.Outcome]) -> None:
    """What leads to another file is refused, though a good video lies there."""
    for one in outcomes:
        if Path(one.path).name in LEADING:
            assert one.kind == "refused", one.said


@pytest.mark.hostile
def test_bombs(tmp_path):
    through("bombs", tmp_path, bombs.BOMBS)


# --- large ones -------------------------------------------------------------------------------------------------------


def in_4k(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """3840 x 2160, a face of 1400 pixels in it."""
    shown = []
    for picture in pictures:
        canvas = np.full((2160, 3840, 3), 96, np.uint8)
        canvas[380:1780, 1200:2600] = cv2.resize(picture, (1400, 1400), interpolation=cv2.INTER_CUBIC)
        shown.append(canvas)
    return shown


def crowd(length: int, count: int = 20) -> list[np.ndarray]:
    """1920 x 1080, `count` people at once."""
    people = [draw(length, target=number) for number in range(count)]
    shown = []
    for moment in range(length):
        canvas = np.full((1080, 1920, 3), 96, np.uint8)
        for number, person in enumerate(people):
            row, column = divmod(number, 5)
            top, left = 20 + row * 260, 60 + column * 370
            canvas[top : top + 240, left : left + 240] = cv2.resize(person[moment], (240, 240))
        shown.append(canvas)
    return shown


@pytest.mark.hostile
def test_large_videos(tmp_path):
    """4K of 7 and of 27 seconds: memory does not grow with length; and twenty faces at once."""
    sandbox = bench.Sandbox(tmp_path)
    pictures = in_4k(draw(50))
    for name, times in (("4k short.mp4", 4), ("4k long.mp4", 16)):
        encode(sandbox.videos / name, pictures * times, options={"preset": "superfast", "crf": "23"})
    encode(sandbox.videos / "crowd.mp4", crowd(40), options={"preset": "superfast", "crf": "23"})
    paths = [sandbox.videos / name for name in ("4k short.mp4", "4k long.mp4", "crowd.mp4")]
    outcomes = bench.predict_all(paths, sandbox)
    for one in outcomes:
        counts.say(counts.of(f"large: {Path(one.path).name}", [one]))
    assert bench.problems(outcomes, seconds=600) == []
    assert [one.kind for one in outcomes] == ["answer"] * 3
    assert outcomes[1].megabytes < outcomes[0].megabytes + 100
    assert len(json.loads(outcomes[2].said)["faces"]) >= 18
