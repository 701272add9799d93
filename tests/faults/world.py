"""A run of every verb on toy data, undisturbed, and its state before and after each: to disturb and compare with."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from odd.encoder import draw, encode

ROOT = Path(__file__).resolve().parents[2]
# configs/forged.py with one forgery a person, 16 frames, and a landmark stream alone: a stage costs seconds.
CONFIG = """
from cpml_jax.configs import forged

def get_config(real=""):
    config = forged.get_config(real)
    forge = config.data.sources.forged.forge
    forge.kinds, forge.frames, forge.size, forge.seed = ("selfblend",), 18, 96, 3
    forge.copies = {"train": 1, "val": 1, "test": 1}
    forge.compressions = dict.fromkeys(("train", "val", "test"), ("raw",))
    config.update_from_flattened_dict({
        "data.num_frames": 16, "data.workers": 1, "data.decoded": "{workdir}/decoded", "train.methods": ("selfblend",),
        "train.compressions": ("raw",), "train.views": "downsampled", "train.batch_size": 2, "train.steps": 4,
        "train.eval_every": 4, "train.checkpoint_every": 1, "train.log_every": 1, "train.devices": 1,
        "optim.warmup_steps": 0, "model.modalities": ("landmarks",), "loss.teacher": 0.0, "loss.cqsl": 0.0,
        "eval.protocols": ("in_dataset",), "eval.compressions": ("raw",), "eval.batch_size": 4,
        "eval.diagnostics": False,
    })
    return config
"""
STAGES = ("forge", "prepare", "train", "evaluate", "report", "sweep", "predict", "answers")  # answers: predict --out
CHANGING = ("clips_per_s", "step_s", "data_wait_s", "device_share")  # of a line of metrics.jsonl
HALF_WRITTEN = (".tmp", ".part")
ANSWERS = "answers.jsonl"
QUICK = bool(os.environ.get("FAULTS_QUICK"))  # one of everything


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended. status: as of subprocess; pid: also its session's."""

    status: int
    pid: int
    stdout: str
    stderr: str

    @functools.cached_property
    def errors(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


class Warm:
    """warm.py as a context: commands in forked children."""

    def __init__(self, root: Path) -> None:
        self._out, self._err = root / "stdout", root / "stderr"
        environment = dict(os.environ) | {
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "faults"))),
            "PYTHONWARNINGS": "ignore",
        }
        self.environment = environment
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/faults/warm.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        assert self._process.stdout and json.loads(self._process.stdout.readline())["threads"]

    def run(self, *arguments: str, **plan: Any) -> Done:
        """A command; plan: struck.py's."""
        assert self._process.stdin and self._process.stdout
        whole = {"log": "", "signal": 0, "event": 0, "after": 0.0, "group": False, "file_size": 0} | plan
        asked = {"stdout": str(self._out), "stderr": str(self._err), "arguments": arguments, "plan": whole}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Done(answer["status"], answer["pid"], self._out.read_text(), self._err.read_text(errors="replace"))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class World:
    """Toy videos, a configuration, and what each stage does to a work folder when nothing disturbs it.

    Attributes:
      run: the work folder, always at the same path.
      before, after: stage -> digests of the work folder (`digests`).
      answer: stage -> standard output.
      events: stage -> times of its events, s, and last of its end.
    """

    def __init__(self, root: Path, stages: tuple[str, ...] = STAGES) -> None:
        self.root, self.real, self.run = root, root / "real", root / "run"
        self.real.mkdir()
        for number in range(6):
            encode(self.real / f"p{number}.mp4", draw(20, target=number))
        (root / "config.py").write_text(CONFIG)
        self.warm = Warm(root)
        self.before: dict[str, dict[str, str]] = {}
        self.after: dict[str, dict[str, str]] = {}
        self.answer: dict[str, str] = {}
        self.events: dict[str, list[float]] = {}
        self.run.mkdir()
        for stage in stages:
            self.before[stage] = digests(self.run)
            shutil.copytree(self.run, root / "before" / stage)
            done = self.go(stage, log=str(root / "events.json"))
            assert done.status == 0, done.stderr
            self.after[stage], self.answer[stage] = digests(self.run), done.stdout
            self.events[stage] = json.loads((root / "events.json").read_text())
        shutil.copytree(self.run, root / "before" / "end")

    def arguments(self, stage: str) -> list[str]:
        """Of the command."""
        config = [f"--config={self.root / 'config.py'}:{self.real}", f"--workdir={self.run}"]
        more = {"sweep": ["--protocol=in_dataset"], "predict": [str(self.real)]}
        more["answers"] = [f"--out={self.run / ANSWERS}", str(self.real)]
        return ["predict" if stage == "answers" else stage, *config, *more.get(stage, [])]

    def go(self, stage: str, **plan: Any) -> Done:
        return self.warm.run(*self.arguments(stage), **plan)

    def back_to(self, stage: str) -> None:
        """The work folder as it was before a stage, or at the end."""
        for path in self.run.iterdir():  # not itself: a file system may be mounted there
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.root / "before" / stage, self.run, dirs_exist_ok=True)

    def differing(self, stage: str, done: Done) -> list[str]:
        """What is not as the undisturbed stage left it."""
        found, wanted = digests(self.run), self.after[stage]
        names = [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]
        return names + (["standard output"] if stage == "predict" and done.stdout != self.answer[stage] else [])

    def left_over(self) -> list[str]:
        """Half-written files; not in the folder of decoded clips, which others may be writing to."""
        found = [path.relative_to(self.run) for path in self.run.rglob("*") if path.name.endswith(HALF_WRITTEN)]
        return [str(path) for path in found if path.parts[0] != "decoded"]

    def close(self) -> None:
        self.warm.close()


