"""A model, a batch and a step small enough to compile in seconds; shared by tests and by their subprocesses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cpml_jax.configs import base
from cpml_jax.data.input_size import InputSize
from cpml_jax.evaluation import scoring
from cpml_jax.losses import total
from cpml_jax.schema import CROP_SIZE, MODEL_INPUTS
from cpml_jax.training import sharding, steps
from cpml_jax.training.state import create_state

NUM_FRAMES, FRAME_SIZE, NUM_STILLS = 16, 16, 2


def input_size(**changes) -> InputSize:
    """Of a batch with every input."""
    size = InputSize(NUM_FRAMES, FRAME_SIZE, NUM_STILLS, batch_size=5, inputs=MODEL_INPUTS)
    return dataclasses.replace(size, **changes)


def tiny_config(**changes):
    """A configuration of the whole model at toy size."""
    config = base.get_config()
    config.data.num_frames = NUM_FRAMES
    model = config.model
    model.unified_dim = 16
    model.rppg.update(
        dict(
            frame_size=FRAME_SIZE,
            stem=(4, 8),
            patch=(4, 2, 2),
            dim=8,
            ff_dim=12,
            heads=2,
            blocks=3,
            input_norm="temporal",
        )
    )
    model.landmarks.hidden = 4
    model.text_encoder.update(dict(width=16, layers=1, heads=2, context_length=24))
    model.visual.update(dict(image_size=16, patch=8, width=16, layers=1, heads=2, frames=NUM_STILLS))
    config.update_from_flattened_dict(changes)
    return config


def settings(stream: str) -> dict:
    """A stream's settings of configs/base.py, as its module takes them."""
    return {
        name: value
        for name, value in base.get_config().model[stream].to_dict().items()
        if name not in ("weights", "spectrum")
    }


def loss_weights(**changes) -> total.LossWeights:
    """The default weights, some of them changed."""
    return total.LossWeights(**base.get_config().loss.to_dict() | changes)


def random_batch(rows: int = 8, views: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "frames": rng.integers(0, 255, (rows, views, NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8),
        "landmarks": rng.uniform(-1, 1, (rows, views, NUM_FRAMES, 68, 2)).astype(np.float32),
        "stills": rng.integers(0, 255, (rows, views, NUM_STILLS, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8),
        "texture": np.random.default_rng(seed + 1).normal(size=(rows, views, 4, 12, 12)).astype(np.float32),
        "valid": np.ones((rows, views, NUM_FRAMES), bool),
        "pulse": rng.normal(size=(rows, NUM_FRAMES)).astype(np.float32),
        "label": (np.arange(rows) % 2).astype(np.int32),
        "class_index": (np.arange(rows) % 2).astype(np.int32),
        "pair": (np.arange(rows) // 2).astype(np.int32),
        "weight": np.ones(rows, np.float32),
    }


def one_step(mesh, batch: dict, *, shard_params: bool = False, **changes):
    """Loss terms and gradients (as the update of plain SGD at rate 1) of one step on a mesh."""
    config = tiny_config(**changes)
    model, tokens = scoring.build_model(config)
    optimizer = optax.sgd(1.0)

    def create():
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        return create_state(model.init(keys, scoring.dummy_inputs(config), tokens, method="init_everything"), optimizer)

    shardings = sharding.state_shardings(jax.eval_shape(create), mesh, shard_params)
    state = jax.jit(create, out_shardings=shardings)()
    before = jax.device_get(jax.jit(lambda p: p, out_shardings=sharding.replicated(mesh))(state.params))
    step = steps.make_train_step(
        model,
        optimizer,
        tokens=tokens,
        class_embeddings=None,
        weights=loss_weights(teacher=1.0),
        seed=0,
        sampled_prompts=True,
        flip=True,
    )
    state, measured = steps.jit_train_step(step, mesh, shardings)(state, batch)
    after = jax.device_get(jax.jit(lambda p: p, out_shardings=sharding.replicated(mesh))(state.params))
    gradients = jax.tree.map(lambda a, b: np.asarray(a - b), before, after)
    return {k: float(v) for k, v in jax.device_get(measured).items()}, gradients, jnp.asarray(state.step)


METHODS = ("Deepfakes", "FaceSwap")
COMPRESSIONS = ("raw", "c23")


def write_records(root):
    """Records of noise clips, packed by the real code: 4 train, 2 val and 2 test identities, a fake each a method."""
    from data_prep.records import pack, work_file
    from data_prep.video import jpeg

    rng = np.random.default_rng(0)
    directory = root / "faces"
    directory.mkdir()
    records = []
    for split, identities in (("train", (0, 1, 2, 3)), ("val", (4, 5)), ("test", (6, 7))):
        for i in identities:
            partner = i + 1 if i % 2 == 0 else i - 1
            records += [
                record(rng, jpeg, split, method, compression, i, partner)
                for method in ("real", *METHODS)
                for compression in COMPRESSIONS
            ]
    file = root / "work.npz"
    work_file.write(file, records, [])
    pack.pack(directory, [file], NUM_FRAMES, {"made": "by the tests"}, progress=False)
    return root


def record(rng, jpeg, split, method, compression, identity, partner) -> dict:
    """One record (schema.RECORD without the data set's name)."""
    real, size = method == "real", 128
    blocks = rng.integers(0, 255, (NUM_FRAMES, 8, 8, 3), dtype=np.uint8)
    frames = blocks.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    wave = rng.normal(size=NUM_FRAMES).astype(np.float32)
    target = f"{identity:03d}"
    return dict(
        method=method, compression=compression, split=split, video=target if real else f"{target}_{partner:03d}",
        identity=target, source_identity="" if real else f"{partner:03d}", target_video="" if real else target,
        label=int(not real), window=0, start_s=0.0, sampler="start=0", face_choice="largest", track_from="",
        source_fps=30.0, source_height=160, source_width=160,
        source_codec="h264", source_bitrate=1e5, track_quality=0.99, frames=jpeg.encode(frames),
        box=np.zeros((NUM_FRAMES, 4), np.float32), valid=np.ones(NUM_FRAMES, bool),
        landmarks=rng.uniform(-1, 1, (NUM_FRAMES, 68, 2)).astype(np.float32), pulse_pos=wave, pulse_chrom=wave,
        pulse_truth=np.full(NUM_FRAMES, np.nan, np.float32), heart_rate_pos=70.0, heart_rate_chrom=70.0,
        heart_rate_truth=float("nan"), snr_pos=1.0, snr_chrom=1.0, snr_p_pos=0.001, snr_p_chrom=0.001,
    )  # fmt: skip


def training_config(records, **changes):
    """A configuration that trains on tiny_records in a few steps."""
    settings = {
        "name": "tiny", "data.records": str(records), "train.dataset": "faces", "train.compressions": COMPRESSIONS,
        "train.methods": METHODS, "train.batch_size": 8, "train.steps": 6, "train.log_every": 1, "train.eval_every": 3,
        "train.checkpoint_every": 2, "train.devices": 1, "optim.learning_rate": 1e-3, "loss.teacher": 1.0,
        "eval.compressions": COMPRESSIONS, "eval.batch_size": 8,
    }  # fmt: skip
    config = tiny_config()
    config.data.sources.faces = base.source("ffpp", "", compressions=COMPRESSIONS, methods=METHODS)
    config.update_from_flattened_dict(settings | changes)
    return config
