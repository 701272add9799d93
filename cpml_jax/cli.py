"""The command: cpml-jax [VERB] --config=F [--workdir=D] [--config.key=value ...]; in a checkout main.py is the same.

verbs.py has the verbs, options.py the flags; here a verb is called, and what ends it becomes a line and a status.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.metadata
import json
import os
import sys
import traceback

from absl import app, logging
from ml_collections import ConfigDict

from cpml_jax import activity, disk, hosts, interruption, options
from cpml_jax.errors import UserError
from cpml_jax.verbs import VERBS

PACKAGES = (
    "cpml-jax", "jax", "jaxlib", "flax", "orbax-checkpoint", "numpy", "av", "opencv-python-headless", "onnxruntime"
)  # fmt: skip


def run() -> None:
    """The console command."""
    from cpml_jax import help

    if help.asked(sys.argv):
        print(options.help_text(sys.argv))
        sys.exit(0)
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # as that PyTorch is missing, which is no news
    logging.set_verbosity(logging.ERROR)  # the libraries' chatter; what a user must know is printed or raised
    interruption.watch()
    try:
        app.run(guarded, flags_parser=options.parse_or_exit)
    except KeyboardInterrupt:  # before there is anything to resume, or once all is done
        sys.exit(130)


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
        more = "" if options.DEBUG.value else "; --debug shows more"
        print(
            f"error: a bug of this program, while {what}: {type(error).__name__}. Please report it in the project's "
            f"issue tracker, with the lines below{more}",
            file=sys.stderr,
        )
        if options.DEBUG.value:
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
    if options.DEBUG.value:
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
    if options.DEBUG.value:
        logging.set_verbosity(logging.DEBUG)
    verb, arguments = (argv[1], argv[2:]) if len(argv) > 1 else (None, [])
    if verb is not None and verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        raise UserError(
            f"unknown verb {verb!r}{f', did you mean {near[0]!r}?' if near else ''}; the verbs are {', '.join(VERBS)}"
        )
    options.check_flags(verb)
    if verb == "compare":
        from cpml_jax import compare

        return compare.run(arguments, options.OUT.value)
    if verb in ("predict", "serve") and options.CONFIG.value is None and (options.MODEL.value or options.WORKDIR.value):
        return dispatch(verb, None, options.WORKDIR.value or "", arguments)
    if options.CONFIG.value is None:
        raise UserError("--config is missing; for the embedded benchmark: main.py --config=configs/synthetic.py")
    if arguments and verb != "predict":
        raise UserError(f"{arguments[0]!r}: only predict and compare take files; the verbs are {', '.join(VERBS)}")
    config = options.CONFIG.value
    if verb == "config":
        from cpml_jax import help

        print(help.configuration(config))
        return 0
    return dispatch(verb, config, options.WORKDIR.value or os.path.join("runs", config.name), arguments)


def dispatch(verb: str | None, config: ConfigDict | None, workdir: str, arguments: list[str]) -> int:
    """One verb with a configuration, or with None all that is missing. Returns the exit status.

    Only predict and serve do without a configuration: they take the one that was stored with their model.
    """
    if verb == "serve":  # its own process loads no model
        from cpml_jax.serve import command, settings

        if arguments:
            raise UserError(f"{arguments[0]!r}: serve takes no files; videos are dropped on its page")
        return command.run(config, workdir, options.MODEL.value, settings.Settings(**options.serve_flags()))
    if options.COORDINATOR.value:
        if not options.DEBUG.value:  # Orbax logs as errors what it raises
            logging.set_verbosity(logging.FATAL)
        hosts.join(
            options.COORDINATOR.value, options.PROCESSES.value, options.PROCESS.value, options.HOST_TIMEOUT.value
        )
    if verb == "predict":
        from cpml_jax import predict

        return predict.run(
            config,
            workdir,
            arguments,
            page=options.REPORT.value,
            model=options.MODEL.value,
            answers=options.OUT.value,
            beam_runner=options.BEAM_RUNNER.value,
            beam_options=tuple(options.BEAM_OPTIONS.value),
            wait=options.WAIT.value,
        )
    from cpml_jax import chain, preparation  # JAX starts here, after the flags proved right

    protocols = tuple(options.PROTOCOL.value)
    assert config is not None
    if verb == "sweep":
        from cpml_jax import sweep

        return sweep.run(
            config,
            workdir,
            protocols,
            options.seeds(),
            tuple(options.ROWS.value),
            prepare=functools.partial(preparation.prepare, wait=options.WAIT.value),
            evaluate=functools.partial(chain.evaluate, wait=options.WAIT.value),
            wait=options.WAIT.value,
        )
    if verb == "export":
        chain.export(config, workdir, options.OUT.value, tuple(options.FORMAT.value))
    elif verb == "evaluate" and options.MODEL.value:
        chain.evaluate_model(config, workdir, options.MODEL.value, protocols, wait=options.WAIT.value)
    elif options.VERIFY.value:
        preparation.verify(config, workdir)
    else:
        chain.run(
            verb,
            config,
            workdir,
            protocols=protocols,
            beam_runner=options.BEAM_RUNNER.value,
            beam_options=tuple(options.BEAM_OPTIONS.value),
            crop_tree=options.CROP_TREE.value,
            wait=options.WAIT.value,
            resume=options.RESUME.value or "latest",
        )
    return 0
