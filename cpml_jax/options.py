"""The flags of the command: what they are called, which verbs take them, and what is refused of a command line."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from absl import flags
from ml_collections import config_flags

from cpml_jax import configuration
from cpml_jax.errors import UserError, one_line
from cpml_jax.verbs import VERBS

CONFIG = config_flags.DEFINE_config_file("config", None, "Configuration, as configs/synthetic.py[:argument].")
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run's files go; runs/<name of the config> if not given.")
COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of process 0, for several hosts; 'auto' on TPU, SLURM and Kubernetes."
)
PROCESSES = flags.DEFINE_integer("processes", 0, "How many processes, with --coordinator=host:port.")
PROCESS = flags.DEFINE_integer("process", 0, "This process's number, from 0, with --coordinator=host:port.")
HOST_TIMEOUT = flags.DEFINE_integer(
    "host_timeout", 60, "With --coordinator: s without a sign of life after which a host is given up.", lower_bound=2
)
VERIFY = flags.DEFINE_bool("verify", False, "With prepare: look at the roots of the data sets, and prepare nothing.")
CROP_TREE = flags.DEFINE_string(
    "crop_tree", "", "With prepare: also write the crops and landmarks as a tree of files, FOLDER/<source>/...."
)
BEAM_RUNNER = flags.DEFINE_string(
    "beam_runner", "", "Work on many videos as an Apache Beam pipeline on this runner: FlinkRunner, DataflowRunner, ..."
)
BEAM_OPTIONS = flags.DEFINE_list("beam_options", [], "Options of --beam_runner: key=value,key=value.")
PROTOCOL = flags.DEFINE_list("protocol", [], "With evaluate and sweep: protocols in place of eval.protocols.")
SEEDS = flags.DEFINE_list(
    "seeds", [], "With sweep: train every run with each: 0,1,2; the configuration's if not given."
)
ROWS = flags.DEFINE_list("rows", [], "With sweep --protocol=ablation: rows of the table; all if not given.")
REPORT = flags.DEFINE_string("report", "", "With predict: an HTML file to write, what each answer rests on.")
MODEL = flags.DEFINE_string(
    "model",
    "",
    "With predict, serve and evaluate: a folder of export or of a run, or hf://OWNER/NAME. predict and serve need no "
    "--config and no --workdir then; evaluate tests it on the records of --config.",
)
OUT = flags.DEFINE_string(
    "out", "", "With export: the model's folder. With compare: the tables'. With predict: the file to add answers to."
)
FORMAT = flags.DEFINE_list(
    "format", [], "With export: beside safetensors a program that runs without this package: stablehlo, onnx, or both."
)
# None, and not what settings.py has: a flag that is not given goes with every verb.
HOST = flags.DEFINE_string(
    "host", None, "With serve: an address to listen at, with a token; this machine alone, without one, if not given."
)
PORT = flags.DEFINE_integer("port", None, "With serve: 8765 if not given; 0 for any that is free.")
MAX_MEGABYTES = flags.DEFINE_integer("max_megabytes", None, "With serve: of a video; 1000 if not given.")
MAX_SECONDS = flags.DEFINE_float("max_seconds", None, "With serve: of a video; 600 if not given.")
MAX_VIDEOS = flags.DEFINE_integer("max_videos", None, "With serve: sent, waiting or scored at once; 20 if not given.")
RESUME = flags.DEFINE_enum(
    "resume", None, ["latest", "previous"], "With train: previous: set damaged checkpoints aside, take the one before."
)
DEBUG = flags.DEFINE_bool("debug", False, "Show the libraries' messages, and where an error comes from.")
WAIT = flags.DEFINE_bool("wait", False, "Wait while another process works in the same --workdir or records.")

# Flags of some verbs alone; None is the run of all that is missing.
OWNERS = (
    (VERIFY, ("prepare",)),
    (CROP_TREE, ("prepare",)),
    (BEAM_RUNNER, ("prepare", "forge", "evaluate", "predict", None)),
    (BEAM_OPTIONS, ("prepare", "forge", "evaluate", "predict", None)),
    (PROTOCOL, ("evaluate", "sweep")),
    (SEEDS, ("sweep",)),
    (ROWS, ("sweep",)),
    (REPORT, ("predict",)),
    (MODEL, ("predict", "serve", "evaluate")),
    (OUT, ("export", "compare", "predict")),
    (FORMAT, ("export",)),
    (HOST, ("serve",)),
    (PORT, ("serve",)),
    (MAX_MEGABYTES, ("serve",)),
    (MAX_SECONDS, ("serve",)),
    (MAX_VIDEOS, ("serve",)),
    (RESUME, ("train", None)),
    (WAIT, ("prepare", "forge", "train", "evaluate", "report", "predict", "sweep", None)),
)


def help_text(argv: list[str]) -> str:
    """What --help prints: of a verb where one is named, else of the command."""
    from cpml_jax import help

    verb = next((word for word in argv[1:] if word in VERBS), None)
    if verb is None and not any(word.startswith(("--config", "-config")) for word in argv):
        text = help.overview([flags.FLAGS[flag.name] for flag in (COORDINATOR, PROCESSES, PROCESS, HOST_TIMEOUT)])
    else:
        text = help.of_verb(verb, [flags.FLAGS[flag.name] for flag, owners in OWNERS if verb in owners])
    return text.replace("main.py", os.path.basename(argv[0]))  # an installed package has a command of another name


def serve_flags() -> dict[str, Any]:
    """serve's flags that were given, by the names of Settings."""
    given = {
        "host": HOST.value,
        "port": PORT.value,
        "megabytes": MAX_MEGABYTES.value,
        "seconds": MAX_SECONDS.value,
        "videos": MAX_VIDEOS.value,
    }
    return {name: value for name, value in given.items() if value is not None}


