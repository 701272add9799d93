"""The rows of configs/ablation.py train what they say, all of it and nothing else."""

import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from cpml_jax import evaluate, train
from cpml_jax.configs import _bases, ablation
from cpml_jax.configuration import flattened
from cpml_jax.data import sampler
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.losses import total
from cpml_jax.sweep.ablation import configured
from cpml_jax.training import sharding, steps

# What configs/synthetic.py sets on top of base.py and rows must get along with.
BASE = {
    "loss.teacher": 1.0, "loss.ce_views": "all", "model.fusion_stage_pool": "global", "train.devices": 1,
    "optim.groups": (("rppg/", 0.2), ("text_encoder/", 0.1), ("fusion/out", 4.0)), "optim.learning_rate": 1e-2,
}  # fmt: skip
PULSE, POINTS, PROMPTS = {"rppg"}, {"landmarks"}, {"text_encoder", "tau"}
CE, CQSL, CMCL, TEACHER = {"ce"}, {"pull", "push", "rate"}, {"align", "repel", "steady"}, {"teacher"}
METHOD = PULSE | POINTS | PROMPTS | {"fusion"}
# row -> (parts of the model, terms of the loss)
EXPECTED = {
    "cpml": (METHOD, CE | CQSL | CMCL | TEACHER),
    "cpml_downsampled": (METHOD, CE | CQSL | CMCL | TEACHER),
    "without_cqsl": (METHOD, CE | CMCL | TEACHER),
    "without_cmcl": (METHOD, CE | CQSL | TEACHER),
    "without_both": (METHOD, CE | TEACHER),
    "without_rppg": (METHOD - PULSE, CE | CMCL),
    "without_landmarks": (METHOD - POINTS, CE | CQSL | CMCL | TEACHER),
    "without_prompts": (METHOD - PROMPTS | {"classifier"}, CE | CQSL | TEACHER),
    "with_visual": (METHOD | {"visual"}, CE | CQSL | CMCL | TEACHER),
    "rppg_landmarks": (METHOD, CE | CQSL | CMCL | TEACHER),
    "rppg_visual": (METHOD - POINTS | {"visual"}, CE | CQSL | CMCL | TEACHER),
    "landmarks_visual": (METHOD - PULSE | {"visual"}, CE | CMCL),
    "affinity": (METHOD | {"affinity_rppg", "affinity_landmarks"}, CE | CQSL | CMCL | TEACHER | {"affinity"}),
    "physformer_alone": (PULSE | {"fusion", "classifier"}, CE | TEACHER),
    "lrnet_alone": (POINTS | {"classifier"}, CE),
    "frames_alone": ({"visual", "fusion", "classifier"}, CE),
    "texture_alone": ({"fusion", "classifier"}, CE),
    "flip_v": ({"visual", "classifier"}, CE),
    "flip_it": ({"visual"} | PROMPTS, CE),
    "flip_mcl": ({"visual", "contrast_head"} | PROMPTS, CE | {"simclr", "prompt_mse"}),
    "clip_linear_probe": ({"visual", "classifier"}, CE),
}


def made(row, **changes):
    """Configuration, model, tokens, and make_train_step but for the optimizer."""
    config = tiny.tiny_config(**BASE | ablation.table()[row] | changes)
    model, tokens = scoring.build_model(config)

    def step_with(optimizer):
        return steps.make_train_step(
            model, optimizer, tokens=tokens, class_embeddings=None, seed=0, flip=True,
            weights=total.LossWeights(**config.loss.to_dict()),
            sampled_prompts=config.model.text_encoder.prompts == "sampled",
            downsampled=tuple(config.train.downsampled) if config.train.views == "downsampled" else (),
        )  # fmt: skip

    return config, model, tokens, step_with


def named(tree) -> dict:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def computed(jaxpr) -> list[bool]:
    """Which results depend on an argument; the gradient of what nothing uses is a constant 0."""
    known = set(jaxpr.invars)
    for equation in jaxpr.eqns:
        if any(not hasattr(v, "val") and v in known for v in equation.invars):
            known |= set(equation.outvars)
    return [v in known for v in jaxpr.outvars]


