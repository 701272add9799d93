"""Comparison: runs side by side, with their differences and what these are worth."""

from cpml_jax.compare.command import run

__all__ = ["run"]
