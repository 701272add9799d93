"""DeepFakeDetection, to test on: it has no splits, and the whole of it is a test set.

main.py prepare --config=configs/dfd.py:/path/to/root      the root may be that of FaceForensics++
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base


def get_config(root: str = "") -> ConfigDict:
    config = base.get_config()
    _random_start.stand_in(config)
    config.name = "dfd"
    config.data.sources.dfd = base.source("dfd", root, splits=("test",))
    config.train.dataset = "dfd"
    config.train.methods = ("DeepFakeDetection",)
    config.eval.protocols = ("in_dataset",)
    return config
