"""Which values of `config.model` fit together."""

from __future__ import annotations

from collections.abc import Mapping

from cpml_jax.errors import UserError
from cpml_jax.models.fusion import STAGE_POOLS
from cpml_jax.models.streams import STREAMS


def check_streams(modalities: tuple[str, ...], stage_pool: str, parts: Mapping[str, Mapping]) -> None:
    """Refuse what no model can be made of.

    Args:
      modalities, stage_pool: see fusion.py.
      parts: settings of every stream and of the text encoder, by name.

    Raises:
      UserError: the first of them.
    """
    if not modalities or set(modalities) - set(STREAMS) or len(set(modalities)) != len(modalities):
        raise UserError(f"model.modalities={modalities}; it is a non-empty subset of {tuple(STREAMS)}")
    if stage_pool not in STAGE_POOLS:
        raise UserError(f"model.fusion_stage_pool={stage_pool!r}; it is one of {STAGE_POOLS}")
    width, heads = parts["text_encoder"]["width"], parts["text_encoder"]["heads"]
    if width % heads:
        raise UserError(f"model.text_encoder.width={width} must be a multiple of its {heads} heads")
    for name, stream in STREAMS.items():
        try:
            stream.check(parts[name])
        except ValueError as error:
            raise UserError(f"model.{error}") from None


def check_temperature(temperature: float, lowest: float) -> None:
    """Refuse a start at which scores would not tell the classes apart, or beyond the limit of what is learned."""
    if not lowest <= temperature <= 10:
        raise UserError(f"model.temperature={temperature} is between {lowest:g} and 10")
