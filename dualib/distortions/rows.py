"""Formulas for rows that the distortions share."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array, Mask

TINY = 1e-300  # the smallest mean whose logarithm is taken: exp(-beta d) has long underflowed there


def softmax(means: Array, face: Mask | None) -> tuple[Array, Array]:
    """Softmax on the face, and its logarithm (0 off the face, where it is only ever multiplied by 0)."""
    log_r = means if face is None else np.where(face, means, -np.inf)
    log_r = log_r - log_r.max(axis=1, keepdims=True)
    r = np.exp(log_r)
    total = r.sum(axis=1, keepdims=True)
    r /= total
    log_r -= np.log(total)
    return r, log_r if face is None else np.where(face, log_r, 0.0)


def diagonal_matrices(rows: Array) -> Array:
    """A diagonal matrix of each row, (m, k, k)."""
    out = np.zeros((*rows.shape, rows.shape[1]))
    index = np.arange(rows.shape[1])
    out[:, index, index] = rows
    return out


def x_log_x(p: Array) -> Array:
    """``p log p``, 0 where p is."""
    return p * np.log(np.where(p > 0.0, p, 1.0))
