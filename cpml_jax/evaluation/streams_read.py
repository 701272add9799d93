"""Which streams a model reads, from its stream swap and the untrained baselines: the sentences of the report's head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Entry = dict[str, Any]  # of diagnostics.baselines or diagnostics.stream_swap in evaluation.json
READ_DROP = 0.02  # AUC that a stream must be worth, by itself, to count as read


def summary(swapped: Sequence[Entry], untrained: Sequence[Entry], streams: Sequence[str]) -> dict[str, Any]:
    """{streams_read, sentences}: which streams the model reads, null where that cannot be told, and that in words.

    A stream is read if fakes with their real's stream lose READ_DROP of AUC or more at some compression, all methods
    together, and the 95 % interval of the loss lies above 0.
    """
    pooled = pooled_entries(swapped)
    losses = [figures["without"] for entry in pooled for figures in entry["streams"].values()]
    if any(loss["drop_ci95"] for loss in losses):
        read = [name for name in streams if any(_is_read(entry["streams"][name]["without"]) for entry in pooled)]
        sentence = _what_is_read(read, streams, pooled)
    else:
        reason = "the stream swap has no intervals" if losses else "no fake here has its real beside it"
        read, sentence = None, f"What this model reads is not known: {reason}."
    return {"streams_read": read, "sentences": [sentence, *_nearest_baseline(untrained)]}


def pooled_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Of each data set and compression the entry of the most methods."""
    largest: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        key = entry["dataset"], entry["compression"]
        if key not in largest or len(entry["methods"]) > len(largest[key]["methods"]):
            largest[key] = entry
    return list(largest.values())


def _is_read(without: Mapping[str, Any]) -> bool:
    interval = without["drop_ci95"]
    return without["drop"] is not None and without["drop"] >= READ_DROP and interval is not None and interval[0] > 0


def _what_is_read(read: Sequence[str], streams: Sequence[str], pooled: Sequence[Entry]) -> str:
    losses = "; ".join(f"{name} {_largest_drop(name, pooled)}" for name in streams)
    explained = f"AUC that fakes lose with their real's stream: {losses}."
    above = any((entry["auc_ci95"] or [0.0])[0] > 0.5 for entry in pooled)
    if not read and not above:
        return "This model reads nothing: no AUC lies clearly above 0.5."
    if len(streams) == 1:
        return f"This model has one stream and reads it: {streams[0]}."
    if not read:
        return f"This model needs none of its streams by itself: what one tells, another tells as well. {explained}"
    if len(read) == 1:
        return f"This model reads {read[0]} alone. {explained}"
    rest = [name for name in streams if name not in read]
    return f"This model reads {_and(read)}{f', not {_and(rest)}' if rest else ''}. {explained}"


def _nearest_baseline(untrained: Sequence[Entry]) -> list[str]:
    """A sentence about the test where an untrained statistic comes nearest to the model, or passes it."""
    nearest = []
    for entry in pooled_entries(untrained):
        known = {name: area["auc"] for name, area in entry["statistics"].items() if area["auc"] is not None}
        if known and entry["model"]["auc"] is not None:
            best = max(known, key=lambda name: known[name])
            nearest.append((known[best] - entry["model"]["auc"], best, known[best], entry))
    if not nearest:
        return []
    _, name, value, entry = max(nearest, key=lambda each: each[0])
    where = f"{entry['dataset']} {entry['compression']}"
    return [
        f"The untrained {name.replace('_', ' ')} has an AUC of {value:.3f} on clips of {where}, "
        f"the model {entry['model']['auc']:.3f}."
    ]


def _largest_drop(name: str, pooled: Sequence[Entry]) -> str:
    known = [entry for entry in pooled if entry["streams"][name]["without"]["drop"] is not None]
    if not known:
        return "unknown"
    entry = max(known, key=lambda entry: entry["streams"][name]["without"]["drop"])
    drop = entry["streams"][name]["without"]["drop"]
    if drop < READ_DROP:
        return f"less than {READ_DROP:.2f}"
    return f"up to {drop:.2f} ({entry['dataset']} {entry['compression']})"


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
