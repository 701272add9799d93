"""program.json: what a caller must give a program, what it gives back, and how scores become an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cpml_jax.data.input_size import InputSize
from cpml_jax.data.texture import NUMBERS
from cpml_jax.evaluation import video_score
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.portable.check import CLIPS, TOLERANCE
from cpml_jax.portable.program import BATCH, Program
from cpml_jax.schema import CROP_SIZE, FRAME_RATE

SCHEMA = "cpml-program/1.0.0"
_CROP = (
    f"The crop is a square of {CROP_SIZE} pixels around one face: its side 1.3 times the longer side of the face box, "
    "turned so that the eyes are level, of one size and angle for the whole clip"
)


def description(
    program: Program, verdict: Verdict, *, name: str, step: int, parameters_sha256: str, forms: Mapping[str, Any]
) -> dict[str, Any]:
    """What the file holds.

    Args:
      verdict: of the model.
      name, step, parameters_sha256: which model it is.
      forms: name of a file -> what is said of it.
    """
    outputs = [_output(name, clips) for name, clips in _outputs(program).items()]
    return {
        "schema": SCHEMA,
        "model": {"name": name, "step": step, "parameters_sha256": parameters_sha256},
        "files": dict(forms),
        "checked": f"margins and P(fake) of {CLIPS} clips within {TOLERANCE} of the model's",
        "batch": f"{BATCH}: any number of clips, each scored by itself",
        "clip": f"{program.size.num_frames} consecutive frames of one face at {FRAME_RATE:g} frames/s. {_CROP}",
        "inputs": [_input(name, of.shape, of.dtype, program.size) for name, of in program.arguments().items()],
        "outputs": outputs,
        "answer": _answer(verdict),
    }


def _input(name: str, shape: Any, dtype: Any, size: InputSize) -> dict[str, Any]:
    places = ", ".join(map(str, size.still_places))
    meanings = {
        "frames": (
            "grey levels",
            [0, 255],
            "RGB of all frames' crops, made smaller by averages over areas"
            if size.frame_size != CROP_SIZE
            else "RGB of all frames' crops",
        ),
        "stills": ("grey levels", [0, 255], f"RGB of the whole crops of frames {places} of the clip, counted from 0"),
        "landmarks": (
            "half sides of the crop",
            [-1, 1],
            "x and y of the 68 points of iBUG; -1 is the crop's left or upper edge, 1 the other. A few may lie "
            "outside. Points that could not be measured are interpolated over time",
        ),
        "texture": (
            "standard deviations between clips",
            None,
            f"{', '.join(NUMBERS)} in {size.texture_cells} x {size.texture_cells} cells, of the whole crops of all "
            "frames, as cpml_jax/data/texture.py measures them",
        ),
    }
    unit, limits, meaning = meanings[name]
    about = {"name": name, "shape": [BATCH, *shape[1:]], "dtype": str(dtype), "unit": unit}
    return about | ({"range": limits} if limits else {}) | {"meaning": meaning}


def _outputs(program: Program) -> dict[str, list[Any]]:
    shapes = {"margin": [BATCH], "p_fake": [BATCH], "unified": [BATCH, program.model.unified_dim]}
    return shapes | ({"wave": [BATCH, program.size.num_frames]} if "rppg" in program.model.active else {})


def _output(name: str, shape: list[Any]) -> dict[str, Any]:
    meanings = {
        "margin": "logit of fake minus logit of real: what decides",
        "p_fake": "sigmoid of the margin, not calibrated",
        "unified": "the unified feature u, of which the score is made",
        "wave": f"the pulse wave that the model reads, a number a frame at {FRAME_RATE:g} frames/s, without a unit",
    }
    return {"name": name, "shape": shape, "dtype": "float32", "meaning": meanings[name]}


def _answer(verdict: Verdict) -> dict[str, Any]:
    low, high = verdict.calibration.bounds
    return {
        "windows": video_score.RULE["windows"],
        "faces": "the highest margin of a video's faces",
        "threshold": {"margin": verdict.threshold.margin, "from": verdict.threshold.source},
        "label": "fake where the video's margin is at least the threshold's, else real",
        "score": "sigmoid(margin / temperature), kept within the bounds",
        "calibration": {"temperature": verdict.calibration.temperature, "bounds": [low, high],
                        "from": verdict.calibration.source},
        "undetermined": "not of these files: whether a video is like those of training is told by `predict` alone",
    }  # fmt: skip
