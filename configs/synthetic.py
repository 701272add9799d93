"""The embedded default: drawn faces, forged and compressed for real, in minutes on two CPU cores.

    main.py --config=configs/synthetic.py          minutes on 2 cores
    main.py --config=configs/synthetic.py:full     160 frames and the full-size model, for an accelerator

Trained on recorded raw + c23 pairs; c28, c32, c40 and domain B (another camera) are never seen in training or
validation.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base
from cpml_jax.errors import UserError
from cpml_jax.schema import FFPP_METHODS

SEEN, UNSEEN = ("raw", "c23"), ("c28", "c32", "c40")


def drawing(
    style: str,
    identities: dict[str, int],
    frames: int,
    size: int,
    compressions: dict[str, tuple[str, ...]],
    seed: int,
) -> ConfigDict:
    """Arguments of data_prep.synthetic.generate: what to draw."""
    return ConfigDict(
        dict(
            style=style,
            identities=identities,
            frames=frames,
            size=size,
            compressions=compressions,
            methods=FFPP_METHODS,
            seed=seed,
        )
    )


def get_config(size: str = "small") -> ConfigDict:
    sizes = {"small": small, "full": full}
    if size not in sizes:
        raise UserError(f"configs/synthetic.py:{size}: the argument is one of {', '.join(sizes)}")
    config = base.get_config()
    sizes[size](config)
    config.train.dataset = "synthetic"
    config.train.compressions = SEEN
    config.eval.protocols = ("in_dataset", "cross_compression", "cross_dataset")
    config.eval.cross_datasets = ("synthetic_b",)
    # From scratch there are no trained PhysFormer weights: without its teacher the pulse stream does not learn.
    config.loss.teacher = 2.0
    config.loss.ce_views = "all"
    return config


def sources(
    config: ConfigDict, *, frames: int, pixels: int, identities: dict[str, int], identities_b: int, seed: int = 21
) -> None:
    """Domain A for training, validation and test; domain B for testing alone. UNSEEN only where it is tested."""
    tested = (*SEEN, *UNSEEN)
    config.eval.compressions = tested
    config.data.sources.synthetic = base.source("ffpp", "{workdir}/videos/a", compressions=tested, methods=FFPP_METHODS)
    config.data.sources.synthetic.draw = drawing(
        "a", identities, frames, pixels, {"train": SEEN, "val": SEEN, "test": tested}, seed
    )
    config.data.sources.synthetic_b = base.source(
        "ffpp", "{workdir}/videos/b", compressions=("c23",), methods=FFPP_METHODS, splits=("test",)
    )
    # 25 frames/s: fewer frames last as long; two more leave room for the resampling to 30.
    config.data.sources.synthetic_b.draw = drawing(
        "b", {"test": identities_b}, frames * 25 // 30 + 2, pixels, {"test": ("c23",)}, seed + 1
    )


def small(config: ConfigDict) -> None:
    config.name = "synthetic"
    config.data.num_frames = 128
    config.data.cache_mb = 2048
    sources(config, frames=128, pixels=160, identities={"train": 32, "val": 12, "test": 48}, identities_b=16)

    config.train.batch_size = 8
    config.train.steps = 300
    config.train.eval_every = 60
    config.train.checkpoint_every = 20
    config.train.log_every = 5
    config.optim.learning_rate = 5e-3
    config.optim.warmup_steps = 10
    config.optim.final_fraction = 0.05
    # Figures here are AUCs at raw on the 12 people of the validation split, seed 0, if not said otherwise.
    # At the rate that the small parts need, PhysFormer and the GRUs memorise 32 people. Landmarks alone, 240 steps,
    # Face2Face and NeuralTextures: 0.90, 0.91 with the GRUs' rate a tenth; 0.85, 0.91 at the full rate.
    config.optim.groups = (("rppg/", 0.2), ("landmarks/", 0.1), ("fusion/out", 4.0))

    # No package has CLIP's weights, and a text encoder that starts at random tells templates apart as far as classes:
    # under its prompts cross-entropy stayed at 0.69 for 240 steps.
    config.model.head = "prototypes"
    config.model.unified_dim = 64
    config.model.fusion_stage_pool = "global"
    # Each forgery breaks something else: told apart they are learned better than as one class.
    config.model.text_encoder.classes = "methods"
    # AUC at raw and c23, all forgeries; Deepfakes, Face2Face, NeuralTextures at raw; 240 steps:
    #   agreement as a map of 8 x 8 with the wave, weaker cues   0.68       0.64  0.75  0.81
    #   two regions (agreement.py), a spectrum of 35 numbers     0.80 0.63  0.99  0.90  0.67
    #   the same, forgeries told apart                           0.84 0.66  0.99  0.94  0.76
    #   and the wide parts damped, the spectrum twice            0.87 0.69  1.00  0.94  0.81
    # With the visual stream (another 48 people, seed 0, 300 steps): AUC at raw, c23 and an unseen c26; FaceSwap at raw:
    #   without                                                  0.77 0.72 0.69  0.51
    #   contrast of 12 x 12 cells, share 1; 0.3                  0.83 0.77 0.72  0.95; 0.84 0.80 0.75  0.95
    #   8 x 8, share 0.3                                         0.82 0.74 0.68  0.81
    #   12 x 12, share 0.5, the spectrum's 8, agreement's 3,
    #   and no dropout on these numbers                          0.87 0.84 0.75  0.90
    #   and loss.sparsity 0.002, 0.006, 0.02                     0.89 0.86 0.78  0.94; 0.89 0.85 0.78; 0.88 0.81 0.77
    config.loss.sparsity = 0.004
    # CQSL as its pull alone, CMCL without repel (docs/results.md, What CQSL and CMCL need). The push takes the pulse
    # away from real faces: their waves' correlation with the truth at raw, c23, c26 was 0.74, 0.54, 0.43 with it, 0.78,
    # 0.60, 0.48 without both losses, 0.79, 0.63, 0.53 with these.
    config.loss.cqsl, config.loss.cqsl_push, config.loss.cqsl_rate = 1.0, 0.0, 0.0
    config.loss.cmcl_repel, config.loss.cmcl_steady = 0.0, 100.0
    config.model.modalities = ("rppg", "landmarks", "visual")
    config.model.fusion_landmarks = "beside"
    config.model.fusion_dropout = 0.2
    # On an earlier drawing, whose faces hardly moved, 20 people for training, rppg alone with a map of agreement, AUC
    # at raw, seconds a step on one core: patch (4, 2, 2) 0.92, 0.52; patch (4, 4, 4), one token a moment, 0.94, 0.26;
    # stem (8,) 0.89, 0.42. Today's two regions, a weaker pulse, 180 steps, Deepfakes: 0.81, and 0.58 without them.
    rppg = config.model.rppg
    rppg.frame_size = 16
    rppg.stem = (8, 16)
    rppg.patch = (4, 4, 4)
    rppg.agreement = 16
    rppg.dim = 32
    rppg.ff_dim = 48
    rppg.blocks = 3
    rppg.input_norm = "temporal"
    # A frame moves a point by some 0.005 of the face box, of which a GRU that starts at random sees little; and a
    # forgery's jitter is an energy, which takes many frames to measure.
    config.model.landmarks.delta_scale = 200.0
    config.model.landmarks.memory = 60.0
    # Face2Face at raw and c23 beside the pulse: 0.92, 0.71 with LRNet's 0.5, 0.94, 0.85 with this.
    config.model.landmarks.dropout = 0.2
    # Landmarks alone on weaker forgeries, 24 people, all, Face2Face, NeuralTextures: 0.48, 0.46, 0.53 without the
    # spectrum (240 steps), 0.65, 0.74, 0.81 with it (160 steps).
    config.model.landmarks.spectrum = True
    text = config.model.text_encoder  # of the rows that have prompts
    text.prompts = "ensemble"
    text.width, text.layers, text.heads, text.context_length = 64, 2, 4, 24
    visual = config.model.visual
    # An image encoder that starts at random learns nothing of 32 people in 300 steps (FaceSwap: 0.50).
    visual.encoder = "none"
    visual.contrast = 12
    visual.image_size, visual.patch, visual.width, visual.layers, visual.heads = 64, 8, 64, 2, 4


def full(config: ConfigDict) -> None:
    config.name = "synthetic_full"
    sources(config, frames=160, pixels=256, identities={"train": 120, "val": 24, "test": 48}, identities_b=48)
    config.data.cache_mb = 16_384
    config.train.batch_size = 32
    config.train.steps = 4000
    config.train.precision = "bfloat16"
    _random_start.stand_in(config)
    config.optim.warmup_steps = 200
