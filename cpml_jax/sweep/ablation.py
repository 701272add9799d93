"""The ablation table: rows of small differences from one configuration, written in configs/ablation.py.

def table() -> dict[str, dict]:                    name of the row -> {dotted key: value}
    return {"full": {}, "no_cqsl": {"loss.cqsl": 0.0}}

def settings() -> dict[str, dict]:                 optional: rows that are run only if --rows names them
TRAINED_ON = (("c23",), ("raw", "c23"))            optional: every row is trained on each of these
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping

from cpml_jax.errors import UserError

MODULE = "cpml_jax.configs.ablation"
# Records, tests, seeds and the length of training are the same for all rows, or the rows could not be compared.
_SHARED = ("seed", "name", "data", "eval", "train.steps", "train.eval_every")


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The table.

    Attributes:
      rows: name of the row -> {dotted key: value}; {} is the method as configured.
      trained_on: sets of training compressions, best first; every row is trained on each, unless it sets
        train.compressions itself. Empty: on train.compressions of the configuration.
      settings: further rows, which chosen() takes by name.
    """

    rows: Mapping[str, Mapping]
    trained_on: tuple[tuple[str, ...], ...] = ()
    settings: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)

    def chosen(self, names: tuple[str, ...]) -> Ablation:
        """The table of these rows alone; without names, all rows but the settings.

        Raises:
          UserError: a name is not a row's.
        """
        known = {**self.rows, **self.settings}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(f"--rows: the ablation table has no row {unknown[0]!r}; its rows: {', '.join(known)}")
        return Ablation({name: known[name] for name in names or self.rows}, self.trained_on)

    def check(self, base: Mapping) -> None:
        """Refuse rows that do not fit a flat configuration {dotted key: value}.

        Raises:
          UserError: no rows, a name that cannot name a folder, or a key that does not exist or that all rows share.
        """
        if not self.rows:
            raise UserError(f"ablation: table() of {MODULE} has no rows")
        for row, changes in self.rows.items():
            if not re.fullmatch(r"[\w.+-]+", row):
                raise UserError(f"ablation: row {row!r} names a folder; use only letters, digits and _ . + -")
            wrong = sorted(key for key in changes if key not in base or _is_shared(key))
            if wrong:
                raise UserError(
                    f"ablation: row {row!r} sets {wrong[0]!r}; a row may set keys of configs/base.py, but not "
                    f"{', '.join(_SHARED)}, which all rows share"
                )


def _is_shared(key: str) -> bool:
    return any(key == shared or key.startswith(f"{shared}.") for shared in _SHARED)


def configured() -> Ablation:
    """The table of configs/ablation.py."""
    module = importlib.import_module(MODULE)
    trained_on = tuple(tuple(compressions) for compressions in getattr(module, "TRAINED_ON", ()))
    return Ablation(module.table(), trained_on, getattr(module, "settings", dict)())
