"""Compile a configuration's steps for accelerators that are not here: does it fit, what does it move, how long.

    python -m benchmarks.compile_for v5e:2x4 --config=configs/synthetic.py:full [--config.key=value ...] [--steps=train]

Targets: v5e:2x4, v6e:2x4, v5p:2x2x2 and other slices of these TPUs (v5p:2x2x4 has four hosts), h100:1 to h100:8.
`uv sync --extra compile` installs their compilers. Prints, and writes to WORKDIR/compile_for/TARGET.json, of the train
and the score step: bytes a device, operations, bytes moved, the compiler's estimate of the time, collectives, and the
largest temporaries. Status 1: a step does not compile, or does not fit. docs/scaling.md has figures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict

from benchmarks.compile_target import page, targets
from benchmarks.compile_target.quiet import quiet
from cpml_jax import options
from cpml_jax.errors import UserError

STEPS = ("train", "score")
INNER = "CPML_COMPILE_FOR_INNER"  # set in the process that compiles
_STEPS = flags.DEFINE_list("steps", list(STEPS), "Steps to compile, of train and score.")


def main(argv: list[str]) -> int:
    """One target. Returns the exit status."""
    if len(argv) != 2:
        raise UserError(f"give one target: {', '.join(targets.NAMES)}, or another size of these")
    options.check_flags("compile_for")
    if unknown := [step for step in _STEPS.value if step not in STEPS]:
        raise UserError(f"--steps={unknown[0]}: the steps are {', '.join(STEPS)}")
    target, config = targets.named(argv[1]), flags.FLAGS.config
    if config is None:
        raise UserError("--config is missing: python -m benchmarks.compile_for v5e:2x4 --config=configs/synthetic.py")
    workdir = Path(flags.FLAGS.workdir or os.path.join("runs", config.name))
    return compile_steps(target, config, tuple(_STEPS.value), workdir / "compile_for")


def compile_steps(target: targets.Target, config: ConfigDict, steps: tuple[str, ...], folder: Path) -> int:
    """Compile, print, and write `folder`/TARGET.json. Returns the exit status.

    Raises:
      UserError: the configuration is wrong, or the target's devices do not divide its batch.
    """
    rows = []
    with quiet():
        from cpml_jax import validation
        from cpml_jax.files import write_json

        validation.validate(config, "train")
        for step in steps:
            rows.append(compile_step(target, config, step))
            print("\n".join(page.lines(rows[-1])), flush=True)
        path = folder / f"{target.name.replace(':', '_')}.json"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"steps": rows})
        print(f"written to {path}")
    refused = [row for row in rows if row["error"]]
    for row in refused:
        print(f"error: {target.name}, {row['step']} step: {row['error']}", file=sys.stderr)
    return int(bool(refused))


def compile_step(target: targets.Target, config: ConfigDict, step: str) -> dict[str, Any]:
    """Figures of one step (figures.py), with what was compiled for what."""
    import jax

    from benchmarks.compile_target import figures, steps
    from cpml_jax.training.sharding import mesh_of

    jax.config.update("jax_enable_compilation_cache", False)  # the time to compile is a figure
    devices = targets.devices_of(target)
    begun = time.perf_counter()
    lowered = steps.lower(step, config, mesh_of(devices))
    traced, busy = time.perf_counter(), time.process_time()
    try:
        compiled = lowered.compile(compiler_options=dict(target.options) or None)
    except jax.errors.JaxRuntimeError as error:
        seconds, busy = time.perf_counter() - traced, time.process_time() - busy
        found = figures.of_refused(error, target.chip)
    else:
        seconds, busy = time.perf_counter() - traced, time.process_time() - busy
        found = figures.of_compiled(compiled, lowered, target.chip, len(devices))
    return {
        "target": target.name,
        "device": devices[0].device_kind,
        "devices": len(devices),
        "hosts": 1 + max(device.process_index for device in devices),
        "config": config.name,
        "step": step,
        "seconds_to_lower": traced - begun,
        "seconds_to_compile": seconds,
        "cpu_seconds_to_compile": busy,
        **found,
    }


def guarded(argv: list[str]) -> int:
    """A user's mistake is one line and status 2."""
    try:
        return main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def survived(command: Sequence[str]) -> int:
    """Exit status of a command, in a process of its own: a compiler that crashes is one line and status 1.

    libtpu 0.0.42 ends by a segmentation fault, without a word, when it compiles the full-size train step for v6e.
    """
    status = subprocess.run(command, env=os.environ | {INNER: "1"}, check=False).returncode
    if status >= 0:
        return status
    print(
        f"error: the compiler has crashed ({signal.Signals(-status).name}); nothing is known of this step",
        file=sys.stderr,
    )
    return 1


def run() -> None:
    """The command."""
    if INNER not in os.environ:
        sys.exit(survived([sys.executable, "-m", "benchmarks.compile_for", *sys.argv[1:]]))
    targets.prepare_environment()
    sys.modules["__main__"].__doc__ = __doc__
    logging.set_verbosity(logging.ERROR)
    app.run(guarded, flags_parser=options.parse_or_exit)


if __name__ == "__main__":
    run()
