"""The configurations that ablation.py and protocols.py change: the drawn benchmark and FaceForensics++."""

from ml_collections import ConfigDict

from cpml_jax.configs import ffpp, synthetic
from cpml_jax.errors import UserError

BASES = {"synthetic": synthetic.get_config, "ffpp": ffpp.get_config}


def start(argument: str, where: str) -> ConfigDict:
    """A base by its name, with its own argument behind a colon: synthetic:full, ffpp:c23,c40; "" is synthetic.

    Args:
      where: what the user wrote, for the error.

    Raises:
      UserError: there is no such base.
    """
    name, _, of_base = (argument or "synthetic").partition(":")
    if name not in BASES:
        raise UserError(f"{where}: unknown base {name!r}; the bases are {', '.join(BASES)}")
    return BASES[name](*([of_base] if of_base else []))
