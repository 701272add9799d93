"""PyTorch's side: the work of a row as a function without arguments. JAX is not imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from ml_collections import ConfigDict
from torch import Tensor

from benchmarks.side_by_side import rows
from benchmarks.side_by_side.rows import COMPILED, INFER, RELEASED, STEP, Row
from benchmarks.torch_model import losses, released
from benchmarks.torch_model.augment import mirrored
from benchmarks.torch_model.cpml import CPML
from benchmarks.torch_model.optimizer import Optimizer
from benchmarks.torch_model.physformer import PhysFormer
from cpml_jax.configs import reference
from cpml_jax.data.batch import Batch

_INPUTS = ("frames", "landmarks", "stills")


def build(row: Row, config: ConfigDict, contestant: str, device: str, threads: int) -> Callable[[], Any]:
    """A function that does the row's work once, and returns when it is done.

    Args:
      config: rows.configuration's. contestant: EAGER, COMPILED or RELEASED.
      device: cpu or gpu. threads: on the CPU.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    place = torch.device("cuda" if device == "gpu" else "cpu")
    if contestant == RELEASED:
        return waited_for(released_step(config, place), place)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    batch = on_device(rows.batch(config), place)
    if row.work == STEP:
        return waited_for(whole_step(config, batch, place, contestant == COMPILED), place)
    return waited_for(physformer(row.work, config, batch["frames"][:, 0], place, contestant == COMPILED), place)


def peak_memory() -> int:
    """Bytes of the GPU at most."""
    return torch.cuda.max_memory_allocated()


def on_device(batch: Batch, place: torch.device) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array).to(place) for name, array in batch.items()}


def waited_for(work: Callable[[], Any], place: torch.device) -> Callable[[], Any]:
    """The same, done when it returns."""
    if place.type == "cpu":
        return work

    def waited() -> Any:
        result = work()
        torch.cuda.synchronize()
        return result

    return waited


def prepared(model: Any, place: torch.device) -> Any:
    """On its device, in the order of axes in which its convolutions are fastest, in training mode."""
    return model.to(place).to(memory_format=torch.channels_last_3d).train()


def whole_step(config: ConfigDict, batch: Mapping[str, Tensor], place: torch.device, compiled: bool) -> Callable:
    """Forward pass, losses, backward pass, update. Returns the loss."""
    tokens, vocabulary = rows.tokens(config)
    prompts = None if tokens is None else torch.from_numpy(tokens).long().to(place)
    classes, loss = len(rows.prompts_of(config)), config.loss.to_dict()
    model = prepared(CPML(config.model.to_dict(), config.data.num_frames, classes, vocabulary), place)
    model.rppg.fuse_attention(place.type == "cuda")  # on a CPU it is slower with dropout
    optimizer = Optimizer(model, steps=config.train.steps, **config.optim.to_dict())
    views, flip = rows.views_of(config)[1], config.train.flip
    inputs = {name: batch[name] for name in _INPUTS if name in batch}

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        with torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
            outputs = model(inputs, prompts, views)
        return losses.total_loss(model, outputs, batch, loss)[0]

    forward = torch.compile(forward) if compiled else forward

    def step() -> Tensor:
        chosen = torch.rand(len(batch["label"]), device=place) < 0.5
        total = forward(mirrored(inputs, chosen) if flip else inputs)
        total.backward()
        optimizer.update()
        return total.detach()

    return step


def physformer(work: str, config: ConfigDict, frames: Tensor, place: torch.device, compiled: bool) -> Callable:
    """PhysFormer alone: its mean square wave and gradients, or its waves."""
    model = prepared(PhysFormer(config.model.rppg.to_dict()), place)
    model.fuse_attention(place.type == "cuda" or work == INFER)

    def forward() -> Tensor:
        with torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
            return model(frames)[0]

    forward = torch.compile(forward) if compiled else forward
    if work == INFER:
        model.eval()
        return torch.inference_mode()(forward)

    def gradients() -> Tensor:
        model.zero_grad(set_to_none=True)
        loss = forward().square().mean()
        loss.backward()
        return loss.detach()

    return gradients


def released_step(config: ConfigDict, place: torch.device) -> Callable[[], float]:
    """The authors' step on one pair; the row's configuration gives sizes, their wiring is configs/reference.py's."""
    settings, wiring = config.model.to_dict(), reference.get_config().model
    settings |= {"fusion_wiring": wiring.fusion_wiring}
    settings["rppg"] |= {"pfe_views": wiring.rppg.pfe_views, "input_norm": wiring.rppg.input_norm}
    tokens, vocabulary = rows.tokens(config)
    if tokens is None:
        raise ValueError("the authors' step has class prompts")
    pair = config.copy_and_resolve_references()
    pair.train.batch_size = released.CLIPS
    batch, prompts = on_device(rows.batch(pair), place), torch.from_numpy(tokens).long().to(place)
    model = released.Released(settings, config.data.num_frames, vocabulary).to(place).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.optim.learning_rate)
    return lambda: released.step(model, optimizer, batch, prompts)
