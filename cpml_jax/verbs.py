"""The command's verbs: what each does, an example, and the keys of the configuration that matter to it."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """keys: of the configuration, or sections of it, which `main.py VERB --help` lists."""

    sentence: str
    example: str
    keys: tuple[str, ...]


_PREPARE = (
    "data.sources", "data.records", "data.num_frames", "data.max_windows", "data.windows", "data.workers",
    "data.limits",
)  # fmt: skip
_TRAIN = (
    "seed", "init_from", "data.records", "data.cache_mb", "data.read_threads", "data.decoded", "train", "optim", "loss",
    "model.modalities", "model.head", "model.rppg.weights", "model.landmarks.weights", "model.text_encoder.weights",
    "model.visual.weights",
)  # fmt: skip

EVERYTHING = Verb(
    "does whatever is missing of forge, prepare, train, evaluate and report",
    "main.py --config=configs/synthetic.py",
    ("name", "seed", "data.sources", "train.dataset", "train.compressions", "train.methods", "train.steps", "eval"),
)
VERBS: dict[str, Verb] = {
    "forge": Verb(
        "forges your own real videos into a data set of real and forged ones",
        "main.py forge --config=configs/forged.py:/path/to/real/videos",
        ("data.sources", "data.workers"),
    ),
    "prepare": Verb(
        "turns videos into records: faces, landmarks and pulse traces",
        "main.py prepare --config=configs/folder.py:/path/to/videos",
        _PREPARE,
    ),
    "train": Verb("trains on the records, or resumes", "main.py train --config=configs/synthetic.py", _TRAIN),
    "evaluate": Verb(
        "scores the test sets and writes evaluation.json",
        "main.py evaluate --protocol=compression_curve,corruption --config=configs/synthetic.py",
        ("data.records", "data.read_threads", "eval"),
    ),
    "report": Verb(
        "draws report.html from the evaluation",
        "main.py report --config=configs/synthetic.py",
        ("data.records", "eval.checkpoint"),
    ),
    "predict": Verb(
        "scores any videos, one JSON object a line; many, with --out, into a file that is gone on with",
        "main.py predict --report=page.html --workdir=runs/synthetic video.mp4",
        ("data.limits", "data.workers", "eval.batch_size", "eval.checkpoint", "eval.doubt_level"),
    ),
    "serve": Verb(
        "serves a page to drop videos on, and a JSON API, on this machine",
        "main.py serve --model=model",
        ("data.limits", "eval.batch_size", "eval.checkpoint", "eval.doubt_level"),
    ),
    "sweep": Verb(
        "trains and tests all runs of a table",
        "main.py sweep --protocol=ablation --seeds=0,1,2 --config=configs/synthetic.py",
        ("data.records", "eval.protocols", "eval.cross_datasets", "eval.compressions"),
    ),
    "compare": Verb(
        "puts finished runs side by side; takes no configuration",
        "main.py compare runs/synthetic runs/seed1 --out=tables",
        (),
    ),
    "export": Verb(
        "writes a model to hand on, or to start from",
        "main.py export --config=configs/synthetic.py --out=model",
        ("eval.checkpoint", "eval.doubt_level"),
    ),
    "config": Verb(
        "prints the whole configuration, and marks what differs from configs/base.py",
        "main.py config --config=configs/forged.py --config.train.steps=800",
        (),
    ),
}
