"""Weights of the whole reference model: the map is complete both ways, and each part gives its twin's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import published_weights
import pytest
import tiny
import torch_writer
from flax.traverse_util import flatten_dict

from cpml_jax.errors import UserError
from cpml_jax.models.clip import TextEncoder
from cpml_jax.models.cpml import CPML
from cpml_jax.models.fusion import Fusion
from cpml_jax.models.resolution import PFE
from cpml_jax.pretrained import cpml_torch
from cpml_jax.pretrained.source import assemble

PUBLISHED = tiny.settings("rppg")
SMALL = PUBLISHED | dict(frame_size=32, stem=(2, 4, 8), patch=(4, 1, 1), dim=8, ff_dim=12, heads=2, blocks=3)


def cpml(physformer, text, modalities=("rppg", "landmarks"), vocab=49408, frames=160, wiring="specified"):
    visual = dict(
        encoder="clip", trained="all", contrast=0, frames=1, image_size=32, patch=16, width=8, layers=1, heads=1
    )
    model = CPML(
        modalities=modalities,
        unified_dim=512,
        fusion_dropout=0.5,
        fusion_stage_pool="flatten",
        fusion_projection="linear",
        fusion_landmarks="crossed",
        head="prompts",
        temperature=0.07,
        streams={"rppg": dict(physformer), "landmarks": tiny.settings("landmarks"), "visual": visual},
        text=dict(mode="finetune", **text),
        vocab_size=vocab,
        fusion_wiring=wiring,
    )
    size = physformer["frame_size"]
    clip = {
        "frames": jnp.zeros((1, 1, frames, size, size, 3), jnp.uint8),
        "stills": jnp.zeros((1, 1, 1, 128, 128, 3), jnp.uint8),
        "landmarks": jnp.zeros((1, 1, frames, 68, 2)),
    }
    tokens = jnp.zeros((2, 1, 4), jnp.int32)
    key = jax.random.key(0)
    return jax.eval_shape(lambda: model.init(key, clip, tokens, method="init_everything"))


SMALL_TEXT = dict(context_length=8, width=16, layers=2, heads=2)


@pytest.fixture(scope="module")
def small():
    return cpml(SMALL, SMALL_TEXT, vocab=40, frames=16)


def small_shapes():
    return published_weights.pad_classifier(
        published_weights.physformer(8, 12, 3, (4, 1, 1)), published_weights.clip_text(40, 8, 16, 2), 16, 2 * 64 * 8
    )


def zeros(shapes):
    """Arrays of any size for nothing."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def test_the_map_is_complete_at_the_published_shapes():
    variables = cpml(PUBLISHED, dict(context_length=77, width=512, layers=12, heads=8))
    shapes = published_weights.pad_classifier(published_weights.physformer(), published_weights.clip_text())
    loaded = cpml_torch.parameters(zeros(shapes), variables)
    paths = {"/".join(k) for k in flatten_dict(dict(variables))}
    assert set(loaded.loaded) | set(loaded.fresh) == paths and not set(loaded.loaded) & set(loaded.fresh)
    assert not [p for p in loaded.fresh if "/pfe/" not in p]
    heads = {
        f"{head}.{part}"
        for head in ("classifier_rppg_cross_landmark_cat_prompt", "classifier_layer_attention", "classifier_land",
                     "classifier_rPPG", "Extractor.g1.dense.3", "Extractor.g2.dense.3")
        for part in ("weight", "bias")
    }  # fmt: skip
    rest = {n for n in loaded.ignored if not n.endswith("num_batches_tracked")}
    clip = {"text_encode.visual.proj", "text_encode.visual.conv1.weight"}
    assert rest == heads | clip


