"""The tables of a sweep: the cells of sweep.json as Markdown that reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cpml_jax.evaluation.table import markdown

LEGENDS = {
    "in_dataset": "rows: trained and tested at; columns: tested on",
    "cross_compression": "rows: trained at; columns: tested at",
    "cross_dataset": "rows: trained at; columns: tested on",
    "ablation": "rows: of the ablation table; columns: tested at",
}


def tables(cells: Iterable[dict]) -> str:
    """All tables of the cells of sweep.json, in the order of their first cell: AUC of videos.

    With several seeds, a figure is their mean and standard deviation, with their number.
    """
    grouped: dict[tuple[str, str], list[dict]] = {}
    for cell in cells:
        grouped.setdefault((cell["protocol"], cell["table"]), []).append(cell)
    blocks = []
    for (protocol, name), members in grouped.items():
        rows, columns = (list(dict.fromkeys(cell[key] for cell in members)) for key in ("row", "column"))
        if set(columns) <= set(rows):  # rows and columns of one kind, in the same order
            columns = [row for row in rows if row in columns]
        body = [
            [row, *(_figure([c for c in members if (c["row"], c["column"]) == (row, column)]) for column in columns)]
            for row in rows
        ]
        title = f"## {protocol}, {name}: AUC of videos ({_legend(protocol, name)})"
        blocks.append("\n".join([title, "", markdown(["", *columns], body)]))
    explained = (
        "One seed: the AUC and its 95 % interval over people (groups of identities that clips connect). Several: mean "
        "± standard deviation over the seeds, with their number. `-`: no figure (yet); sweep.json has the reason."
    )
    return "\n\n".join([*blocks, explained]) + "\n"


def _legend(protocol: str, table: str) -> str:
    if protocol != "cross_manipulation":
        return LEGENDS[protocol]
    if table == "leave one out":
        return "rows: left out of training and tested on; columns: tested at"
    return "rows: trained on; columns: tested on"


def _figure(cells: Sequence[dict]) -> str:
    results = [cell["video"] for cell in cells if cell["video"] and cell["video"]["auc"] is not None]
    if not results:
        return "-"
    if len(cells) == 1:
        interval = results[0]["auc_ci95"]
        return f"{results[0]['auc']:.3f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")
    values = [result["auc"] for result in results]
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread} ({len(values)})"
