"""One compression, all methods: tested by method and all together.

main.py sweep --config=configs/protocols/in_dataset.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "in_dataset")
