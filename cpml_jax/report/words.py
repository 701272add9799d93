"""The report's HTML: a whole page, its words and numbers (escaped, never a nan), its tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from cpml_jax import html_page
from cpml_jax.report.run_files import number

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def whole_page(title: str, body: str) -> str:
    """A page of the report.

    Args:
      title: plain text; it is escaped here. body: HTML of what is shown.
    """
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return html_page.document(text(title), style, body)


def text(value: object) -> str:
    """A foreign string, escaped for HTML and its attributes.

    What UTF-8 cannot encode is replaced, and so are control characters, which HTML does not allow.
    """
    known = str(value).encode("utf-8", "replace").decode()
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", known), quote=True)


def foreign(value: object) -> str:
    """A foreign string, escaped and kept from reversing the writing direction of what surrounds it."""
    return f"<bdi>{text(value)}</bdi>"


def figure_of(value: object, digits: int = 3, unit: str = "") -> str:
    """A number as the page shows it; a dash for anything but a finite number."""
    known = number(value)
    if known is None:
        return "\N{EN DASH}"
    return f"{known:,.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table that scrolls inside its box. Cells are HTML; the first `words` columns are words, the others numbers."""
    kinds = ["" if place < words else ' class="n"' for place in range(len(head))]
    # Titles break into lines, so that a table of many columns fits; not before their unit.
    head = [title.replace(" %", "\N{NO-BREAK SPACE}%") for title in head]
    titles = "".join(f'<th scope="col"{kind}>{title}</th>' for title, kind in zip(head, kinds, strict=True))
    body = []
    for row in rows:
        cells = [f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)]
        cells[0] = f'<th scope="row">{row[0]}</th>'
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
