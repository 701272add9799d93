"""Tables: evaluation.json as plain text; several runs as Markdown. Nothing here computes a figure (metrics.py does)."""

from __future__ import annotations

from collections.abc import Sequence


def table(report: dict) -> str:
    """The results as plain text, at most 100 columns for names of ordinary length."""
    head = ("protocol", "test set", "methods", "videos", "clip", "video", "95 % CI", "AP", "EER", "acc")
    body = [_cells(result) for result in report["results"]]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *body)
    ]
    text = [lines[0], "-" * len(lines[0]), *lines[1:], "", *_notes(report)]
    return "\n".join(line.rstrip() for line in text)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cells(result: dict) -> tuple[str, ...]:
    test, clip, video = result["test"], result["clip"], result["video"]
    interval = video["auc_ci95"]
    return (
        result["protocol"],
        f"{test['dataset']} {test['compression']}",
        test["methods"][0] if len(test["methods"]) == 1 else f"{len(test['methods'])} together",
        f"{video['n_real']}+{video['n_fake']}",
        _number(clip["auc"]),
        _number(video["auc"]),
        f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "-",
        _number(video["ap"]),
        _number(video["eer"]),
        _number(video["acc"]),
    )


def _notes(report: dict) -> list[str]:
    if not report["results"]:
        return []
    first = report["results"][0]
    train, checkpoint = first["train"], report["checkpoint"]
    return [
        f"Checkpoint of step {checkpoint['step']}, chosen by: {checkpoint.get('selection', 'validation')}. Trained on "
        f"{train['dataset']} at {' + '.join(train['compressions'])}.",
        f"Set aside as unusable: {len(report['excluded'])} videos or clips.",
        "videos: real+fake. clip, video: AUC of single clips, and of videos (the mean of a video's clips).",
        "95 % CI (bootstrap over identities), AP, EER, acc: of videos; acc at the threshold chosen on the",
        f"validation split ({_number(first['threshold']['video'])}).",
    ]


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned, the first to the left and the others to the right."""
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (head, *body)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]

    def joined(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    padded = [
        [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))] for line in lines
    ]
    ruler = [("-" * (w - 1) + ":") if i else "-" * w for i, w in enumerate(widths)]
    return "\n".join(joined(line) for line in (padded[0], ruler, *padded[1:]))
