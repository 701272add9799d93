"""Each way of training the text side trains what it names, and nothing else; several classes from bank to score."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax import schema, train
from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.losses import total
from cpml_jax.models import class_embeddings, prompts
from cpml_jax.training import network, run_files, sharding, steps

BANK = {
    "real": ["a real face", "a photo of a real face", "This is a real face"],
    "Deepfakes": ["a deepfake"],
    "FaceSwap": ["a face swap", "a swapped face"],
}
VISUAL = {"model.modalities": ("visual",), "train.devices": 1, "loss.cqsl": 0.0, "train.methods": tiny.METHODS}


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    path = tmp_path_factory.mktemp("bank") / "bank.json"
    path.write_text(json.dumps(BANK))
    return str(path)


def two_steps(**changes):
    """Parameters before and after two steps of the real optimizer, its state, and the last step's metrics."""
    settings = {"train.steps": 4, "optim.learning_rate": 1e-2, "optim.weight_decay": 0.5, **VISUAL}
    config = tiny.tiny_config(**settings | changes)
    model, tokens = scoring.build_model(config)
    mesh = sharding.make_mesh(1)
    transformation, _, abstract, create = train.prepare_state(config, model, tokens, mesh)
    state = create()
    step = steps.make_train_step(
        model, transformation, tokens=tokens, weights=total.LossWeights(**config.loss.to_dict()), seed=0, flip=False,
        class_embeddings=train.constant_embeddings(config, model, tokens, state, mesh),
        sampled_prompts=config.model.text_encoder.prompts == "sampled",
    )  # fmt: skip
    step = steps.jit_train_step(step, mesh, jax.tree.map(lambda leaf: leaf.sharding, abstract))
    before = named(state.params)
    batch = tiny.random_batch() | {"class_index": np.array([0, 1, 0, 2] * 2, np.int32)}
    batch = sharding.put_local_batch(batch, mesh)
    for _ in range(2):
        state, metrics = step(state, batch)
    return before, named(state.params), state.opt_state, metrics


def named(tree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.array(leaf) for path, leaf in leaves}


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"mode": "finetune", "prompts": "sampled"}, {"text_encoder", "tau"}),
        (
            {
                "mode": "frozen",
                "prompts": "sampled",
                "classes": "methods",
                "bank": "BANK",
                "groups": (("text_encoder/", 0.1),),  # frozen stays frozen
            },
            {"tau"},
        ),
        ({"mode": "context", "prompts": "ensemble", "context_init": "a photo of a"}, {"context", "tau"}),
        (
            {"mode": "context", "prompts": "sampled", "classes": "methods", "bank": "BANK", "context_per_class": True},
            {"context", "tau"},
        ),
    ],
)
def test_a_mode_trains_what_it_names_and_nothing_else(changes, trained, bank):
    changes = {"model.text_encoder." * (k != "groups") + "optim." * (k == "groups") + k: v for k, v in changes.items()}
    if "model.text_encoder.bank" in changes:
        changes["model.text_encoder.bank"] = bank
    before, after, optimizer_state, metrics = two_steps(**changes)
    trained = trained | {"visual", "fusion"}
    assert {name.split("/")[0] for name in before} == trained | {"text_encoder", "tau"}
    moved = {name for name in before if (before[name] != after[name]).any()}
    wanted = {name for name in before if name.split("/")[0] in trained}
    # A key's bias shifts all of a query's logits alike: its gradient is 0, or what rounding leaves of it.
    assert moved <= wanted and all(name.endswith("k_proj/bias") for name in wanted - moved)
    # What nothing trains has no moments either; with decay at 0.5 a matrix in the optimizer would have shrunk.
    moments = [name for name in named(optimizer_state) if "/mu/" in f"/{name}/"]
    held = {name for name in before if any(moment.endswith(f"mu/{name}") for moment in moments)}
    assert held == wanted and all(np.isfinite(v) for v in metrics.values())
    if "context" in trained:
        classes = () if "model.text_encoder.context_per_class" not in changes else (3,)
        assert before["context"].shape == (*classes, 4, 16)
        assert (before["context"] != after["context"]).any(axis=-1).all()  # every token of every class


def embedded(**changes) -> tuple[np.ndarray, np.ndarray]:
    """Class embeddings (C, D), and every prompt's (C, P, D), of a text encoder that starts the same each time."""
    settings = {f"model.text_encoder.{key}": value for key, value in changes.items()}
    model, tokens = scoring.build_model(tiny.tiny_config(**VISUAL, **settings))

    @jax.jit
    def encode():
        variables = model.init(jax.random.key(0), tokens, method="encode_prompts")
        return [model.apply(variables, tokens, method=f"encode_{what}") for what in ("prompts", "templates")]

    return jax.device_get(encode())


def test_context_from_words_begins_as_those_words(tmp_path):
    held = {"real": ["real face"], "fake": ["forgery face", "an attack"]}
    spoken = {name: [f"a photo of a {prompt}" for prompt in prompts] for name, prompts in held.items()}
    for name, value in (("short", held), ("long", spoken)):
        (tmp_path / name).write_text(json.dumps(value))
    words, _ = embedded(mode="frozen", bank=str(tmp_path / "long"))
    for per_class in (False, True):
        learned, _ = embedded(
            mode="context", context_init="a photo of a", bank=str(tmp_path / "short"), context_per_class=per_class
        )
        np.testing.assert_allclose(learned, words, atol=1e-5)


