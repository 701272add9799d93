"""A sweep with stand-ins for training and evaluation, which write what the real ones write, and count."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import published
import tiny
from ml_collections import ConfigDict

from cpml_jax import sweep
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.files import write_json


class Killed(BaseException):
    pass


class Workshop:
    """train and evaluate that count their calls by run. kill: dies in the n-th training run. fail: runs that fail."""

    def __init__(self, kill: int | None = None, fail: tuple[str, ...] = ()) -> None:
        self.trained, self.evaluated, self.kill, self.fail = Counter(), Counter(), kill, fail

    def train(self, config: ConfigDict, folder: Path) -> None:
        if self.kill is not None and len(self.trained) == self.kill:
            (folder / "checkpoints").mkdir(exist_ok=True)
            raise Killed
        self.trained[folder.name] += 1
        if folder.name in self.fail:
            raise UserError("the loss is not finite")
        (folder / "checkpoints").mkdir(exist_ok=True)

    def evaluate(self, config: ConfigDict, folder: Path) -> None:
        self.evaluated[folder.name] += 1
        tests = protocols.make_tests(
            protocols.Training(config.train.dataset, tuple(config.train.compressions), tuple(config.train.methods)),
            protocols=config.eval.protocols,
            compressions=config.eval.compressions,
            cross_datasets=config.eval.cross_datasets,
            cross_compression=protocols.cross_compressions(
                config.eval.cross_compression, config.eval.cross_datasets, {}
            ),
            methods={"faces": tiny.METHODS},
        )
        figures = {"n_real": 2, "n_fake": 4, "auc": 0.5 + 0.1 * config.seed, "auc_ci95": [0.25, 0.75]}
        figures |= dict.fromkeys(("ap", "eer", "acc"))
        results = [
            {
                "protocol": t.protocol,
                "test": {"dataset": t.dataset, "compression": t.compression, "methods": t.methods},
                "condition": None,
                "clip": figures,
                "video": figures,
            }
            for t in tests
        ]
        report = {"schema": "cpml-evaluation/3.1.0", "config": config.to_dict(), "results": results}
        write_json(folder / "evaluation.json", report)


def go(
    records: Path | None,
    workdir: Path,
    names: Iterable[str],
    workshop: Workshop,
    config: ConfigDict | None = None,
    **others: Any,
) -> int:
    """A sweep of the workshop; its exit status."""
    config = config or tiny.training_config(records)
    return sweep.run(config, workdir, names, train=workshop.train, evaluate=workshop.evaluate, **others)


def written(workdir: Path) -> dict:
    """sweep.json, checked: no cell twice, and as published."""
    document = json.loads((workdir / "sweep.json").read_text())
    places = [tuple(c[k] for k in ("protocol", "table", "row", "column", "seed")) for c in document["cells"]]
    assert len(places) == len(set(places)), "two cells have the same place"
    published.check("sweep", document)
    return document
