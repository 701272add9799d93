"""One's own videos: a folder with real/ and fake/, or a CSV.

Its columns: path,label[,identity,method,compression,split,video,target].

main.py prepare --config=configs/folder.py:/path/to/videos                records and a page to look at
main.py prepare --config=configs/folder.py:hf://datasets/OWNER/NAME       of the Hugging Face hub (docs/open_data.md)
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base


def get_config(root: str = "") -> ConfigDict:
    config = base.get_config()
    _random_start.stand_in(config)
    config.name = "folder"
    config.data.sources.folder = base.source("folder", root, splits=())
    config.train.dataset = "folder"
    config.train.compressions = ("unknown",)
    config.train.views = "downsampled"
    config.train.methods = ("fake",)
    config.eval.protocols = ("in_dataset",)
    # real/ and fake/ do not name whom a fake was made from; with a CSV whose targets do, "matched".
    config.loss.push_pairs = "all"
    return config
