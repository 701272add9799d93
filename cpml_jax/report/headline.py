"""The report's head: what was evaluated, and the table of results."""

from __future__ import annotations

from collections.abc import Iterator

from cpml_jax.metrics import summary
from cpml_jax.metrics.summary import Column, Metric
from cpml_jax.report import what_is_read
from cpml_jax.report.canvas import Absent
from cpml_jax.report.run_files import RESULTS, RunFiles, is_pooled, number
from cpml_jax.report.words import figure_of, foreign, table, text

_ABOUT = ("test set", "protocol", "trained on", "methods")
_DASH = "\N{EN DASH}"


def header(run: RunFiles, folder: str) -> str:
    """HTML of the page's top: name, checkpoint, selection, data, versions, and what the model reads."""
    config, checkpoint = run.evaluation.get("config") or {}, run.evaluation.get("checkpoint") or {}
    name = config.get("name") or folder
    facts = [f"run {foreign(folder)}"]
    if checkpoint.get("step") is not None:
        facts.append(f"checkpoint of step {checkpoint['step']:,}")
    selection = checkpoint.get("selection")
    if selection:
        oracle = str(selection).startswith("oracle")
        facts.append(f"<strong>selected by {text(selection)}</strong>" if oracle else f"selected by {text(selection)}")
    facts += [f"seed {text(config['seed'])}"] if "seed" in config else []
    items, reads = "".join(f"<li>{fact}</li>" for fact in facts), what_is_read.sentences(run)
    return f'<header><p class="soft">Report</p><h1>{foreign(name)}</h1><ul class="facts">{items}</ul>{reads}</header>'


def provenance(run: RunFiles) -> str:
    """HTML that names data, commit and versions, folded away."""
    known = run.evaluation.get("provenance") or {}
    if not known:
        return ""
    rows = [
        (foreign(name), foreign(str(records.get("sha256", "unknown"))), figure_of(records.get("clips"), 0))
        for name, records in (known.get("records") or {}).items()
    ]
    versions = ", ".join(f"{text(k)} {text(v)}" for k, v in (known.get("versions") or {}).items())
    commit = f"<p>Commit {foreign(known.get('commit') or 'unknown')}; {versions}.</p>"
    listing = table(("records", "SHA-256", "clips"), rows, words=2) if rows else ""
    return f"<details><summary>Made from: data, commit, versions</summary>{commit}{listing}</details>"


def results(run: RunFiles) -> str:
    """The headline table; lines by method, and lines of re-encodings and corruptions, are folded away below it."""
    if not run.results:
        raise Absent(run.why(RESULTS))
    plain = [r for r in run.results if not r.get("condition")]
    pooled = [r for r in plain if is_pooled(r, run.results)]
    single = [r for r in plain if not is_pooled(r, run.results)]
    other = [r for r in run.results if r.get("condition")]
    head = (*_ABOUT, "videos", *(column.title for _, column in summary.columns()))
    parts = [table(head, [cells(r) for r in pooled], len(_ABOUT))]
    for title, group in (("By method", single), ("Re-encodings and corruptions", other)):
        if group:
            listing = table(head, [cells(r) for r in group], len(_ABOUT))
            parts.append(f"<details><summary>{title}: {len(group)} results</summary>{listing}</details>")
    notes = "".join(f"<li>{note}</li>" for note in dict.fromkeys(_notes(run)))
    return "".join(parts) + (f'<ul class="notes">{notes}</ul>' if notes else "") + _rules(run)


def cells(result: dict) -> list[str]:
    """HTML cells of one result."""
    train, test, video = result["train"], result["test"], result["video"]
    methods = test["methods"][0] if len(test["methods"]) == 1 else f"{len(test['methods'])} together"
    return [
        f"{foreign(test['dataset'])} {foreign(test['compression'])}{_condition(result.get('condition'))}",
        text(result["protocol"]).replace("_", " "),
        foreign(" + ".join(map(str, train["compressions"]))),
        foreign(methods),
        f"{video.get('n_real', 0)}+{video.get('n_fake', 0)}",
        *(_figure(result, metric, column) for metric, column in summary.columns()),
    ]


