"""How real videos are to be forged: what is refused of data.sources.NAME.forge before a video is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cpml_jax.conditions import passes
from cpml_jax.configuration import Flat
from cpml_jax.errors import UserError
from cpml_jax.schema import FORGED_METHODS, SPLITS
from cpml_jax.validation.rules import POSITIVE, Rule, refuse_unless, subset_of

KEYS = frozenset(("input", "kinds", "copies", "compressions", "frames", "size", "seed"))
SMALLEST, SHORTEST = 64, 16  # pixels, frames


def _whole(rule: Rule) -> Rule:
    return Rule(rule.words, lambda value: isinstance(value, int) and not isinstance(value, bool) and rule.holds(value))


RULES = {
    "input": Rule("a folder or CSV of real videos", lambda value: isinstance(value, str)),
    "kinds": subset_of(*FORGED_METHODS),
    "frames": _whole(Rule(f"{SHORTEST} or more", lambda value: value >= SHORTEST)),
    "size": _whole(Rule(f"even and {SMALLEST} or more", lambda value: value >= SMALLEST and value % 2 == 0)),
    "seed": _whole(Rule("0 or more", lambda value: value >= 0)),
}
NAMES = Rule(
    "one compression or more, each once, of raw, c0, ..., c51, CODEC-crfN, and A+B for one after the other",
    lambda names: bool(names) and len(set(names)) == len(names) and all(passes(str(name)) for name in names),
)


def check_forge(where: str, forge: Mapping[str, Any]) -> None:
    """Refuse values that no video could make work.

    Args:
      where: the key of them all, "data.sources.NAME.forge".
    """
    from data_prep import hub

    wrong, lacking = sorted(forge.keys() - KEYS), sorted(KEYS - forge.keys())
    if wrong or lacking:
        problem = f"unknown key {wrong[0]!r}" if wrong else f"{lacking[0]!r} is missing"
        raise UserError(f"{where}: {problem}; make it with configs/forged.py")
    for key, rule in RULES.items():
        refuse_unless(rule, f"{where}.{key}", forge[key])
    hub.check(f"{where}.input", forge["input"])
    for key, rule in (("copies", _whole(POSITIVE)), ("compressions", NAMES)):
        if set(forge[key]) != set(SPLITS):
            raise UserError(f"{where}.{key} names {', '.join(forge[key]) or 'no split'}; it has {', '.join(SPLITS)}")
        for split in SPLITS:
            refuse_unless(rule, f"{where}.{key}.{split}", forge[key][split])


def check_forging(flat: Flat, forge: Mapping[str, Any], where: str) -> None:
    """Refuse training on clips, kinds or compressions that are not made."""
    if forge["frames"] < flat["data.num_frames"]:
        raise UserError(
            f"data.num_frames={flat['data.num_frames']} is more than the clips have, {where}.frames={forge['frames']}"
        )
    missing = [name for name in flat["train.methods"] if name not in forge["kinds"]]
    if missing:
        raise UserError(f"train.methods has {missing[0]!r}, which {where}.kinds={tuple(forge['kinds'])} leaves out")
    for split in ("train", "val"):
        made = tuple(forge["compressions"][split])
        missing = [name for name in flat["train.compressions"] if name not in made]
        if missing:
            raise UserError(f"train.compressions has {missing[0]!r}, which {where}.compressions.{split}={made} lacks")
