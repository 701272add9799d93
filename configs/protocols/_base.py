"""The bases that every protocol starts from. Those of one base share their records and default workdir."""

import importlib

from ml_collections import ConfigDict

from configs import base

BASES = ("synthetic", "ffpp")
# source -> kind: the sets that cross_dataset tests on. Their roots are given on the command line:
# --config.data.sources.celebdf_v2.root=FOLDER; sets that you lack are left out of eval.cross_datasets.
OTHERS = {
    "celebdf_v1": "celebdf",
    "celebdf_v2": "celebdf",
    "dfd": "dfd",
    "dfdc_preview": "dfdc_preview",
    "dfdc": "dfdc",
}


def start(argument: str, *protocols: str) -> ConfigDict:
    """A base by its file's name, with that file's own argument behind a colon: synthetic:full, ffpp:c23,c40."""
    name, _, own = argument.partition(":")
    if name not in BASES:
        raise ValueError(f"configs/protocols: unknown base {name!r}; there are: {', '.join(BASES)}")
    config = importlib.import_module(f"configs.{name}").get_config(*([own] if own else []))
    _draw_every_compression(config) if name == "synthetic" else _add_other_sets(config)
    config.name += "_protocols"
    config.eval.protocols = protocols
    return config


def _draw_every_compression(config: ConfigDict) -> None:
    """The default benchmark draws c40 for its test alone; the full matrix trains on it too."""
    drawn = config.data.sources.synthetic.draw
    drawn.compressions = {split: tuple(config.eval.compressions) for split in drawn.identities}


def _add_other_sets(config: ConfigDict) -> None:
    for name, kind in OTHERS.items():
        # DFD lies beside FF++, at the same compressions; of the others there is one, named unknown.
        compressions = (config.eval.cross_compression,) if kind == "dfd" else ()
        config.data.sources[name] = base.source(kind, "", compressions=compressions, methods=(), splits=("test",))
    config.eval.cross_datasets = tuple(OTHERS)
