"""Flags and dispatch: cpml-jax [VERB] --config=F [--workdir=D] [--config.key=value ...]; verbs.py has the verbs.

In a checkout, main.py is the same command.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.metadata
import json
import os
import re
import sys
import traceback
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from cpml_jax import activity, configuration, disk, hosts, interruption
from cpml_jax.errors import UserError, one_line
from cpml_jax.verbs import VERBS

PACKAGES = (
    "cpml-jax", "jax", "jaxlib", "flax", "orbax-checkpoint", "numpy", "av", "opencv-python-headless", "onnxruntime"
)  # fmt: skip

_CONFIG = config_flags.DEFINE_config_file("config", None, "Configuration, as configs/synthetic.py[:argument].")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run's files go; runs/<name of the config> if not given.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of process 0, for several hosts; 'auto' on TPU, SLURM and Kubernetes."
)
_PROCESSES = flags.DEFINE_integer("processes", 0, "How many processes, with --coordinator=host:port.")
_PROCESS = flags.DEFINE_integer("process", 0, "This process's number, from 0, with --coordinator=host:port.")
_HOST_TIMEOUT = flags.DEFINE_integer(
    "host_timeout", 60, "With --coordinator: s without a sign of life after which a host is given up.", lower_bound=2
)
_VERIFY = flags.DEFINE_bool("verify", False, "With prepare: look at the roots of the data sets, and prepare nothing.")
_CROP_TREE = flags.DEFINE_string(
    "crop_tree", "", "With prepare: also write the crops and landmarks as a tree of files, FOLDER/<source>/...."
)
_BEAM_RUNNER = flags.DEFINE_string(
    "beam_runner", "", "Work on many videos as an Apache Beam pipeline on this runner: FlinkRunner, DataflowRunner, ..."
)
_BEAM_OPTIONS = flags.DEFINE_list("beam_options", [], "Options of --beam_runner: key=value,key=value.")
_PROTOCOL = flags.DEFINE_list("protocol", [], "With evaluate and sweep: protocols in place of eval.protocols.")
_SEEDS = flags.DEFINE_list(
    "seeds", [], "With sweep: train every run with each: 0,1,2; the configuration's if not given."
)
_ROWS = flags.DEFINE_list("rows", [], "With sweep --protocol=ablation: rows of the table; all if not given.")
_REPORT = flags.DEFINE_string("report", "", "With predict: an HTML file to write, what each answer rests on.")
_MODEL = flags.DEFINE_string(
    "model",
    "",
    "With predict, serve and evaluate: a folder of export or of a run, or hf://OWNER/NAME. predict and serve need no "
    "--config and no --workdir then; evaluate tests it on the records of --config.",
)
_OUT = flags.DEFINE_string(
    "out", "", "With export: the model's folder. With compare: the tables'. With predict: the file to add answers to."
)
_FORMAT = flags.DEFINE_list(
    "format", [], "With export: beside safetensors a program that runs without this package: stablehlo, onnx, or both."
)
# None, and not what settings.py has: a flag that is not given goes with every verb.
_HOST = flags.DEFINE_string(
    "host", None, "With serve: an address to listen at, with a token; this machine alone, without one, if not given."
)
_PORT = flags.DEFINE_integer("port", None, "With serve: 8765 if not given; 0 for any that is free.")
_MAX_MEGABYTES = flags.DEFINE_integer("max_megabytes", None, "With serve: of a video; 1000 if not given.")
_MAX_SECONDS = flags.DEFINE_float("max_seconds", None, "With serve: of a video; 600 if not given.")
_MAX_VIDEOS = flags.DEFINE_integer("max_videos", None, "With serve: sent, waiting or scored at once; 20 if not given.")
_RESUME = flags.DEFINE_enum(
    "resume", None, ["latest", "previous"], "With train: previous: set damaged checkpoints aside, take the one before."
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the libraries' messages, and where an error comes from.")
_WAIT = flags.DEFINE_bool("wait", False, "Wait while another process works in the same --workdir or records.")

# Flags of some verbs alone; None is the run of all that is missing.
OWNERS = (
    (_VERIFY, ("prepare",)),
    (_CROP_TREE, ("prepare",)),
    (_BEAM_RUNNER, ("prepare", "forge", "evaluate", "predict", None)),
    (_BEAM_OPTIONS, ("prepare", "forge", "evaluate", "predict", None)),
    (_PROTOCOL, ("evaluate", "sweep")),
    (_SEEDS, ("sweep",)),
    (_ROWS, ("sweep",)),
    (_REPORT, ("predict",)),
    (_MODEL, ("predict", "serve", "evaluate")),
    (_OUT, ("export", "compare", "predict")),
    (_FORMAT, ("export",)),
    (_HOST, ("serve",)),
    (_PORT, ("serve",)),
    (_MAX_MEGABYTES, ("serve",)),
    (_MAX_SECONDS, ("serve",)),
    (_MAX_VIDEOS, ("serve",)),
    (_RESUME, ("train", None)),
    (_WAIT, ("prepare", "forge", "train", "evaluate", "report", "predict", "sweep", None)),
)


def run() -> None:
    """The console command."""
    from cpml_jax import help

    if help.asked(sys.argv):
        print(help_text(sys.argv))
        sys.exit(0)
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # as that PyTorch is missing, which is no news
    logging.set_verbosity(logging.ERROR)  # the libraries' chatter; what a user must know is printed or raised
    interruption.watch()
    try:
        app.run(guarded, flags_parser=parse_or_exit)
    except KeyboardInterrupt:  # before there is anything to resume, or once all is done
        sys.exit(130)


def help_text(argv: list[str]) -> str:
    """What --help prints: of a verb where one is named, else of the command."""
    from cpml_jax import help

    verb = next((word for word in argv[1:] if word in VERBS), None)
    if verb is None and not any(word.startswith(("--config", "-config")) for word in argv):
        text = help.overview([flags.FLAGS[flag.name] for flag in (_COORDINATOR, _PROCESSES, _PROCESS, _HOST_TIMEOUT)])
    else:
        text = help.of_verb(verb, [flags.FLAGS[flag.name] for flag, owners in OWNERS if verb in owners])
    return text.replace("main.py", os.path.basename(argv[0]))  # an installed package has a command of another name


def guarded(argv: list[str]) -> int:
    """A user's mistake and a full disk are one line and status 2; an interruption is status 130.

    On several hosts, another one's end is one line and status 75 (hosts.py). Any other exception is a bug: its
    traceback follows a line that says what was being done.
    """
    try:
        status = main(argv)
        sys.stdout.flush()  # a full disk may show here first
        return status
    except KeyboardInterrupt:
        return ended(interrupted())
    except UserError as error:
        if interruption.heard():
            return ended(interrupted())
        if said := hosts.of_a_peer(error):  # it was not the user's: a peer was behind it
            return ended(refused(said, hosts.AGAIN))
        return ended(refused(str(error)))
    except Exception as error:
        if interruption.heard():
            return ended(interrupted())
        if said := disk.refusal(error):
            return ended(refused(said))
        if said := hosts.of_a_peer(error):
            return ended(refused(said, hosts.AGAIN))
        what = activity.of(error) or f"cpml-jax {' '.join(argv[1:2])}".strip()
        more = "" if _DEBUG.value else "; --debug shows more"
        print(
            f"error: a bug of this program, while {what}: {type(error).__name__}. Please report it in the project's "
            f"issue tracker, with the lines below{more}",
            file=sys.stderr,
        )
        if _DEBUG.value:
            print_details(error)
        if hosts.joined():
            traceback.print_exc()
            ended(1)
        raise


def interrupted() -> int:
    """One line. Returns the exit status."""
    print("interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
    return 130


def ended(status: int) -> int:
    """The status; but of several hosts, a process that fails ends here, and does not wait for the others."""
    if hosts.joined():
        hosts.end(status)
    return status


def refused(reason: str, status: int = 2) -> int:
    """One line, with where it comes from under --debug. Returns the exit status."""
    if _DEBUG.value:
        traceback.print_exc()
    print(f"error: {reason}", file=sys.stderr)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        return status
    # What a full disk or an ended reader did not take would be tried again, and complained of, at the very end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def print_details(error: BaseException) -> None:
    """Versions, and the values of the variables around an exception."""
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    shown = {name: installed[name] for name in PACKAGES if name in installed}
    print(f"Python {sys.version.split()[0]} {json.dumps(shown)}", file=sys.stderr)
    details = traceback.TracebackException.from_exception(error, capture_locals=True)
    print("".join(details.format()), file=sys.stderr)


def main(argv: list[str]) -> int:
    """One command, its flags already parsed. Returns the exit status."""
    if _DEBUG.value:
        logging.set_verbosity(logging.DEBUG)
    verb, arguments = (argv[1], argv[2:]) if len(argv) > 1 else (None, [])
    if verb is not None and verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        raise UserError(
            f"unknown verb {verb!r}{f', did you mean {near[0]!r}?' if near else ''}; the verbs are {', '.join(VERBS)}"
        )
    check_flags(verb)
    if verb == "compare":
        from cpml_jax import compare

        return compare.run(arguments, _OUT.value)
    if verb in ("predict", "serve") and _CONFIG.value is None and (_MODEL.value or _WORKDIR.value):
        return dispatch(verb, None, _WORKDIR.value or "", arguments)
    if _CONFIG.value is None:
        raise UserError("--config is missing; for the embedded benchmark: main.py --config=configs/synthetic.py")
    if arguments and verb != "predict":
        raise UserError(f"{arguments[0]!r}: only predict and compare take files; the verbs are {', '.join(VERBS)}")
    config = _CONFIG.value
    if verb == "config":
        from cpml_jax import help

        print(help.configuration(config))
        return 0
    return dispatch(verb, config, _WORKDIR.value or os.path.join("runs", config.name), arguments)


def dispatch(verb: str | None, config: ConfigDict | None, workdir: str, arguments: list[str]) -> int:
    """One verb with a configuration, or with None all that is missing. Returns the exit status.

    Only predict and serve do without a configuration: they take the one that was stored with their model.
    """
    if verb == "serve":  # its own process loads no model
        from cpml_jax.serve import command, settings

        if arguments:
            raise UserError(f"{arguments[0]!r}: serve takes no files; videos are dropped on its page")
        return command.run(config, workdir, _MODEL.value, settings.Settings(**serve_flags()))
    if _COORDINATOR.value:
        if not _DEBUG.value:  # Orbax logs as errors what it raises
            logging.set_verbosity(logging.FATAL)
        hosts.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _HOST_TIMEOUT.value)
    if verb == "predict":
        from cpml_jax import predict

        return predict.run(
            config,
            workdir,
            arguments,
            page=_REPORT.value,
            model=_MODEL.value,
            answers=_OUT.value,
            beam_runner=_BEAM_RUNNER.value,
            beam_options=tuple(_BEAM_OPTIONS.value),
            wait=_WAIT.value,
        )
    from cpml_jax import chain, preparation  # JAX starts here, after the flags proved right

    protocols = tuple(_PROTOCOL.value)
    assert config is not None
    if verb == "sweep":
        from cpml_jax import sweep

        return sweep.run(
            config,
            workdir,
            protocols,
            seeds(),
            tuple(_ROWS.value),
            prepare=functools.partial(preparation.prepare, wait=_WAIT.value),
            evaluate=functools.partial(chain.evaluate, wait=_WAIT.value),
            wait=_WAIT.value,
        )
    if verb == "export":
        chain.export(config, workdir, _OUT.value, tuple(_FORMAT.value))
    elif verb == "evaluate" and _MODEL.value:
        chain.evaluate_model(config, workdir, _MODEL.value, protocols, wait=_WAIT.value)
    elif _VERIFY.value:
        preparation.verify(config, workdir)
    else:
        chain.run(
            verb,
            config,
            workdir,
            protocols=protocols,
            beam_runner=_BEAM_RUNNER.value,
            beam_options=tuple(_BEAM_OPTIONS.value),
            crop_tree=_CROP_TREE.value,
            wait=_WAIT.value,
            resume=_RESUME.value or "latest",
        )
    return 0


def serve_flags() -> dict[str, Any]:
    """serve's flags that were given, by the names of Settings."""
    given = {
        "host": _HOST.value,
        "port": _PORT.value,
        "megabytes": _MAX_MEGABYTES.value,
        "seconds": _MAX_SECONDS.value,
        "videos": _MAX_VIDEOS.value,
    }
    return {name: value for name, value in given.items() if value is not None}


