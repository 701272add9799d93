"""The report's part on what a model reads: evaluation.json's diagnostics as figures and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cpml_jax import schema
from cpml_jax.evaluation.streams_read import READ_DROP, pooled_entries
from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import RESULTS, RunFiles, number
from cpml_jax.report.words import figure_of, foreign, table, text

Entry = dict[str, Any]  # of diagnostics.baselines or diagnostics.stream_swap
Area = Mapping[str, Any]  # {auc, auc_ci95}
_TO = "\N{EN DASH}"


def sentences(run: RunFiles) -> str:
    """HTML of what the page's head says of the streams; empty where nothing was measured."""
    said = (_block(run).get("summary") or {}).get("sentences") or []
    return f'<p class="reads">{" ".join(text(sentence) for sentence in said)}</p>' if said else ""


def _block(run: RunFiles) -> dict[str, Any]:
    return run.evaluation.get("diagnostics") or {}


def _present(run: RunFiles) -> dict[str, Any]:
    """The block.

    Raises:
      Absent: there is none, or it is empty.
    """
    block = _block(run)
    if not block.get("baselines"):
        reason = "evaluation.json holds no diagnostics; main.py evaluate with eval.diagnostics=True adds them."
        raise Absent(reason if run.evaluation else run.why(RESULTS))
    return block


def plates(run: RunFiles) -> list[Plate]:
    """AUC of the model beside the untrained statistics, and with streams swapped, by test."""
    block = _present(run)
    compared = {"model": lambda entry: entry["model"]} | {
        name.replace("_", " "): lambda entry, name=name: entry["statistics"][name]
        for name in block["baselines"][0]["statistics"]
    }
    title = "Clip AUC of the model and of untrained statistics of the same clips, with 95 % intervals."
    drawn = [_dots("baselines", title, _sorted(run, pooled_entries(block["baselines"])), compared)]
    if block["stream_swap"]:
        swapped = {"all its own": lambda entry: entry} | {
            f"its real's {name}": lambda entry, name=name: entry["streams"][name]["without"]
            for name in block["streams"]
        }
        if len(block["streams"]) > 2:
            swapped |= {
                f"its own {name} alone": lambda entry, name=name: entry["streams"][name]["alone"]
                for name in block["streams"]
            }
        title = "Clip AUC when a fake is given streams of its real, with 95 % intervals."
        drawn.append(_dots("stream_swap", title, _sorted(run, pooled_entries(block["stream_swap"])), swapped))
    return drawn


def _sorted(run: RunFiles, entries: Iterable[Entry]) -> list[Entry]:
    """The training data set first, best compression first, all methods before each."""
    home = {result["train"]["dataset"] for result in run.results}

    def order(entry: Entry) -> tuple:
        compression = entry["compression"]
        return (
            entry["dataset"] not in home, entry["dataset"], schema.compression_rank(compression), compression,
            -len(entry["methods"]), entry["methods"],
        )  # fmt: skip

    return sorted(entries, key=order)


def _dots(name: str, title: str, entries: Sequence[Entry], series: Mapping[str, Any]) -> Plate:
    """AUC with its interval: a group of dots for each test, one of each series."""
    figure, axes = canvas.panel(4.4)
    columns: dict[str, list] = {key: [] for key in ("test", "series", "auc", "auc_low", "auc_high")}
    places = np.arange(len(entries), dtype=float)
    spoken = []
    for number_of, (label, area_of) in enumerate(series.items()):
        values, low, high = _ends([area_of(entry) for entry in entries])
        shift = 0.7 * ((number_of + 0.5) / len(series) - 0.5)
        look = canvas.look(number_of) | {"linestyle": "none"}
        axes.plot(places + shift, values, label=canvas.shown(label), **look)
        known = np.isfinite(values) & np.isfinite(low) & np.isfinite(high)
        reach = np.clip([values - low, high - values], 0, None)[:, known]
        bars = {"ecolor": look["color"], "elinewidth": 1, "capsize": 2, "alpha": 0.7}
        axes.errorbar((places + shift)[known], values[known], reach, fmt="none", **bars)
        tests = [f"{entry['dataset']} {entry['compression']}" for entry in entries]
        canvas.extend(columns, tests, label, values, low, high)
        spoken.append(f"{label}: " + ", ".join(map(_spoken, tests, values)))
    first = entries[0]["dataset"]  # named where it is not the first one's test: names side by side would overlap
    names = [
        canvas.shown(e["compression"], 10) + ("" if e["dataset"] == first else f"\n{canvas.shown(e['dataset'], 12)}")
        for e in entries
    ]
    axes.set_xticks(places, names)
    axes.grid(visible=False, axis="x")
    axes.axhline(0.5, color=canvas.SOFT, lw=1, ls=":")
    floor = [value for value in (*columns["auc"], *columns["auc_low"]) if np.isfinite(value)]
    axes.set_ylim(min([0.45, *floor]) - 0.03, 1.03)
    axes.set(xlabel="tested on", ylabel="clip AUC")
    canvas.legend_below(figure, axes, 2)
    return Plate(name, title, f"{title} {'; '.join(spoken)}.", figure, columns)


