"""A model's programs beside its folder (evaluation/model_folder.py).

model.stablehlo   for a bare JAX (stablehlo.py)
model.onnx        for a runtime of ONNX (onnx_file.py)
program.json      their inputs, outputs and units, and how scores become an answer (description.py)
program.sha256    checksums of the three
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from cpml_jax import sums
from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.evaluation.scoring import Scorer
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.files import parse_json, write_json, write_whole
from cpml_jax.portable import check, onnx_file, stablehlo
from cpml_jax.portable.description import description
from cpml_jax.portable.program import Program

SAFETENSORS, STABLEHLO, ONNX = FORMATS = ("safetensors", "stablehlo", "onnx")  # the first is always written
FILES = {STABLEHLO: "model.stablehlo", ONNX: "model.onnx"}
ABOUT, SUMS = "program.json", "program" + sums.SUFFIX
_FORMS: dict[str, ModuleType] = {STABLEHLO: stablehlo, ONNX: onnx_file}


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """Those of FILES that --format asks for.

    Raises:
      UserError: one is no format, or its packages are not installed.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in FORMATS:
            near = difflib.get_close_matches(name, FORMATS, n=1)
            hint = f", did you mean {near[0]!r}?" if near else f"; it is one of {', '.join(FORMATS)}"
            raise UserError(f"--format={name}: no such format{hint}")
    if ONNX in names:
        onnx_file.require()
    return tuple(name for name in names if name in FILES)


def write(
    folder: Path, formats: Sequence[str], config: ConfigDict, scorer: Scorer, variables: Any, verdict: Verdict
) -> None:
    """Write the programs, each once its scores were compared with the model's.

    Those that lie there and are of the same parameters stay; others are deleted, since they would not be this model.

    Args:
      folder: that the model was written to.
      formats: of `chosen`.
      variables: on the host, the scorer's.

    Raises:
      UserError: a program scores otherwise than the model, cannot be made, or the folder cannot be written.
    """
    known = _kept(folder, scorer.parameters_sha256)
    program = Program(scorer.model, variables, scorer.all_class_embeddings, scoring.input_size(config))
    made = {}
    for name in formats:
        form = _FORMS[name]
        computed = onnx_file.in_float32(program) if name == ONNX else program
        data = form.serialized(computed)
        largest = check.checked(f"{folder / FILES[name]}", computed, form.run(data))
        about = form.about() | {"computed_in": str(computed.model.dtype), "largest_difference": largest}
        made[FILES[name]] = (data, about)
    try:
        if not made and not known:
            for name in (*FILES.values(), ABOUT, SUMS):
                (folder / name).unlink(missing_ok=True)
            return
        forms = {name: about for name, about in known.items()} | {name: about for name, (_, about) in made.items()}
        with sums.renewed(folder / SUMS, (*FILES.values(), ABOUT)):
            for name in FILES.values():
                if name not in forms:
                    (folder / name).unlink(missing_ok=True)
            for name, (data, _) in made.items():
                write_whole(folder / name, data)
            about = description(
                program,
                verdict,
                name=config.name,
                step=scorer.step,
                parameters_sha256=scorer.parameters_sha256,
                forms=forms,
            )
            write_json(folder / ABOUT, about)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from None


def _kept(folder: Path, parameters_sha256: str) -> dict[str, Any]:
    """What is said of the programs that lie in a folder, if they are whole and of these parameters; else nothing."""
    if not (folder / SUMS).is_file() or sums.damage(folder / SUMS):
        return {}
    try:
        about = parse_json((folder / ABOUT).read_text())
        same = about["model"]["parameters_sha256"] == parameters_sha256
        forms = {name: dict(about["files"][name]) for name in FILES.values() if name in about["files"]}
        return {name: form for name, form in forms.items() if same and (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
