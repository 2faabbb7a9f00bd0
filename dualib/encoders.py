"""Encoders as people give them: p(t|x), or the labels of a hard clustering, one whole number for each x."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib._validation import Array, as_probability_rows, shown


def encoder_rows(encoder: Any, n_x: int, n_columns: int | None = None, name: str = "encoder") -> Array:
    """p(t|x) (n_x, n_t), rows summing to 1, of an encoder or of labels.

    Labels, whole numbers or text, are numbered anew in their order, 0 for the least; with `n_columns` they are the columns, that
    many, of a rate-distortion matrix, as numbers.

    Raises
    ------
    ValueError, TypeError
        Not one row, or one label, for each x; rows that are no distributions; labels that are negative or no whole numbers, or of
        no column of the matrix.
    """
    labels = _as_labels(encoder)
    if labels is None:
        rows = as_probability_rows(name, encoder)
        if len(rows) != n_x:
            raise ValueError(f"{name} must have one row for each of the {n_x} x, got shape {rows.shape}")
        return rows
    if labels.dtype.kind not in ("biu" if n_columns is not None else "biuU"):
        raise ValueError(
            f"{name} must be p(t|x) of shape ({n_x}, n_t), or labels, one integer for each x, got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if len(labels) != n_x:
        raise ValueError(f"{name} must have one label for each of the {n_x} x, got {len(labels)}")
    if labels.dtype.kind == "U":
        labels = np.unique(labels, return_inverse=True)[1].ravel()
    if labels.min() < 0:
        x = int(np.argmin(labels))
        raise ValueError(f"{name} must have labels >= 0, got {shown(labels[x])} at index {x}: give every x a cluster")
    if n_columns is None:
        numbers, labels = np.unique(labels, return_inverse=True)
        return indicators(labels.ravel(), len(numbers))
    if labels.max() >= n_columns:
        raise ValueError(f"{name} must have labels below {n_columns}, the columns of the matrix, got {shown(labels.max())}")
    return indicators(labels.astype(np.int64), n_columns)


def indicators(labels: np.ndarray[Any, Any], n_clusters: int) -> Array:
    """The encoder (n, n_clusters) of labels (n,)."""
    rows = np.zeros((len(labels), n_clusters))
    rows[np.arange(len(labels)), labels] = 1.0
    return rows


def _as_labels(encoder: Any) -> np.ndarray[Any, Any] | None:
    """A one-dimensional array of numbers, or of text; None where it is something else, which `as_probability_rows` judges."""
    try:
        array = np.asarray(encoder)
    except ValueError:  # ragged
        return None
    if array.ndim != 1 or not array.size:
        return None
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array):
        array = array.astype(np.str_)
    return array if array.dtype.kind in "biufU" else None
