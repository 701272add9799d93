"""Could made videos be told from real ones by a shortcut? Logistic regression on simple statistics of a clip.

What drawn (synthetic/shortcut.py) and forged (forge/shortcut.py) data sets share.
"""

from __future__ import annotations

import cv2
import numpy as np


def of_picture(picture: np.ndarray) -> list[float]:
    """Of (H, W, 3) uint8 RGB: mean and variance of each channel, and sharpness (variance of the Laplacian)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return [*picture.mean((0, 1)), *picture.var((0, 1)), cv2.Laplacian(grey, cv2.CV_32F).var()]


def auc_by_method(
    features: np.ndarray, methods: np.ndarray, groups: np.ndarray, folds: int = 5, repeats: int = 4
) -> dict[str, float]:
    """Area under the ROC curve on people that were held out, mean over `repeats` divisions.

    Args:
      features: (V, F). methods: (V,) of str, "" for real. groups: (V,) int, never divided between the folds.

    Returns:
      {method: auc, "all": auc}.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    numbers = np.unique(groups)
    folds = min(folds, len(numbers))
    result = {}
    for name in [*sorted(set(methods) - {""}), "all"]:
        use = (methods == "") | (methods == name) | (name == "all")
        label = (methods != "").astype(int)
        scores = []
        for repeat in range(repeats):
            fold_of = np.random.default_rng(repeat).permutation(len(numbers)) % folds
            for fold in range(folds):
                held = np.isin(groups, numbers[fold_of == fold])
                model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
                model.fit(features[use & ~held], label[use & ~held])
                test = use & held
                scores.append(roc_auc_score(label[test], model.decision_function(features[test])))
        result[name] = float(np.mean(np.array(scores)))
    return result


def line(compression: str, aucs: dict[str, float]) -> str:
    """A result as text."""
    return f"{compression}: " + "  ".join(f"{name} {auc:.2f}" for name, auc in aucs.items())
