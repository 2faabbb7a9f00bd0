"""What is to be learnt, as p(y|x)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib._validation import Array, as_probability_rows
from dualib.networks.arrays import as_labels, to_numpy


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
