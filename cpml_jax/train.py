"""The trainer: a function of (config, workdir). Started again with the same arguments, it goes on where it was."""

from __future__ import annotations

from pathlib import Path

import grain
import jax
import numpy as np

from cpml_jax import validation
from cpml_jax.console import inform
from cpml_jax.data import sampler
from cpml_jax.data.input_pipeline import ClipReader, eval_batches, training_batches
from cpml_jax.data.records import RecordSet, records_dir
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, provenance, scoring
from cpml_jax.files import write_json
from cpml_jax.losses import total
from cpml_jax.metrics import detection
from cpml_jax.pretrained import apply
from cpml_jax.training import checkpoint, optimizer, sharding, steps
from cpml_jax.training.journal import Journal
from cpml_jax.training.state import TrainState, create_state

WEIGHTS = "weights.json"  # in the workdir: every array that came from trained weights, and what did not


def train(config, workdir) -> TrainState:
    """Train until `train.steps`, from the latest checkpoint of `workdir` if there is one.

    Args:
      config: ConfigDict of configs/base.py's keys.
      workdir: gets checkpoints/, detection.jsonl, TensorBoard's event files and, with trained weights, weights.json.

    Returns:
      The final state.

    Raises:
      UserError: no records, checkpoints of another configuration, a corrupt record, a loss that is not finite.
    """
    workdir = Path(workdir)
    validation.validate(config, "train")
    plain, text = config.to_dict(), config.model.text_encoder
    checkpoint.check_config(workdir, plain, resume=True)
    records = RecordSet(records_dir(config, workdir, config.train.dataset))
    clips = training_clips(config, records)
    mesh = sharding.make_mesh(config.train.devices)
    check_batch_size(config.train.batch_size, mesh)
    model, tokens = scoring.build_model(config)
    bank = scoring.read_bank(config)
    checkpoint.check_prompts(workdir, bank)
    transformation, schedule, abstract, create = prepare_state(config, model, tokens, mesh)

    data = training_batches(
        ClipReader(
            records,
            num_frames=config.data.num_frames,
            frame_size=config.model.rppg.frame_size,
            cache_mb=config.data.cache_mb,
        ),
        sampler.BalancedSampler(clips, batch_size=config.train.batch_size, seed=config.seed),
        steps=config.train.steps,
        read_threads=config.data.read_threads,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        classes={name: number for number, name in enumerate(bank)} if text.classes == "methods" else None,
    )
    checkpoints = checkpoint.Checkpoints(workdir, writing=True)
    start, described = checkpoints.latest_step(), provenance.describe_records(records)
    if start is None:
        state = with_weights(create(), plain, workdir, transformation, abstract)
    else:
        checkpoint.check_same_records(workdir, described)
        state = checkpoints.restore(start, abstract, data)
    checkpoint.write_config(workdir, plain)
    checkpoint.write_prompts(workdir, bank)
    seen = {row[key] for views in clips for row in views for key in ("identity", "source_identity")}
    checkpoint.write_training_data(workdir, config.train.dataset, seen, described)
    inform(f"training on {len(clips)} clips, from step {start or 0} of {config.train.steps}")

    step_fn = steps.jit_train_step(
        steps.make_train_step(
            model,
            transformation,
            tokens=tokens,
            class_embeddings=constant_embeddings(config, model, tokens, state, mesh),
            weights=total.LossWeights(**config.loss.to_dict()),
            seed=config.seed,
            sampled_prompts=text.prompts == "sampled",
            flip=config.train.flip,
            downsampled=tuple(config.train.downsampled) if config.train.views == "downsampled" else (),
        ),
        mesh,
        jax.tree.map(lambda leaf: leaf.sharding, abstract),
    )
    validate = make_validation(config, records, scoring.Scorer(model, mesh, tokens))
    try:
        with Journal(workdir, first_step=start or 0, last_step=config.train.steps) as journal:
            return loop(config, state, data, mesh, step_fn, schedule, checkpoints, journal, validate)
    finally:
        checkpoints.close()


def loop(
    config, state, data: grain.DatasetIterator, mesh, step_fn, schedule, checkpoints, journal, validate
) -> TrainState:
    """Run the remaining steps. Nothing is copied to the host but what the journal asks for, every log_every steps."""
    last = config.train.steps
    held: list[tuple[int, dict]] = []  # metrics that are still on the device
    for step in range(int(state.step) + 1, last + 1):
        batch = sharding.put_local_batch(next(data), mesh)
        state, measured = step_fn(state, batch)
        held.append((step, measured))
        validating = step % config.train.eval_every == 0 or step == last
        saving = validating or step % config.train.checkpoint_every == 0
        if saving or step % config.train.log_every == 0:
            journal.steps(fetch(held), clips=config.train.batch_size, rate=schedule)
            held.clear()
        if saving:
            scores = validate(state) if validating else None
            if scores is not None:
                journal.validation(step, scores)
            # Before the next batch is drawn: the data position belongs to this state.
            checkpoints.save(state, data, scores)
    checkpoints.wait()
    return state


def fetch(held: list[tuple[int, dict]]) -> list[tuple[int, dict[str, float]]]:
    """Metrics of the last steps, on the host; the one place where training waits for the device.

    Raises:
      UserError: a loss is not finite. Nothing of that interval has been saved.
    """
    rows = [(step, {k: float(v) for k, v in values.items()}) for step, values in jax.device_get(held)]
    for step, values in rows:
        if not np.isfinite(values["loss"]):
            broken = ", ".join(k for k, v in values.items() if not np.isfinite(v))
            raise UserError(
                f"the loss is not finite at step {step} ({broken}); earlier checkpoints are kept. "
                "Lower optim.learning_rate, or set optim.clip_norm, and start again in a new --workdir"
            )
    return rows