def test_a_class_is_the_mean_of_its_own_prompts_however_many_others_have(bank):
    classes, each = embedded(bank=bank, classes="methods", mode="frozen")
    assert classes.shape == (3, 16) and each.shape == (3, 3, 16)
    for number, name in enumerate(BANK):
        mean = each[number, : len(BANK[name])].mean(axis=0)
        np.testing.assert_allclose(classes[number], mean / np.linalg.norm(mean), atol=1e-5)


def test_only_prompts_are_drawn_and_each_of_them():
    tokens = np.zeros((3, 4, 5), np.int32)
    tokens[..., 1:] = 9  # a padding row would be all 9
    counts = (4, 1, 2)
    for number, count in enumerate(counts):
        tokens[number, count:, 0] = 9
        tokens[number, :, 1] = np.arange(4)
    is_prompt = prompts.present(tokens)
    drawn = jax.vmap(lambda key: class_embeddings.draw(key, jnp.asarray(tokens), jnp.asarray(is_prompt)))(
        jax.random.split(jax.random.key(0), 300)
    )
    assert drawn.shape == (300, 3, 1, 5)
    for number, count in enumerate(counts):
        assert set(np.asarray(drawn)[:, number, 0, 1].tolist()) == set(range(count))


def test_two_logits_say_the_same_as_all():
    logits = 30 * np.random.default_rng(0).normal(size=(50, 2, 5)).astype(np.float32)
    two = np.asarray(total.real_and_fake(jnp.asarray(logits)), np.float64)
    e = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    p_fake = e[..., 1:].sum(-1) / e.sum(-1)
    np.testing.assert_allclose(1 / (1 + np.exp(two[..., 0] - two[..., 1])), p_fake, rtol=1e-4, atol=1e-12)
    same = jnp.asarray(logits[..., :2])
    np.testing.assert_array_equal(total.real_and_fake(same), same)


@pytest.fixture(scope="module")
def by_method(tiny_records, bank, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("by_method")
    text = {
        "model.text_encoder.classes": "methods",
        "model.text_encoder.bank": bank,
        "model.text_encoder.mode": "frozen",
    }
    config = tiny.training_config(tiny_records, **VISUAL, **text, **{"train.steps": 3, "train.eval_every": 3})
    seen, stack = [], train.sharding.put_local_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.sharding, "put_local_batch", lambda batch, mesh: seen.append(batch) or stack(batch, mesh))
        train.train(config, workdir)
    return workdir, config, seen


def test_batches_know_the_class_of_each_clip(by_method):
    _, _, seen = by_method
    index = np.concatenate([batch["class_index"] for batch in seen])
    unread = {"frames", "landmarks", "texture"}  # by the visual stream alone
    assert set(seen[0]) == {field.name for field in schema.BATCH} - unread and seen[0]["class_index"].dtype == np.int32
    assert set(index) == {0, 1, 2} and ((index > 0) == np.concatenate([batch["label"] for batch in seen])).all()


def test_a_run_by_method_scores_as_real_and_fake(by_method):
    workdir, config, _ = by_method
    scorer = scoring.restore_for_scoring(workdir, config, "latest")
    batch = tiny.random_batch(rows=4, views=1)
    scores = scorer.score(batch)
    assert scores["logits"].shape == (4, 2) and scorer.class_embeddings.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(scorer.class_embeddings, axis=1), 1, rtol=1e-5)
    model, tokens = scoring.build_model(config)
    t_c = jax.jit(lambda v: model.apply(v, tokens, method="encode_prompts"))(scorer._variables)
    assert t_c.shape == (3, 16)
    u = scores["unified"] / np.linalg.norm(scores["unified"], axis=1, keepdims=True)
    e = np.exp(np.exp(float(scorer._variables["params"]["tau"])) * u @ np.asarray(t_c).T)
    np.testing.assert_allclose(scores["p_fake"], e[:, 1:].sum(1) / e.sum(1), rtol=1e-3)
    assert scorer.saliency(batch).shape == (4, schema.CROP_SIZE, schema.CROP_SIZE)  # of the stills


def test_a_bank_may_move_but_not_change(by_method, tmp_path):
    workdir, config, _ = by_method
    moved = config.copy_and_resolve_references()
    moved.model.text_encoder.bank = str(tmp_path / "moved.json")
    (tmp_path / "moved.json").write_text(json.dumps(BANK))
    run_files.check_config(workdir, moved.to_dict(), resume=True)
    run_files.check_prompts(workdir, network.read_bank(moved))
    (tmp_path / "moved.json").write_text(json.dumps(BANK | {"FaceSwap": ["a swap"]}))
    for start in (lambda: scoring.restore_for_scoring(workdir, moved), lambda: train.train(moved, workdir)):
        with pytest.raises(UserError, match="other prompts for FaceSwap"):
            start()
    (tmp_path / "moved.json").unlink()  # the run keeps its prompts
    assert scoring.restore_for_scoring(workdir, moved, "latest").class_embeddings.shape == (2, 16)
    fewer = config.copy_and_resolve_references()
    fewer.train.methods = ("FaceSwap",)
    with pytest.raises(UserError, match="classes real, Deepfakes, FaceSwap, not real, FaceSwap"):
        scoring.restore_for_scoring(workdir, fewer)


def test_a_class_without_a_training_clip_is_refused(tiny_records, tmp_path):
    changes = {"model.text_encoder.classes": "methods", "train.methods": ("FaceSwap", "NeuralTextures")}
    changes["data.sources.faces.methods"] = ()  # all that the records hold: only they can tell
    with pytest.raises(UserError, match="no training clip of NeuralTextures"):
        train.train(tiny.training_config(tiny_records, **changes), tmp_path)
