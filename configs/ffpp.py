"""FaceForensics++ from a random start: recorded pairs of two compressions, tested on all three.

    main.py --config=configs/ffpp.py --config.data.sources.ffpp.root=/path/to/FaceForensics++
    main.py --config=configs/ffpp.py:c23,c40 ...    which compressions to train on, best first

The paper starts from trained CLIP, PhysFormer and LRNet weights (learning rate 1e-5). What stands in for them here is
configs/_random_start.py's; a line at the start of training says so.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base
from cpml_jax.errors import UserError
from cpml_jax.schema import FFPP_METHODS

COMPRESSIONS = ("raw", "c23", "c40")  # best first


def get_config(compressions: str = "raw,c23") -> ConfigDict:
    chosen = tuple(compressions.split(","))
    unknown = [compression for compression in chosen if compression not in COMPRESSIONS]
    if unknown:
        raise UserError(f"configs/ffpp.py:{compressions}: {unknown[0]!r} is not one of {', '.join(COMPRESSIONS)}")
    config = base.get_config()
    config.name = "ffpp_" + "_".join(chosen)
    config.data.sources.ffpp = base.source("ffpp", "", compressions=COMPRESSIONS, methods=FFPP_METHODS)
    config.train.dataset = "ffpp"
    config.train.compressions = tuple(sorted(chosen, key=COMPRESSIONS.index))
    config.train.views = "recorded" if len(chosen) > 1 else "downsampled"
    config.train.batch_size = 32
    config.train.steps = 10_000
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    config.train.precision = "bfloat16"
    _random_start.stand_in(config)
    config.optim.warmup_steps = 500
    return config
