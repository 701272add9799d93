"""The model card of an exported model: README.md with the hub's metadata, made from evaluation.json alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cpml_jax.report.run_files import number

STREAMS = {
    "rppg": "the pulse in the skin (rPPG)",
    "landmarks": "the motion of 68 facial landmarks",
    "visual": "still frames of the face",
    "texture": "measured texture of the face",
}
UNEVALUATED = (
    "**This model was not evaluated.** No figure says what it finds, its scores are not calibrated, and it cannot tell "
    "what it does not know. Evaluate it (`main.py evaluate`) and export it again before anyone relies on it."
)

_PROGRAMS = {
    "stablehlo": """## In JAX alone

`model.stablehlo` is the whole model for CPUs, CUDA GPUs and TPUs; JAX is all it needs. `program.json` says what to give
it, and how margins become an answer. As jax.export promises, a JAX up to 6 months newer than its writer, which
`program.json` names, can run it, or one up to 3 weeks older.

```python
import json

import jax
import numpy as np
from jax import export

program = export.deserialize(bytearray(open("model.stablehlo", "rb").read()))
about = json.load(open("program.json"))
clips = {x["name"]: np.zeros([2, *x["shape"][1:]], x["dtype"]) for x in about["inputs"]}  # your clips in their place
scores = jax.jit(program.call)(**clips)
print(scores["margin"], scores["p_fake"])
```""",
    "onnx": """## In ONNX

`model.onnx` is the same in float32; `program.json` says what to give it.

```python
import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
about = json.load(open("program.json"))
clips = {x["name"]: np.zeros([2, *x["shape"][1:]], x["dtype"]) for x in about["inputs"]}  # your clips in their place
margin, p_fake = session.run(["margin", "p_fake"], clips)
print(margin, p_fake)
```""",
}


def card(config: Mapping[str, Any], results: Mapping[str, Any] | None, step: int, programs: Sequence[str] = ()) -> str:
    """Markdown with YAML metadata.

    Args:
      config: of the run, as plain dictionaries.
      results: evaluation.json of these parameters, or None.
      step: of the checkpoint.
      programs: stablehlo and onnx, those that lie in the folder.
    """
    tested = _tests(results)
    parts = [
        _metadata(config, tested),
        f"# {config['name']}: a deepfake detector",
        _what(config, step),
        UNEVALUATED if results is None else _figures(tested),
        _unseen(config, results),
        _use(config),
        *(_PROGRAMS[name] for name in programs),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tests(results: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """One result for each data set and compression, of the tests without a condition on all trained kinds."""
    chosen: dict[tuple[str, str], Mapping[str, Any]] = {}
    for result in (results or {}).get("results", ()):
        test = result["test"]
        if result.get("condition") is None and number(result["video"].get("auc")) is not None:
            if len(test["methods"]) == 1 and len(result["train"]["methods"]) > 1:
                continue
            chosen.setdefault((test["dataset"], test["compression"]), result)
    return list(chosen.values())


def _metadata(config: Mapping[str, Any], tests: Sequence[Mapping[str, Any]]) -> str:
    """The block that the hub reads: JSON, which is YAML too, so that no name needs quoting by hand."""
    value: dict[str, Any] = {
        "library_name": "cpml-jax",
        "pipeline_tag": "video-classification",
        "tags": ["deepfake-detection", "rppg", "jax", "flax"],
    }
    if tests:
        value["model-index"] = [{"name": config["name"], "results": [_indexed(result) for result in tests]}]
    lines = "\n".join(f"{key}: {json.dumps(item)}" for key, item in value.items())
    return f"---\n{lines}\n---"


def _indexed(result: Mapping[str, Any]) -> dict[str, Any]:
    test = result["test"]
    name = f"{test['dataset']} {test['compression']}"
    return {
        "task": {"type": "video-classification", "name": "deepfake detection"},
        "dataset": {"type": test["dataset"], "name": name, "split": "test"},
        "metrics": [{"type": "roc_auc", "name": "AUC over videos", "value": round(result["video"]["auc"], 4)}],
    }


def _what(config: Mapping[str, Any], step: int) -> str:
    train, model = config["train"], config["model"]
    streams = _listed([STREAMS.get(name, name) for name in model["modalities"]])
    return (
        "Given a video, it answers `real`, `fake` or `undetermined`, with a calibrated probability, and says how far "
        "the video is from what it was trained on.\n\n"
        f"- It reads {streams}, in windows of {config['data']['num_frames']} frames at 30 frames/s.\n"
        f"- Trained on `{train['dataset']}`, compressed as {_listed(train['compressions'])}, against the forgeries "
        f"{_listed(train['methods'])}; the checkpoint of step {step}.\n"
        f"- Loss weights: CQSL {config['loss']['cqsl']}, CMCL {config['loss']['cmcl']}; head: {model['head']}."
    )


def _figures(tests: Sequence[Mapping[str, Any]]) -> str:
    if not tests:
        return ""
    head = (
        "| test set | compression | seen in training | videos | AUC | 95 % interval | undetermined |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    rows = []
    for result in tests:
        test, video = result["test"], result["video"]
        trained = result["train"]
        seen = test["dataset"] == trained["dataset"] and test["compression"] in trained["compressions"]
        low, high = video.get("auc_ci95") or (None, None)
        interval = "unknown" if number(low) is None else f"{low:.2f} to {high:.2f}"
        doubted = number((result.get("doubt") or {}).get("undetermined"))
        rows.append(
            f"| {test['dataset']} | {test['compression']} | {'yes' if seen else 'no'} "
            f"| {video['n_real']} real, {video['n_fake']} fake | {video['auc']:.2f} | {interval} "
            f"| {'unknown' if doubted is None else f'{100 * doubted:.0f} %'} |"
        )
    return "\n".join(["## Measured", "", "Of test videos of people whom training has not seen:", "", head, *rows])


def _unseen(config: Mapping[str, Any], results: Mapping[str, Any] | None) -> str:
    """What nobody should take the figures for."""
    doubt = (results or {}).get("doubt") or {}
    lines = [
        "## What it has not been shown",
        "",
        f"- Any forgery but {_listed(config['train']['methods'])}. A forgery of a new kind may look familiar to "
        "it, and then gets a score that is wrong.",
        "- Any footage but its training data's: other cameras, other codecs, other light. Far from that it should "
        "answer `undetermined`; that is a test, not a promise.",
        "- A low score does not show that a video is genuine, and a high one is no proof.",
    ]
    if doubt.get("note"):
        lines.append(f"- Of its doubt: {doubt['note']}.")
    return "\n".join(lines)


def _use(config: Mapping[str, Any]) -> str:
    return (
        "## How to use it\n\n"
        "```python\n"
        "from cpml_jax import Detector\n\n"
        'detector = Detector.load("FOLDER")  # this folder, or hf://OWNER/NAME\n'
        'print(detector.predict("video.mp4"))\n'
        "```\n\n"
        "```\n"
        "cpml-jax predict --model=FOLDER --report=page.html video.mp4\n"
        "```\n\n"
        "The folder holds arrays and text alone; loading it runs nothing of it. Its licence is for whoever publishes "
        "it to choose, with regard to the footage that it was trained on."
    )


def _listed(names: Sequence[str]) -> str:
    names = [str(name) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
