"""What the decoder of the variational dual IB is drawn to: ptilde(y|x), positive and with rows that sum to 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dualib._validation import Array, IntArray, as_non_negative, shown
from dualib.networks.arrays import as_positive

_LEAST = 1e-7  # of a probability, before rows are divided by their sums

Target = Callable[[IntArray], Array]  # positions of a batch (m,) to ptilde (m, n_classes)


def target_of(target: Any, scale: Any, X: Any, codes: IntArray, n_classes: int, rng: np.random.Generator) -> Target:
    """The function that gives ptilde for a batch.

    Parameters
    ----------
    target : "confusion", "smoothing", "noise", array_like (n_classes, n_classes), or a fitted classifier
        See `dualib.networks.VariationalDualIB`.
    scale : float
        Share of the smoothing, or standard deviation of the noise.
    X, codes : array_like (n, ...) and ndarray (n,)
        Of the training.

    Raises
    ------
    ValueError, TypeError
        None of these; a scale out of range; a matrix or a classifier of another number of classes.
    """
    one_hot = np.eye(n_classes)
    if isinstance(target, str) and target != "confusion":
        if target not in ("smoothing", "noise"):
            raise ValueError(
                f"target must be 'confusion', 'smoothing', 'noise', a confusion matrix or a classifier, got {shown(target)}"
            )
        amount = as_positive("target_scale", scale)
        if target == "noise":
            return lambda batch: _rows(one_hot[codes[batch]] + amount * rng.standard_normal((len(batch), n_classes)))
        if amount >= 1.0:
            raise ValueError(f"target_scale must be below 1, the share that smoothing gives to all labels, got {shown(scale)}")
        smoothed = _rows((1.0 - amount) * one_hot + amount / n_classes)
        return lambda batch: smoothed[codes[batch]]
    if hasattr(target, "predict_proba"):
        rows = _rows(np.asarray(target.predict_proba(X), dtype=np.float64))
        if rows.shape != (len(codes), n_classes):
            raise ValueError(f"target: its predict_proba must have shape {(len(codes), n_classes)}, got {rows.shape}")
        return lambda batch: rows[batch]
    confusion = confused(X, codes, n_classes) if isinstance(target, str) else as_non_negative("target", target, 2)
    if confusion.shape != (n_classes, n_classes) or not confusion.any(axis=1).all():
        raise ValueError(
            f"target: a confusion matrix must have shape {(n_classes, n_classes)} and no row of zeros, got {confusion.shape}"
        )
    of_label = _rows(confusion / confusion.sum(axis=1, keepdims=True))
    return lambda batch: of_label[codes[batch]]


def confused(X: Any, codes: IntArray, n_classes: int) -> Array:
    """How often the nearest other example of a label (row) has which label (column), (n_classes, n_classes)."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1).fit(np.reshape(X, (len(X), -1))).kneighbors(return_distance=False)[:, 0]
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (codes, codes[nearest]), 1.0)
    return counts


def _rows(values: Array) -> Array:
    clipped = np.clip(values, _LEAST, None)
    return clipped / clipped.sum(axis=1, keepdims=True)