def seeds() -> tuple[int, ...]:
    """The numbers of --seeds."""
    try:
        return tuple(int(seed) for seed in SEEDS.value)
    except ValueError:
        raise UserError(f"--seeds={','.join(SEEDS.value)}: seeds are whole numbers, as 0,1,2") from None


def check_flags(verb: str | None) -> None:
    """Refuse flags of another verb, and flags that lack their partner."""
    for flag, owners in OWNERS:
        if flag.value and verb not in owners:
            named = [owner for owner in owners if owner]
            with_verbs = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
            raise UserError(f"--{flag.name} goes with {with_verbs}: main.py {owners[0]} --{flag.name}=...")
    if VERIFY.value and CROP_TREE.value:
        raise UserError("--verify prepares nothing, so there is no --crop_tree to write; give one of the two")
    if BEAM_OPTIONS.value and not BEAM_RUNNER.value:
        raise UserError("--beam_options are options of a runner: give --beam_runner too")
    if verb == "predict" and OUT.value and REPORT.value:
        raise UserError("--report keeps in memory what it shows, and --out is for many videos; give one of the two")
    if verb == "predict" and BEAM_RUNNER.value and not OUT.value:
        raise UserError("predict with --beam_runner needs a file for the answers: --out=answers.jsonl")
    if verb == "evaluate" and MODEL.value and not CONFIG.present:
        raise UserError("evaluate --model=... tests the model on a configuration's records: name it, --config=F")
    if verb != "evaluate" and MODEL.value and (CONFIG.present or WORKDIR.value):
        raise UserError("--model brings its own configuration; leave out --config and --workdir")
    if (PROCESSES.value or PROCESS.value) and not COORDINATOR.value:
        raise UserError("--processes and --process go with --coordinator=host:port, the address of process 0")
    if verb == "export" and not OUT.value:
        raise UserError("export needs a folder to write to: main.py export --out=FOLDER --config=...")


def parse_or_exit(argv: list[str]) -> list[str]:
    """`parse` for absl, which would print a traceback of its errors."""
    try:
        return parse(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def parse(argv: list[str]) -> list[str]:
    """absl's flags; what it refuses becomes one line that names the nearest right key.

    Raises:
      UserError: a flag, a key or a value that cannot be.
    """
    try:
        remaining = flags.FLAGS(with_located_config(argv), known_only=False)
        if "--help" not in argv and CONFIG.present:
            _ = CONFIG.value.name  # a file that does not load raises here
        return remaining
    except flags.Error as error:
        raise UserError(one_line(error)) from None
    except OSError as error:
        raise UserError(f"--config: {one_line(error.__cause__ or error)}") from None
    except (AttributeError, KeyError, TypeError, ValueError, ImportError, SyntaxError) as error:
        raise UserError(one_line(error)) from None


def with_located_config(argv: list[str]) -> list[str]:
    """The command line with the path of the configuration file in place of its name.

    Raises:
      UserError: no such file, or a key that is called something else today.
    """
    located = list(argv)
    for place, word in enumerate(argv):
        key = re.match(r"--?(?:no)?config\.([\w.]+)", word)
        if key and (why := configuration.changed(key[1])):
            raise UserError(why)
        if word in ("--config", "-config") and place + 1 < len(argv):
            located[place + 1] = configuration.locate(argv[place + 1])
        elif value := re.fullmatch(r"--?config=(.+)", word):
            located[place] = f"--config={configuration.locate(value[1])}"
    return located
