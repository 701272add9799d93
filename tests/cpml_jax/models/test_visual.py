"""The visual stream's encoders: what they give, and what of them is trained."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax import train
from cpml_jax.evaluation import scoring
from cpml_jax.models import visual
from cpml_jax.models.efficientnet_lite import FEATURES
from cpml_jax.training import optimizer, sharding, steps

LITE = {
    "model.modalities": ("visual",), "model.visual.encoder": "efficientnet_lite0", "model.visual.image_size": 32,
    "model.head": "prototypes", "loss.cqsl": 0.0, "train.devices": 1,
}  # fmt: skip


def made(**changes):
    config = tiny.tiny_config(**LITE | changes)
    model, tokens = scoring.build_model(config)
    return config, model, tokens


def paths(tree):
    return {optimizer.parameter_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("encoder", [visual.CLIP, visual.LITE])
def test_what_is_trained_is_told_by_the_parameters_names(encoder):
    def trained(kind):
        config, model, tokens = made(
            **{
                "model.visual.encoder": encoder,
                "model.visual.trained": kind,
                "model.visual.projection": 8 * (encoder == visual.LITE),
            }
        )
        shapes = train.prepare_state(config, model, tokens, sharding.make_mesh(1))[2].params
        return {
            path for path, moves in paths(optimizer.is_trained(shapes, (), train.frozen_parts(config))).items() if moves
        }

    every, norms, none = (trained(kind) for kind in visual.TRAINED)
    assert none < norms < every
    behind = {"fusion/out/kernel", "fusion/out/bias", "prototypes", "tau"}
    own = {"visual/projection/kernel", "visual/projection/bias"} if encoder == visual.LITE else set()
    assert none == behind | own
    tuned = norms - none
    assert tuned == {
        path for path in every if path.startswith("visual/") and path.endswith(("/scale", "/bias")) and "norm" in path
    }
    expected = 2 * 48 if encoder == visual.LITE else 2 * (2 + 2)  # two a layer, and one on either side of them
    assert len(tuned) == expected


def test_a_stream_without_the_visual_one_or_without_an_encoder_freezes_nothing():
    settings = tiny.tiny_config().model.visual.to_dict()
    assert visual.frozen_parts(settings) == ()
    assert visual.frozen_parts(settings | {"encoder": "none", "trained": "none"}) == ()


def test_no_gradient_is_computed_of_a_frozen_encoder():
    """Counted in the program as it is traced: products of matrices, of which each 1x1 convolution is one."""
    images = jax.ShapeDtypeStruct((2, 1, 32, 32, 3), jnp.float32)
    module, patterns = visual.LiteEncoder(8), visual.frozen_parts({"encoder": visual.LITE, "trained": "none"})
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), images)

    def loss(params, x):
        params = jax.tree_util.tree_map_with_path(held, {"visual": params})["visual"]
        return module.apply({**variables, "params": params}, x, train=False).sum()

    def held(path, leaf):
        frozen = any(re.match(pattern, optimizer.parameter_path(path)) for pattern in patterns)
        return jax.lax.stop_gradient(leaf) if frozen else leaf

    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), variables)
    text = str(jax.make_jaxpr(jax.grad(loss))(variables["params"], images))
    convolutions = 2 * 16 - 1  # of 1x1: each block's two, but the first's
    assert len(re.findall(r"\bdot_general\[", text)) == convolutions + 2  # and the projection, forward and its gradient


def test_statistics_of_a_frozen_encoder_stay_and_its_features_are_standardised():
    config, model, tokens = made(**{"model.visual.trained": "none"})
    mesh = sharding.make_mesh(1)
    transformation, _, abstract, create = train.prepare_state(config, model, tokens, mesh)
    step = steps.make_train_step(
        model, transformation, tokens=tokens, class_embeddings=None, weights=tiny.loss_weights(cqsl=0.0), seed=0,
        sampled_prompts=False, flip=True, downsampled=("half", "quarter"),
        trained=optimizer.is_trained(abstract.params, (), train.frozen_parts(config)),
    )  # fmt: skip
    state, batch = create(), sharding.put_local_batch(tiny.random_batch(), mesh)
    before = {k: np.array(v) for k, v in paths(state.variables).items()}
    jitted = steps.jit_train_step(step, mesh, jax.tree.map(lambda leaf: leaf.sharding, abstract))
    for _ in range(2):
        state, metrics = jitted(state, batch)
    after = paths(state.variables)
    moved = {path for path in before if (before[path] != np.asarray(after[path])).any()}
    standard = {f"batch_stats/visual/standard/{name}" for name in ("mean", "var", "batches")}
    assert {path for path in moved if "visual" in path} == standard and moved - standard
    assert np.isfinite(float(metrics["loss"])) and float(metrics["gradient_norm"]) > 0

    inputs = {"stills": jnp.asarray(tiny.random_batch()["stills"][:, :1])}
    embeddings = jnp.eye(2, 16)
    apply = jax.jit(lambda v, x: model.apply(v, x, embeddings, train=False, downsampled=("half", "quarter")))
    outputs = apply(state.variables, inputs)
    features = outputs["intermediates"]["z_visual"]
    assert features.shape == (8, 3, FEATURES) and features.dtype == jnp.float32
    assert outputs["unified"].shape == (8, 3, 16)
    assert all(jnp.abs(features[:, a] - features[:, b]).max() > 1e-2 for a, b in ((0, 1), (1, 2)))
    assert 0.3 < float(features.std()) < 3.0 and abs(float(features.mean())) < 0.5  # the batch that it was trained on
    order = {"stills": inputs["stills"][:, :, ::-1]}  # of the stills, which is none
    np.testing.assert_allclose(apply(state.variables, order)["intermediates"]["z_visual"], features, atol=1e-3)
