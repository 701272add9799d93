"""The command `cpml-jax` of a checkout: see cpml_jax/cli.py."""

from cpml_jax.cli import run

if __name__ == "__main__":
    run()
