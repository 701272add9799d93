"""A small run to report on."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from html_page import Parsed

from cpml_jax.data.records import CorruptRecord
from cpml_jax.doubt import figures as doubt_figures
from cpml_jax.evaluation.video_score import RULE
from cpml_jax.metrics import detection
from cpml_jax.report import page

LENGTH, WIDTH = 32, 6
SECTIONS = (
    "results", "reads", "doubt", "curves", "compression", "rates", "corruptions", "scores", "calibration", "prompts",
    "features", "pulse", "saliency", "wrong", "training",
)  # fmt: skip


class Records:
    """What the report uses of a RecordSet: frames of noise for every line; `broken`: ids of clips that are damaged."""

    def __init__(self, lines: list[dict], broken: Iterable[str] = ()) -> None:
        self.rows, self.broken = [{"clip_id": line["clip_id"]} for line in lines], set(broken)

    def read(self, row: dict, frame_size: int) -> dict[str, np.ndarray]:
        if row["clip_id"] in self.broken:
            raise CorruptRecord(row["clip_id"], "frame 3 is not an image")
        frames = np.random.default_rng(0).integers(0, 255, (9, 8, 8, 3), dtype=np.uint8)
        return {"frames": frames.repeat(frame_size // 8, 1).repeat(frame_size // 8, 2)}


def scores(
    methods: Sequence[str] = ("Deepfakes", "FaceSwap"),
    compressions: Sequence[str] = ("raw", "c23"),
    identities: int = 4,
    windows: int = 2,
) -> list[dict[str, Any]]:
    """Lines of scores.jsonl."""
    rng, lines = np.random.default_rng(1), []
    for method in ("real", *methods):
        for compression in compressions:
            for identity in range(identities):
                for window in range(windows):
                    label = int(method != "real")
                    margin = float(rng.normal(3 * label - 1.5, 2))
                    video = f"{identity:03d}" + (f"_{method}" if label else "")
                    key = f"faces/{method}/{compression}/{video}"
                    lines.append(
                        dict(clip_id=f"{key}/{window}", video_key=key, dataset="faces", method=method,
                             compression=compression, split="test", video=video, window=window, identity=str(identity),
                             source_identity="", label=label, logit_margin=margin,
                             p_fake=float(detection.sigmoid([margin])[0]),
                             heart_rate_bpm=70.0, pulse_correlation_pos=float(rng.uniform()),
                             heart_rate_truth_bpm=None if label else 72.0)
                    )  # fmt: skip
    return lines


def figures(auc: float, /, **changes: Any) -> dict[str, Any]:
    """What evaluation.json holds of clips, or of videos."""
    known = dict(n_real=8, n_fake=16, auc=auc, auc_ci95=[auc - 0.1, min(auc + 0.05, 1.0)], ap=0.9, eer=0.2, acc=0.8)
    return known | dict(tpr_at_fpr={"0.01": 0.5, "0.001": None}, ece=0.03, brier=0.1) | changes


def doubt() -> dict[str, Any]:
    """`doubt` of a result."""
    rng = np.random.default_rng(4)
    labels, p = np.arange(24) % 3 > 0, rng.uniform(size=24)
    return doubt_figures.figures(labels, rng.normal(size=24) + labels, p, threshold=0.4, level=0.05)


def result(
    auc: float,
    protocol: str = "in_dataset",
    compression: str = "raw",
    methods: Sequence[str] = ("Deepfakes", "FaceSwap"),
    **changes: Any,
) -> dict[str, Any]:
    """An entry of `results` in evaluation.json."""
    train = {"dataset": "faces", "compressions": ["raw", "c23"], "methods": ["Deepfakes", "FaceSwap"]}
    return {
        "protocol": protocol, "train": train, "condition": None,
        "test": {"dataset": "faces", "compression": compression, "methods": list(methods)},
        "doubt": doubt(), "sampler": {},
        "threshold": {"clip": 0.5, "video": 0.5, "rule": "maximises balanced accuracy"},
        "clip": figures(auc), "video": figures(auc),
    } | changes  # fmt: skip


def diagnostics(streams: Sequence[str] = ("rppg", "landmarks")) -> dict[str, Any]:
    """`diagnostics` of evaluation.json: a model that reads its last stream alone, at two compressions."""

    def area(auc: float | None) -> dict[str, Any]:
        return {"auc": auc, "auc_ci95": None if auc is None else [auc - 0.05, min(auc + 0.05, 1.0)]}

    def swapped(name: str) -> dict[str, Any]:
        lost = 0.4 if name == streams[-1] else 0.0
        return {
            "without": area(0.9 - lost) | {"drop": lost, "drop_ci95": [lost - 0.01, lost + 0.01]},
            "alone": area(0.5 + lost),
        }

    about = [
        {"dataset": "faces", "compression": compression, "methods": methods, "n_real": 8, "n_fake": 8 * len(methods)}
        for compression in ("c23", "raw")
        for methods in (["Deepfakes", "FaceSwap"], ["Deepfakes"], ["FaceSwap"])
    ]
    untrained = {"landmark_energy": area(0.8), "inner_rim_agreement": area(0.7), "sharpness_grid": area(None)}
    swap = {name: swapped(name) for name in streams}
    cell = dict(dataset="faces", stream="rppg", kind="floor", statistic="inner face against rim")
    return {
        "streams": list(streams),
        "baselines": [each | {"model": area(0.9), "statistics": untrained} for each in about],
        "stream_swap": [each | area(0.9) | {"streams": swap} for each in about],
        "summary": {
            "streams_read": [streams[-1]],
            "sentences": [f"This model reads {streams[-1]} alone.", "The untrained landmark energy has less."],
        },
        "ceilings": {"faces": [cell | {"compression": "raw", "method": m, "auc": 0.75} for m in ("Deepfakes", "all")]},
    }


def evaluation() -> dict[str, Any]:
    """evaluation.json: three tests, two codecs at three rates, two corruptions at two strengths."""
    codecs = [
        result(0.6 + 0.05 * i, "compression_curve",
               condition={"kind": "codec", "codec": codec, "crf": 40 - 6 * i, "bitrate_bps": 3e4 * 2**i})
        for codec in ("h264", "av1") for i in range(3)
    ]  # fmt: skip
    corrupted = [
        result(0.9 - 0.1 * s, "corruption", condition={"kind": "corruption", "corruption": name, "strength": s})
        for name in ("blur", "noise") for s in (1, 2)
    ]  # fmt: skip
    corrupted.append(result(0.95, "corruption", condition={"kind": "original", "bitrate_bps": 9e5}))
    plain = [result(0.95), result(0.85, compression="c23"), result(0.9, methods=["FaceSwap"])]
    return {
        "schema": "cpml-evaluation/3.1.0", "config": {"name": "tiny", "seed": 3},
        "checkpoint": {"step": 1234, "selection": "validation"}, "calibration": {"temperature": 2.0},
        "rule": RULE,
        "doubt": {"level": 0.05, "count": 22, "p_over": "groups of people", "sources": "validation", "note": "few <b>"},
        "provenance": {"records": {"faces": {"sha256": "ab12", "clips": 24}}, "commit": "c0ffee", "versions": {}},
        "results": [*plain, *codecs, *corrupted], "excluded": [], "diagnostics": diagnostics(),
    }  # fmt: skip


def write_run(
    folder: Path, lines: list[dict] | None = None, report: dict[str, Any] | None = None, arrays: bool = True
) -> list[dict[str, Any]]:
    """Write a run's folder; returns the lines of scores.jsonl. arrays: also features.npz and saliency.npz."""
    folder.mkdir(exist_ok=True)
    lines = scores() if lines is None else lines
    rng = np.random.default_rng(2)
    (folder / "evaluation.json").write_text(json.dumps(evaluation() if report is None else report))
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves = [{"kind": "train", "step": s, "loss": 3.0 / s, "ce": 1.0 / s} for s in range(1, 400)]
    curves += [{"kind": "val", "step": s, "auc": 0.9, "cross_entropy": 0.3} for s in (100, 200)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves) + '{"kind": "tra')
    if arrays:
        ids = np.array([line["clip_id"].encode("utf-8", "replace").decode() for line in lines])
        waves = np.sin(np.arange(LENGTH) / 4) + rng.normal(size=(len(lines), LENGTH))
        np.savez(
            folder / "features.npz", clip_id=ids, unified=rng.normal(size=(len(lines), WIDTH)).astype("f4"),
            logits=rng.normal(size=(len(lines), 2)).astype("f4"), wave=waves.astype("f4"),
            trace=np.where(np.arange(len(lines))[:, None] % 3, waves, np.nan).astype("f4"),
            class_embeddings=np.eye(2, WIDTH, dtype="f4"),
        )  # fmt: skip
        np.savez(folder / "saliency.npz", clip_id=ids[:3], saliency=rng.uniform(size=(3, 8, 8)).astype("f4"))
    return lines


def written(folder: Path, record_sets: Mapping[str, Any]) -> tuple[str, Parsed]:
    """The report of a run as HTML, and parsed; every section is in it."""
    path = page.write(folder, record_sets)
    assert path == folder / "report.html"
    source = path.read_text(encoding="utf-8")
    parsed = Parsed(source)
    assert set(SECTIONS) <= parsed.ids
    return source, parsed


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """The CSV of a figure."""
    with open(folder / "figures" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
