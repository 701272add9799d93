"""Celeb-DF, v1 or v2, to test on: the official list of test videos.

main.py prepare --config=configs/celebdf.py:/path/to/Celeb-DF-v2

v2 cannot be trained on without the people of its test (data_prep/sources/celebdf.py). To do it all the same, as the
field does: data.sources.celebdf.kind=celebdf_official and data.sources.celebdf.splits=('train','val','test').
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base


def get_config(root: str = "") -> ConfigDict:
    config = base.get_config()
    _random_start.stand_in(config)
    config.name = "celebdf"
    config.data.sources.celebdf = base.source("celebdf", root, splits=("test",))
    config.train.dataset = "celebdf"
    config.train.compressions = ("unknown",)
    config.train.views = "downsampled"
    config.train.methods = ("Celeb-synthesis",)
    config.eval.protocols = ("in_dataset",)
    return config
