"""What can be refused of a configuration before any work: no video, no record and no checkpoint is opened here.

`validate` is called by every verb. Each refusal is one line that begins with a key. What depends on data or devices
(a method that the records lack, a batch that the devices do not divide) is checked where those are read.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from ml_collections import ConfigDict

from cpml_jax.configs import base
from cpml_jax.configuration import Flat, changed, flattened
from cpml_jax.errors import UserError
from cpml_jax.validation.data import check_sources, check_tests, check_training_data
from cpml_jax.validation.model import check_heads, check_model, check_text, check_visual
from cpml_jax.validation.rules import RULES, is_of_type, refuse_unless
from cpml_jax.validation.training import check_optimizer, check_views

_SOURCES = "data.sources."


def validate(
    config: ConfigDict,
    verb: str | None = None,
    protocol_names: Sequence[str] = (),
    workdir: str | os.PathLike | None = None,
) -> None:
    """Refuse a configuration that no data could make work.

    Args:
      config: of configs/base.py's keys.
      verb: what is to be done with it; None: everything, from preparation to the report.
      protocol_names: to evaluate in place of eval.protocols.
      workdir: of a run. Once it has begun, trained weights to start from need not be there (network.py).

    Raises:
      UserError: an unknown key, a value of another type or out of its range, or values that do not fit together; the
        first of them.
    """
    plain = config.to_dict()
    flat = flattened(plain)
    check_keys(flat)
    for key, rule in RULES.items():
        refuse_unless(rule, key, flat[key])
    names = tuple(dict.fromkeys(protocol_names or flat["eval.protocols"]))
    check_sources(plain["data"]["sources"])
    check_training_data(flat, plain["data"]["sources"], verb)
    check_views(flat)
    check_tests(flat, plain["data"]["sources"], names, verb)
    check_optimizer(flat)
    check_heads(flat)
    check_visual(flat)
    check_text(flat)
    weights = any(flat[f"model.{name}.weights"] for name in ("rppg", "text_encoder", "visual"))
    if verb not in ("forge", "prepare") or not weights:
        check_model(config, workdir)  # weights need not lie on the machine that prepares


def validate_tests(config: ConfigDict, protocol_names: Sequence[str] = ()) -> None:
    """Refuse data sets and tests that cannot be, whatever the model: one that was handed on is tested on them.

    Arguments and errors as validate's.
    """
    plain = config.to_dict()
    flat = flattened(plain)
    check_keys(flat)
    for key, rule in RULES.items():
        refuse_unless(rule, key, flat[key])
    check_sources(plain["data"]["sources"])
    check_training_data(flat, plain["data"]["sources"], "evaluate")
    names = tuple(dict.fromkeys(protocol_names or flat["eval.protocols"]))
    check_tests(flat, plain["data"]["sources"], names, "evaluate")


def check_keys(flat: Flat) -> None:
    """Refuse keys that configs/base.py has not, lacks of those that it has, and values of another type."""
    defaults = flattened(base.get_config().to_dict())
    for key in flat:
        if key in defaults or key.startswith(_SOURCES):
            continue
        if why := changed(key):
            raise UserError(why)
        near = difflib.get_close_matches(key, defaults, n=1)
        raise UserError(f"the configuration has no key {key!r}{f', did you mean {near[0]!r}?' if near else ''}")
    for key, default in defaults.items():
        if key not in flat:
            raise UserError(f"the configuration lacks {key!r}; start from base.get_config() of configs/base.py")
        if not is_of_type(flat[key], default):
            raise UserError(f"{key}={flat[key]!r}; it is of type {type(default).__name__}, as {default!r}")
