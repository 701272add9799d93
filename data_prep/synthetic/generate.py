"""Writes the drawn-face benchmark in FaceForensics++'s layout.

    root/original_sequences/youtube/{raw,c23,...}/videos/000.mp4
    root/manipulated_sequences/<Method>/{raw,c23,...}/videos/000_001.mp4      target 000, source 001
    root/{train,val,test}.json                                               pairs of identities, as FF++
    root/truth/<sequence>/<video>.npz                                        pulse, heart rate, box, landmarks
    root/synthetic.json                                                      the parameters

Speed, measured beside other work: a person's real video and four fakes, 128 frames at 160x160 each, take 2.2 s of a
core at raw + c23 and 2.8 s at raw, c23, c28, c32, c40, so the default's 108 people some two minutes of 2 cores. About
half is drawing (the five share all but the pasted part), an eighth the compression before the benchmark's, the rest
encoding. Motion and its measured quantiles are in motion.py, each forgery in forgery.py; how much of the pulse each
compression keeps, in pulse_table.py; what simple statistics reveal, in shortcut.py.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import io
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
from tqdm import tqdm

from cpml_jax.conditions import constant_rate_factor
from cpml_jax.disk import writing
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep.claim import check_sums, claim, remove_half_written, write_sums
from data_prep.synthetic.forgery import METHODS
from data_prep.synthetic.identity import STYLES
from data_prep.synthetic.scene import FRAME_RATE, Scene, film
from data_prep.video.encode import encode
from data_prep.worker import end_workers, start_worker, starting

VERSION = 5  # raise it when the same parameters would draw other videos
REAL_SEQUENCE = "original_sequences/youtube"
FAKE_SEQUENCE = "manipulated_sequences"


@dataclasses.dataclass(frozen=True)
class Task:
    """The videos of one person to draw: all their compressions and their truth."""

    root: str
    style: str
    seed: int
    frames: int
    size: int
    target: int
    videos: tuple[tuple[str, int], ...]  # (method, source); ("", -1): real
    compressions: tuple[str, ...]

    def paths(self, method: str, source: int) -> dict[str, str]:
        folder, video = _place(self.target, method, source)
        return {name: os.path.join(self.root, folder, name, "videos", f"{video}.mp4") for name in self.compressions}

    def truth_path(self, method: str, source: int) -> str:
        folder, video = _place(self.target, method, source)
        return os.path.join(self.root, "truth", folder, f"{video}.npz")

    def files(self) -> list[str]:
        """Every file of it."""
        return [path for video in self.videos for path in (*self.paths(*video).values(), self.truth_path(*video))]

    def missing(self) -> list[tuple[str, int, dict[str, str]]]:
        """(method, source, paths to write) of every video that lacks a file; none but its truth: no paths."""
        result = []
        for video in self.videos:
            paths = {name: path for name, path in self.paths(*video).items() if not os.path.exists(path)}
            if paths or not os.path.exists(self.truth_path(*video)):
                result.append((*video, paths))
        return result


def _place(target: int, method: str, source: int) -> tuple[str, str]:
    """(folder of its sequence, name) of a video."""
    if method:
        return f"{FAKE_SEQUENCE}/{method}", f"{target:03d}_{source:03d}"
    return REAL_SEQUENCE, f"{target:03d}"


def draw(task: Task) -> int:
    """Draw what is missing of one person's videos. Returns the number of videos."""
    cv2.setNumThreads(1)  # the workers are the parallelism
    missing = task.missing()
    scenes = [
        Scene(
            seed=task.seed,
            style=task.style,
            target=task.target,
            method=method,
            source=source,
            frames=task.frames,
            size=task.size,
        )
        for method, source, _ in missing
    ]
    filmed = [(scene, paths) for scene, (_, _, paths) in zip(scenes, missing, strict=True) if paths]
    if filmed:
        upload = filmed[0][0].upload
        frames = film([scene for scene, _ in filmed])
        encode([paths for _, paths in filmed], frames, task.size, FRAME_RATE[task.style], upload)
    for scene, (method, source, _) in zip(scenes, missing, strict=True):
        truth = io.BytesIO()
        np.savez(truth, allow_pickle=False, **scene.truth())
        path = Path(task.truth_path(method, source))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, truth.getvalue())
    return len(task.videos)


