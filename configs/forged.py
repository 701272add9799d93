"""One's own real videos, forged here: trained and tested on nothing that others have to give.

    main.py --config=configs/forged.py:/path/to/real/videos      from the videos to report.html
    main.py forge --config=configs/forged.py:list.csv            the forged videos alone, and a page to look at

The argument is a folder or a CSV of real videos (docs/forging.md). Trained on raw + c23; c28 and c40 are never seen in
training or validation.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import base, synthetic
from cpml_jax.schema import FORGED_METHODS

SEEN, UNSEEN = ("raw", "c23"), ("c28", "c40")


def forging(real: str) -> ConfigDict:
    """Arguments of data_prep.forge.generate: what is made of the real videos."""
    return ConfigDict(
        dict(
            input=real,  # folder or CSV
            kinds=FORGED_METHODS,
            copies=dict(train=4, val=2, test=2),  # forgeries of each kind for a real clip
            compressions=dict(train=SEEN, val=SEEN, test=(*SEEN, *UNSEEN)),
            frames=132,  # at 30 frames/s; a few more than data.num_frames: the track may begin after the first
            size=256,  # pixels, side of the square around the face
            seed=31,
        )
    )


def get_config(real: str = "") -> ConfigDict:
    config = base.get_config()
    model(config)
    config.name = "forged"
    forged = base.source("forged", "{workdir}/videos/forged")
    forged.forge = forging(real)
    config.data.sources = ConfigDict(dict(forged=forged))
    config.data.num_frames = 128
    config.train.dataset = "forged"
    config.train.compressions = SEEN
    config.train.methods = FORGED_METHODS
    config.eval.protocols = ("in_dataset", "cross_compression")
    config.eval.compressions = (*SEEN, *UNSEEN)
    return config


def model(config: ConfigDict) -> None:
    """The drawn default's streams and training; texture over time, and an image encoder that comes trained."""
    synthetic.small(config)
    config.loss.teacher = 2.0
    config.loss.ce_views = "all"
    # Videos that were compressed before have hardly any pulse: noise would teach noise.
    config.train.pulse_snr_p = 0.05
    # What tells forged from real here, figures of logistic regressions: docs/method.md, Visual and Texture.
    config.model.modalities = ("rppg", "landmarks", "visual", "texture")
    visual = config.model.visual
    visual.encoder, visual.weights, visual.trained = "efficientnet_lite0", "package", "norm"
    visual.pool, visual.image_size, visual.frames = "regions", 128, 8
    visual.contrast = 0  # texture's sharpness has more
    # AUC at raw, c23 of a quarter of the people of training and validation, left out, one forgery of each kind for
    # each of the others: 0.68, 0.66 with the encoder frozen and all of 6 stills (300 steps); 0.74, 0.69 so, with 2 of
    # 12 (600 steps, the best of which was 400). Trained whole at a fifth of the rate it had learned no more after 300
    # steps, and a step took 1.7 times as long.
    config.train.stills, config.train.vary_stills = 2, True
    config.train.steps, config.train.eval_every = 400, 80
