"""The table of streams: what follows from it, and that a new stream needs no other file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import linen as nn
from tiny import random_batch, tiny_config

from cpml_jax import schema
from cpml_jax.configs import base
from cpml_jax.evaluation import scoring
from cpml_jax.losses.total import LossWeights, total_loss
from cpml_jax.models import cpml, streams
from cpml_jax.training import optimizer

TOKENS = jnp.zeros((2, 1, 4), jnp.int32)


def test_the_table_agrees_with_records_configuration_and_model():
    assert tuple(streams.INPUTS) == schema.MODEL_INPUTS
    assert {name for stream in streams.STREAMS.values() for name in stream.inputs} == set(schema.MODEL_INPUTS)
    assert set(schema.MODEL_INPUTS) <= {field.name for field in schema.BATCH}
    assert set(schema.MODEL_INPUTS) - {"stills", "texture"} <= {field.name for field in schema.RECORD}
    assert set(streams.STREAMS) <= set(base.get_config().model)
    assert not set(streams.STREAMS) & {field.name for field in dataclasses.fields(cpml.CPML)}


class Speed(nn.Module):
    """A stream of a few lines: how fast each point moves."""

    units: int

    @nn.compact
    def __call__(self, landmarks: jax.Array) -> jax.Array:
        speed = jnp.abs(jnp.diff(landmarks, axis=1)).mean(axis=(1, 3))
        return nn.Dense(self.units, name="out")(speed)


def encode(module, settings, inputs, forward):
    points = inputs["landmarks"]
    points = jnp.repeat(points, 1 + len(forward.downsampled), axis=1) if forward.downsampled else points
    features = module(streams.rows(points))
    return streams.Encoded(features, features, {}, {"z_speed": features})


@pytest.fixture
def speed(monkeypatch):
    stream = streams.Stream(
        "speed", ("landmarks",), lambda settings, _, dtype: Speed(**settings), encode, lambda settings: None
    )
    monkeypatch.setitem(streams.STREAMS, "speed", stream)


def test_a_new_stream_is_an_entry_of_the_table(speed):
    config = tiny_config(**{"model.modalities": ("landmarks", "speed"), "loss.affinity": 1.0})
    model_config = config.model.to_dict() | {"speed": {"weights": "", "units": 3}}
    model = cpml.build(model_config, 50, projections=("affinity",))
    batch = random_batch(2)
    inputs = {name: jnp.asarray(batch[name]) for name in schema.MODEL_INPUTS}
    variables = model.init(jax.random.key(0), inputs, TOKENS, method="init_everything")
    assert variables["params"]["speed"]["out"]["kernel"].shape == (68, 3)
    assert "affinity_speed" in variables["params"]
    t_c = jnp.eye(2, 16)
    for downsampled, views in (((), 2), (("half", "quarter"), 3)):
        outputs = model.apply(variables, inputs, t_c, train=False, downsampled=downsampled)
        assert outputs["unified"].shape == (2, views, 16)
        assert outputs["intermediates"]["z_speed"].shape == (2, views, 3)
        assert set(outputs["projected"]) == {"landmarks", "speed"}
    weights = LossWeights(**config.loss.to_dict())
    loss, terms = total_loss(outputs, t_c, batch, weights, jnp.int32(0))
    assert jnp.isfinite(loss) and "affinity" in terms


def test_jitter_of_a_made_view_moves_its_positions_and_no_delta():
    still = tiny.settings("landmarks") | dict(hidden=4, point_dropout=0.0, dropout=0.0, noise=0.0, spectrum=True)
    module = streams.build_landmarks(still, 16, jnp.float32)
    given = {"landmarks": jnp.asarray(random_batch(2)["landmarks"])}
    variables = module.init(jax.random.key(0), given["landmarks"][:, 0], train=False)

    def encoded(train):
        forward = streams.Pass(train, ("half", "quarter"), lambda: jax.random.key(0))
        features, spectrum = streams.encode_landmarks(module.bind(variables), still, given, forward).fused
        return features.reshape(2, 3, 16), spectrum.reshape(2, 3, -1)

    jittered, spectrum = encoded(train=True)
    assert all((jittered[:, 0, :8] != jittered[:, view, :8]).any() for view in (1, 2))
    for features in (jittered[..., 8:], spectrum):
        np.testing.assert_allclose(features, jnp.broadcast_to(features[:, :1], features.shape), atol=1e-6)
    np.testing.assert_allclose(jittered[:, 0], encoded(train=False)[0][:, 0], atol=1e-6)


def test_a_stream_reads_its_inputs_alone():
    config = tiny_config(**{"model.modalities": ("landmarks",)})
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = model.init(jax.random.key(0), inputs, tokens, method="init_everything")
    outputs = model.apply(variables, {"landmarks": inputs["landmarks"]}, jnp.eye(2, 16), train=False)
    assert outputs["unified"].shape == (1, 1, 16)


def test_the_order_of_the_modalities_changes_nothing():
    given, turned = (("rppg", "landmarks", "visual"), ("visual", "landmarks", "rppg"))
    inputs = {name: jnp.asarray(random_batch(1)[name]) for name in schema.MODEL_INPUTS}

    def shapes(modalities):
        model = cpml.build(tiny_config(**{"model.modalities": modalities}).model.to_dict(), 50)
        assert model.active == given
        return jax.eval_shape(lambda: model.init(jax.random.key(0), inputs, TOKENS, method="init_everything"))

    assert shapes(given) == shapes(turned)


@pytest.mark.parametrize("stream", streams.STREAMS)
def test_groups_of_a_stream_that_is_left_out_are_no_mistake(stream):
    params = {"fusion": {"out": {"kernel": np.ones((2, 2))}}}
    labels = optimizer.group_labels(params, ((f"{stream}/", 0.2),))
    assert labels["fusion"]["out"]["kernel"] == optimizer.BASE_GROUP


def test_the_pulses_network_knows_which_rows_are_views_of_one_clip(monkeypatch):
    """They share the attention's dropout (test_physformer.py)."""
    seen = {}

    def encode(self, frames, **settings):
        seen.update(settings, rows=len(frames))
        return jnp.zeros((6, 4)), (jnp.zeros((6, 1, 8)),) * 3, None

    module = streams.build_rppg(tiny.settings("rppg"), 16, jnp.float32)
    monkeypatch.setattr(type(module), "encode", encode)
    frames = jnp.zeros((2, 3, 4, 8, 8, 3), jnp.uint8)
    streams.encode_rppg(module, {}, {"frames": frames}, streams.Pass(True, (), lambda: jax.random.key(0)))
    assert seen["rows"] == 6 and seen["views"] == 3
