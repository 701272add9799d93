"""Ready-made face crops and landmarks of FaceForensics++, in the original project's tree: nothing is detected again.

main.py prepare --config=configs/crop_tree.py:/path/to/tree      its layout: data_prep/sources/crop_tree.py
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base


def get_config(root: str = "") -> ConfigDict:
    config = base.get_config()
    _random_start.stand_in(config)
    config.name = "crop_tree"
    config.data.sources.crop_tree = base.source("crop_tree", root)
    config.train.dataset = "crop_tree"
    config.eval.protocols = ("in_dataset",)
    return config
