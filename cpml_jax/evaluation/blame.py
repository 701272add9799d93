"""Whose fault an exception is: of this program, or of a run's files, which may be a stranger's or changed by hand.

The readers of a run are lenient, since older versions and other programs leave things out. Where that goes wrong, the
files are compared with the published schemas: what they break is named in one line; if nothing, it is a bug.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpml_jax.errors import UserError
from cpml_jax.evaluation import schemas, versions
from cpml_jax.evaluation.results_file import RESULTS, SCORES
from cpml_jax.files import parse_json
from cpml_jax.json_schema import Schema, fault

CURVES = "metrics.jsonl"
_CURVE: Schema = {
    "type": "object",
    "required": ["kind", "step"],
    "properties": {"kind": {"type": "string"}, "step": {"type": "integer", "minimum": 0}},
    "additionalProperties": {"type": ["number", "null"]},
}


@contextlib.contextmanager
def reading(*workdirs: str | Path) -> Iterator[None]:
    """An exception in the block is a UserError if a file of these runs is not as it is published.

    Raises:
      UserError: names the file, the place in it and what is wrong there.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        for workdir in map(Path, workdirs):
            if said := _results_fault(workdir / RESULTS) or _lines_fault(workdir):
                raise UserError(f"{said}; run `main.py evaluate` again") from error
        raise


def _results_fault(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        document: Any = parse_json(path.read_bytes())
    except ValueError as error:
        return f"{path}: not JSON ({error})"
    version = document.get("schema") if isinstance(document, dict) else None
    if isinstance(version, str) and version != versions.EVALUATION and version in versions.READABLE:
        return f"{path}: an evaluation of an earlier version ({version}), not as that version wrote it"
    said = fault(document, schemas.evaluation(), schemas.definitions())
    return f"{path}: {said}" if said else ""


def _lines_fault(workdir: Path) -> str:
    for name, schema in ((SCORES, schemas.scores()), (CURVES, _CURVE)):
        path = workdir / name
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                said = fault(parse_json(line), schema, schemas.definitions()) if line.strip() else ""
            except ValueError as error:
                said = f"not JSON ({error})"
            if said:
                return f"{path}, line {number}: {said}"
    return ""
