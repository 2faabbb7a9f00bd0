"""What the room asks of arrays that come from any framework."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib._validation import Array, IntArray, as_float_array


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


def as_labels(name: str, labels: Any) -> IntArray | None:
    """Labels (n,) of whole numbers, booleans or text as codes 0, 1, ... in sorted order; None where these are no labels."""
    raw = np.asarray(to_numpy(labels))
    if raw.ndim != 1 or raw.dtype.kind not in "biuUS":
        return None
    if not len(raw):
        raise ValueError(f"{name} must not be empty")
    return np.unique(raw, return_inverse=True)[1].reshape(-1).astype(np.int64)