# The gradients in place of the optimizer's state, and no update.
WATCH = optax.GradientTransformation(lambda params: params, lambda g, _, params: (jax.tree.map(jnp.zeros_like, g), g))


@pytest.mark.parametrize("row", EXPECTED)
def test_a_row_has_its_parts_and_its_losses(row):
    config, model, tokens, _ = made(row)
    abstract = jax.eval_shape(
        lambda: model.init(jax.random.key(0), scoring.dummy_inputs(config), tokens, method="init_everything")
    )
    parts, terms = EXPECTED[row]
    assert set(abstract["params"]) == parts
    # Whatever a model could give; the weights alone choose the terms, but for a wave that is not there.
    views, augmented = jnp.ones((4, 2, tiny.NUM_FRAMES)), jnp.ones((2, 4, 16))
    outputs = {"logits": jnp.zeros((4, 2, 2)), "unified": views, "projected": {"landmarks": views}}
    outputs |= {"wave": views} if "rppg" in parts else {}
    halves = {"templates": jnp.ones((2, 6, 16)), "halves": jnp.ones((2, 4, 6), bool)}
    outputs["augmented"] = {"features": augmented, "projected": augmented, **halves}
    weights, batch = total.LossWeights(**config.loss.to_dict()), tiny.random_batch(4)
    _, actual = jax.eval_shape(lambda: total.total_loss(outputs, jnp.ones((2, 16)), batch, weights, jnp.int32(0)))
    assert set(actual) == terms


# The others differ from one of these in the terms of the loss alone, or in a part that another one has.
TRACED = (
    "cpml_downsampled", "affinity", "physformer_alone", "without_rppg", "lrnet_alone", "flip_v", "flip_it", "flip_mcl",
)  # fmt: skip


@pytest.mark.parametrize("row", TRACED)
def test_nothing_is_dead(row):
    config, model, tokens, step_with = made(row)
    _, _, abstract, _ = train.prepare_state(config, model, tokens, sharding.make_mesh(1))
    parts, terms = EXPECTED[row]
    state = abstract.replace(opt_state=abstract.params)
    jaxpr, (after, metrics) = jax.make_jaxpr(step_with(WATCH), return_shape=True)(state, tiny.random_batch())
    assert set(metrics) == terms | {"accuracy", "gradient_norm", "loss"}
    results = jax.tree.unflatten(jax.tree.structure((after, metrics)), computed(jaxpr.jaxpr))
    dead = {path for path, alive in named(results[0].opt_state).items() if not alive}
    # Recorded views leave the learned down-sampler alone, which belongs to every checkpoint all the same.
    allowed = ("rppg/views",) if config.train.views == "recorded" else ()
    assert not {path for path in dead if not path.startswith(allowed or "-")}
    assert bool(dead) == bool(allowed and "rppg" in parts)


@pytest.mark.parametrize("base", _bases.BASES)
def test_every_row_is_expected_and_fits_the_sweep(base):
    table = configured()
    assert set(table.rows) == set(EXPECTED)
    assert set(table.chosen(()).rows) == set(EXPECTED)
    flat = flattened(ablation.get_config(f"cpml:{base}").to_dict())
    table.check(flat)
    every = table.chosen((*table.rows, *table.settings))
    assert len(every.rows) == len(table.rows) + len(table.settings) > len(EXPECTED)
    every.check(flat)


REAL_STEPS = {
    "lrnet_alone": ({}, {"landmarks", "classifier"}),
    "flip_mcl": ({}, {"visual", "contrast_head", "text_encoder", "tau"}),
    "clip_linear_probe": ({}, {"classifier"}),
    "affinity": (  # without the pulse, which takes long to compile
        {"model.modalities": ("landmarks",)},
        {"landmarks", "affinity_landmarks", "fusion", "text_encoder", "tau"},
    ),
}


