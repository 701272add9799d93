"""Words and numbers of the report's HTML: escaped, and never a nan."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cpml_jax.report.run_files import number


def text(value) -> str:
    """A foreign string, escaped for HTML and its attributes; bytes that are no text are replaced."""
    return escape(str(value).encode("utf-8", "replace").decode(), quote=True)


def foreign(value) -> str:
    """A foreign string, escaped and kept from turning the writing direction of what surrounds it."""
    return f"<bdi>{text(value)}</bdi>"


def figure_of(value, digits: int = 3, unit: str = "") -> str:
    """A number as the page shows it; a dash where there is none."""
    known = number(value)
    if known is None:
        return "\N{EN DASH}"
    return f"{known:,.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table that scrolls inside its box. Cells are HTML; the first `words` columns are words, the others numbers."""
    kinds = ["" if place < words else ' class="n"' for place in range(len(head))]
    titles = "".join(f'<th scope="col"{kind}>{title}</th>' for title, kind in zip(head, kinds, strict=True))
    body = []
    for row in rows:
        cells = [f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)]
        cells[0] = f'<th scope="row">{row[0]}</th>'
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (f'<div class="wide" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{titles}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table></div>")  # fmt: skip
