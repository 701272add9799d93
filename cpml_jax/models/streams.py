"""The model's streams: what each reads, its module, and what it hands to the fusion and to the losses.

To add a stream: its module, an entry of STREAMS, and its settings as `model.<name>` in configs/base.py. A field of
the records that no stream has read yet, or a number that the reader measures on them, is added to schema.py, and to
INPUTS.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Shaped

from cpml_jax.data import augment
from cpml_jax.errors import UserError
from cpml_jax.models import views, visual
from cpml_jax.models.landmark_rnn import LandmarkRNN
from cpml_jax.models.motion_spectrum import motion_spectrum
from cpml_jax.models.physformer import PhysFormer
from cpml_jax.models.texture_contrast import texture_contrast

# What streams can read (schema.MODEL_INPUTS), and how each is mirrored left to right.
INPUTS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "frames": augment.mirrored_frames,
    "stills": augment.mirrored_frames,
    "landmarks": augment.mirrored_landmarks,
    "texture": augment.mirrored_cells,
}

Settings = Mapping[str, Any]  # config.model.<name>, without its weights
Inputs = Mapping[str, jax.Array]  # (B, V, ...), of INPUTS


class Pass(NamedTuple):
    """One forward pass: whether it trains, the views to make of view 0, and a source of random keys for training."""

    train: bool
    downsampled: tuple[str, ...]
    draw_key: Callable[[], jax.Array]


class Encoded(NamedTuple):
    """What a stream makes of its inputs. Rows N = B V', in (B, V') order, are the first axis of every array.

    Attributes:
      fused: what the fusion takes: features (N, F); of the rppg stream (wave (N, T), stages); of a stream whose
        features stand beside numbers of their own share, both (fusion.py).
      feature: (N, F) what the affinity loss compares.
      outputs: what the model gives by name. intermediates: likewise, among its intermediates.
    """

    fused: Any
    feature: jax.Array
    outputs: dict[str, jax.Array]
    intermediates: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Stream:
    """One branch of the model.

    Attributes:
      name: in `model.modalities`; its settings are `model.<name>`, and its parameters' paths start with it.
      inputs: those of INPUTS that it reads.
      build: (settings, D, compute dtype) -> its module; None: it has no parameters.
      encode: (module, settings, inputs, forward pass) -> Encoded. With downsampled views the inputs have one view.
      check: settings -> None; UserError, in one line that names the key, if they do not fit together.
    """

    name: str
    inputs: tuple[str, ...]
    build: Callable[[Settings, int, Any], nn.Module | None]
    encode: Callable[[Any, Settings, Inputs, Pass], Encoded]
    check: Callable[[Settings], None]


def rows(x: Shaped[Array, "B V *rest"]) -> Shaped[Array, "BV ..."]:
    """Views as rows of one batch."""
    return x.reshape(-1, *x.shape[2:])


def build_rppg(settings: Settings, unified_dim: int, dtype: Any) -> PhysFormer:
    return PhysFormer(dtype=dtype, **settings)


def encode_rppg(module: PhysFormer, settings: Settings, inputs: Inputs, forward: Pass) -> Encoded:
    frames = inputs["frames"]
    wave, stages, agreement = module.encode(
        rows(frames), train=forward.train, downsampled=forward.downsampled, views=frames.shape[1]
    )
    # The pulse's phase says nothing about the class: the mean over the last stage's tokens.
    fused = (wave, stages) if agreement is None else (wave, stages, agreement)
    return Encoded(fused, stages[-1].mean(axis=1), {"wave": wave}, {"stages": stages})


def check_rppg(settings: Settings) -> None:
    PhysFormer(**settings).check()


def build_landmarks(settings: Settings, unified_dim: int, dtype: Any) -> LandmarkRNN:
    """In float32 whatever the compute dtype is: see landmark_rnn.py."""
    return LandmarkRNN(**{name: value for name, value in settings.items() if name != "spectrum"})


def encode_landmarks(module: LandmarkRNN, settings: Settings, inputs: Inputs, forward: Pass) -> Encoded:
    """A made view's jitter is on its positions alone, as in the reference: a fit's error is no motion of the face."""
    points = unjittered = inputs["landmarks"]
    if forward.downsampled:
        key = forward.draw_key() if forward.train else None
        points = views.landmark_views(points[:, 0], forward.downsampled, key)
        unjittered = jnp.broadcast_to(unjittered[:, :1], points.shape)
    features = module(rows(points), rows(unjittered), train=forward.train)
    fused = (features, motion_spectrum(rows(unjittered))) if settings.get("spectrum") else features
    return Encoded(fused, features, {}, {"z_land": features})


def check_landmarks(settings: Settings) -> None:
    if not (settings["memory"] == 0 or settings["memory"] > 1):
        raise UserError(f"model.landmarks.memory={settings['memory']} is 0 or more than 1 frame")


def encode_visual(module: Any, settings: Settings, inputs: Inputs, forward: Pass) -> Encoded:
    """The stills' features, and the contrast of their fine texture; without an encoder the contrast alone."""
    stills = rows(inputs["stills"])
    contrast = None
    if settings["contrast"]:
        contrast = texture_contrast(stills, settings["contrast"], forward.downsampled)
    if module is None:
        assert contrast is not None  # validation refuses a stream of nothing
        return Encoded((None, contrast), contrast, {}, {})
    features = visual.embed_stills(module, settings, stills, forward.downsampled, train=forward.train)
    fused = features if contrast is None else (features, contrast)
    return Encoded(fused, features, {}, {"z_visual": features})


def encode_texture(module: None, settings: Settings, inputs: Inputs, forward: Pass) -> Encoded:
    """The numbers as the reader measured them. Made views have view 0's, which is for shapes alone: init_everything
    makes views that no run with this stream may have (validation/training.py)."""
    numbers = inputs["texture"]
    if forward.downsampled:
        numbers = jnp.repeat(numbers, 1 + len(forward.downsampled), axis=1)
    flat = rows(numbers).reshape(-1, math.prod(numbers.shape[2:]))
    return Encoded(flat, flat, {}, {})


# In the order of the model's random draws, and of the features that the fusion concatenates.
STREAMS: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("rppg", ("frames",), build_rppg, encode_rppg, check_rppg),
        Stream("landmarks", ("landmarks",), build_landmarks, encode_landmarks, check_landmarks),
        Stream("visual", ("stills",), visual.build, encode_visual, visual.check),
        Stream("texture", ("texture",), lambda *_: None, encode_texture, lambda settings: None),
    )
}


def inputs_of(modalities: Iterable[str]) -> tuple[str, ...]:
    """Those of INPUTS that these streams read."""
    read = {name for stream in modalities for name in STREAMS[stream].inputs}
    return tuple(name for name in INPUTS if name in read)


def held_inputs(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Those of INPUTS that a batch holds."""
    return {name: batch[name] for name in INPUTS if name in batch}


def mirror(inputs: Inputs, chosen: jax.Array) -> dict[str, jax.Array]:
    """Mirror the chosen clips (B,) bool left to right; all views of a clip alike, so that pairs stay aligned."""
    return {name: augment.where_clip(chosen, INPUTS[name](x), x) for name, x in inputs.items()}
