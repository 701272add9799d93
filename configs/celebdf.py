"""Celeb-DF, v1 or v2, to test on: the official list of test videos.

main.py prepare --config=configs/celebdf.py:/path/to/Celeb-DF-v2

To train on it, see data_prep/sources/celebdf.py: with data.sources.celebdf.splits=('train','val','test') nobody of the
test is seen in training; with data.sources.celebdf.kind=celebdf_official too, every video outside the list is used.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(root: str = "") -> ConfigDict:
    config = base.get_config()
    config.name = "celebdf"
    config.data.sources.celebdf = base.source("celebdf", root, compressions=(), methods=(), splits=("test",))
    config.train.dataset = "celebdf"
    config.train.qualities = ("unknown",)
    config.train.views = "downsampled"
    config.train.methods = ("Celeb-synthesis",)
    config.eval.protocols = ("in_dataset",)
    return config
