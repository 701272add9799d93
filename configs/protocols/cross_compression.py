"""Train at each compression and each pair of them, test at each: the full matrix.

main.py sweep --config=configs/protocols/cross_compression.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "cross_compression")
