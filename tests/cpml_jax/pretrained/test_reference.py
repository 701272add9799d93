"""The reference's whole model and losses: what the authors' modules gave with these weights, on these clips.

goldens/reference.npz was made by running github.com/k-bigboss99/CPML at f517176 (PAD_Classifier over DualLRNet and
ViT_ST_ST_Compact3_TDC_gra_sharp, and train.py's Pearson, hr_fft and loss block) over openai/CLIP's text encoder, in
float64, torch 2.15 on a CPU, with reference_case.state() and reference_case.clips(). Repaired, only so that it runs:

- imports: torch, random and clip in the classifier's file; make_coord in rPPG_model.py, whose `.transformer_layer` is
  in no package; pfe_function.py wants utils.utils (it is util/utils_.py) and TFA, which nobody has and nothing uses;
- "cuda:0" and .cuda() taken out;
- the constructor starts classifier_layer, which is never made: these two lines taken out;
- `mlp_x` is never made: pfe_function.MLP(29, 3, [32, 32]); `query_rgb` is no method: bound to the class;
- PhysFormer returns four values, of which the classifier takes six: it also returns the last two transformers' outputs;
- `spoof_templates` is nowhere: `fake_templates`, as imported;
- train.py names face_frames_r and face_frames_Real for one thing, and device, epoch_number and result_dir for nothing:
  only its functions and its block of losses were run, on the six forward passes that it describes;
- classifier_rPPG_attention_stack as narrow as this PhysFormer; its result is overwritten before it is used;
- gradients into the batch norms made contiguous: torch 2.15's own batch norm in eval mode gives wrong gradients on a
  CPU for those of the attention's transposed queries (its bias's is not the sum of what comes in), in float64 too;
- for float64: make_coord's and CLIP's layer norm's casts to float32 taken out.

Held still, so that there are numbers to compare: eval mode (no dropout, running statistics), no noise on LRNet's
features, no jitter, one template in all passes. `wave_train` is PhysFormer alone in train mode without dropout, on the
real clip, one view at a time. Every 40th token of the stages is kept. `loss_ce` and `loss_total` are with the
cross-entropy of docs/method.md on their cosines and their logit scale; `loss_ce_leaking` and `loss_total_leaking` with
their classifier.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_case as case
from flax import traverse_util

from cpml_jax.configs import reference
from cpml_jax.losses import total
from cpml_jax.models import cpml, prompt_bank, prompts
from cpml_jax.pretrained import cpml_torch

GOLDEN = np.load(Path(__file__).parents[2] / "goldens" / "reference.npz")
TOLERANCE = 1e-4  # of the largest number of an array, or absolute where those are below 1
VIEWS = ("half", "quarter")
# Norms of gradients, relative. Those of convolutions of every pixel are sums of millions of float32 terms: torch's own
# float32 is 9e-4, 1e-4 and 6e-5 from its float64 in these three.
GRADIENT_TOLERANCE, PIXEL_TOLERANCE = 1e-4, 1e-3
OF_PIXELS = ("down_sampler", "stem0", "pfe")
# Here the work is in the pixels and not in the compiler: 27 s of CPU in place of 42 without LLVM (tests/conftest.py).
OPTIMISED = {"xla_backend_optimization_level": 1}
TERMS = ("ce", "pull", "push", "align", "repel", "steady")


def close(ours, name: str) -> None:
    expected = GOLDEN[name]
    assert np.shape(ours) == expected.shape
    worst = np.abs(np.asarray(ours, np.float64) - expected).max()
    assert worst <= TOLERANCE * max(1.0, np.abs(expected).max()), f"{name}: off by {worst:.2e}"


def configuration():
    """configs/reference.py with the widths of the case."""
    config = reference.get_config()
    config.model.rppg.update(
        dim=case.DIM, ff_dim=case.FF_DIM, blocks=case.BLOCKS, heads=case.HEADS, stem=(4, 8, 16), patch=case.PATCH
    )
    config.model.text_encoder.update(case.TEXT)
    return config


@pytest.fixture(scope="module")
def ours():
    """The project's model with the case's weights: its outputs, terms and gradients."""
    config = configuration()
    tokenizer = case.tokenizer()
    tokens = jnp.asarray(prompts.tokenize(tokenizer, prompt_bank.TEMPLATES, case.TEXT["context_length"]))
    drawn = tokens[:, case.TEMPLATE : case.TEMPLATE + 1]
    model = cpml.build(config.model.to_dict(), len(tokenizer))
    frames, landmarks = case.clips()
    inputs = {"frames": jnp.asarray(frames[:, None]), "landmarks": jnp.asarray(landmarks[:, None])}
    empty = jax.eval_shape(lambda: model.init(jax.random.key(0), inputs, tokens, method="init_everything"))
    loaded = cpml_torch.parameters(case.state(), empty)
    batch = {
        "label": np.array([0, 1], np.int32), "class_index": np.array([0, 1], np.int32),
        "pair": np.array([0, 0], np.int32), "weight": np.ones(2, np.float32),
        "valid": np.ones((2, 1, case.FRAMES), bool), "pulse": np.zeros((2, case.FRAMES), np.float32),
    }  # fmt: skip
    weights = total.LossWeights(**config.loss.to_dict())
    parameters = jax.tree.map(jnp.asarray, traverse_util.flatten_dict(loaded.params))
    compared = {path: parameters[path] for path in case.GRADIENTS.values()}

    def losses(compared):
        params = traverse_util.unflatten_dict(parameters | compared)
        variables = {"params": params, "batch_stats": loaded.batch_stats}
        classes = model.apply(variables, drawn, method="encode_prompts")

        @jax.checkpoint  # one clip after the other, without what a gradient needs of both: 12 GB otherwise
        def encode(clip):
            one = {name: x[None] for name, x in clip.items()}
            return model.apply(variables, one, classes, train=False, downsampled=VIEWS)

        outputs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(encode, inputs))
        loss, terms = total.total_loss(outputs, classes, batch, weights, jnp.float32(0))
        return loss, (outputs, classes, terms)

    # Of the compared arrays alone: those of the other kernels are half of the work.
    measured = jax.jit(jax.value_and_grad(losses, has_aux=True), compiler_options=OPTIMISED)
    (loss, (outputs, classes, terms)), gradients = jax.device_get(measured(compared))
    return SimpleNamespace(
        config=config, inputs=inputs, loaded=loaded, loss=loss, outputs=outputs, classes=classes, terms=terms,
        weights=weights, gradients=gradients,
    )  # fmt: skip


def test_every_array_of_the_file_is_loaded(ours):
    heads = ("classifier_rppg_cross_landmark_cat_prompt", "classifier_layer_attention", "classifier_land",
             "classifier_rPPG.", "classifier_rPPG_attention_stack", "text_encode.visual", "Extractor.g1.dense.3",
             "Extractor.g2.dense.3")  # fmt: skip
    ignored = [name for name in ours.loaded.ignored if not name.endswith("num_batches_tracked")]
    assert not ours.loaded.fresh and all(name.startswith(heads) for name in ignored)


def test_waves_stages_and_features(ours):
    stages = np.stack([stage[:, :, case.ROWS] for stage in ours.outputs["intermediates"]["stages"]], axis=2)
    close(ours.outputs["wave"], "wave")
    close(stages, "stages")
    for view in range(3):
        close(ours.outputs["intermediates"]["z_land"][:, view], "z_land")
    close(ours.outputs["unified"], "unified")
    close(ours.classes, "class_embeddings")


def cosines(ours):
    """(2, 3) cosines to each clip's class and to the other one."""
    u = ours.outputs["unified"]
    both = np.einsum("bvd,cd->bvc", u / np.linalg.norm(u, axis=-1, keepdims=True), ours.classes)
    return np.stack([both[0, :, 0], both[1, :, 1]]), np.stack([both[0, :, 1], both[1, :, 0]])


