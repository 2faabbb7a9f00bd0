"""What the room asks of arrays that come from any framework."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib._validation import Array, IntArray, as_float_array, as_probability_rows, is_real, shown, validate_beta


def to_numpy(array: Any) -> Any:
    """A tensor of torch as a NumPy array, whether it carries a gradient or lies on another device; all else as it is."""
    return array.detach().cpu().numpy() if hasattr(array, "detach") else array


def as_rows(name: str, array: Any) -> Array:
    """A finite float64 array (n, d); one of one dimension is a column.

    Raises
    ------
    TypeError, ValueError
        As `dualib._validation.as_float_array`.
    """
    raw = np.asarray(to_numpy(array))
    return as_float_array(name, raw[:, None] if raw.ndim == 1 else raw, 2)


def as_positive(name: str, value: Any) -> float:
    """A finite number > 0; ValueError for anything else."""
    if not is_real(value):
        raise ValueError(f"{name} must be a number > 0, got {shown(value)}")
    return validate_beta(value, name)


def as_labels(name: str, labels: Any) -> IntArray | None:
    """Labels (n,) of whole numbers, booleans or text as codes 0, 1, ... in sorted order; None where these are no labels."""
    raw = np.asarray(to_numpy(labels))
    if raw.ndim != 1 or raw.dtype.kind not in "biuUS":
        return None
    if not len(raw):
        raise ValueError(f"{name} must not be empty")
    return np.unique(raw, return_inverse=True)[1].reshape(-1).astype(np.int64)


def as_conditionals(y: Any, n: int) -> Array:
    """p(y|x) (n, n_y) of labels (n,) or of rows that are such already.

    Raises
    ------
    ValueError, TypeError
        Another number of rows; rows that are no distributions; labels that are no whole numbers or text.
    """
    raw = np.asarray(to_numpy(y))
    if raw.ndim == 0 or len(raw) != n:
        raise ValueError(f"y must have one entry or row for each input, {n}, got shape {raw.shape}")
    if raw.ndim == 2:
        return as_probability_rows("y", raw, remedy="give labels (n,), or p(y|x) with rows that sum to 1")
    labels = as_labels("y", raw)
    if labels is None:
        raise ValueError(
            f"y must be labels (n,), whole numbers or text, or p(y|x) (n, n_y), got {raw.dtype} of shape {raw.shape}"
        )
    return np.eye(labels.max() + 1)[labels]
