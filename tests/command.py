"""main.py inside the test's own process: it takes seconds to import all that it needs."""

import sys
from unittest import mock

from absl import flags


def run_main(*arguments: str) -> int:
    """Exit status of `main.py ARGUMENTS`."""
    from cpml_jax import cli, options

    names = [flag.name for flag, _ in options.OWNERS]
    defaults = {name: flags.FLAGS[name].default for name in names}
    flags.FLAGS.unparse_flags()
    for name in ("config", "workdir"):
        flags.FLAGS[name].unparse()
    for name in [name for name in flags.FLAGS if name.startswith("config.")]:  # left by an earlier call
        delattr(flags.FLAGS, name)
    line = ["main.py", *arguments]
    with mock.patch.object(sys, "argv", line):  # where ml_collections looks for --config.x=y
        flags.FLAGS(["main.py"])
        for name, value in defaults.items():
            setattr(flags.FLAGS, name, value)
        return cli.guarded(options.parse_or_exit(line))
