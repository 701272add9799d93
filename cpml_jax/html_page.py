"""The frame of every HTML page that the project writes: one file that carries everything it shows."""

from __future__ import annotations

_HEAD = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # Nothing is fetched, whatever a data set, a method or a file is called.
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'{}\">"
)
_VIDEOS = "; media-src 'self' file:"  # those that lie beside the page


def document(title: str, style: str, body: str, *, videos: bool = False) -> str:
    """A whole page without scripts. title and body: HTML, already escaped; style: CSS; videos: may be played."""
    head = _HEAD.format(_VIDEOS if videos else "")
    return f"{head}<title>{title}</title><style>{style}</style></head><body>{body}</body></html>\n"