def test_both_cosines_and_the_scores(ours):
    true, other = cosines(ours)
    close(true, "cosine_true")
    close(other, "cosine_other")
    scale = np.exp(case.state()["text_encode.logit_scale"])
    np.testing.assert_allclose(ours.outputs["logits"][0, :, 0], scale * GOLDEN["cosine_true"][0], atol=TOLERANCE)
    np.testing.assert_allclose(ours.outputs["logits"][1, :, 0], scale * GOLDEN["cosine_other"][1], atol=TOLERANCE)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_at_batch_one_and_one(ours, term):
    close(ours.terms[term], f"loss_{term}")


def released_heart_rate(wave: np.ndarray) -> float:
    """As train.py reads it: the spectrum's highest peak, or the second where the first is its harmonic; 60 to 120."""
    from scipy import signal

    filtered = signal.filtfilt(*signal.butter(2, [0.6 / 15, 4 / 15], "band"), wave)
    power = np.abs(np.fft.fft(filtered * signal.windows.hann(len(wave))))
    power[: round(0.6 / 30 * len(wave))] = power[round(4 / 30 * len(wave)) :] = 0
    peaks = signal.find_peaks(power)[0]
    first, second = peaks[np.argsort(power[peaks])[::-1][:2]] / len(wave) * 30 * 60
    return float(np.clip(second if abs(first - 2 * second) < 10 else first, 60, 120))