def seeds() -> tuple[int, ...]:
    """The numbers of --seeds."""
    try:
        return tuple(int(seed) for seed in _SEEDS.value)
    except ValueError:
        raise UserError(f"--seeds={','.join(_SEEDS.value)}: seeds are whole numbers, as 0,1,2") from None


def check_flags(verb: str | None) -> None:
    """Refuse flags of another verb, and flags that lack their partner."""
    for flag, owners in OWNERS:
        if flag.value and verb not in owners:
            named = [owner for owner in owners if owner]
            with_verbs = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
            raise UserError(f"--{flag.name} goes with {with_verbs}: main.py {owners[0]} --{flag.name}=...")
    if _VERIFY.value and _CROP_TREE.value:
        raise UserError("--verify prepares nothing, so there is no --crop_tree to write; give one of the two")
    if _BEAM_OPTIONS.value and not _BEAM_RUNNER.value:
        raise UserError("--beam_options are options of a runner: give --beam_runner too")
    if verb == "predict" and _OUT.value and _REPORT.value:
        raise UserError("--report keeps in memory what it shows, and --out is for many videos; give one of the two")
    if verb == "predict" and _BEAM_RUNNER.value and not _OUT.value:
        raise UserError("predict with --beam_runner needs a file for the answers: --out=answers.jsonl")
    if verb == "evaluate" and _MODEL.value and not _CONFIG.present:
        raise UserError("evaluate --model=... tests the model on a configuration's records: name it, --config=F")
    if verb != "evaluate" and _MODEL.value and (_CONFIG.present or _WORKDIR.value):
        raise UserError("--model brings its own configuration; leave out --config and --workdir")
    if (_PROCESSES.value or _PROCESS.value) and not _COORDINATOR.value:
        raise UserError("--processes and --process go with --coordinator=host:port, the address of process 0")
    if verb == "export" and not _OUT.value:
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
        if "--help" not in argv and _CONFIG.present:
            _ = _CONFIG.value.name  # a file that does not load raises here
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