def prepare_state(config, model, tokens, mesh):
    """Optimizer, schedule, abstract sharded state (nothing allocated), and a function that creates the state."""
    train = config.train

    def variables():
        keys = {"params": jax.random.key(config.seed), "dropout": jax.random.key(config.seed)}
        return model.init(keys, *scoring.dummy_inputs(config), tokens, method="init_everything")

    abstract_variables = jax.eval_shape(variables)
    transformation, schedule = optimizer.make_optimizer(
        abstract_variables["params"],
        steps=train.steps,
        frozen=() if config.model.text_encoder.mode == "finetune" else ("text_encoder/",),
        **config.optim.to_dict(),
    )
    abstract = jax.eval_shape(lambda: create_state(variables(), transformation))
    shardings = sharding.state_shardings(abstract, mesh, train.shard_params)
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, shardings)
    create = jax.jit(lambda: create_state(variables(), transformation), out_shardings=shardings)
    return transformation, schedule, abstract, create


def with_weights(state: TrainState, config: dict, workdir: Path, transformation, abstract) -> TrainState:
    """A fresh state with the configured trained weights in it, told in a line a source and listed in weights.json."""
    variables, report = apply.initialise(state.variables, config)
    if not report:
        return state
    for line in apply.told(report):
        inform(line)
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / WEIGHTS, {"sources": report})
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    return jax.jit(lambda v: create_state(v, transformation), out_shardings=shardings)(variables)


def constant_embeddings(config, model, tokens, state: TrainState, mesh) -> np.ndarray | None:
    """(C, P, D) embedding of every prompt, once for the whole run, if nothing of them is trained."""
    if tokens is None or config.model.text_encoder.mode != "frozen":
        return None
    encode = jax.jit(
        lambda v: model.apply(v, tokens, method="encode_templates"), out_shardings=sharding.replicated(mesh)
    )
    return jax.device_get(encode(state.variables))  # a step over several hosts takes no other host's constants


def training_clips(config, records: RecordSet) -> list[sampler.Views]:
    """The training split's clips at all training compressions; what lacks one is counted aloud."""
    train = config.train
    compressions, chosen = tuple(train.compressions), dict(methods=tuple(train.methods), split="train")
    # Views that the model makes itself take a clip at one compression; recorded ones at all of them.
    together = [compressions] if train.views == "recorded" else [(compression,) for compression in compressions]
    found = [sampler.clip_views(records.rows, compressions=some, **chosen) for some in together]
    if not all(found):
        there = sorted({r["compression"] for r in records.rows})
        raise UserError(
            f"{records.directory}: no training clip exists at all of {compressions}; the records hold {there}"
        )
    clips = [clip for some in found for clip in some]
    available = len({(r["clip_key"], q) for r in records.rows if r["split"] == "train" for q in together})
    if config.model.text_encoder.classes == "methods":
        absent = [method for method in train.methods if all(views[0]["method"] != method for views in clips)]
        if absent:
            raise UserError(
                f"{records.directory}: no training clip of {', '.join(absent)}, a class with "
                "model.text_encoder.classes='methods'; leave it out of train.methods"
            )
    if len(clips) < available:
        inform(
            f"{available - len(clips)} of {available} training clips are left out: they lack one of {compressions}, "
            "or their method is not asked for"
        )
    return clips


def check_batch_size(batch_size: int, mesh) -> None:
    size = mesh.shape[sharding.DATA_AXIS]
    if batch_size % size:
        raise UserError(
            f"train.batch_size={batch_size} must be a multiple of the {size} devices of the mesh (train.devices)"
        )


def make_validation(config, records: RecordSet, scorer: scoring.Scorer):
    """validate(state) -> {"auc", "cross_entropy"}: clip level, the validation split at the training compressions."""
    train, training = config.train, protocols.training_of(config)
    rows = protocols.validation_rows(records.rows, training)
    if len({row["label"] for row in rows}) < 2:
        raise UserError(
            f"{records.directory}: the validation split has no clips of both classes at {tuple(train.compressions)}"
        )

    def validate(state: TrainState) -> dict[str, float]:
        scorer.load(state.variables, int(state.step))
        labels, p_fake, excluded = [], [], []
        batches = eval_batches(
            records, rows, num_frames=config.data.num_frames, frame_size=config.model.rppg.frame_size,
            batch_size=config.eval.batch_size, excluded=excluded,
        )  # fmt: skip
        for batch_rows, batch in batches:
            labels += [row["label"] for row in batch_rows]
            # From the logits, in float64: in float32 confident clips saturate at 1 and tie.
            p_fake += list(detection.p_fake(scorer.score(batch)["logits"])[: len(batch_rows)])
        for row in excluded:
            inform(f"validation goes on without {row['clip_id']}: {row['reason']}")
        labels, p_fake = np.asarray(labels), np.asarray(p_fake, np.float64)
        own = np.clip(np.where(labels == 1, p_fake, 1 - p_fake), 1e-7, 1.0)
        return {"auc": float(detection.auc(labels, p_fake)), "cross_entropy": float(-np.log(own).mean())}

    return validate
