"""AUC against the strength of corruptions.

main.py --config=configs/protocols/corruption.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "corruption")