def _spoken(test: str, value: float) -> str:
    return f"{test} {value:.3f}" if np.isfinite(value) else f"{test} none"


def _ends(areas: Sequence[Area]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUC, and the ends of its interval; NaN where there is none."""
    rows = [(area["auc"], *(area["auc_ci95"] or (None, None))) for area in areas]
    known = [[np.nan if number(value) is None else number(value) for value in row] for row in rows]
    values = np.array(known, np.float64).reshape(-1, 3)
    return values[:, 0], values[:, 1], values[:, 2]


def tables(run: RunFiles) -> str:
    """HTML: the rule, the stream swap and the untrained statistics of all methods, each method's folded away."""
    block = _present(run)
    parts = [_note(block)] if block.get("note") else []
    if block["stream_swap"]:
        parts.append(_rule())
        parts.append(_folded("Stream swap", run, block["stream_swap"], *_swap_table(block["streams"])))
    parts.append(_folded("Untrained statistics", run, block["baselines"], *_baseline_table(block)))
    for dataset, cells in (block.get("ceilings") or {}).items():
        parts.append(_ceilings(dataset, cells))
    return "".join(parts)


def _note(block: Mapping[str, Any]) -> str:
    return f'<p class="missing">{text(block["note"])}</p>'


def _rule() -> str:
    return (
        f'<p class="soft">A fake is scored again with one stream of its real: the same video before it was forged. A '
        f"stream counts as read if that costs {READ_DROP:g} of AUC or more at some compression, all methods together, "
        "and the 95 % interval over groups of people lies above 0. Alone: all other streams are the real's.</p>"
    )


def _folded(title: str, run: RunFiles, entries: Sequence[Entry], head: Sequence[str], cells: Any) -> str:
    """A table of all methods together, and one by method that is folded away."""
    pooled = _sorted(run, pooled_entries(entries))
    single = [entry for entry in _sorted(run, entries) if entry not in pooled]
    about = ("test set", "methods", "clips")

    def listing(chosen: Sequence[Entry]) -> str:
        return table((*about, *head), [[*_about(entry), *cells(entry)] for entry in chosen], words=2)

    by_method = f"<details><summary>{title} by method</summary>{listing(single)}</details>" if single else ""
    return f"<h3>{title}</h3>{listing(pooled)}{by_method}"


def _about(entry: Entry) -> list[str]:
    methods = entry["methods"][0] if len(entry["methods"]) == 1 else f"{len(entry['methods'])} together"
    return [
        f"{foreign(entry['dataset'])} {foreign(entry['compression'])}",
        foreign(methods),
        f"{entry['n_real']}+{entry['n_fake']}",
    ]


def _swap_table(streams: Sequence[str]) -> tuple[list[str], Any]:
    """Head and cells of the stream swap."""
    head = ["AUC"]
    for name in streams:
        head += [f"real's {text(name)}", "AUC lost", f"{text(name)} alone"]

    def cells(entry: Entry) -> list[str]:
        shown = [_area(entry)]
        for name in streams:
            figures = entry["streams"][name]
            without = figures["without"]
            lost = figure_of(without["drop"]) + _interval(without["drop_ci95"])
            shown += [figure_of(without["auc"]), lost, _area(figures["alone"])]
        return shown

    return head, cells


def _baseline_table(block: Mapping[str, Any]) -> tuple[list[str], Any]:
    """Head and cells of the untrained statistics."""
    names = list(block["baselines"][0]["statistics"])

    def cells(entry: Entry) -> list[str]:
        return [_area(entry["model"]), *(_area(entry["statistics"][name]) for name in names)]

    return ["model", *(text(name.replace("_", " ")) for name in names)], cells


def _area(area: Area) -> str:
    return figure_of(area["auc"]) + _interval(area["auc_ci95"])


def _interval(ends: Sequence[float] | None) -> str:
    if not ends:
        return ""
    return f' <span class="soft">{figure_of(ends[0], 2)} {_TO} {figure_of(ends[1], 2)}</span>'


def _ceilings(dataset: str, cells: Sequence[Mapping[str, Any]]) -> str:
    """What each stream could see of a drawn data set (data_prep/synthetic/ceilings.py), folded away."""
    rows: dict[tuple, dict[str, Any]] = {}
    for cell in cells:
        key = tuple(str(cell.get(name, "")) for name in ("stream", "kind", "statistic", "compression"))
        rows.setdefault(key, {})[str(cell.get("method", ""))] = cell.get("auc")
    methods = list(dict.fromkeys(method for row in rows.values() for method in row))
    listing = table(
        ("stream", "", "statistic", "compression", *(foreign(method) for method in methods)),
        [[*(foreign(part) for part in key), *(figure_of(row.get(m), 2) for m in methods)] for key, row in rows.items()],
        words=4,
    )
    title = f"What each stream could see of {foreign(dataset)}: AUC of floors and ceilings"
    return f"<details><summary>{title}</summary>{listing}</details>"
