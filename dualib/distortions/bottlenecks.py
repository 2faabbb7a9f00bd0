"""The two bottlenecks: the IB and the dual IB, both with zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib.distortions.interface import Array, Distortion, Mask
from dualib.distortions.rows import TINY, diagonal_matrices, softmax, x_log_x


class IB(Distortion):
    """The Information Bottleneck: d(x, r) = KL( p(y|x) || r ) (Tishby, Pereira and Bialek 1999).

    The decoder is the arithmetic mean of the members' conditionals.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> dualib.solve(joint, 8.0, dualib.IB()).n_clusters  # the same as "ib"
    2
    """

    name = "ib"
    support = "cover"

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = p(y|x), a = sum_y p log p."""
        return py_x, np.sum(x_log_x(py_x), axis=1)

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = log M (0 off the face, where every member has p(y|x) = 0), b = 0."""
        log_means = np.maximum(means, TINY)
        np.log(log_means, out=log_means)  # one array: it may be large
        if face is not None:
            log_means[~face] = 0.0
        return log_means, np.zeros(len(means))

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """R = M."""
        r = np.maximum(means, 0.0)
        if face is not None:
            r = np.where(face, r, 0.0)
        return r / r.sum(axis=1, keepdims=True)

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """J = diag(1 / M)."""
        inverse = 1.0 / np.maximum(means, TINY)
        return diagonal_matrices(inverse if face is None else np.where(face, inverse, 0.0))

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """J = diag(1 / M)."""
        inverse = 1.0 / np.maximum(means, TINY)
        return inverse if face is None else np.where(face, inverse, 0.0), np.zeros_like(means)

    def whiten(self, rows: Array, means: Array, face: Mask | None = None) -> Array:
        """R = diag(M)^(-1/2)."""
        inverse = 1.0 / np.sqrt(np.maximum(means, TINY))
        return rows * (inverse if face is None else np.where(face, inverse, 0.0))[:, None, :]

    def to_config(self) -> dict[str, Any]:
        """The name is all there is to save."""
        return {"name": self.name}


class DualIB(Distortion):
    """The dual Information Bottleneck: d(x, r) = KL( r || p(y|x) ) (Piran, Shwartz-Ziv and Tishby 2020).

    The decoder is the normalised geometric mean of the members' conditionals; a zero of any member is a zero of it.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> solution = dualib.solve(joint, 8.0, dualib.DualIB())  # the same as "dualib"
    >>> round(solution.rate, 6), round(solution.relevance, 6)
    (0.44477, 0.078278)
    """

    name = "dualib"
    support = "inside"

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = log p(y|x) (0 in place of log 0, which the face rules out exactly), a = 0."""
        return np.log(np.where(py_x > 0.0, py_x, 1.0)), np.zeros(len(py_x))

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = r = softmax(M), b = sum_y r log r."""
        r, log_r = softmax(means, face)
        return r, np.sum(r * log_r, axis=1)

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """R = softmax(M) on the face."""
        return softmax(means, face)[0]

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """J = diag(r) - r r^T."""
        r, _ = softmax(means, face)
        return diagonal_matrices(r) - r[:, :, None] * r[:, None, :]

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """J = diag(r) - r r^T."""
        r = self.decoder(means, face)
        return r, r

    def whiten(self, rows: Array, means: Array, face: Mask | None = None) -> Array:
        """R = diag(sqrt r) (1 - sqrt r sqrt r^T)."""
        r = self.decoder(means, face)
        return (rows - np.matmul(rows, r[:, :, None])) * np.sqrt(r)[:, None, :]

    def to_config(self) -> dict[str, Any]:
        """The name is all there is to save."""
        return {"name": self.name}