def test_every_name_matters(small):
    """Each name that is not ignored is missed when it is gone; each array that is loaded is in the result."""
    shapes = small_shapes()
    state = zeros(shapes)
    ignored = set(cpml_torch.parameters(state, small).ignored)
    wanted = [name for name in state if name not in ignored]
    with pytest.raises(UserError) as caught:
        cpml_torch.parameters({"classifier_land.bias": state["classifier_land.bias"]}, small)
    assert all(repr(name) in str(caught.value) for name in wanted)
    for name in wanted[:: max(len(wanted) // 12, 1)]:
        with pytest.raises(UserError, match="missing") as caught:
            cpml_torch.parameters({k: v for k, v in state.items() if k != name}, small)
        assert repr(name) in str(caught.value)
    # All numbers of all names arrive: the sums agree, array for array, but for the one that is scaled.
    state = published_weights.state(shapes)
    loaded = cpml_torch.parameters(state, small)
    leaves = flatten_dict({"params": loaded.params, "batch_stats": loaded.batch_stats})
    total = sum(float(np.abs(v).astype(np.float64).sum()) for k, v in leaves.items() if "queries" not in k)
    expected = sum(float(np.abs(v).astype(np.float64).sum()) for k, v in state.items()
                   if k not in ignored and not k.startswith("attention_layer.fc1"))  # fmt: skip
    assert abs(total / expected - 1) < 1e-6


def test_a_state_with_the_front_end_fills_it(small):
    widths = (29, 32, 32, 3)
    front = {f"{cpml_torch.PFE}.{2 * i}.weight": (widths[i + 1], widths[i]) for i in range(3)}
    front |= {f"{cpml_torch.PFE}.{2 * i}.bias": (widths[i + 1],) for i in range(3)}
    assert cpml_torch.parameters(zeros(small_shapes() | front), small).fresh == []
    with pytest.raises(UserError, match="missing .*mlp_x.layers.4.bias"):
        cpml_torch.parameters(zeros(small_shapes() | dict(list(front.items())[:-1])), small)


def test_the_released_wiring_takes_what_the_authors_code_reads(small):
    released = cpml(SMALL, SMALL_TEXT, vocab=40, frames=16, wiring="released")
    state = published_weights.state(small_shapes())
    loaded = cpml_torch.parameters(state, released)
    assert {f"{cpml_torch.STACK}.weight", f"{cpml_torch.STACK}.bias"} <= set(loaded.ignored)
    attention = loaded.params["fusion"]["cross_attention"]
    np.testing.assert_array_equal(attention["queries"]["kernel"].T, state["attention_layer.fc1.weight"])
    specified = cpml_torch.parameters(state, small).params["fusion"]["cross_attention"]
    np.testing.assert_allclose(specified["queries"]["kernel"], attention["queries"]["kernel"] * 128**0.5, rtol=1e-6)
    assert "series" not in loaded.params["fusion"] and loaded.params.keys() == released["params"].keys()


@pytest.mark.parametrize(("scale", "tau"), [(3.25, 3.25), (np.log(100) + 1e-3, np.log(100))])
def test_tau_is_clips_temperature_and_no_more_than_its_limit(small, scale, tau):
    state = published_weights.state(small_shapes()) | {"text_encode.logit_scale": np.float32(scale)}
    assert cpml_torch.parameters(state, small).params["tau"] == pytest.approx(tau)


def test_unknown_names_and_other_models_are_refused(small):
    state = zeros(small_shapes())
    older = {k.replace("unified_feature", "attended_feature"): v for k, v in state.items()}
    assert cpml_torch.parameters(older, small).loaded == cpml_torch.parameters(state, small).loaded
    with pytest.raises(UserError, match=r"not used \['Extractor.g3', 'mlp.weight'\]"):
        cpml_torch.parameters(state | {"mlp.weight": np.zeros(1), "Extractor.g3": np.zeros(1)}, small)
    with pytest.raises(UserError, match="40 tokens, the model's tokenizer 41; .*set model.text_encoder.weights"):
        cpml_torch.parameters(state, cpml(SMALL, SMALL_TEXT, vocab=41, frames=16))
    without_words = {name: part for name, part in small["params"].items() if name != "text_encoder"}
    with pytest.raises(UserError, match="set model.head='prompts'"):
        cpml_torch.parameters(state, {**small, "params": without_words})
    for modalities in (("landmarks",), ("rppg", "landmarks", "visual")):
        with pytest.raises(UserError, match="modalities"):
            cpml_torch.parameters(state, cpml(SMALL, SMALL_TEXT, modalities, 40, 16))


def test_a_file(tmp_path, small):
    state = published_weights.state(small_shapes())
    torch_writer.save(state, tmp_path / "fg_epoch1.pt")
    loaded = cpml_torch.load(tmp_path / "fg_epoch1.pt", small, delta_scale=4.0)
    plain = cpml_torch.parameters(state, small)
    ours = loaded.params["landmarks"]["deltas"]["gru"]["kernel_ih"]
    np.testing.assert_allclose(4 * ours, plain.params["landmarks"]["deltas"]["gru"]["kernel_ih"], rtol=1e-6)
    kernel = plain.params["rppg"]["stem0"]["conv"]["kernel"]  # red first, as ours
    np.testing.assert_array_equal(kernel[0, 1, 2, :, 1], state["downstream.Stem0.0.weight"][1, :, 0, 1, 2])
    with pytest.raises(UserError, match="input_norm='unit', which is 'center'"):
        cpml_torch.load(tmp_path / "fg_epoch1.pt", small, input_norm="center")


# --- the parts' numbers ---------------------------------------------------------------------------------------


def test_fusion_by_numpy_under_the_reference_names():
    shapes = {n: s for n, s in small_shapes().items() if n.startswith(("attention_layer", "classifier_"))}
    state = published_weights.state(shapes)
    draw = np.random.default_rng(0)
    wave, land = draw.normal(size=(3, 16)).astype(np.float32), draw.normal(size=(3, 128)).astype(np.float32)
    stages = [draw.normal(size=(3, 64, 8)).astype(np.float32) for _ in range(3)]
    model = Fusion(512, 0.5, "flatten", "linear")
    fused = {"rppg": (jnp.asarray(wave), tuple(map(jnp.asarray, stages))), "landmarks": jnp.asarray(land)}
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), fused, train=False))
    rules = cpml_torch.fusion_rules(cpml_torch.OUT[0], variables["params"])
    wanted = {"params": {"fusion": variables["params"]}}
    loaded = assemble(state, rules, wanted, file="x", ignored=cpml_torch.IGNORED)
    ours = model.apply({"params": loaded.params["fusion"]}, fused, train=False)

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    scored = (wave - wave.mean(1, keepdims=True)) / wave.std(1, keepdims=True)
    both = np.concatenate([s.reshape(3, -1) for s in stages[1:]], axis=1)
    series = scored + linear(both, "classifier_rPPG_attention_stack")
    tokens = linear(series.reshape(3, 2, 8), "classifier_rPPG_attention")
    logits = np.einsum("nf,nkf->nk", linear(land, "attention_layer.fc1"), linear(tokens, "attention_layer.fc2"))
    weights = np.exp(logits - logits.max(1, keepdims=True))
    attended = np.einsum("nk,nkv->nv", weights / weights.sum(1, keepdims=True), tokens)
    joint = (land[:, :, None] * attended[:, None]).reshape(3, 256)
    np.testing.assert_allclose(ours, linear(joint, "classifier_unified_feature_to_512"), atol=2e-4)