def _figure(result: dict, metric: Metric, column: Column) -> str:
    shown = column.text(result[column.of].get(metric.name))
    shown = _DASH if shown is None else text(shown)
    shown = shown[:1].replace("-", "\N{MINUS SIGN}") + shown[1:].replace("-", _DASH)
    return f"<b>{shown}</b>" if (metric.name, column.of) == ("auc", "video") else shown


def _condition(condition: dict | None) -> str:
    if not condition:
        return ""
    if condition.get("kind") == "codec":
        rate = number(condition.get("bitrate_bps"))
        at = "" if rate is None else f", {rate / 1000:,.0f} kbit/s"
        return f" {foreign(condition.get('codec'))} crf {foreign(condition.get('crf'))}{at}"
    return f" {foreign(condition.get('corruption', condition.get('kind')))} {foreign(condition.get('strength', ''))}"


def _notes(run: RunFiles) -> Iterator[str]:
    """Each note once, with the tests that it is about; those of re-encodings and corruptions repeat the others'."""
    about: dict[str, list[str]] = {}
    for result in (r for r in run.results if not r.get("condition")):
        where = f"{foreign(result['test']['dataset'])} {foreign(result['test']['compression'])}"
        for holder in (result, result["video"], result.get("threshold") or {}):
            if holder.get("note") and where not in about.setdefault(text(holder["note"]), []):
                about[text(holder["note"])].append(where)
    for note, tests in about.items():
        yield f"{', '.join(tests)}: {note}"
    if run.dropped:
        yield f"{run.dropped:,} lines of scores.jsonl have no finite score and are left out of the figures"
    yield from _listed(run)
    excluded = run.evaluation.get("excluded") or []
    if excluded:
        yield f"{len(excluded):,} clips were excluded; evaluation.json lists them with their reasons"


def _seen(run: RunFiles) -> str:
    """Windows and frames a video of the first test, as a sentence."""
    windows, frames = (
        (run.results[0].get("seen") or {}).get(key) or {} for key in ("windows_per_video", "frames_per_video")
    )
    if not windows or not frames:
        return ""
    mean = figure_of(windows["mean"], 1).removesuffix(".0")
    through = "1 window" if mean == "1" else f"{mean} windows"
    return f"A video is seen through {through}, {figure_of(frames['mean'], 0)} frames. "


def _listed(run: RunFiles) -> Iterator[str]:
    """Tested of listed videos, where some are missing."""
    for result in (r for r in run.results if is_pooled(r, run.results) and not r.get("condition")):
        listed = result.get("listed")
        if not listed:
            continue
        tested, official = sum(listed["tested"].values()), listed["official"]
        if tested < (official or listed["listed"]):
            where = f"{foreign(result['test']['dataset'])} {foreign(result['test']['compression'])}"
            published = f"; the published test list has {official:,}" if official else ""
            chance = figure_of(result["video"].get("auc_excluded_as_chance"))
            counts = f"{tested:,} of {listed['listed']:,} listed videos were tested"
            yield f"{where}: {counts}{published}; AUC with the excluded ones as chance {chance}"


def _rules(run: RunFiles) -> str:
    threshold = run.results[0].get("threshold") or {}
    accuracy, rule = "", run.evaluation.get("rule") or {}
    if threshold.get("rule"):
        value = figure_of(threshold.get("video"))
        accuracy = f"Accuracy is at the threshold that {text(threshold['rule'])} (for videos {value}). "
    windows, faces = (text(rule.get(key) or "unknown") for key in ("windows", "faces"))
    entries = [
        f"<dt>{text(', '.join(dict.fromkeys(column.title for column in metric.columns)))}</dt>"
        f"<dd>{text(metric.sentence)}</dd>"
        for metric in summary.METRICS
        if metric.columns
    ]
    return (
        '<p class="soft">Figures are of videos unless they are marked clip. '
        f"How a video is scored: {windows}; {faces}. {_seen(run)}{accuracy}"
        "A dash: the figure does not exist, or an older evaluation did not write it.</p>"
        f"<details><summary>What the figures mean</summary><dl>{''.join(entries)}</dl></details>"
    )
