"""Processes that have imported what the command needs: `python warm.py`, then a JSON line on stdin for each command.

Importing is most of what a command on toy data costs (some 10 s of a core). This process imports, starts no thread and
no device, and forks one child a command, in a session of its own: struck.py's plan is in the line. Answers with a JSON
line {pid, status}, the status as subprocess has it.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "cpml_jax.cli", "cpml_jax.chain", "cpml_jax.train", "cpml_jax.evaluate", "cpml_jax.predict", "cpml_jax.report",
    "cpml_jax.sweep", "cpml_jax.compare", "cpml_jax.prediction.many", "cpml_jax.evaluation.saliency",
    "data_prep.prepare", "data_prep.forge.generate", "data_prep.face.clips", "data_prep.synthetic.generate",
    "data_prep.conditions.prepare", "tensorflow_datasets", "tensorboardX", "dlib", "onnxruntime",
    "sklearn.manifold", "matplotlib.backends.backend_agg",
)  # fmt: skip


def main() -> None:
    import importlib

    for module in MODULES:
        importlib.import_module(module)
    import struck

    print(json.dumps({"threads": len(os.listdir("/proc/self/task"))}), flush=True)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number, name in ((0, os.devnull), (1, asked["stdout"]), (2, asked["stderr"])):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644), number)
            os.environ.update(asked.get("environment", {}))
            struck.run(asked["plan"], asked["arguments"])
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
