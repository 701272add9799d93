"""How much of a test was seen: windows and frames a video, and the videos that were tested of those that are listed."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cpml_jax.evaluation.protocols import Test, select
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, video_key

ALL = "all"  # the key of official sizes that are known of a whole test list alone
Row = Mapping[str, Any]


def seen(lines: Sequence[Row], rows: Sequence[Row], num_frames: int) -> dict[str, Any]:
    """What a result's video scores rest on.

    Args:
      lines: the clips that were scored. rows: the test's clips in the index, which say how a face was chosen.
      num_frames: of a clip; windows do not overlap.

    Returns:
      {windows_per_video, frames_per_video: {mean, min, max}, None without a video; face_choice: {why: videos}}.
    """
    windows = list(collections.Counter(line["video_key"] for line in lines).values())
    tested = {line["video_key"] for line in lines}
    choices = {row["video_key"]: row.get("face_choice") or "unknown" for row in rows if row["video_key"] in tested}
    return {
        "windows_per_video": _spread(windows),
        "frames_per_video": _spread([count * num_frames for count in windows]),
        "face_choice": dict(sorted(collections.Counter(choices.values()).items())),
    }


def _spread(values: Sequence[int]) -> dict[str, float | int] | None:
    if not values:
        return None
    return {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}


def excluded_videos(test: Test, excluded: Sequence[Row], videos: Sequence[Row]) -> tuple[int, int]:
    """Numbers of real and of fake videos of a test that were set aside, in preparation or in reading, with all clips.

    Args:
      excluded: lines of evaluation.json's `excluded`, of any data set and split. videos: those that have a score.
    """
    scored = {video["video_key"] for video in videos}
    named = [row for row in excluded if row.get("dataset") == test.dataset and "method" in row and "split" in row]
    labelled = [{**row, "label": REAL if row["method"] == REAL_METHOD else FAKE} for row in named]
    missing = {
        video_key(row["dataset"], row["method"], row["compression"], row["video"]): row["label"]
        for row in select(labelled, test)
    }
    labels = [label for key, label in missing.items() if key not in scored]
    return labels.count(REAL), labels.count(FAKE)


def listed(
    test: Test, videos: Sequence[Row], unscored: tuple[int, int], official: Mapping[str, int] | None
) -> dict[str, Any]:
    """Tested videos against listed ones.

    Args:
      videos: that have a score. unscored: excluded_videos.
      official: sizes of the published test list by method, reals under `real`; or of all together under ALL.

    Returns:
      {tested, excluded: {real, fake}; listed: their sum; official: the published list's size for this test's methods,
      None where it is not known}.
    """
    labels = [video["label"] for video in videos]
    tested = {"real": labels.count(REAL), "fake": labels.count(FAKE)}
    excluded = {"real": unscored[REAL], "fake": unscored[FAKE]}
    return {
        "tested": tested,
        "excluded": excluded,
        "listed": sum(tested.values()) + sum(excluded.values()),
        "official": _official(test, official or {}),
    }


def _official(test: Test, official: Mapping[str, int]) -> int | None:
    if ALL in official:
        return official[ALL]
    sizes = [official.get(method) for method in (REAL_METHOD, *test.methods)]
    return None if None in sizes else sum(size for size in sizes if size is not None)
