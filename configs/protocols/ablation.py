"""Rows of configs/ablation.py, tested across compressions and data sets.

main.py sweep --protocol=ablation --config=configs/protocols/ablation.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "cross_compression", "cross_dataset")
