"""What is cut out of the videos of a track, or why nothing is, between the two steps of a condition's preparation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from data_prep.face.clips import Window
from data_prep.face.crop import CropPath
from data_prep.records import plain_file

Plan = tuple[list[Window], dict]  # what to cut, and where the track comes from (SharedTracks.windows)


def write(file: Path, plans: list[Plan | str]) -> None:
    """One plan a video of the group, or the reason why it has none."""
    plain_file.write(file, [plan if isinstance(plan, str) else _plain(plan) for plan in plans])


def read(file: Path) -> list[Plan | str]:
    """As written. Raises UserError: a file of another kind, or a damaged one."""
    try:
        return [plan if isinstance(plan, str) else _made(plan) for plan in plain_file.read(file)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file}: no plan of this version ({error}); delete it, and the same command makes it anew"
        ) from None


def _plain(plan: Plan) -> dict[str, Any]:
    windows, origin = plan
    rows = []
    for window in windows:
        row = {field.name: getattr(window, field.name) for field in dataclasses.fields(window)}
        path = {field.name: getattr(window.path, field.name) for field in dataclasses.fields(window.path)}
        # JSON's keys are text; the order of the key frames is kept.
        points = [[key, five] for key, five in window.points.items()]
        rows.append(row | {"path": path, "points": points})
    return {"windows": rows, "origin": origin}


def _made(plan: dict[str, Any]) -> Plan:
    windows = []
    for row in plan["windows"]:
        points = {int(key): np.asarray(five) for key, five in row["points"]}
        windows.append(Window(**row | {"path": CropPath(**row["path"]), "points": points}))
    return windows, {key: str(value) for key, value in plan["origin"].items()}
