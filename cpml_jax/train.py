"""The trainer: a function of (config, workdir). Started again with the same arguments, it resumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import optax
from flax import linen as nn
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cpml_jax import hosts, validation
from cpml_jax.console import inform
from cpml_jax.data import sampler
from cpml_jax.data.clip_reader import ClipReader
from cpml_jax.data.decoded_store import DecodedStore
from cpml_jax.data.input_pipeline import eval_batches, training_batches
from cpml_jax.data.records import RecordSet, records_dir
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, provenance, scoring, video_score
from cpml_jax.files import write_json
from cpml_jax.losses import total
from cpml_jax.metrics import detection
from cpml_jax.metrics.pair_loss import pair_loss
from cpml_jax.models import visual
from cpml_jax.pretrained import absent, apply
from cpml_jax.schema import FAKE
from cpml_jax.training import checkpoint, optimizer, run_files, sharding, steps
from cpml_jax.training import network as networks
from cpml_jax.training.journal import Journal
from cpml_jax.training.loop import Validate, run_steps
from cpml_jax.training.state import TrainState, create_state
from cpml_jax.training.stopwatch import Stopwatch

WEIGHTS = "weights.json"  # in the workdir: every array that came from trained weights, and what did not


def train(config: ConfigDict, workdir: str | os.PathLike, *, resume: str = "latest") -> TrainState:
    """Train until `train.steps`, from the latest checkpoint of `workdir` if there is one.

    Args:
      config: ConfigDict of configs/base.py's keys.
      workdir: gets checkpoints/, metrics.jsonl, TensorBoard's event files and, with trained weights, weights.json.
      resume: latest; or previous: damaged checkpoints are set aside, and the latest whole one is taken.

    Returns:
      The final state.

    Raises:
      UserError: no records, checkpoints of another configuration, a corrupt record, a loss that is not finite.
    """
    workdir = Path(workdir)
    validation.validate(config, "train", workdir=workdir)
    plain = config.to_dict()
    run_files.check_config(workdir, plain, resume=True)
    records = RecordSet(records_dir(config, workdir, config.train.dataset))
    clips = training_clips(config, records)
    loss = config.loss
    if "rppg" in config.model.modalities and loss.cqsl * loss.cqsl_push and loss.push_pairs == "matched":
        sampler.check_own_reals(clips, records.directory)
    mesh = sharding.make_mesh(config.train.devices)
    check_batch_size(config.train.batch_size, mesh)
    bank = networks.read_bank(config, workdir)
    run_files.check_prompts(workdir, bank)
    network = networks.of_run(config, workdir)
    model, tokens = scoring.build_model(config, network)
    store = decoded_store(config, workdir, records)
    data = batches(config, records, clips, tuple(bank), store)
    transformation, rate, abstract, create = prepare_state(config, model, tokens, mesh)

    if resume == "previous":
        if jax.process_index() == 0:
            for line in checkpoint.set_aside(workdir):
                inform(line)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoints are set aside")
    checkpoints = checkpoint.Checkpoints(workdir, writing=True)
    # Of several hosts, none goes by what it sees of a shared folder.
    start, described = hosts.agreed(checkpoints.latest_step()), provenance.describe_records(records)
    if start is None:
        if lacking := absent.stand_ins(plain):
            inform(lacking)
        state = with_weights(create(), plain, workdir, transformation, abstract)
    else:
        run_files.check_same_records(workdir, described)
        state = checkpoints.restore(start, abstract, data)
    seen = {row[key] for views in clips for row in views for key in ("identity", "source_identity")}
    if jax.process_index() == 0:
        with run_files.renewed(workdir):
            networks.keep(workdir, network)
            run_files.write_config(workdir, plain)
            run_files.write_prompts(workdir, bank)
            run_files.write_training_data(workdir, config.train.dataset, seen, described)
    inform(f"training on {len(clips)} clips, from step {start or 0} of {config.train.steps}{on_devices(mesh)}")

    embeddings = constant_embeddings(config, model, tokens, state, mesh)
    step_fn = jit_step(config, model, tokens, embeddings, transformation, abstract, mesh)
    validate = make_validation(config, records, scoring.Scorer(model, mesh, tokens), store)
    try:
        with Journal(workdir, first_step=start or 0, last_step=config.train.steps) as journal, Stopwatch() as watch:
            return run_steps(config, state, data, mesh, step_fn, rate, checkpoints, journal, validate, watch)
    finally:
        checkpoints.close()


def on_devices(mesh: Mesh) -> str:
    """ ", on 16 devices of 2 processes"; "" for one device."""
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f", on {mesh.size} devices{processes}" if mesh.size > 1 else ""


def decoded_store(config: ConfigDict, workdir: Path, records: RecordSet) -> DecodedStore | None:
    """Where clips are kept decoded (data.decoded); None if nowhere."""
    folder = config.data.decoded.replace("{workdir}", str(workdir))
    return DecodedStore(Path(folder), records, scoring.input_size(config)) if folder else None


def batches(
    config: ConfigDict,
    records: RecordSet,
    clips: list[sampler.Views],
    classes: tuple[str, ...],
    store: DecodedStore | None = None,
) -> grain.DatasetIterator:
    """This process's part of every training batch, in the order that the seed decides; `classes` are the model's."""
    numbered = config.model.text_encoder.classes == "methods"
    return training_batches(
        ClipReader(records, scoring.input_size(config), cache_mb=config.data.cache_mb, store=store),
        sampler.BalancedSampler(clips, batch_size=config.train.batch_size, seed=config.seed),
        steps=max(config.train.steps, 1),  # a data set of no batches has no position to save
        read_threads=config.data.read_threads,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        classes={name: number for number, name in enumerate(classes)} if numbered else None,
        pulse_snr_p=config.train.pulse_snr_p,
    )


def prepare_state(
    config: ConfigDict, model: nn.Module, tokens: jax.Array | None, mesh: Mesh
) -> tuple[optax.GradientTransformation, optimizer.StepRate, TrainState, Callable[[], TrainState]]:
    """Optimizer, rate of a step, abstract sharded state (nothing allocated), and a function that creates the state."""
    train = config.train

    def variables() -> dict[str, Any]:
        keys = {"params": jax.random.key(config.seed), "dropout": jax.random.key(config.seed)}
        return dict(model.init(keys, scoring.dummy_inputs(config), tokens, method="init_everything"))

    abstract_variables = jax.eval_shape(variables)
    transformation, rate = optimizer.make_optimizer(
        abstract_variables["params"],
        steps=train.steps,
        frozen=frozen_parts(config),
        **config.optim.to_dict(),
    )
    abstract = jax.eval_shape(lambda: create_state(variables(), transformation))
    shardings = sharding.state_shardings(abstract, mesh, train.shard_params)
    abstract = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, shardings)
    create = jax.jit(lambda: create_state(variables(), transformation), out_shardings=shardings)
    return transformation, rate, abstract, create


def jit_step(
    config: ConfigDict,
    model: nn.Module,
    tokens: jax.Array | None,
    class_embeddings: np.ndarray | None,
    transformation: optax.GradientTransformation,
    abstract: TrainState,
    mesh: Mesh,
) -> steps.TrainStep:
    """The configuration's training step, for a mesh whose devices need not be here.

    Args:
      model, tokens: of scoring.build_model.
      class_embeddings: of constant_embeddings.
      transformation, abstract: of prepare_state.
    """
    return steps.jit_train_step(
        steps.make_train_step(
            model,
            transformation,
            tokens=tokens,
            class_embeddings=class_embeddings,
            weights=total.LossWeights(**config.loss.to_dict()),
            seed=config.seed,
            sampled_prompts=config.model.text_encoder.prompts == "sampled",
            flip=config.train.flip,
            stills=config.train.stills,
            vary_stills=config.train.vary_stills,
            downsampled=tuple(config.train.downsampled) if config.train.views == "downsampled" else (),
            trained=optimizer.is_trained(abstract.params, config.optim.groups, frozen_parts(config)),
        ),
        mesh,
        jax.tree.map(lambda leaf: leaf.sharding, abstract),
    )


def frozen_parts(config: ConfigDict) -> tuple[str, ...]:
    """Regular expressions of the parameters that nothing trains, whatever optim.groups say."""
    text = () if config.model.text_encoder.mode == "finetune" else ("text_encoder/",)
    return text + visual.frozen_parts(config.model.visual.to_dict())


def with_weights(
    state: TrainState,
    config: Mapping[str, Any],
    workdir: Path,
    transformation: optax.GradientTransformation,
    abstract: TrainState,
) -> TrainState:
    """A fresh state with the configured trained weights in it; one line per source, and all of it in weights.json."""
    variables, report = apply.initialise(state.variables, config)
    if not report:
        return state
    for line in apply.summary(report):
        inform(line)
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / WEIGHTS, {"sources": report})
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    return jax.jit(lambda v: create_state(v, transformation), out_shardings=shardings)(variables)


def constant_embeddings(
    config: ConfigDict, model: nn.Module, tokens: jax.Array | None, state: TrainState, mesh: Mesh
) -> np.ndarray | None:
    """(C, P, D) embedding of every prompt, once for the whole run, if nothing of them is trained."""
    if tokens is None or config.model.text_encoder.mode != "frozen":
        return None
    encode = jax.jit(
        lambda v: model.apply(v, tokens, method="encode_templates"), out_shardings=sharding.replicated(mesh)
    )
    return jax.device_get(encode(state.variables))  # a step over several hosts takes no other host's constants


def training_clips(config: ConfigDict, records: RecordSet) -> list[sampler.Views]:
    """The training split's clips at all training compressions; a line counts those that lack one.

    Raises:
      UserError: no clip, or none of a class.
    """
    train = config.train
    compressions, chosen = tuple(train.compressions), dict(methods=tuple(train.methods), split="train")
    # Views that the model makes itself take a clip at one compression; recorded ones at all of them.
    together = [compressions] if train.views == "recorded" else [(compression,) for compression in compressions]
    groups = [sampler.clip_views(records.rows, compressions=some, **chosen) for some in together]
    if not all(groups):
        recorded = sorted({r["compression"] for r in records.rows})
        raise UserError(
            f"{records.directory}: no training clip exists at all of {compressions}; the records hold {recorded}"
        )
    clips = [clip for group in groups for clip in group]
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


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises UserError unless the mesh's devices divide a batch evenly."""
    size = mesh.shape[sharding.DATA_AXIS]
    if batch_size % size:
        raise UserError(
            f"train.batch_size={batch_size} must be a multiple of the {size} devices of the mesh (train.devices)"
        )


