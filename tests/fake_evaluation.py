"""Record sets and a model in memory, to evaluate in milliseconds."""

import dataclasses
import io
import json
import zlib

import numpy as np

from cpml_jax import evaluate, schema
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import CorruptRecord
from cpml_jax.evaluation.protocols import Training, make_tests

FRAMES, SIZE = 16, 8
INPUT = InputSize(FRAMES, SIZE, num_stills=1, batch_size=5, inputs=("frames", "landmarks"))
TWO = ("Deepfakes", "Face2Face")
SPLITS = {"train": range(0, 2), "val": range(2, 6), "test": range(6, 12)}
TIMES = np.arange(FRAMES) / 30.0

C23 = {"a": "c23", "b": "c23", "c": "c23"}  # what cross_dataset tests at


class FakeRecords:
    """A record set in memory. A clip's first pixel holds its score, so that a fake scorer can read it."""

    def __init__(self, name, compressions=("raw", "c23"), methods=TWO, windows=2, corrupt=(), splits=SPLITS):
        self.name, self.directory, self.corrupt = name, f"records/{name}", corrupt
        self.reads, self.rows = [], []
        self.excluded = [{"dataset": name, "video": "999", "reason": "no face"}]
        for split, people in splits.items():
            for person in people:
                for method in ("real", *methods):
                    for compression in compressions:
                        self.rows += [self.row(split, person, method, compression, w) for w in range(windows)]

    def row(self, split, person, method, compression, window):
        video = f"{person:03d}" if method == "real" else f"{person:03d}_{person ^ 1:03d}"
        return {
            "clip_id": schema.clip_id(self.name, method, compression, video, window),
            "clip_key": schema.clip_key(self.name, method, video, window),
            "video_key": schema.video_key(self.name, method, compression, video),
            "dataset": self.name, "method": method, "compression": compression, "split": split, "video": video,
            "identity": f"{person:03d}", "source_identity": "" if method == "real" else f"{person ^ 1:03d}",
            "target_video": f"{person:03d}", "label": int(method != "real"), "window": window, "start_s": 0.0,
            "heart_rate_pos": 72.0, "heart_rate_truth": 72.0 if method == "real" else float("nan"),
        }  # fmt: skip

    def read(self, row, frame_size, stills=(), **_):
        self.reads.append(row["clip_id"])
        if row["clip_id"] in self.corrupt:
            raise CorruptRecord(row["clip_id"], "frame 3 is not an image")
        known = np.sin(2 * np.pi * 1.2 * TIMES).astype(np.float32)
        frames = np.zeros((FRAMES, frame_size, frame_size, 3), np.uint8)
        frames[0, :, :, 0] = self.score(row)  # all of it: whoever measures reads it whole, and makes it smaller
        return {
            "frames": frames,
            "landmarks": np.zeros((FRAMES, 68, 2), np.float32),
            "box": np.tile(np.float32([0, 0, 96, 96]), (FRAMES, 1)),
            "valid": np.ones(FRAMES, bool),
            "pulse_pos": known + (0.5 * np.cos(9 * TIMES)).astype(np.float32),
            "pulse_truth": known if row["label"] == 0 else np.full(FRAMES, np.nan, np.float32),
        }

    def score(self, row):
        noise = zlib.crc32(row["clip_id"].encode()) % 120  # reproducible, and enough for overlap
        return 50 + noise + 60 * row["label"]


class FakeScorer:
    step, selection, class_embeddings = 7, "validation", np.eye(2, 4, dtype=np.float32)
    parameters_sha256 = "0" * 64

    def __init__(self, wave=True, broken=False):
        self.wave, self.broken, self.batches = wave, broken, []

    def score(self, batch):
        assert batch["frames"].shape[1:] == (1, FRAMES, SIZE, SIZE, 3)
        self.batches.append(len(batch["frames"]))
        value = batch["frames"][:, 0, 0, 0, 0, 0] / 255.0
        if self.broken:
            value = np.where(value > 0.5, np.nan, value)
        scores = {"p_fake": value, "logits": np.stack([np.zeros_like(value), np.log(value / (1 - value))], 1)}
        scores["unified"] = np.tile(value[:, None], (1, 4))
        if self.wave:
            scores["wave"] = np.tile(np.sin(2 * np.pi * 1.2 * TIMES), (len(value), 1)).astype(np.float32)
        return scores


TRAINING = Training("a", ("raw", "c23"), TWO)
PROTOCOLS = ("in_dataset", "cross_compression", "cross_dataset")


def evaluated(
    tmp_path,
    records=None,
    scorer=None,
    *,
    training=TRAINING,
    protocols=PROTOCOLS,
    compressions=("raw", "c40"),
    write=True,
    out=None,
    **changes,
):
    """evaluate.evaluate of fakes, and the record sets; `changes` are of the plan."""
    records = records or {
        "a": FakeRecords("a", ("raw", "c23", "c40")),
        "b": FakeRecords("b", ("c23",), splits={"test": range(4)}),
    }
    tests = make_tests(
        training, protocols=protocols, compressions=compressions, cross_datasets=("b",), cross_compression=C23,
        methods={"a": TWO, "b": TWO},
    )  # fmt: skip
    plan = evaluate.Plan(
        config={"name": "t", "eval": {"compressions": ("raw", "c40")}},
        training=training,
        tests=tests,
        sampler={"num_frames": FRAMES, "fps": 30.0, "start": "first face", "stride": FRAMES},
        size=INPUT,
    )
    plan = dataclasses.replace(plan, **changes)
    report = evaluate.evaluate(scorer or FakeScorer(), records, plan, tmp_path, write=write, out=out or io.StringIO())
    return report, records


def strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} in {path}")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
