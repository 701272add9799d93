"""Figures of the unified feature: t-SNE with the prompts in it, and the similarity to either prompt."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.manifold import TSNE

from cpml_jax import schema
from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Column, Plate
from cpml_jax.report.run_files import FEATURES, RunFiles, lines_of_test
from cpml_jax.report.words import figure_of
from cpml_jax.schema import FAKE, REAL

POINTS = 600  # of the t-SNE, at most
SEED = 0
_PROMPTS = {REAL: ("P", "prompt: real"), FAKE: ("X", "prompt: fake")}


def unit_features(run: RunFiles) -> tuple[list[dict], np.ndarray, np.ndarray | None]:
    """Test lines with a finite feature, their unit vectors (N, D) float64, and the prompts' (2, D) or None.

    Raises:
      Absent: the run has no features.
    """
    unified = run.features.get("unified")
    if unified is None:
        raise Absent(run.why(FEATURES))
    lines = [line for line in lines_of_test(run) if np.isfinite(unified[line["row"]]).all()]
    if not lines:
        raise Absent("features.npz holds no finite feature of a test clip; main.py evaluate writes it anew.")
    prompts = run.features.get("class_embeddings")
    unit_prompts = None if prompts is None else _unit(prompts)
    return lines, _unit(unified[[line["row"] for line in lines]].astype(np.float64)), unit_prompts


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows (N, D) divided by their length, float64; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float64) / np.maximum(lengths, 1e-12)


def embedding(run: RunFiles) -> list[Plate]:
    """t-SNE (van der Maaten and Hinton, JMLR 2008) of unit features and prompts, coloured in three ways."""
    lines, vectors, prompts = unit_features(run)
    if len(lines) > POINTS:
        kept = np.sort(np.random.default_rng(SEED).choice(len(lines), POINTS, replace=False))
        lines, vectors = [lines[i] for i in kept], vectors[kept]
    everything = vectors if prompts is None else np.concatenate([vectors, prompts])
    if len(everything) < 5:
        raise Absent("t-SNE needs at least five clips; evaluate on more test clips.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal features: PCA divides by no variance
        places = TSNE(
            perplexity=min(30.0, (len(everything) - 1) / 3), init="random", learning_rate="auto", random_state=SEED
        ).fit_transform(everything.astype(np.float32))
    points, marks = places[: len(lines)], places[len(lines) :]
    columns = {
        "clip_id": [line["clip_id"] for line in lines] + [name for _, name in list(_PROMPTS.values())[: len(marks)]],
        "x": places[:, 0], "y": places[:, 1],
        **{key: [line[key] for line in lines] + [""] * len(marks) for key in ("label", "method", "compression")},
    }  # fmt: skip
    kinds = (
        ("class", [canvas.CLASS_NAMES[line["label"]] for line in lines], ["real", "fake"]),
        ("method", [line["method"] for line in lines], None),
        ("compression", [line["compression"] for line in lines], None),
    )
    return [_coloured(kind, values, order, points, marks, columns) for kind, values, order in kinds]


def _coloured(
    kind: str,
    values: list[str],
    order: list[str] | None,
    points: np.ndarray,
    marks: np.ndarray,
    columns: Mapping[str, Column],
) -> Plate:
    """The points (N, 2) coloured by their values, and the prompts' marks (M, 2)."""
    names = order or sorted(set(values), key=lambda v: (v != schema.REAL_METHOD, schema.compression_rank(v), v))
    names = [name for name in names if name in values]
    figure, axes = canvas.panel(4.6 + 0.2 * ((len(names) + len(marks) + 1) // 2))
    members = {name: np.array([value == name for value in values]) for name in names}
    for place, (name, chosen) in enumerate(members.items()):
        look = canvas.look(place)
        axes.scatter(
            *points[chosen].T, s=22, facecolors="none", edgecolors=look["color"], marker=look["marker"], lw=1.1,
            label=canvas.shown(name, 16),
        )  # fmt: skip
    for mark, (marker, name) in zip(marks, _PROMPTS.values(), strict=False):
        axes.scatter(*mark, s=190, color=canvas.INK, marker=marker, label=name, zorder=5)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    canvas.legend_below(figure, axes, 2, handletextpad=0.1)
    title = f"By {kind}."
    counts = ", ".join(f"{name} {int(chosen.sum())}" for name, chosen in members.items())
    alt = f"t-SNE of the unified feature of {len(points)} test clips by {kind}: {counts}."
    return Plate(f"tsne_{kind}", title, alt, figure, columns)


def similarities(run: RunFiles) -> list[Plate]:
    """cos(u, prompt of real) against cos(u, prompt of fake), one dot per clip."""
    lines, vectors, prompts = unit_features(run)
    if prompts is None:
        raise Absent("This model has no prompts to be similar to: a linear head scores its unified feature.")
    cosines = vectors @ prompts.T
    labels = np.array([line["label"] for line in lines])
    figure, axes = canvas.panel(4.9)
    low, high = float(cosines.min()), float(cosines.max())
    room = 0.05 * max(high - low, 1e-3)
    limits = (low - room, high + room)
    axes.plot(limits, limits, color=canvas.SOFT, lw=1, ls=":")
    for label in (REAL, FAKE):
        points = cosines[labels == label]
        if len(points):
            axes.scatter(
                points[:, REAL], points[:, FAKE], s=22, facecolors="none", edgecolors=canvas.CLASS_COLOURS[label],
                marker=canvas.CLASS_MARKERS[label], lw=1.1, label=canvas.CLASS_NAMES[label],
            )  # fmt: skip
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel="cosine to the prompt of real", ylabel="cosine to the prompt of fake")
    canvas.legend_below(figure, axes, 2)
    means = [
        f"{canvas.CLASS_NAMES[k]} clips {cosines[labels == k, REAL].mean():.2f} to real, "
        f"{cosines[labels == k, FAKE].mean():.2f} to fake"
        for k in (REAL, FAKE) if (labels == k).any()
    ]  # fmt: skip
    between = float(prompts[REAL] @ prompts[FAKE])
    title = (
        "Similarity of every test clip to both prompts. Above the dotted line the fake prompt is nearer; the cosine "
        f"between the two prompts is {figure_of(between, 2)}."
    )
    columns = {
        "clip_id": [line["clip_id"] for line in lines],
        "label": labels,
        "method": [line["method"] for line in lines],
        "compression": [line["compression"] for line in lines],
        "cosine_real": cosines[:, REAL],
        "cosine_fake": cosines[:, FAKE],
    }
    return [Plate("similarities", title, f"Scatter of cosines; means: {'; '.join(means)}.", figure, columns)]
