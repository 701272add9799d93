"""Could made videos be told from real ones by a shortcut? Logistic regression on simple statistics of a clip.

What drawn (synthetic/shortcut.py) and forged (forge/shortcut.py) data sets share.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from cpml_jax.errors import UserError


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


def run(
    arguments: Sequence[str],
    module: str,
    measure: Callable[[str, str], dict[str, float]],
    compressions: Callable[[str], Sequence[str]],
) -> int:
    """The command `python -m MODULE ROOT [COMPRESSION ...]`: a line of AUCs for each compression.

    Args:
      arguments: ROOT and compressions. module: its name, for the line on how to call it.
      measure: (root, compression) -> {method: auc}. compressions: of a root, where none is named.

    Returns:
      The exit status: 0, or 2 after one line on what is wrong.
    """
    try:
        if not arguments:
            raise UserError(f"give the folder of the videos: python -m {module} ROOT [COMPRESSION ...]")
        root = arguments[0]
        for compression in arguments[1:] or compressions(root):
            aucs = measure(root, compression)
            print(f"{compression}: " + "  ".join(f"{name} {auc:.2f}" for name, auc in aucs.items()), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