def torch_text(state, tokens):
    """(N, 512), by torch's MultiheadAttention, whose own names (in_proj_weight, out_proj) the file carries."""
    import torch

    functional = torch.nn.functional
    w = {k: torch.from_numpy(v) for k, v in state.items()}
    causal = torch.full((6, 6), -torch.inf).triu(1)
    with torch.no_grad():
        x = w["token_embedding.weight"][torch.from_numpy(tokens).long()] + w["positional_embedding"][:6]
        for i in range(2):
            layer = {k.removeprefix(f"transformer.resblocks.{i}."): v for k, v in w.items()}
            attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
            attention.load_state_dict({k.removeprefix("attn."): v for k, v in layer.items() if k.startswith("attn.")})
            y = functional.layer_norm(x, (16,), layer["ln_1.weight"], layer["ln_1.bias"])
            x = x + attention(y, y, y, attn_mask=causal, need_weights=False)[0]
            y = functional.layer_norm(x, (16,), layer["ln_2.weight"], layer["ln_2.bias"])
            y = functional.linear(y, layer["mlp.c_fc.weight"], layer["mlp.c_fc.bias"])
            y = y * torch.sigmoid(1.702 * y)
            x = x + functional.linear(y, layer["mlp.c_proj.weight"], layer["mlp.c_proj.bias"])
        x = functional.layer_norm(x, (16,), w["ln_final.weight"], w["ln_final.bias"])
        return (x[torch.arange(2), torch.tensor([3, 5])] @ w["text_projection"]).numpy()


