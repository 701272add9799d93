"""Drawn scores of pairs of people, as FaceForensics++ has them: what intervals are tried on."""

import numpy as np
from scipy import stats

# Shares of the variance: of the pair, of the pair within a class, of the person, of the person within a class, noise.
SHARES = (0.35, 0.15, 0.15, 0.2, 0.15)
REALS, FAKES = 1, 4  # of a person
CLIPS = 2 * (REALS + FAKES)  # of a pair


def labels_and_groups(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) labels and (N,) numbers of the pairs."""
    return np.tile(np.repeat([0, 1], [2 * REALS, 2 * FAKES]), pairs), np.repeat(np.arange(pairs), CLIPS)


def cohorts(rng: np.random.Generator, shape: tuple[int, ...], pairs: int, auc: float) -> np.ndarray:
    """Scores (*shape, N) whose AUC between pairs is `auc` in the population; each entry of `shape` is independent."""
    return effects(rng, shape, pairs) + margin(auc) * labels_and_groups(pairs)[0]


def margin(auc: float) -> float:
    """How far apart the classes must be."""
    return float(stats.norm.ppf(auc) * np.sqrt(2))


def effects(rng: np.random.Generator, shape: tuple[int, ...], pairs: int) -> np.ndarray:
    """What varies (*shape, N): unit variance; a pair's clips, a person's, and more so those of one class, are alike."""
    of_pair, of_pair_class, of_person, of_person_class, noise = (np.sqrt(share) for share in SHARES)

    def normal(*size: int) -> np.ndarray:
        return rng.normal(size=(*shape, pairs, *size))

    both = of_pair * normal(1, 1) + of_person * normal(2, 1)
    classes = [
        both + of_pair_class * normal(1, 1) + of_person_class * normal(2, 1) + noise * normal(2, clips)
        for clips in (REALS, FAKES)
    ]
    flat = [values.reshape(*shape, pairs, -1) for values in classes]
    return np.concatenate(flat, axis=-1).reshape(*shape, -1)


def runs(rng: np.random.Generator, count: int, pairs: int, seeds: int, auc: float, spread: float) -> np.ndarray:
    """Scores (count, 2, N, seeds) of two methods that do not differ: training runs of either vary by `spread`."""
    shared = effects(rng, (count, 1, 1), pairs)
    of_method, of_run = effects(rng, (count, 2, 1), pairs), effects(rng, (count, 2, seeds), pairs)
    quality = margin(auc) + spread * rng.normal(size=(count, 2, seeds, 1))
    scores = np.sqrt(0.6) * shared + np.sqrt(0.15) * of_method + np.sqrt(0.25) * of_run
    return np.swapaxes(scores + quality * labels_and_groups(pairs)[0], -1, -2)
