"""Small evaluations to compare, written by hand, and a stand-in for the paired tests that notes what it was given."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from cpml_jax.compare import command, runs
from cpml_jax.compare.differences import PairedTest
from cpml_jax.configs import base

METHODS = ("Deepfakes", "FaceSwap")


class Paired:
    def __init__(self) -> None:
        self.calls = []

    def __call__(self, labels, a, b, groups) -> dict[str, Any]:
        assert len(labels) == len(a) == len(b) == len(groups)
        self.calls.append((list(labels), list(a), list(b), list(groups)))
        return {"delong": {"p": 0.25}, "people": {"difference": 0.0, "ci95": [-0.1, 0.2], "p": 0.0001}}


def lines(
    seed: int = 0, compression: str = "c23", people: Iterable[int] = range(6), clips: int = 2, dataset: str = "faces"
) -> list[dict]:
    """Lines of scores.jsonl: for each person a real video and a fake one of each method."""
    rng = np.random.default_rng(seed)
    return [
        {
            "clip_id": f"{dataset}/{method}/{compression}/{i}/{clip}",
            "video_key": f"{dataset}/{method}/{compression}/{i}",
            "dataset": dataset, "method": method, "compression": compression, "split": "test", "identity": f"{i}",
            "label": int(method != "real"), "p_fake": float(rng.uniform() * 0.7 + 0.3 * (method != "real")),
        }
        for i in people for method in ("real", *METHODS) for clip in range(clips)
    ]  # fmt: skip


def better(rows: list[dict], gain: float) -> list[dict]:
    """The same lines with fakes that are nearer to 1 by this share of what they lack."""
    return [row | {"p_fake": 1 - (1 - row["p_fake"]) * (1 - gain * row["label"])} for row in rows]


def videos(rows: list[dict]) -> tuple[list[int], list[float]]:
    """Labels and mean margins of the videos of these lines."""
    keys = dict.fromkeys(row["video_key"] for row in rows)
    scores = {key: np.mean([logit(row["p_fake"]) for row in rows if row["video_key"] == key]) for key in keys}
    labels = {row["video_key"]: row["label"] for row in rows}
    return [labels[key] for key in keys], [float(scores[key]) for key in keys]


def result(
    rows: list[dict],
    compression: str = "c23",
    protocol: str = "cross_compression",
    dataset: str = "faces",
    condition: dict | None = None,
) -> dict:
    """An entry of `results` in evaluation.json."""
    labels, scores = videos(rows)
    both = len(set(labels)) == 2
    figures = {
        "n_real": labels.count(0),
        "n_fake": labels.count(1),
        "auc": float(roc_auc_score(labels, scores)) if both else None,
        "auc_ci95": [0.4, 0.9] if both else None,
    } | ({} if both else {"note": "no fake clips"})
    train = {"dataset": dataset, "compressions": ["raw", "c23"], "methods": list(METHODS)}
    test = {"dataset": dataset, "compression": compression, "methods": list(METHODS)}
    return {
        "protocol": protocol,
        "train": train,
        "test": test,
        "condition": condition,
        "clip": figures,
        "video": figures,
    }


def write(
    folder: Path,
    rows: list[dict],
    results: list[dict] | None = None,
    changes: Mapping[str, Any] | None = None,
    sha: str = "1",
    **more: Any,
) -> str:
    """Write a run's evaluation.json and scores.jsonl; returns the folder."""
    config = base.get_config()
    config.update_from_flattened_dict(dict(changes or {}))
    report = {
        "schema": "cpml-evaluation/3.1.0", "config": config.to_dict(), "results": results or [result(rows)],
        "checkpoint": {"step": 1, "selection": "validation"}, "provenance": {"records": {"faces": {"sha256": sha}}},
    } | more  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


ALIKE = "all runs: 1000 steps of 8 clips, validated every 200, checkpoint chosen by validation"


def made(*folders: str | Path, paired: PairedTest | None = None) -> dict[str, Any]:
    """The comparison of the runs in these folders."""
    finished = [one for folder in folders for one in runs.load(Path(folder))]
    return command.compare(runs.columns(finished), paired or Paired())
