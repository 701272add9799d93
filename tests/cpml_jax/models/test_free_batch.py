"""The model is traced with any number of clips left free, on every platform: what an export needs.

tests/cpml_jax/portable has the model with every stream."""

import jax
import numpy as np
import pytest
import tiny
from jax import export

from cpml_jax.evaluation import scoring
from cpml_jax.portable.program import Program

CASES = {
    "an image encoder of depthwise convolutions, a linear head": {
        "model.modalities": ("visual",), "model.visual.encoder": "efficientnet_lite0", "model.visual.image_size": 32,
        "model.visual.pool": "regions", "model.head": "linear",
    },
    "landmarks beside the pulse, prototypes, bfloat16": {
        "model.modalities": ("rppg", "landmarks"), "model.head": "prototypes", "model.fusion_landmarks": "beside",
        "model.fusion_stage_pool": "global", "train.precision": "bfloat16",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_number_of_clips_is_left_free(case):
    config = tiny.tiny_config(**CASES[case])
    model, tokens = scoring.build_model(config)
    abstract = scoring.abstract_variables(model, config, tokens)
    variables = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), abstract)
    classes = None if tokens is None else np.eye(len(tokens), config.model.unified_dim, dtype=np.float32)
    program = Program(model, variables, classes, scoring.input_size(config))
    exported = export.export(jax.jit(program.function()), platforms=("cpu", "cuda", "tpu"))(**program.arguments())
    margin = exported.out_avals[0]
    assert str(margin.shape) == "(clips,)" and exported.platforms == ("cpu", "cuda", "tpu")
