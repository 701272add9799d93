"""What --help prints, for the command and for each verb, and what `main.py config` prints."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from cpml_jax.configs import base
from cpml_jax.configuration import flattened
from cpml_jax.key_notes import key_notes
from cpml_jax.verbs import EVERYTHING, VERBS

COMMON = ("config", "workdir", "debug")
ASKED = ("--help", "-help", "-h", "--helpshort", "-helpshort")


def asked(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help. What follows -- is a file."""
    words = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    return any(word in ASKED for word in words)


def overview(several: Iterable[flags.Flag]) -> str:
    """The verbs, with a sentence and an example each, and the flags that go with all of them."""
    named = {"(none)": EVERYTHING, **VERBS}
    column = max(map(len, named)) + 4
    verbs = [
        _paragraph(f"  {name}".ljust(column) + verb.sentence, column) + f"\n{' ' * column}{verb.example}"
        for name, verb in named.items()
    ]
    return "\n\n".join(
        [
            "main.py [VERB] --config=F [--workdir=D] [--config.key=value ...]",
            "\n".join(["Verbs:", *verbs]),
            _flags("With every verb:", [flags.FLAGS[name] for name in COMMON]),
            _flags("On several hosts:", several),
            _paragraph(
                "main.py VERB --help lists the verb's own flags and the keys of the configuration that matter to it; "
                "main.py config --config=F prints all keys. docs/usage.md has more."
            ),
        ]
    )


def of_verb(name: str | None, own: Iterable[flags.Flag]) -> str:
    """A verb's sentence, example, flags and keys, with unit and default. None: the run of all that is missing."""
    verb = VERBS[name] if name else EVERYTHING
    parts = [_paragraph(f"main.py{f' {name}' if name else ''}: {verb.sentence}."), f"    {verb.example}"]
    parts += [_flags("Its flags:", own), _flags("With every verb:", [flags.FLAGS[key] for key in COMMON])]
    if keys := _keys(verb.keys):
        parts += [f"Keys of the configuration, as --config.KEY=VALUE, with base.py's defaults:\n{keys}"]
    return "\n\n".join(part for part in parts if part)


def configuration(config: ConfigDict) -> str:
    """Every key with its value, one a line; a star, and base.py's value, where it differs."""
    default, current = flattened(base.get_config().to_dict()), flattened(config.to_dict())
    lines = []
    for key, value in current.items():
        known = key in default
        same = known and default[key] == value
        was = "" if same or not known else f"  # base: {_shown(default[key])}"
        lines.append(f"{' ' if same else '*'} {key} = {_shown(value)}{was}")
    return "\n".join(lines)


def _keys(wanted: Sequence[str]) -> str:
    """The lines of the keys that are, or lie in, those of `wanted`."""
    notes, lines = key_notes(), []
    defaults: Mapping[str, Any] = flattened(base.get_config().to_dict())
    for name in wanted:
        if name not in defaults and name in notes:  # a section that has a comment of its own
            lines.append(_paragraph(f"  {name}: {notes[name]}", 6))
        inside = [key for key in defaults if key == name or key.startswith(f"{name}.")]
        lines += [_entry(f"{key} = {_shown(defaults[key])}", notes.get(key, "")) for key in inside]
    return "\n".join(lines)


def _flags(title: str, shown: Iterable[flags.Flag]) -> str:
    lines = [_entry(f"--{flag.name}", re.sub(r"With [a-z, ]+: ", "", flag.help or "", count=1)) for flag in shown]
    return "\n".join([title, *lines]) if lines else ""


def _entry(head: str, note: str) -> str:
    """A line, and below it what is said of it."""
    return f"  {head}\n{_paragraph(' ' * 6 + note, 6)}" if note else f"  {head}"


def _paragraph(text: str, indent: int = 0) -> str:
    """As wide as the terminal; all lines but the first are indented. No word is broken, be it a path."""
    return textwrap.fill(text, _width(), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)


def _shown(value: Any) -> str:
    """As it may be typed after --config.key=."""
    return json.dumps(value) if isinstance(value, str) else repr(value)
