"""The command `cpml-jax` of a checkout: see cpml_jax/cli.py."""

if __name__ == "__main__":  # not in the processes that read videos, which import this file, too
    from cpml_jax.cli import run

    run()