def processes_of(session: int, patience: float = 60.0) -> list[int]:
    """Processes of a session that are still there after `patience` s."""
    ends = time.monotonic() + patience
    while found := [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _session(pid) == session]:
        if time.monotonic() > ends:
            break
        time.sleep(0.05)
    return found


def _session(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[3])


def digests(run: Path) -> dict[str, str]:
    """Of every file of a work folder: of its bytes; of arrays to the bit for a checkpoint, whose files have other names
    and times in them every time; of a log's lines without their clock. Not of event files and half-written ones."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run)
        if path.parent.name == "checkpoints" and path.name.isdigit():
            found[str(name)] = arrays(path)
        steps = any(a == "checkpoints" and b.isdigit() for a, b in zip(name.parts, name.parts[1:], strict=False))
        if not path.is_file() or steps or "tensorboard" in name.parts or path.name.endswith(HALF_WRITTEN):
            continue
        if path.name == ".lock" or (path.suffix == ".sha256" and (path.stem.isdigit() or path.stem == "evaluation")):
            continue
        data = path.read_bytes()
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in data.splitlines()]
            data = json.dumps([{k: v for k, v in line.items() if k not in CHANGING} for line in lines]).encode()
        if path.name == ANSWERS:  # its lines are in the order in which videos were finished
            data = b"\n".join(sorted(data.splitlines()))
        if path.name == "evaluation.json":  # somebody may commit while the bench runs
            document = json.loads(data)
            document["provenance"].pop("commit")
            data = json.dumps(document).encode()
        if path.name == "report.html":
            data = b"\n".join(line for line in data.splitlines() if b"clips/s" not in line)
        found[str(name)] = hashlib.sha256(data).hexdigest()
    return found


def arrays(checkpoint: Path) -> str:
    """SHA-256 over the arrays of a checkpoint and its data position."""
    import warnings

    import jax
    import numpy as np
    from orbax.checkpoint import v1 as ocp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = ocp.load_checkpointables(checkpoint, {"variables": None, "optimizer": None})
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(held)[0]:
        array = np.asarray(leaf)
        digest.update(f"{path} {array.dtype} {array.shape}".encode() + array.tobytes())
    for file in sorted((checkpoint / "data").glob("*.json")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
