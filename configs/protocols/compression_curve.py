"""AUC against rate, re-encoded by several codecs.

main.py --config=configs/protocols/compression_curve.py:synthetic
"""

from ml_collections import ConfigDict

from configs.protocols import _base


def get_config(base: str = "synthetic") -> ConfigDict:
    return _base.start(base, "compression_curve")
