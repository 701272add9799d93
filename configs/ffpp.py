"""FaceForensics++: from a random start on recorded pairs of two compressions, or the paper's recipe.

    main.py --config=configs/ffpp.py --config.data.sources.ffpp.root=/path/to/FaceForensics++
    main.py --config=configs/ffpp.py:c23,c40 ...    which compressions to train on, best first
    main.py --config=configs/ffpp.py:paper ...      the paper's recipe; ffpp.py:paper:c23 trains on c23, not on raw

The paper starts from trained CLIP, PhysFormer and LRNet weights; what `paper` lacks of them is said before any work.
Without `paper`, configs/_random_start.py stands in for them; a line at the start of training says so.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base
from cpml_jax.errors import UserError
from cpml_jax.schema import FFPP_METHODS

COMPRESSIONS = ("raw", "c23", "c40")  # best first


def get_config(argument: str = "raw,c23") -> ConfigDict:
    recipe, _, rest = argument.partition(":")
    if recipe == "paper":
        return paper(rest or "raw", f"configs/ffpp.py:{argument}")
    chosen = read_compressions(argument, f"configs/ffpp.py:{argument}")
    config = dataset()
    config.name = "ffpp_" + "_".join(chosen)
    config.train.compressions = chosen
    config.train.views = "recorded" if len(chosen) > 1 else "downsampled"
    config.train.batch_size = 32
    config.train.steps = 10_000
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    config.train.precision = "bfloat16"
    _random_start.stand_in(config)
    config.optim.warmup_steps = 500
    return config


def read_compressions(words: str, where: str) -> tuple[str, ...]:
    """Names with commas between them, best first. Raises UserError, which begins with `where`."""
    chosen = words.split(",")
    unknown = [name for name in chosen if name not in COMPRESSIONS]
    if unknown:
        raise UserError(f"{where}: {unknown[0]!r} is not one of {', '.join(COMPRESSIONS)}, or paper")
    return tuple(sorted(chosen, key=COMPRESSIONS.index))


def dataset() -> ConfigDict:
    """configs/base.py with FaceForensics++ as the data set."""
    config = base.get_config()
    config.data.sources.ffpp = base.source("ffpp", "", compressions=COMPRESSIONS, methods=FFPP_METHODS)
    config.train.dataset = "ffpp"
    return config


def paper(compression: str = "raw", where: str = "configs/ffpp.py:paper") -> ConfigDict:
    """The paper's recipe (docs/method.md, The reference): what is not here is configs/base.py's value, and the paper's.

    Args:
      compression: to train on.
      where: what the user wrote, for the error.
    """
    chosen = read_compressions(compression, where)
    if len(chosen) > 1:
        raise UserError(
            f"{where}: the paper makes its lower views itself, of one compression; name one of {compression}"
        )
    config = dataset()
    config.name = f"ffpp_paper_{compression}"
    config.needs = ("model.text_encoder.weights", "model.rppg.weights", "model.landmarks.weights")
    config.train.compressions = chosen
    config.train.views = "downsampled"
    config.loss.pairing = "downsampled"  # CQSL and CMCL on half and quarter, cross-entropy on the full view
    config.train.batch_size = 2  # one real clip and one fake that was made of it
    config.train.flip = False
    config.train.steps = 10_000  # the authors name no number
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    # torch's AdamW at a constant rate, and no limit on the gradient.
    config.optim.final_fraction = 1.0
    config.optim.clip_norm = 0.0
    return config
