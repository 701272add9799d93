"""FaceForensics++, the paper's recipe: recorded pairs of two compressions, tested on all three.

    main.py --config=configs/ffpp.py --config.data.sources.ffpp.root=/path/to/FaceForensics++
    main.py --config=configs/ffpp.py:c23,c40 ...    which compressions to train on, best first

The paper starts from trained CLIP, PhysFormer and LRNet weights (learning rate 1e-5). Without them training
starts at random, so the pulse teacher and a larger learning rate stand in; set loss.teacher=0 once you have them.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import base
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
    config.optim.learning_rate = 3e-4
    config.optim.warmup_steps = 500
    config.loss.teacher = 2.0  # as heavy as the cross-entropy: both are 2 times a mean
    config.model.rppg.input_norm = "temporal"
    return config