def test_the_totals(ours):
    """Their rate term is a constant without a gradient, so configs/reference.py leaves it out of the training loss."""
    assert ours.config.loss.cqsl_rate == 0
    rates = np.array([[released_heart_rate(wave) for wave in clip[1:]] for clip in ours.outputs["wave"]])
    close(rates.reshape(-1), "heart_rates")
    rate = np.abs(rates[:, 0] - rates[:, 1]).sum() / 60
    assert rate > 0
    close(rate, "loss_rate")
    close(ours.loss - ours.weights.ce * ours.terms["ce"] + 0.2 * rate, "loss_contrast")
    close(ours.loss + 0.2 * rate, "loss_total")


def test_their_own_cross_entropy_follows_from_our_features(ours):
    """Their classifier's input holds the prompt of the true class; it is no part of the project's model."""
    state, name = case.state(), "classifier_rppg_cross_landmark_cat_prompt"
    seen = np.concatenate([ours.outputs["unified"][:, 0], ours.classes], axis=1)
    logits = seen @ state[f"{name}.weight"].T + state[f"{name}.bias"]
    fake, real = logits[:, 0], logits[:, 1]  # their labels: real 1, fake 0
    leaking = np.log1p(np.exp(fake - real))[0] + np.log1p(np.exp(real - fake))[1]
    close(leaking, "loss_ce_leaking")
    close(GOLDEN["loss_contrast"] + leaking, "loss_total_leaking")


@pytest.mark.parametrize("index", range(len(case.GRADIENTS)), ids=["/".join(path) for path in case.GRADIENTS.values()])
def test_the_norm_of_a_gradient(ours, index):
    """Of `loss_total`; their rate adds nothing to it."""
    path = list(case.GRADIENTS.values())[index]
    tolerance = PIXEL_TOLERANCE if set(path) & set(OF_PIXELS) else GRADIENT_TOLERANCE
    norm = np.sqrt((np.asarray(ours.gradients[path], np.float64) ** 2).sum())
    np.testing.assert_allclose(norm, GOLDEN["gradient_total"][index], rtol=tolerance)


def test_batch_statistics_of_one_clip_at_one_view(ours):
    """In train mode the reference normalises every view of every clip on its own; so does ours given one of them."""
    config = configuration()
    config.model.rppg.dropout = 0.0
    model = cpml.build(config.model.to_dict(), len(case.tokenizer()))
    inputs = {name: x[:1] for name, x in ours.inputs.items()}
    variables = {"params": ours.loaded.params, "batch_stats": ours.loaded.batch_stats}

    def wave(variables):
        outputs, _ = model.apply(
            variables, inputs, jnp.asarray(ours.classes), train=True, mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )  # fmt: skip
        return outputs["wave"][0, 0]  # the compiler leaves out what it does not need

    measured = jax.jit(wave, compiler_options=OPTIMISED)(variables)
    np.testing.assert_allclose(measured, GOLDEN["wave_train"][0], atol=TOLERANCE)
