"""The sweep: the runs that the tables of the protocols need, trained and evaluated one after the other."""

from cpml_jax.sweep.command import run

__all__ = ["run"]
