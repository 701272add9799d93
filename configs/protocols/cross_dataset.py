"""Trained at eval.cross_compression, tested on other data sets.

main.py sweep --config=configs/protocols/cross_dataset.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "cross_dataset")
