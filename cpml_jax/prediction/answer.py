"""What is said of one video: the JSON object of docs/schemas/predict.schema.json, but for its `video`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cpml_jax.evaluation import heart_rate, video_score
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.prediction.windows import ScoredWindow


def describe(scored: Sequence[ScoredWindow], verdict: Verdict) -> dict[str, Any]:
    """One video's answer. Heart rates, doubt and label are those of the face that decides it."""
    faces: list[dict[str, Any]] = []
    judgements = []
    margins = video_score.face_margins([w.margin for w in scored], [w.face for w in scored])
    for number, margin in margins.items():
        of_face = [window for window in scored if window.face == number]
        judgements.append(verdict.judge([window.measured for window in of_face]))
        faces.append(
            {
                "face": number,
                **verdict.score(margin),
                **verdict.label(margin, judgements[-1]),
                "p_known": judgements[-1].p if judgements[-1] else None,
                **heart_rate.of_face([window.pulse for window in of_face]),
                "windows": len(of_face),
                "track_quality": float(np.mean([window.track_quality for window in of_face])),
            }
        )
    place = list(margins).index(video_score.deciding_face(margins))
    decisive = faces[place]
    return {
        **{key: decisive[key] for key in ("margin", "score", "label", "leaning")},
        **verdict.doubt(judgements[place]),
        **verdict.describe(),
        **{key: decisive[key] for key in heart_rate.KEYS},
        "windows": [
            {
                "start_s": float(w.start_s),
                **verdict.score(w.margin),
                "face": w.face,
                **heart_rate.of_window(w.pulse),
            }
            for w in scored
        ],
        "faces": faces,
    }
