"""`predict` in a process of its own, bounded, that says after each file what it took.

    python -m hostile.worker [CONFIG.json WORKDIR] < PATHS

Without a run, frames' brightness is the score. PATHS: bytes, each ended by a zero byte. Standard
output, for each path a line of JSON: {"answer": the line that predict printed, "seconds": of the processor,
"megabytes": the most that the process held meanwhile}.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import time

FRAMES = 16  # of a window
DATA = "HOSTILE_DATA"  # bytes of private memory that the process may ask for


def peak_megabytes() -> float:
    """The most that this process held in memory since `forget_peak`."""
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """Linux begins to count anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Measured(io.TextIOBase):
    """Takes predict's lines; writes each with what it took."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._begun = time.process_time()
        forget_peak()

    def write(self, text: str) -> int:
        if text.strip():
            now = time.process_time()
            line = {"answer": text, "seconds": round(now - self._begun, 3), "megabytes": round(peak_megabytes())}
            print(json.dumps(line), file=self._out, flush=True)
            self._begun = now
            forget_peak()
        return len(text)


class Brightness:
    """A scorer without a model, whose compilation would take longer than all else: margins by the frames' level."""

    step, devices, class_embeddings = 0, 1, None

    def score(self, batch: dict) -> dict:
        import numpy as np

        level = batch["frames"].mean(axis=(1, 2, 3, 4, 5)) / 255
        wave = batch["frames"][:, 0].mean(axis=(2, 3))[..., 1].astype(np.float32)
        logits = np.stack([1 - level, level], axis=1)
        return {"logits": logits, "unified": logits, "wave": wave}


def main() -> None:
    """Bounded by the environment's DATA."""
    if DATA in os.environ:
        bound = int(os.environ[DATA])
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    paths = [os.fsdecode(path) for path in sys.stdin.buffer.read().split(b"\0") if path]
    out = Measured()
    os.dup2(2, 1)  # what a library prints is no answer
    from cpml_jax import predict
    from cpml_jax.data.input_size import InputSize
    from cpml_jax.evaluation.verdict import Verdict
    from cpml_jax.prediction.detector import Detector, load_video_clips

    if sys.argv[1:]:
        from ml_collections import ConfigDict

        with open(sys.argv[1]) as file:
            predict.run(ConfigDict(json.load(file)), sys.argv[2], paths, out=out)
        return
    size = InputSize(FRAMES, frame_size=32, num_stills=1, batch_size=8, inputs=("frames", "landmarks"))
    predict.predict(Detector(Brightness(), Verdict(), size, load_video_clips()), paths, out=out)


if __name__ == "__main__":
    main()
