"""Orbax, in one file: its names still move. State and data position are saved together, asynchronously.

One folder holds the latest checkpoint and the best by validation AUC; the same checkpoint may be both.
"""

from __future__ import annotations

import json
from pathlib import Path

from orbax.checkpoint import v1 as ocp

from cpml_jax.configuration import current_names
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from cpml_jax.training.state import TrainState

FOLDER, CONFIG, TRAINING_DATA, PROMPTS = "checkpoints", "config.json", "training_data.json", "prompts.json"
# What a checkpoint's arrays and their meaning depend on, and what a restart may change without harm.
MODEL_KEYS = ("model", "data.num_frames", "loss.simclr", "loss.affinity")  # these two have projections
CONTENT_KEYS = ("model.text_encoder.bank",)  # a file that may have moved: check_prompts compares what is in it
FREE_KEYS = (
    "data.records", "data.sources", "data.workers", "data.cache_mb", "data.read_threads", "eval", "name",
    "train.log_every", "train.eval_every", "train.checkpoint_every", "train.devices", "train.shard_params",
)  # fmt: skip


def _ranking(metrics: dict) -> float:
    """Validation AUC; between equal ones the lower validation cross-entropy."""
    return metrics["auc"] - 1e-6 * metrics["cross_entropy"]


class Checkpoints:
    """The checkpoints of a run.

    Args:
      writing: whether it is the training. What an interrupted save left is removed then; whoever only reads leaves it
        alone, as it may be the save that a training, still running, is at.
    """

    def __init__(self, workdir, *, writing: bool = False):
        self.directory = Path(workdir).absolute() / FOLDER
        policies = ocp.training.preservation_policies
        keep = [
            policies.LatestN(n=1),
            policies.BestN(get_metric_fn=_ranking, n=1, keep_checkpoints_without_metrics=False),
        ]
        self._orbax = ocp.training.Checkpointer(
            self.directory,
            save_decision_policy=None,
            preservation_policy=policies.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=writing,
        )

    def latest_step(self) -> int | None:
        latest = self._orbax.latest
        return None if latest is None else latest.step

    def best_step(self) -> int | None:
        """The step of the best validated checkpoint, or None."""
        validated = [c for c in self._orbax.checkpoints if c.metrics]
        return max(validated, key=lambda c: (_ranking(c.metrics), c.step)).step if validated else None

    def choose(self, which: str) -> tuple[int | None, str]:
        """The step that `which` (best, latest or a step's number) means, and how it was chosen.

        Raises:
          UserError: no checkpoint of that number is kept.
        """
        best = self.best_step()
        if which == "best":
            return best, "validation"
        if which == "latest":
            return self.latest_step(), "latest"
        kept = [c.step for c in self._orbax.checkpoints]
        if int(which) not in kept:
            raise UserError(
                f"{self.directory}: no checkpoint of step {which} is kept; there are: {', '.join(map(str, kept))}"
            )
        return int(which), "validation" if int(which) == best else f"oracle: step {int(which)} was named by hand"

    def metrics(self, step: int) -> dict | None:
        return next((c.metrics for c in self._orbax.checkpoints if c.step == step), None)

    def save(self, state: TrainState, data, metrics: dict | None) -> None:
        """Begin to save; returns while the write goes on. The state's arrays may be donated to the next step."""
        # Variables lie apart from the optimizer, so that scoring reads no moments.
        parts = {
            "variables": state.variables,
            "optimizer": {"step": state.step, "moments": state.opt_state},
            "data": data,
        }
        self._orbax.save_checkpointables_async(int(state.step), parts, force=True, metrics=metrics)

    def restore(self, step: int, abstract: TrainState, data) -> TrainState:
        """The state of a step in the shardings of `abstract`; `data` (a Grain iterator) is moved in place."""
        wanted = {"step": abstract.step, "moments": abstract.opt_state}
        parts = self._load(step, {"variables": abstract.variables, "optimizer": wanted, "data": data})
        saved, variables = parts["optimizer"], parts["variables"]
        return TrainState(saved["step"], variables["params"], variables["batch_stats"], saved["moments"])

    def restore_variables(self, step: int, abstract: dict) -> dict:
        """params and batch_stats of a step, in the shardings of `abstract`."""
        # A model without batch norm has no batch_stats of its own, and a state always saves them, empty.
        return self._load(step, {"variables": {"batch_stats": {}} | abstract})["variables"]

    def _load(self, step: int, wanted: dict) -> dict:
        try:
            return self._orbax.load_checkpointables(step, wanted)
        except (OSError, ValueError, KeyError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"{self.directory}/{step}: checkpoint not readable ({reason}); delete that folder to use an earlier one"
            ) from None

    def wait(self) -> None:
        self._orbax.wait()

    def close(self) -> None:
        self._orbax.close()


