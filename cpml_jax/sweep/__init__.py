"""The sweep: the runs that a protocol's tables need, trained and evaluated, one after the other."""

from cpml_jax.sweep.command import run

__all__ = ["run"]
