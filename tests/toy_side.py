"""A row of benchmarks/train.py in miniature, which other processes can import."""

from benchmarks.side_by_side.rows import EAGER, INFER, OURS, RELEASED, STEP, Row
from cpml_jax.configs import ffpp


def config():
    made = ffpp.paper()
    made.update_from_flattened_dict(
        {
            "data.num_frames": 16, "model.rppg.frame_size": 32, "model.rppg.stem": (2, 4), "model.rppg.dim": 8,
            "model.rppg.ff_dim": 12, "model.rppg.heads": 2, "model.rppg.blocks": 3, "model.unified_dim": 8,
            "model.text_encoder.width": 8, "model.text_encoder.layers": 1, "model.text_encoder.heads": 2,
        }
    )  # fmt: skip
    return made


def broken():
    made = config()
    made.model.head = "linear"  # which has no PyTorch twin
    return made


ROW = Row("toy", "waves of a toy", INFER, config, (4, 4), (OURS, EAGER, RELEASED))
BROKEN = Row("broken", "a toy that cannot be built", STEP, broken, (4, 4), (EAGER,))