def flatten(config: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, name + ".") if isinstance(value, dict) else {name: value}
    return flat


def _under(name: str, keys: tuple[str, ...]) -> bool:
    return any(name == key or name.startswith(key + ".") for key in keys)


def check_config(workdir, config: dict, *, resume: bool) -> None:
    """Compare a configuration with the one that the workdir's checkpoints were made with.

    Args:
      workdir: of the run.
      config: plain dict, as written by `write_config`.
      resume: True: everything that shapes training must be equal; False: only what shapes the model.

    Raises:
      UserError: a key differs; the first few are named with both values.
    """
    path = Path(workdir) / FOLDER / CONFIG
    if not path.is_file():
        return
    try:
        saved = current_names(flatten(json.loads(path.read_text())))
    except ValueError:
        raise UserError(f"{path}: not readable as JSON; delete {path.parent} to train again") from None
    ours = flatten(json.loads(json.dumps(config)))
    # Scoring reads a checkpoint of an earlier release: of a key that it did not have it had today's default.
    compared = saved.keys() | ours.keys() if resume else saved.keys()
    differing = [
        key
        for key in sorted(compared)
        if saved.get(key) != ours.get(key)
        and key not in CONTENT_KEYS
        and (not _under(key, FREE_KEYS) if resume else _under(key, MODEL_KEYS))
    ]
    if differing:
        shown = "; ".join(f"{key} was {saved.get(key)!r}, is {ours.get(key)!r}" for key in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UserError(
            f"{path.parent}: checkpoints of another configuration ({shown}{more}); use another --workdir or set it back"
        )


def write_config(workdir, config: dict) -> None:
    """Write the configuration beside the checkpoints, once and atomically."""
    path = Path(workdir) / FOLDER / CONFIG
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(config, indent=1, sort_keys=True))


def write_prompts(workdir, bank: dict[str, tuple[str, ...]]) -> None:
    """Write every class's prompts, in the order of the classes, beside the checkpoints: the user may edit a bank."""
    write_whole(Path(workdir) / FOLDER / PROMPTS, json.dumps(bank, indent=1))


def check_prompts(workdir, bank: dict[str, tuple[str, ...]]) -> None:
    """Compare the classes and prompts with those that the workdir's checkpoints were trained with, if it has any.

    Raises:
      UserError: they differ.
    """
    path = Path(workdir) / FOLDER / PROMPTS
    if not path.is_file():
        return
    try:
        saved = json.loads(path.read_text())
    except ValueError:
        raise UserError(f"{path}: not readable as JSON; delete {path.parent} to train again") from None
    if list(saved) != list(bank):
        raise UserError(
            f"{path}: checkpoints of the classes {', '.join(saved)}, not {', '.join(bank)}; set train.methods and "
            "model.text_encoder.classes back, or use another --workdir"
        )
    changed = [name for name in bank if saved[name] != list(bank[name])]
    if changed:
        raise UserError(
            f"{path}: checkpoints of other prompts for {', '.join(changed)}; this file is a bank that holds them: "
            "set model.text_encoder.bank to a copy of it, or use another --workdir"
        )


def write_training_data(workdir, dataset: str, identities: set[str], records: dict) -> None:
    """Write whom a run is trained on beside its checkpoints, so that no evaluation tests on them.

    Args:
      identities: of the training clips, targets and sources.
      records: provenance.describe_records.
    """
    path = Path(workdir) / FOLDER / TRAINING_DATA
    value = {"dataset": dataset, "identities": sorted(identities - {""}), "records": records}
    write_whole(path, json.dumps(value, indent=1))


def read_training_data(workdir) -> dict | None:
    """{dataset, identities, records} of a run; None for runs that did not write it."""
    path = Path(workdir) / FOLDER / TRAINING_DATA
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(f"{path}: not readable as JSON; delete it to evaluate without this check") from None


def check_same_records(workdir, records: dict) -> None:
    """Refuse to go on, or to take figures from, a training on other records than those at hand.

    A training that changed records half-way would have seen people whom training_data.json does not name.

    Args:
      records: provenance.describe_records.

    Raises:
      UserError: the run was trained on others.
    """
    before = (read_training_data(workdir) or {}).get("records") or {}
    if before.get("sha256") and records["sha256"] and before["sha256"] != records["sha256"]:
        raise UserError(
            f"{workdir}: trained on other records (sha256 {before['sha256'][:12]}, {before['clips']} clips) than there "
            f"are now ({records['sha256'][:12]}, {records['clips']} clips); put those back with --config.data.records, "
            "or use another --workdir"
        )