def test_text_encoder_equals_torchs_attention_under_openai_names(torch_numbers):
    shapes = {
        k: s for k, s in published_weights.clip_text(40, 8, 16, 2).items() if not k.startswith(("visual", "logit"))
    }
    state = published_weights.state(shapes)
    tokens = np.array([[38, 3, 7, 39, 39, 39], [38, 5, 2, 9, 11, 39]], np.int32)
    encoder = TextEncoder(vocab_size=40, context_length=8, width=16, layers=2, heads=2, projection=512)
    variables = jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.asarray(tokens)))
    loaded = assemble(state, cpml_torch.text_rules(2, "", ()), variables, file="x")
    expected = torch_numbers("openai_text", torch_text, state, tokens)
    np.testing.assert_allclose(encoder.apply({"params": loaded.params}, jnp.asarray(tokens)), expected, atol=2e-5)


def torch_pfe(state, x, size):
    """(1, T, size, size, 3), as the reference writes it: torch's unfold, grid_sample and relative cells."""
    import torch

    functional, low = torch.nn.functional, x.shape[2]
    module = torch.nn.Sequential(
        torch.nn.Linear(29, 5), torch.nn.ReLU(), torch.nn.Linear(5, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)
    )
    module.load_state_dict({k.removeprefix(f"{cpml_torch.PFE}."): torch.from_numpy(v) for k, v in state.items()})
    frames = torch.from_numpy(x[0].transpose(0, 3, 1, 2).copy())  # (T, 3, h, w)
    unfolded = functional.unfold(frames, 3, padding=1).view(2, 27, low, low)
    centres = (torch.arange(size) + 0.5) * 2 / size - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).expand(2, size, size, 2)
    sampled = functional.grid_sample(unfolded, grid, mode="nearest", align_corners=False).permute(0, 2, 3, 1)
    cells = torch.full((2, size, size, 2), 2 / size * low)
    with torch.no_grad():
        return module(torch.cat([sampled, cells], dim=-1)).numpy()[None]


def test_pfe_equals_unfold_and_nearest_sampling(torch_numbers):
    """The front end at every pixel."""
    size, low = 8, 4
    shapes = {
        "0.weight": (5, 29),
        "0.bias": (5,),
        "2.weight": (5, 5),
        "2.bias": (5,),
        "4.weight": (3, 5),
        "4.bias": (3,),
    }
    state = published_weights.state(shapes, f"{cpml_torch.PFE}.")
    x = np.random.default_rng(0).normal(size=(1, 2, low, low, 3)).astype(np.float32)
    expected = torch_numbers("pfe", torch_pfe, state, x, size)
    ours = PFE(size, width=5, depth=2)
    variables = jax.eval_shape(lambda: ours.init(jax.random.key(0), jnp.asarray(x)))
    loaded = assemble(state, cpml_torch.pfe_rules(2, ()), variables, file="x")
    np.testing.assert_allclose(ours.apply({"params": loaded.params}, jnp.asarray(x)), expected, atol=1e-5)
