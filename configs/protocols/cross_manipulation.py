"""Leave one manipulation out, all rotations; and train on one, test on the others.

main.py sweep --config=configs/protocols/cross_manipulation.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "cross_manipulation")
