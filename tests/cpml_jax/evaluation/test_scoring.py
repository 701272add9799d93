"""A scorer over a mesh: padding, class embeddings, saliency; and what cannot be restored."""

import jax
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.schema import CROP_SIZE
from cpml_jax.training import steps
from cpml_jax.training.sharding import make_mesh

CHANGES = {
    "model.modalities": ("landmarks",),
    "model.text_encoder.classes": "methods",
    "train.methods": tiny.METHODS,
}


@pytest.fixture(scope="module")
def scorer():
    config = tiny.tiny_config(**CHANGES)
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = jax.jit(lambda: model.init(jax.random.key(0), inputs, tokens, method="init_everything"))()
    return scoring.Scorer(model, make_mesh(2), tokens, variables=variables, step=7)


def test_rows_are_scored_one_by_one_whatever_the_batch(scorer):
    batch = tiny.random_batch(rows=3, views=1)
    scores = scorer.score(batch)
    assert scores["p_fake"].shape == (3,) and scores["logits"].shape == (3, 2) and "wave" not in scores
    alone = scorer.score({name: x[1:2] for name, x in batch.items()})
    for name, value in alone.items():
        np.testing.assert_allclose(value[0], scores[name][1], rtol=1e-5, atol=1e-5)


def test_class_embeddings_of_several_fakes_are_two_unit_vectors(scorer):
    embeddings = scorer.class_embeddings
    assert embeddings.shape == (2, 16) and scorer.step == 7
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_saliency_is_zero_without_a_stream_that_sees_frames(scorer):
    saliency = scorer.saliency(tiny.random_batch(rows=3, views=1))
    assert saliency.shape == (3, CROP_SIZE, CROP_SIZE) and not saliency.any()


@pytest.mark.parametrize(
    "changes",
    [{"model.modalities": ("visual",)}, {"model.modalities": ("visual",), "model.visual.contrast": 4}],
)
def test_saliency_is_of_the_stored_pixels(changes):
    config = tiny.tiny_config(**changes)
    model, tokens = scoring.build_model(config)
    variables = model.init(jax.random.key(0), scoring.dummy_inputs(config), tokens, method="init_everything")
    saliency = scoring.Scorer(model, make_mesh(1), tokens, variables=variables).saliency(tiny.random_batch(2, views=1))
    assert saliency.shape == (2, CROP_SIZE, CROP_SIZE) and (saliency >= 0).all() and saliency.any(axis=(1, 2)).all()


def test_maps_of_frames_and_stills_are_one_of_the_crops_pixels():
    """As if both were computed from the crop: a frame's pixel is the mean of 4 x 4, a still is one of 8 frames."""
    frames, stills = (
        np.random.default_rng(i).random(s).astype(np.float32) for i, s in ((0, (1, 8, 2, 2)), (1, (1, 3, 8, 8)))
    )
    whole = frames.repeat(4, axis=2).repeat(4, axis=3) / 16
    whole[:, [0, 4, 7]] += stills
    np.testing.assert_allclose(steps.saliency_map([frames, stills]), whole.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(steps.saliency_map([stills]), stills.mean(axis=1), rtol=1e-5)


def test_what_cannot_be_restored_is_one_line(tmp_path):
    config = tiny.tiny_config()
    with pytest.raises(UserError, match="no checkpoint here; run `main.py train`"):
        scoring.restore_for_scoring(tmp_path, config)
