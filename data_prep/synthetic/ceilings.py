"""Ceilings and floors of the drawn benchmark: what each stream could see, before anything is trained.

    python -m data_prep.synthetic.ceilings RECORDS... [--splits=test] [--json=FILE]

RECORDS: folders of prepared drawn videos, such as RUN/records/synthetic. For each stream, forgery and compression, the
area under the ROC curve of fakes against real videos, and its standard error over groups of people (jackknife).

floor     a statistic that is not trained, or (sharpness) a regression on a few numbers of one picture
ceiling   a logistic regression on richer statistics, left-out people scored, or one that knows the true pulse

The regressions see the videos that are asked about and no others: with more people they find more.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cpml_jax import schema
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.evaluation.baselines import (
    cross_validated,
    identity_groups,
    inner_rim_agreement,
    landmark_energy,
    sharpness_grid,
)
from cpml_jax.files import write_json
from data_prep.synthetic import clip_statistics

ALL = "all"
Clip = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Statistic:
    """Something measured of a clip. More than one number: a regression turns them into a score.

    Attributes:
      stream: which of a detector's streams could see it: rppg, landmarks, visual, or "all" together.
      kind: floor or ceiling.
      measure: a record and the target's true pulse (T,) -> (K,), larger for fakes where K is 1.
    """

    stream: str
    kind: str
    name: str
    measure: Callable[[Clip, np.ndarray], np.ndarray]


def _pulse_numbers(clip: Clip, _: np.ndarray) -> np.ndarray:
    return clip_statistics.pulse_features(clip["frames"], clip["landmarks"])


def _motion_numbers(clip: Clip, _: np.ndarray) -> np.ndarray:
    return clip_statistics.landmark_features(clip["landmarks"])


def _picture_numbers(clip: Clip, _: np.ndarray) -> np.ndarray:
    return clip_statistics.frame_features(clip["frames"], clip["landmarks"])


def _one(value: float) -> np.ndarray:
    return np.array([value])


def _together(clip: Clip, truth: np.ndarray) -> np.ndarray:
    return np.concatenate([part(clip, truth) for part in (_pulse_numbers, _motion_numbers, _picture_numbers)])


def _lips_without_jaw(clip: Clip, _: np.ndarray) -> np.ndarray:
    return _one(-clip_statistics.lips_with_jaw(clip["landmarks"]))


def _tremble(clip: Clip, _: np.ndarray) -> np.ndarray:
    return _one(clip_statistics.trembling_mouth(clip["landmarks"]))


STATISTICS = (
    Statistic(
        "rppg", "floor", "inner face against rim",
        lambda clip, _: _one(-inner_rim_agreement(clip["frames"], clip["landmarks"])),
    ),
    Statistic("rppg", "ceiling", "regression on four regions", _pulse_numbers),
    Statistic(
        "rppg", "ceiling", "inner face against the true pulse",
        lambda clip, truth: _one(-clip_statistics.inner_pulse(clip["frames"], clip["landmarks"], truth)),
    ),
    Statistic("landmarks", "floor", "energy", lambda clip, _: _one(landmark_energy(clip["landmarks"]))),
    Statistic("landmarks", "floor", "slow lips", lambda clip, _: _one(clip_statistics.slow_lips(clip["landmarks"]))),
    Statistic("landmarks", "floor", "lips without jaw", _lips_without_jaw),
    Statistic("landmarks", "floor", "mouth's tremble", _tremble),
    Statistic("landmarks", "ceiling", "regression on bands by region", _motion_numbers),
    Statistic("visual", "floor", "one frame's sharpness, 6 x 6", lambda clip, _: sharpness_grid(clip["frames"])),
    Statistic("visual", "ceiling", "regression on one frame's bands by region", _picture_numbers),
    Statistic(ALL, "ceiling", "regression on all regressions' numbers", _together),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Area:
    """One cell of the table: area under the ROC curve of a method's fakes against the real videos."""

    dataset: str
    stream: str
    kind: str
    statistic: str
    compression: str
    method: str
    auc: float
    standard_error: float
    videos: int


def areas(records: RecordSet, splits: Sequence[str] = ("test",), progress: bool = True) -> list[Area]:
    """All cells of one folder of records, the people of all `splits` together.

    Raises:
      UserError: the splits have no real videos with a known pulse, or no fakes.
    """
    rows = [row for row in records.rows if row["split"] in splits and row["window"] == 0]
    where, truths = "split " + " + ".join(splits), {}
    for row in rows:
        if row["label"] == schema.REAL and row["video"] not in truths:
            truths[row["video"]] = np.asarray(records.read(row)["pulse_truth"])
    if not truths or not all(np.isfinite(truth).all() for truth in truths.values()):
        raise UserError(f"{records.directory}: {where} has no drawn real videos with their true pulse")
    if all(row["label"] == schema.REAL for row in rows):
        raise UserError(f"{records.directory}: {where} has no fakes")
    rows = [row for row in rows if (row["target_video"] or row["video"]) in truths]
    measured: list[list[np.ndarray]] = []
    for row in tqdm(rows, desc=f"measure {records.name}", unit="clip", file=sys.stderr, disable=not progress):
        clip, truth = records.read(row), truths[row["target_video"] or row["video"]]
        measured.append([statistic.measure(clip, truth) for statistic in STATISTICS])
    result = []
    for number, statistic in enumerate(STATISTICS):
        values = np.stack([numbers[number] for numbers in measured])
        result += _of_statistic(records.name, statistic, rows, values)
    return result