def make_validation(
    config: ConfigDict, records: RecordSet, scorer: scoring.Scorer, store: DecodedStore | None = None
) -> Validate:
    """validate(state) -> figures of the validation split at the training compressions.

    Returns:
      A function that gives {pair_loss, auc, cross_entropy}: the first two of videos, by the rule of evaluation
      (evaluation/video_score.py), the last of clips. pair_loss chooses the step.
    """
    train, training = config.train, protocols.training_of(config)
    rows, size = protocols.validation_rows(records.rows, training), scoring.input_size(config)
    if len({row["label"] for row in rows}) < 2:
        raise UserError(
            f"{records.directory}: the validation split has no clips of both classes at {tuple(train.compressions)}"
        )

    def validate(state: TrainState) -> dict[str, float]:
        scorer.load(state.variables, int(state.step))
        clips, margins, excluded = [], [], []
        read = eval_batches(records, rows, size, excluded=excluded, read_threads=config.data.read_threads, store=store)
        for batch_rows, batch in read:
            clips += batch_rows
            margins += list(detection.fake_margin(scorer.score(batch)["logits"])[: len(batch_rows)])
        for row in excluded:
            inform(f"validation leaves out {row['clip_id']}: {row['reason']}")
        figures = validation_figures(clips, np.asarray(margins, np.float64))
        if figures is None:
            raise UserError(
                f"{records.directory}: readable validation clips are of one class alone; prepare them again"
            )
        return figures

    return validate


def validation_figures(clips: Sequence[Mapping[str, Any]], margins: np.ndarray) -> dict[str, float] | None:
    """{pair_loss, auc, cross_entropy} of clips (rows of the index) with margins (N,); None for less than two classes.

    Raises:
      UserError: a margin is not finite.
    """
    labels = np.asarray([row["label"] for row in clips], np.int64)
    detection.check_scores(labels, margins, [row["clip_id"] for row in clips])
    videos, of_videos = video_score.video_margins(clips, margins)
    video_labels = [video["label"] for video in videos]
    loss, auc = pair_loss(video_labels, of_videos), detection.auc(video_labels, of_videos)
    if loss is None or auc is None:
        return None
    cross_entropy = np.logaddexp(0.0, np.where(labels == FAKE, -margins, margins)).mean()
    return {"pair_loss": loss, "auc": auc, "cross_entropy": float(cross_entropy)}
