"""Divergences between p(y|x) and a decoder: Bregman's and the alpha divergences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dualib._validation import shown, validate_open_probability
from dualib.distortions.interface import Array, Distortion, Mask
from dualib.distortions.rows import TINY, diagonal_matrices


class Bregman(Distortion):
    """A Bregman divergence, data first: d(x, r) = F(p) - F(r) - <grad F(r), p - r>, p = p(y|x) (Banerjee et al. 2005).

    The decoder is the arithmetic mean, whatever F.

    Parameters
    ----------
    potential, gradient, hessian : callable
        F: (m, n_y) -> (m,); its gradient: (m, n_y) -> (m, n_y); its Hessian: (m, n_y) -> (m, n_y, n_y).
        F must be convex and, with its gradient, finite on the simplex, zeros included.
    label : str
        A name for repr.

    See Also
    --------
    squared_euclidean : ``d = |p - r|^2 / 2``.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> solution = dualib.solve(joint, 40.0, dualib.Bregman.squared_euclidean())
    >>> solution.n_clusters, solution.certificate
    (3, 'multistart')
    """

    name = "bregman"

    def __init__(
        self,
        potential: Callable[[Array], Array],
        gradient: Callable[[Array], Array],
        hessian: Callable[[Array], Array],
        *,
        label: str = "custom",
    ) -> None:
        for argument, function in (("potential", potential), ("gradient", gradient), ("hessian", hessian)):
            if not callable(function):
                raise TypeError(f"{argument} must be callable, got {shown(function)}")
        self._potential, self._gradient, self._hessian, self.label = potential, gradient, hessian, label

    @classmethod
    def squared_euclidean(cls) -> Bregman:
        """Half the squared Euclidean distance, ``F(p) = |p|^2 / 2``: soft k-means on the conditionals."""
        return cls(_half_square, _identity, _identity_matrices, label="squared-euclidean")

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = p(y|x), a = F(p)."""
        return py_x, np.asarray(self._potential(py_x), dtype=np.float64)

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = grad F(M), b = <V, M> - F(M)."""
        v = np.asarray(self._gradient(means), dtype=np.float64)
        return v, np.sum(v * means, axis=1) - self._potential(means)

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """R = M."""
        r = np.maximum(means, 0.0)
        return r / r.sum(axis=1, keepdims=True)

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """The Hessian of F."""
        return np.asarray(self._hessian(means), dtype=np.float64)

    def to_config(self) -> dict[str, Any]:
        """Only the named potentials can be saved; functions of one's own cannot."""
        if self.label != "squared-euclidean":
            raise TypeError(f"a Bregman distortion of one's own functions ({self.label!r}) cannot be saved")
        return {"name": self.name, "label": self.label}

    def __repr__(self) -> str:
        return f"Bregman({self.label})"


class Alpha(Distortion):
    """The alpha-divergence, d(x, r) = (1 - sum_y p(y|x)^alpha r^(1-alpha)) / (alpha (1 - alpha)) (Amari).

    It joins the two problems: alpha -> 1 is the IB, alpha -> 0 the dual IB; alpha = 1/2 is four times the squared
    Hellinger distance (in the convention with a factor 1/2).

    Parameters
    ----------
    alpha : float
        Strictly between 0 and 1, where the divergence is finite for all conditionals, zeros included.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> [round(dualib.onset(joint, kind), 4) for kind in ("ib", dualib.Alpha(0.5), "dualib")]
    [4.365, 3.7863, 3.2237]
    """

    name = "alpha"

    def __init__(self, alpha: float) -> None:
        self.alpha = validate_open_probability("alpha", alpha)
        self._c = 1.0 / (self.alpha * (1.0 - self.alpha))

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = c p^alpha with c = 1 / (alpha (1 - alpha)), a = 0."""
        return self._c * py_x**self.alpha, np.zeros(len(py_x))

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = r^(1 - alpha), b = c."""
        return self.decoder(means) ** (1.0 - self.alpha), np.full(len(means), self._c)

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """R proportional to M^(1/alpha)."""
        top = np.max(means, axis=1, keepdims=True)
        r = (np.maximum(means, 0.0) / np.where(top > 0.0, top, 1.0)) ** (1.0 / self.alpha)
        total = r.sum(axis=1, keepdims=True)
        return np.where(total > 0.0, r / np.where(total > 0.0, total, 1.0), 1.0 / means.shape[1])

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """J = (1-alpha)/alpha [ diag(V / M) - V V^T / <M, V> ]."""
        v = self.decoder(means) ** (1.0 - self.alpha)
        ratio = np.divide(v, means, out=np.zeros_like(v), where=means > TINY)
        outer = v[:, :, None] * v[:, None, :] / np.sum(means * v, axis=1)[:, None, None]
        return (1.0 - self.alpha) / self.alpha * (diagonal_matrices(ratio) - outer)

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """The same, by its parts."""
        v = self.decoder(means) ** (1.0 - self.alpha)
        ratio = np.divide(v, means, out=np.zeros_like(v), where=means > TINY)
        scale = (1.0 - self.alpha) / self.alpha
        return scale * ratio, v * np.sqrt(scale / np.sum(means * v, axis=1))[:, None]

    def to_config(self) -> dict[str, Any]:
        """The name and alpha."""
        return {"name": self.name, "alpha": self.alpha}

    def __repr__(self) -> str:
        return f"Alpha({self.alpha!r})"


def _half_square(p: Array) -> Array:
    return 0.5 * np.sum(p * p, axis=1)


def _identity(p: Array) -> Array:
    return p


def _identity_matrices(p: Array) -> Array:
    return diagonal_matrices(np.ones_like(p))
