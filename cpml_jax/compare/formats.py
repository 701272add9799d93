"""A comparison as Markdown, LaTeX and CSV. Nothing here computes a figure (differences.py does)."""

from __future__ import annotations

import csv
import io

from cpml_jax.errors import printable
from cpml_jax.evaluation.table import markdown as markdown_table
from cpml_jax.evaluation.table import markdown_text

LEGEND = (
    "AUC of videos with its 95 % interval over people (groups of identities that clips connect); for several seeds, "
    "their mean ± standard deviation, and the interval over people and training runs together. Δ: difference to the "
    "first column, on the same videos, and p of its test over people and seeds together; of one run each it is about "
    "these runs, not about their methods. Holm: p corrected for all comparisons in this table. DeLong: not corrected, "
    "and takes videos as independent, which those of one person are not."
)
CSV_FIELDS = (
    "test", "column", "auc", "ci95_low", "ci95_high", "std", "seeds", "clip_auc", "difference", "difference_ci95_low",
    "difference_ci95_high", "difference_std", "p", "p_holm", "p_delong", "pairs", "note",
)  # fmt: skip


def _auc(cell: dict) -> str:
    if cell["auc"] is None:
        return "-"
    spread = "" if cell["std"] is None else f" ± {cell['std']:.3f}"
    interval = f" [{cell['ci95'][0]:.2f}, {cell['ci95'][1]:.2f}]" if cell["ci95"] else ""
    return f"{cell['auc']:.3f}{spread}{interval}"


def _p(value: float) -> str:
    return f"p={value:.3f}" if value >= 0.001 else "p<0.001"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # the sum makes -0.0 a plain 0


def difference(cell: dict) -> str:
    """The difference to the first column, its interval and its tests, as text."""
    if cell["difference"] is None:
        return "-"
    text = _signed(cell["difference"], 3)
    if cell["difference_std"] is not None:
        text += f" ± {cell['difference_std']:.3f}"
    if cell["difference_ci95"]:
        text += " [{}, {}]".format(*(_signed(end, 2) for end in cell["difference_ci95"]))
    tests = (("p", ""), ("p_holm", "Holm "), ("p_delong", "DeLong "))
    p_values = [f"{name}{_p(cell[key])}" for key, name in tests if cell[key] is not None]
    return text + (f"; {', '.join(p_values)}" if p_values else "")


def _cells(table: dict) -> tuple[list[str], list[list[str]]]:
    """Head and body: a column of AUCs for each column of runs, and one of differences for each but the first."""
    first, *others = table["columns"]
    head = ["test", first, *(text for name in others for text in (name, f"Δ {name}"))]
    body = []
    for row in table["rows"]:
        reference, *rest = row["cells"]
        body.append([row["test"], _auc(reference), *(text for cell in rest for text in (_auc(cell), difference(cell)))])
    return head, body


def markdown(table: dict) -> str:
    """The table of command.compare, its legend and its notes."""
    head, body = _cells(table)
    notes = [f"- {markdown_text(note)}" for note in table["notes"]]
    return "\n".join([markdown_table(head, body), "", LEGEND, "", *notes]).rstrip() + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "Δ": r"$\Delta$", "<": r"$<$", ">": r"$>$",
    "|": r"\textbar{}",
}  # fmt: skip


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in printable(text))


def latex(table: dict) -> str:
    """A tabular for the package booktabs; legend and notes below it."""
    head, body = _cells(table)
    lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (head, *body)]
    notes = [_escaped(text) + r"\\" for text in (LEGEND, *table["notes"])]
    columns = "l" + "r" * (len(head) - 1)
    tabular = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*tabular, r"\end{tabular}", "", r"{\footnotesize\noindent", *notes, "}", ""])


def csv_lines(table: dict) -> str:
    """One line per test and column; `pairs` holds one `seed/seed: difference` for each pair of one seed."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in table["rows"]:
        for name, cell in zip(table["columns"], row["cells"], strict=True):
            low, high = cell["ci95"] or (None, None)
            difference_low, difference_high = cell["difference_ci95"] or (None, None)
            pairs = " | ".join(f"{p['seeds'][0]}/{p['seeds'][1]}: {p['difference']:.6f}" for p in cell["pairs"])
            figures = {key: cell[key] for key in CSV_FIELDS if key in cell and key != "pairs"}
            intervals = {
                "ci95_low": low,
                "ci95_high": high,
                "difference_ci95_low": difference_low,
                "difference_ci95_high": difference_high,
            }
            writer.writerow({"test": row["test"], "column": name, **figures, **intervals, "pairs": pairs})
    return file.getvalue()
