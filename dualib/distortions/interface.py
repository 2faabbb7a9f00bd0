"""What a distortion is: four small functions of features and means, for d(x, t) = a(x) + b(t) - <U[x], V[t]>."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np

from dualib._validation import Array, Mask


class Distortion(ABC):
    """Base class of all distortions; subclass it, or write a class with the same four methods.

    Attributes
    ----------
    name : str
        Short name for results, plots and files.
    support : {"cover", "inside", None}
        How zeros of p(y|x) act. ``"cover"``: d(x, r) is infinite unless r covers the support of p(.|x) (the IB).
        ``"inside"``: unless the support of r lies inside that of p(.|x) (the dual IB). ``None``: always finite. Only where
        this is set are `link`, `decoder` and `link_jacobian` given a `face`.
    fixed_atoms : bool
        True when the reproduction points cannot move (a rate-distortion matrix).

    Examples
    --------
    >>> import dualib
    >>> import numpy as np
    >>> class Euclidean(dualib.Distortion):
    ...     def lift(self, py_x):
    ...         return py_x, 0.5 * np.sum(py_x**2, axis=1)
    ...     def link(self, means):
    ...         return means, 0.5 * np.sum(means**2, axis=1)
    ...     def decoder(self, means):
    ...         return means
    ...     def link_jacobian(self, means):
    ...         return np.tile(np.eye(means.shape[1]), (len(means), 1, 1))
    ...
    >>> dualib.solve(dualib.datasets.toy(), 40.0, Euclidean()).n_clusters
    3
    """

    name: ClassVar[str] = "custom"
    support: ClassVar[Literal["cover", "inside"] | None] = None
    fixed_atoms: ClassVar[bool] = False

    @abstractmethod
    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """Features U (n_x, k), finite, and offsets a (n_x,) of the conditionals `py_x` (n_x, n_y)."""

    @abstractmethod
    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V (n_t, k), finite, and b (n_t,) from the means (n_t, k); `face` (n_t, n_y): where the decoder may be positive."""

    @abstractmethod
    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """The decoder p(y|t) (n_t, n_y), rows summing to 1."""

    @abstractmethod
    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """J = dV/dM, (n_t, k, k), symmetric and positive semi-definite."""

    def whiten(self, rows: Array, means: Array, face: Mask | None = None) -> Array:
        """Rows (n_t, n, k) times R_t, where R_t R_t^T = J: any factor serves; this one is an eigen-decomposition.

        Of J scaled to a diagonal of ones: for one that spans more orders than double precision has digits.
        """
        jacobian = self.link_jacobian(means) if self.support is None else self.link_jacobian(means, face)
        scale = np.sqrt(np.maximum(np.diagonal(jacobian, axis1=1, axis2=2), 0.0))
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)
        values, vectors = np.linalg.eigh(jacobian * inverse[:, :, None] * inverse[:, None, :])
        return (rows * scale[:, None, :]) @ (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])

    # jacobian_parts(means, face=None) is optional: where J = diag(D) - u u^T, the arrays D and u, (n_t, k) each. It saves work and
    # memory for many features, and counts only in the class that defines its `link_jacobian`, too.

    def to_config(self) -> dict[str, Any]:
        """What `from_config` needs to build this distortion again; a TypeError says that it cannot be saved."""
        raise TypeError(f"distortion {self.name!r} cannot be saved: its class defines no to_config()")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _same(vars(self), vars(other))

    __hash__ = object.__hash__


def _same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


METHODS = ("lift", "link", "decoder", "link_jacobian")