def _check(
    style: str,
    identities: dict[str, int],
    frames: int,
    size: int,
    compressions: Mapping[str, Sequence[str]],
    methods: Sequence[str],
) -> None:
    def refuse(what: str) -> NoReturn:
        raise UserError(f"drawn benchmark: {what}")

    if style not in STYLES:
        refuse(f"style {style!r} is none of {', '.join(STYLES)}")
    if frames < 2 or size < 64 or size % 2:
        refuse(f"frames must be at least 2 and size even and at least 64, not frames={frames}, size={size}")
    for split, count in identities.items():
        if count < 2 or count % 2:
            refuse(f"split {split!r} has {count} identities; pairs need an even number, at least 2")
        unknown = [name for name in compressions.get(split, ()) if constant_rate_factor(name) is None]
        if unknown or not compressions.get(split):
            refuse(f"split {split!r} needs compressions from raw, c0, ..., c51, not {compressions.get(split)!r}")
    for name in methods:
        if name not in METHODS:
            refuse(f"method {name!r} is none of {', '.join(METHODS)}")


def plan(
    root: str,
    *,
    identities: dict[str, int],
    compressions: Mapping[str, Sequence[str]],
    methods: Sequence[str],
    **common: Any,
) -> tuple[list[Task], dict[str, list[tuple[int, int]]]]:
    """All tasks, and the pairs of each split. Identities are numbered consecutively, so that no two splits share one.

    common: the fields of Task that are the same for all.
    """
    tasks: list[Task] = []
    pairs: dict[str, list[tuple[int, int]]] = {}
    first = 0
    for split, count in identities.items():
        numbers = range(first, first + count)
        pairs[split] = [(number, number + 1) for number in numbers[::2]]
        common |= dict(root=root, compressions=tuple(compressions[split]))
        for one, other in pairs[split]:
            for target, source in ((one, other), (other, one)):
                videos = (("", -1), *((method, source) for method in methods))
                tasks.append(Task(target=target, videos=videos, **common))
        first += count
    return tasks, pairs


def generate(
    root: str | os.PathLike[str],
    *,
    style: str,
    identities: dict[str, int],
    frames: int,
    size: int,
    compressions: Mapping[str, Sequence[str]],
    methods: Sequence[str],
    seed: int,
    workers: int,
    progress: bool = True,
) -> None:
    """Draw a benchmark under `root`; finished files are not drawn again.

    Args:
        style: "a" (30 frames/s) or "b" (another camera, light and tone range; 25 frames/s).
        identities: split -> number of identities, even: neighbours are a pair.
        frames, size: frames per video; pixels per side.
        compressions: split -> names: raw, or c followed by H.264's constant rate factor.
        methods: forgeries, from forgery.METHODS. Each pair gives two fakes per method.
        seed: the same seed and parameters give the same bytes.
        workers: processes; 0: one per core.

    Raises:
        UserError: parameters outside their range, or a root that was drawn with others.
    """
    root = os.fspath(root)
    _check(style, identities, frames, size, compressions, methods)
    identities = {split: int(count) for split, count in identities.items()}
    names = {split: list(compressions[split]) for split in identities}
    parameters = dict(
        style=style,
        identities=identities,
        frames=int(frames),
        size=int(size),
        compressions=names,
        methods=list(methods),
        seed=int(seed),
    )
    with writing(root):
        claim(os.path.join(root, "synthetic.json"), dict(version=VERSION) | parameters, "a benchmark drawn")
        remove_half_written(root)
        check_sums(root)
        tasks, pairs = plan(root, **parameters)
        todo = [task for task in tasks if task.missing()]
        count = sum(len(task.videos) for task in tasks)
        done = count - sum(len(task.videos) for task in todo)
        with tqdm(total=count, initial=done, desc=f"draw {style}", unit="video", disable=not progress) as bar:
            for drawn in _run(todo, workers or os.cpu_count() or 1):
                bar.update(drawn)
        for split, chosen in pairs.items():
            names_of_pairs = [[f"{a:03d}", f"{b:03d}"] for a, b in chosen]
            write_whole(Path(root) / f"{split}.json", json.dumps(names_of_pairs, indent=1))
        write_sums(root, [*(path for task in tasks for path in task.files()), *(f"{split}.json" for split in pairs)])


def _run(todo: list[Task], workers: int) -> Iterator[int]:
    if workers <= 1 or len(todo) <= 1:
        yield from map(draw, todo)
        return
    # spawn, not fork: the caller may hold JAX's threads, which do not survive a fork
    context = multiprocessing.get_context("spawn")
    count = min(workers, len(todo))
    with concurrent.futures.ProcessPoolExecutor(count, mp_context=context, initializer=start_worker) as pool:
        try:
            with starting():
                drawn = pool.map(draw, todo)
            yield from drawn
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_workers()
            raise
