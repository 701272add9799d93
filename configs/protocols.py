"""A base with the tests of one protocol: configs/protocols.py:<protocol>:<base>[:<the base's own argument>].

main.py sweep --config=configs/protocols.py:cross_compression:synthetic     train at each compression and each pair of
                                                                            them, test at each: the full matrix
main.py sweep --config=configs/protocols.py:cross_manipulation:ffpp         leave one manipulation out, all rotations
main.py --config=configs/protocols.py:compression_curve:synthetic:full      AUC against rate, by several codecs

The bases are synthetic and ffpp. The configurations of one base share their records and default workdir.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _bases, base
from cpml_jax.errors import UserError

# protocol -> eval.protocols
PROTOCOLS = {
    "in_dataset": ("in_dataset",),
    "cross_compression": ("cross_compression",),
    "cross_manipulation": ("cross_manipulation",),
    "cross_dataset": ("cross_dataset",),
    "compression_curve": ("compression_curve",),
    "corruption": ("corruption",),
    "ablation": ("cross_compression", "cross_dataset"),  # the tests of every row: sweep --protocol=ablation
}
# source -> kind: the sets that cross_dataset tests on. Their roots are given on the command line:
# --config.data.sources.celebdf_v2.root=FOLDER; sets that you lack are left out of eval.cross_datasets.
OTHER_SETS = {
    "celebdf_v1": "celebdf",
    "celebdf_v2": "celebdf",
    "dfd": "dfd",
    "dfdc_preview": "dfdc_preview",
    "dfdc": "dfdc",
}


def get_config(argument: str = "") -> ConfigDict:
    protocol, _, of_base = argument.partition(":")
    where = f"configs/protocols.py:{argument}".removesuffix(":")
    if protocol not in PROTOCOLS:
        raise UserError(
            f"{where}: name a protocol and a base, as configs/protocols.py:cross_compression:synthetic; the protocols "
            f"are {', '.join(PROTOCOLS)}, the bases {', '.join(_bases.BASES)}"
        )
    config = _bases.start(of_base, where)
    if config.train.dataset == "synthetic":
        _draw_every_compression(config)
    else:
        _add_other_sets(config)
    config.name += "_protocols"
    config.eval.protocols = PROTOCOLS[protocol]
    return config


def _draw_every_compression(config: ConfigDict) -> None:
    """The default benchmark draws c40 for its test alone; the full matrix trains on it too."""
    drawn = config.data.sources.synthetic.draw
    drawn.compressions = {split: tuple(config.eval.compressions) for split in drawn.identities}


def _add_other_sets(config: ConfigDict) -> None:
    for name, kind in OTHER_SETS.items():
        # DFD lies beside FF++, at the same compressions; of the others there is one, named unknown.
        compressions = (config.eval.cross_compression,) if kind == "dfd" else ()
        config.data.sources[name] = base.source(kind, "", compressions=compressions, splits=("test",))
    config.eval.cross_datasets = tuple(OTHER_SETS)