@pytest.mark.parametrize("row", REAL_STEPS)
def test_two_real_steps_change_what_the_row_trains_and_see_no_padding(row):
    changes, expected = REAL_STEPS[row]
    config, model, tokens, step_with = made(row, **changes)
    mesh = sharding.make_mesh(1)
    transformation, _, abstract, create = train.prepare_state(config, model, tokens, mesh)
    state, batch = create(), sharding.put_local_batch(tiny.random_batch(), mesh)
    before = {path: np.array(leaf) for path, leaf in named(state.params).items()}
    step = steps.jit_train_step(step_with(transformation), mesh, jax.tree.map(lambda leaf: leaf.sharding, abstract))
    for _ in range(2):
        state, metrics = step(state, batch)
    after = {path: np.array(leaf) for path, leaf in named(state.params).items()}
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(np.isfinite(value).all() for value in after.values())
    still = {path for path in before if (before[path] == after[path]).all()}
    assert {path.split("/")[0] for path in before.keys() - still} == expected
    # A vector added to every key moves all of a query's logits alike: the softmax does not see it.
    assert not {path for path in still if path.split("/")[0] in expected and not path.endswith("k_proj/bias")}
    # Loss and gradient of a padded batch do not depend on what the padding shows.
    padded = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
    one, other = tiny.random_batch(), tiny.random_batch(seed=1)
    two = {name: np.concatenate([one[name][:6], other[name][6:]]) for name in one}
    (_, first), (_, second) = (
        step(create(), sharding.put_local_batch(actual | {"weight": padded}, mesh)) for actual in (one, two)
    )
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_linear_head_runs_through_to_its_evaluation(tiny_records, tmp_path):
    short = {"train.steps": 2, "train.eval_every": 2, "loss.teacher": 0.0}
    config = tiny.training_config(tiny_records, **ablation.table()["lrnet_alone"] | short)
    train.train(config, tmp_path)
    evaluate.run(config, tmp_path)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["results"] and all(0 <= result["clip"]["auc"] <= 1 for result in written["results"])
    with np.load(tmp_path / "features.npz") as features:
        assert "class_embeddings" not in features and np.isfinite(features["logits"]).all()


def test_made_views_take_every_quality_as_a_clip_of_its_own(tiny_records):
    config = tiny.training_config(tiny_records, **{"train.views": "downsampled"})
    records = RecordSet(tiny_records / "faces")
    single, paired = train.training_clips(config, records), None
    config.train.views = "recorded"
    paired = train.training_clips(config, records)
    assert len(single) == 2 * len(paired) and {len(views) for views in single} == {1}
    batch = sampler.BalancedSampler(single, batch_size=8, seed=0).batch(0)
    for real, fake in zip(batch[::2], batch[1::2], strict=True):  # a fake beside its own target at its own compression
        assert real[0]["compression"] == fake[0]["compression"] and real[0]["video"] == fake[0]["target_video"]


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("cpml", "synthetic_cpml"),
        ("flip_v:synthetic", "synthetic_flip_v"),
        ("affinity:ffpp", "ffpp_raw_c23_affinity"),
        ("flip_mcl:synthetic:full", "synthetic_full_flip_mcl"),
        ("without_cmcl:ffpp:c23,c40", "ffpp_c23_c40_without_cmcl"),
    ],
)
def test_a_row_is_a_configuration_with_a_name_of_its_own(argument, name):
    config = ablation.get_config(argument)
    assert config.name == name
    flat = {}
    for key in (changes := ablation.table()[argument.split(":")[0]]):
        value = config
        for part in key.split("."):
            value = value[part]
        flat[key] = value
    assert flat == changes


def test_short_names():
    module = {name: importlib.import_module(f"cpml_jax.configs.{name}") for name in ("flip", "lrnet")}
    assert module["flip"].get_config() == ablation.get_config("flip_mcl")
    assert module["flip"].get_config("it:ffpp") == ablation.get_config("flip_it:ffpp")
    assert module["lrnet"].get_config("ffpp:c23") == ablation.get_config("lrnet_alone:ffpp:c23")


@pytest.mark.parametrize(
    ("file", "argument"), [("ablation", "cpmll"), ("ablation", "cpml:celebdf"), ("flip", "ti"), ("lrnet", "dfd")]
)
def test_what_there_is_not_is_said_with_what_there_is(file, argument):
    with pytest.raises(UserError, match=argument.split(":")[-1]):
        importlib.import_module(f"cpml_jax.configs.{file}").get_config(argument)
