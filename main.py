"""Flags and dispatch: main.py [VERB] --config=F [--workdir=D] [--config.key=value ...]; the verbs are in VERBS.

With no verb: whatever is missing of prepare, train, evaluate, report. prepare --verify looks at the data sets'
roots and stops. export --out=FOLDER writes the best checkpoint's model for init_from.
"""

import difflib
import os
import re
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from cpml_jax.errors import UserError

VERBS = ("prepare", "train", "evaluate", "report", "predict", "export")

_CONFIG = config_flags.DEFINE_config_file("config", None, "Configuration, as configs/synthetic.py[:argument].")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run's files go; runs/<name of the config> if not given.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of process 0, for several hosts; 'auto' on TPU and SLURM."
)
_PROCESSES = flags.DEFINE_integer("processes", 0, "Number of hosts, with --coordinator=host:port.")
_VERIFY = flags.DEFINE_bool("verify", False, "With prepare: look at the roots of the data sets, and prepare nothing.")
_CROP_TREE = flags.DEFINE_string(
    "crop_tree", "", "With prepare: also write the crops and landmarks as a tree of files, FOLDER/<source>/...."
)
_PROTOCOL = flags.DEFINE_list(
    "protocol", [], "With evaluate: protocols in place of eval.protocols; results of the others stay in the file."
)
_REPORT = flags.DEFINE_string("report", "", "With predict: an HTML file to write, what each answer rests on.")
_OUT = flags.DEFINE_string("out", "", "With export: the folder that the model is written to.")
_PROCESS = flags.DEFINE_integer("process", 0, "This host's number, with --coordinator=host:port.")
_BEAM_RUNNER = flags.DEFINE_string(
    "beam_runner",
    "",
    "Prepare as an Apache Beam pipeline on this runner: FlinkRunner, DataflowRunner, ...",
)
_BEAM_OPTIONS = flags.DEFINE_list("beam_options", [], "Options of --beam_runner: key=value,key=value.")


def start_distributed() -> None:
    """Join the other hosts, before anything asks JAX for its devices."""
    if not _COORDINATOR.value:
        return
    import jax

    if _COORDINATOR.value == "auto":
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def run(verb: str | None, config, workdir: str, arguments: list[str]) -> int:
    """One verb, or all that is missing. Returns the exit status."""
    from cpml_jax import chain  # JAX starts here, after the flags were found right

    start_distributed()
    if verb == "predict":
        from cpml_jax import predict

        return predict.run(config, workdir, arguments, page=_REPORT.value)
    if arguments:
        raise UserError(f"{arguments[0]!r}: only predict takes files; the verbs are {', '.join(VERBS)}")
    if _BEAM_OPTIONS.value and not _BEAM_RUNNER.value:
        raise UserError("--beam_options are options of a runner: give --beam_runner too")
    if _BEAM_RUNNER.value and verb not in (None, "prepare"):
        raise UserError(f"--beam_runner is for prepare; {verb} knows no Beam")
    if verb == "export":
        chain.export(config, workdir, _OUT.value)
    elif _VERIFY.value:
        chain.verify(config, workdir)
    else:
        chain.run(
            verb,
            config,
            workdir,
            protocols=tuple(_PROTOCOL.value),
            beam_runner=_BEAM_RUNNER.value,
            beam_options=tuple(_BEAM_OPTIONS.value),
        )
    if _CROP_TREE.value:
        chain.write_crop_trees(config, workdir, _CROP_TREE.value)
    return 0


def main(argv: list[str]) -> int:
    if _CONFIG.value is None:
        raise UserError("--config is missing; for the embedded benchmark: main.py --config=configs/synthetic.py")
    verb, arguments = (argv[1], argv[2:]) if len(argv) > 1 else (None, [])
    if verb is not None and verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        raise UserError(
            f"unknown verb {verb!r}{f', did you mean {near[0]!r}?' if near else ''}; the verbs are {', '.join(VERBS)}"
        )
    for flag in (_VERIFY, _CROP_TREE):
        if flag.value and verb != "prepare":
            raise UserError(f"--{flag.name} goes with the verb prepare: main.py prepare --{flag.name} --config=...")
    for flag, its_verb in ((_PROTOCOL, "evaluate"), (_REPORT, "predict")):
        if flag.value and verb != its_verb:
            raise UserError(f"--{flag.name} goes with the verb {its_verb}: main.py {its_verb} --{flag.name}=...")
    if bool(_OUT.value) != (verb == "export"):
        raise UserError("--out=FOLDER goes with the verb export: main.py export --out=FOLDER --config=...")
    if _VERIFY.value and _CROP_TREE.value:
        raise UserError("--verify prepares nothing, so there is no --crop_tree to write; give one of the two")
    config = _CONFIG.value
    return run(verb, config, _WORKDIR.value or os.path.join("runs", config.name), arguments)


def parse(argv: list[str]) -> list[str]:
    """absl's flags, with its refusals as one line that names the nearest right key."""
    try:
        remaining = flags.FLAGS(argv, known_only=False)
        if "--help" not in argv and _CONFIG.present:
            _ = _CONFIG.value.name  # a file that does not load speaks here
        return remaining
    except flags.Error as error:
        raise UserError(one_line(error)) from None
    except OSError as error:
        raise UserError(f"--config: {one_line(error.__cause__ or error)}") from None
    except (AttributeError, KeyError, TypeError, ValueError, ImportError, SyntaxError) as error:
        raise UserError(one_line(error)) from None


def one_line(error: BaseException) -> str:
    """An exception's message as one line; of absl's long ones, the lines that say something."""
    text = str(error.args[0]) if error.args else str(error)
    mistyped = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text)
    if mistyped:
        return f"the configuration has no key {mistyped[2]!r}, did you mean {mistyped[1]!r}?"
    alone = re.fullmatch(r"\W*(\w+)\W*", text)
    if alone and isinstance(error, (AttributeError, KeyError)):
        return f"the configuration has no key {alone[1]!r}"
    lines = [line.strip() for line in text.replace("\\n", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(\[Errno|TypeError|UserError|ValueError|NameError)", line)]
    return " ".join((lines[:1] + telling[-1:]) if telling else lines).strip("'\" ")


def guarded(argv: list[str]) -> int:
    """A user's mistake is one line and status 2; an interruption is status 130."""
    try:
        return main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


def parse_or_exit(argv: list[str]) -> list[str]:
    try:
        return parse(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    logging.set_verbosity(logging.ERROR)  # the libraries' chatter; what a user must know is printed or raised
    app.run(guarded, flags_parser=parse_or_exit)
