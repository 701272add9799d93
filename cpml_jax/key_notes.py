"""What configs/base.py says of each key: the comments beside and above its line, read from the file itself."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import tokenize

from cpml_jax.configs import base


@functools.cache
def key_notes() -> dict[str, str]:
    """Dotted key -> its comment in one line; keys without one are absent."""
    source = inspect.getsource(base.get_config)
    lines = source.splitlines()
    comments = _comments(source)
    names, found = {"config": ""}, {}
    for statement in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(statement, ast.Assign):
            continue
        keys = [key for target in statement.targets if (key := _dotted(target, names)) is not None]
        for target in statement.targets:
            if isinstance(target, ast.Name) and keys:  # train = config.train = ConfigDict()
                names[target.id] = f"{keys[0]}."
        above, line = [], statement.lineno - 1
        while line >= 1 and lines[line - 1].lstrip().startswith("#") and "----" not in lines[line - 1]:
            above.insert(0, comments[line])
            line -= 1
        beside = comments.get(statement.end_lineno or statement.lineno, "")
        if note := " ".join(part for part in (*above, beside) if part):
            found |= dict.fromkeys(keys, note)
    return found


def _dotted(target: ast.expr, names: dict[str, str]) -> str | None:
    """config.train.steps, or train.steps with train = config.train: "train.steps"; None for what is no key."""
    path = []
    while isinstance(target, ast.Attribute):
        path.insert(0, target.attr)
        target = target.value
    return names[target.id] + ".".join(path) if path and isinstance(target, ast.Name) and target.id in names else None


def _comments(source: str) -> dict[int, str]:
    """Number of the line -> its comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