def _of_statistic(dataset: str, statistic: Statistic, rows: list[dict], values: np.ndarray) -> list[Area]:
    compressions = sorted({row["compression"] for row in rows}, key=schema.compression_rank)
    methods = [name for name in schema.FFPP_METHODS if any(row["method"] == name for row in rows)]
    common = dict(dataset=dataset, stream=statistic.stream, kind=statistic.kind, statistic=statistic.name)
    result = []
    for compression in compressions:
        for method in (*methods, ALL):
            chosen = [
                index
                for index, row in enumerate(rows)
                if row["compression"] == compression and (row["label"] == schema.REAL or method in (row["method"], ALL))
            ]
            labels = np.array([rows[index]["label"] for index in chosen])
            groups = identity_groups([rows[index] for index in chosen])
            scores = _scores(values[chosen], [rows[index]["method"] for index in chosen], labels, groups)
            if scores is None:
                continue
            area, error = auc_with_error(labels, scores, groups)
            result.append(
                Area(
                    **common, compression=compression, method=method, auc=area, standard_error=error, videos=len(chosen)
                )
            )
    return result


def _scores(values: np.ndarray, methods: list[str], labels: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """(N, K) numbers -> (N,) scores, larger for fakes; None where too few people are left to fit a regression on."""
    if values.shape[1] == 1:
        return values[:, 0]
    fakes = sorted(set(methods) - {schema.REAL_METHOD})
    if len(fakes) == 1:
        return cross_validated(values, labels, groups)
    # Several forgeries are several classes: each is fitted by itself, and the surest decides.
    of_each = np.full((len(fakes), len(labels)), -np.inf)
    for number, name in enumerate(fakes):
        scores = cross_validated_for(values, np.array([method == name for method in methods]), labels, groups)
        if scores is None:
            return None
        of_each[number] = scores
    return np.logaddexp.reduce(of_each)


def cross_validated_for(
    values: np.ndarray, fake: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray | None:
    """Every row's log-odds of one forgery against the real videos, fitted without the row's group."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(5, len(np.unique(groups)))
    if folds < 2:
        return None
    scores = np.empty(len(labels))
    for fitted, left_out in GroupKFold(folds).split(values, labels, groups):
        used = fitted[fake[fitted] | (labels[fitted] == schema.REAL)]
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced"))
        scores[left_out] = regression.fit(values[used], labels[used]).decision_function(values[left_out])
    return scores


def auc_with_error(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve (N,) and its standard error: jackknife over groups; NaN with fewer than three."""

    def area(kept: np.ndarray) -> float:
        fakes, reals = scores[kept & (labels == schema.FAKE)], scores[kept & (labels == schema.REAL)]
        difference = fakes[:, None] - reals[None, :]
        return float(((difference > 0) + 0.5 * (difference == 0)).mean())

    names = np.unique(groups)
    whole = area(np.ones(len(labels), bool))
    if len(names) < 3:
        return whole, float("nan")
    without = np.array([area(groups != name) for name in names])
    return whole, float(np.sqrt((len(names) - 1) * without.var()))


def table(cells: Sequence[Area]) -> str:
    """Markdown: a row for each statistic and compression, a column for each method."""
    methods = list(dict.fromkeys(cell.method for cell in cells))
    lines = [
        "| stream | statistic | compression | " + " | ".join(methods) + " |",
        "| --- | --- | --- |" + " --- |" * len(methods),
    ]
    by_row: dict[tuple, dict[str, Area]] = {}
    for cell in cells:
        key = (cell.dataset, cell.stream, cell.kind, cell.statistic, cell.compression)
        by_row.setdefault(key, {})[cell.method] = cell
    for (dataset, stream, kind, statistic, compression), row in by_row.items():
        columns = [f"{row[m].auc:.2f} ± {row[m].standard_error:.2f}" if m in row else "-" for m in methods]
        name = f"{statistic} ({kind})" + (f", {dataset}" if len({cell.dataset for cell in cells}) > 1 else "")
        lines.append(f"| {stream} | {name} | {compression} | " + " | ".join(columns) + " |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """The command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.synthetic.ceilings", description=__doc__)
    parser.add_argument("records", nargs="+", metavar="RECORDS")
    parser.add_argument("--splits", default="test", help="separated by commas")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)
    splits = options.splits.split(",")
    try:
        cells = [cell for folder in options.records for cell in areas(RecordSet(folder), splits)]
        if options.json:
            write_json(Path(options.json), dict(splits=splits, cells=[dataclasses.asdict(cell) for cell in cells]))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
