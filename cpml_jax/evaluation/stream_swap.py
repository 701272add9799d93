"""Stream swap: what of a clip a model reads.

A fake is scored again with one of its streams, or all but one, replaced by those of its real: the video that it was
made from, at the same compression and frame by frame aligned (the record's target_video). What is lost is what the
replaced streams told the model; what is kept, the others. Streams are swapped after they are encoded, so a clip is
encoded once, and a stream is swapped alone even where another one reads the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cpml_jax.metrics import detection
from cpml_jax.schema import FRAME_RATE, REAL, REAL_METHOD

Streams = dict[str, Any]  # stream -> arrays (B, ...): what the fusion takes of it
Given = frozenset[str]  # names of the streams that are the real's

_OWN: Given = frozenset()


class StreamScorer(Protocol):
    """What the swap needs of a model (scoring.Scorer)."""

    @property
    def streams(self) -> tuple[str, ...]: ...

    def score_streams(self, batch: dict[str, np.ndarray]) -> Mapping[str, Any]: ...

    def fuse(self, streams: Streams) -> np.ndarray: ...


def counterparts(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """clip_id of every fake whose real counterpart is among the rows -> clip_id of that real.

    The counterpart is the same window of the fake's target_video at the same compression, from the same moment on.
    """
    rows = list(rows)
    reals = {_place(row, row["video"]): row for row in rows if row["method"] == REAL_METHOD}
    pairs = {}
    for row in rows:
        real = reals.get(_place(row, row.get("target_video", ""))) if row["label"] != REAL else None
        if real is not None and abs(row["start_s"] - real["start_s"]) < 0.5 / FRAME_RATE:
            pairs[row["clip_id"]] = real["clip_id"]
    return pairs


def _place(row: Mapping[str, Any], video: str) -> tuple:
    return row["dataset"], row["compression"], row["split"], video, row["window"]


def mixtures(streams: Sequence[str]) -> tuple[Given, ...]:
    """The sets of streams to replace, beside none and all: each stream, and all but each."""
    sets = [frozenset({name}) for name in streams] + [frozenset(streams) - {name} for name in streams]
    return tuple(dict.fromkeys(each for each in sets if 0 < len(each) < len(streams)))


class StreamSwap:
    """Scores of fakes with streams of their reals, batch by batch.

    The reals' streams are kept in memory, those of fakes are not: a fake's real must be added before it.

    Attributes:
      margins: clip_id -> {names of the streams that are its real's: margin}, of every fake that has a counterpart.
    """

    def __init__(self, scorer: StreamScorer, rows: Iterable[Mapping[str, Any]]):
        """rows: those that will be added."""
        self._scorer = scorer
        self._real_of = counterparts(rows)
        self._wanted = set(self._real_of.values())
        self._reals: dict[str, tuple[float, Streams]] = {}
        self.margins: dict[str, dict[Given, float]] = {}

    def add(self, rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
        """A batch and what `score_streams` said of it; its arrays may have more rows than there are clips."""
        streams, margins = scores["streams"], detection.fake_margin(scores["logits"])
        fakes = {}
        for i, row in enumerate(rows):
            if row["clip_id"] in self._wanted:
                self._reals[row["clip_id"]] = float(margins[i]), _row(streams, i)
            real = self._real_of.get(row["clip_id"])
            if real in self._reals:  # unless its record is corrupt
                fakes[i] = self._reals[real]
                self.margins[row["clip_id"]] = {_OWN: float(margins[i]), frozenset(streams): fakes[i][0]}
        if not fakes:
            return
        swapped = {name: _replaced(value, {i: real[name] for i, (_, real) in fakes.items()}) for name, value in
                   streams.items()}  # fmt: skip
        for given in mixtures(tuple(streams)):
            mixed = {name: swapped[name] if name in given else streams[name] for name in streams}
            of_mixed = detection.fake_margin(self._scorer.fuse(mixed))
            for i in fakes:
                self.margins[rows[i]["clip_id"]][given] = float(of_mixed[i])


def _row(tree: Any, i: int) -> Any:
    import jax

    return jax.tree.map(lambda x: np.array(x[i]), tree)  # a copy: a view would keep the whole batch


def _replaced(tree: Any, rows: Mapping[int, Any]) -> Any:
    """The tree with some of its arrays' rows replaced."""
    import jax

    places = list(rows)
    return jax.tree.map(lambda x, *new: _set(x, places, new), tree, *rows.values())


def _set(array: np.ndarray, places: list[int], rows: Sequence[np.ndarray]) -> np.ndarray:
    array = np.array(array)
    array[places] = rows
    return array
