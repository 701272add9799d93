"""Comparison: runs side by side, with tests of their differences."""

from cpml_jax.compare.command import run

__all__ = ["run"]
