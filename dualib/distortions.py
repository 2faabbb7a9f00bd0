"""The distortion interface, and the distortions that come with the package.

Every distortion here has one algebraic form, with a feature vector U[x] of length k for each source state x and the mean
feature vector M[t] = sum_x p(x|t) U[x] of each cluster t::

    d(x, t) = a(x) + b(t) - <U[x], V[t]>,      V, b functions of M

so a distortion is three small functions - `Distortion.lift`, `Distortion.link`, `Distortion.decoder` - and the Jacobian of
the second. The solver, the certificate and the path over beta are written once, against these four.

For M to be the exact minimiser of the expected distortion, V must be the gradient of a convex function of M and the gradient
of b must be J(M) M, with J = dV/dM (symmetric). `check_distortion` tests this numerically for a distortion of your own.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array, shown

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_TINY = 1e-300  # the smallest mean whose logarithm is taken: exp(-beta d) has long underflowed there


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


class IB(Distortion):
    """The Information Bottleneck: d(x, r) = KL( p(y|x) || r ) (Tishby, Pereira and Bialek 1999).

    The decoder is the arithmetic mean of the members' conditionals.
    """

    name = "ib"
    support = "cover"

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = p(y|x), a = sum_y p log p."""
        return py_x, np.sum(_xlogx(py_x), axis=1)

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = log M (0 off the face, where every member has p(y|x) = 0), b = 0."""
        log_means = np.log(np.maximum(means, _TINY))
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
        inverse = 1.0 / np.maximum(means, _TINY)
        return _diagonal(inverse if face is None else np.where(face, inverse, 0.0))

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """J = diag(1 / M)."""
        inverse = 1.0 / np.maximum(means, _TINY)
        return inverse if face is None else np.where(face, inverse, 0.0), np.zeros_like(means)

    def whiten(self, rows: Array, means: Array, face: Mask | None = None) -> Array:
        """R = diag(M)^(-1/2)."""
        inverse = 1.0 / np.sqrt(np.maximum(means, _TINY))
        return rows * (inverse if face is None else np.where(face, inverse, 0.0))[:, None, :]

    def to_config(self) -> dict[str, Any]:
        """The name is all there is to save."""
        return {"name": self.name}


class DualIB(Distortion):
    """The dual Information Bottleneck: d(x, r) = KL( r || p(y|x) ) (Piran, Shwartz-Ziv and Tishby 2020).

    The decoder is the normalised geometric mean of the members' conditionals; a zero of any member is a zero of it.
    """

    name = "dualib"
    support = "inside"

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = log p(y|x) (0 in place of log 0, which the face rules out exactly), a = 0."""
        return np.log(np.where(py_x > 0.0, py_x, 1.0)), np.zeros(len(py_x))

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = r = softmax(M), b = sum_y r log r."""
        r, log_r = _softmax(means, face)
        return r, np.sum(r * log_r, axis=1)

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """R = softmax(M) on the face."""
        return _softmax(means, face)[0]

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """J = diag(r) - r r^T."""
        r, _ = _softmax(means, face)
        return _diagonal(r) - r[:, :, None] * r[:, None, :]

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
    squared_euclidean : d = |p - r|^2 / 2.
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
        """Half the squared Euclidean distance, F(p) = |p|^2 / 2: soft k-means on the conditionals."""
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
    """

    name = "alpha"

    def __init__(self, alpha: float) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.floating)) or not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha must be a number strictly between 0 and 1, got {shown(alpha)}")
        self.alpha = float(alpha)
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
        ratio = np.divide(v, means, out=np.zeros_like(v), where=means > _TINY)
        outer = v[:, :, None] * v[:, None, :] / np.sum(means * v, axis=1)[:, None, None]
        return (1.0 - self.alpha) / self.alpha * (_diagonal(ratio) - outer)

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """The same, by its parts."""
        v = self.decoder(means) ** (1.0 - self.alpha)
        ratio = np.divide(v, means, out=np.zeros_like(v), where=means > _TINY)
        scale = (1.0 - self.alpha) / self.alpha
        return scale * ratio, v * np.sqrt(scale / np.sum(means * v, axis=1))[:, None]

    def to_config(self) -> dict[str, Any]:
        """The name and alpha."""
        return {"name": self.name, "alpha": self.alpha}

    def __repr__(self) -> str:
        return f"Alpha({self.alpha!r})"


class RateDistortion(Distortion):
    """Plain rate-distortion with a given matrix: d(x, j) = D[x, j] (Shannon 1959; Blahut 1972, Arimoto 1972).

    The reproduction alphabet is the columns of D, so the certificate is exact: the maximum of c runs over n_j columns. The
    decoder row of a cluster is the indicator of its column, shape (n_t, n_j).

    Parameters
    ----------
    matrix : array_like, shape (n_x, n_j)
        Finite distortions; n_x is that of the joint distribution to be solved.
    """

    name = "rate-distortion"
    fixed_atoms = True

    def __init__(self, matrix: npt.ArrayLike) -> None:
        self.matrix = as_float_array("matrix", matrix, 2)
        self.matrix.flags.writeable = False

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = -D, a = 0."""
        if len(py_x) != len(self.matrix):
            raise ValueError(
                f"matrix has {len(self.matrix)} rows, one for each training x, but {len(py_x)} source states were given"
            )
        return -self.matrix, np.zeros(len(py_x))

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = M, the indicator of the column; b = 0."""
        return means, np.zeros(len(means))

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """The indicator of the column."""
        return means

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """Zero: the columns do not move."""
        return np.zeros((*means.shape, means.shape[1]))

    def jacobian_parts(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """Zero."""
        return np.zeros_like(means), np.zeros_like(means)

    def to_config(self) -> dict[str, Any]:
        """The name and the matrix."""
        return {"name": self.name, "matrix": self.matrix}

    def __repr__(self) -> str:
        return f"RateDistortion(matrix of {self.matrix.shape[0]} x {self.matrix.shape[1]})"


METHODS = ("lift", "link", "decoder", "link_jacobian")


def as_distortion(distortion: object) -> Distortion:
    """The distortion named ("ib", "dualib"), or the object itself when it has the four methods.

    Raises
    ------
    ValueError
        An unknown name.
    TypeError
        An object without the methods; the message names exactly those that are missing.
    """
    if isinstance(distortion, str):
        known: dict[str, type[Distortion]] = {"ib": IB, "dualib": DualIB}
        if distortion not in known:
            raise ValueError(f"distortion must be 'ib', 'dualib' or a Distortion, got {shown(distortion)}")
        return known[distortion]()
    if isinstance(distortion, type):
        raise TypeError(f"distortion must be an instance, got the class {distortion.__name__}: write {distortion.__name__}()")
    if isinstance(distortion, (numbers.Number, list, tuple, range, np.ndarray, np.generic)):
        raise TypeError(
            f"distortion must be 'ib', 'dualib' or a Distortion, got {shown(distortion)}: trade-offs are given as beta= (solve) or "
            "betas= (anneal)"
        )
    missing = [method for method in METHODS if not callable(getattr(distortion, method, None))]
    if missing:
        raise TypeError(f"distortion {shown(distortion)} lacks the method(s) {', '.join(missing)}; see dualib.Distortion")
    if not isinstance(distortion, Distortion):
        raise TypeError(
            f"distortion {shown(distortion)} has the methods but is no subclass of dualib.Distortion: derive it from it"
        )
    return distortion


def from_config(config: dict[str, Any]) -> Distortion:
    """Build a distortion again from `Distortion.to_config`.

    Raises
    ------
    ValueError
        The configuration names no distortion of this package.
    """
    name = config.get("name")
    if name in ("ib", "dualib"):
        return as_distortion(name)
    if name == "alpha":
        return Alpha(config["alpha"])
    if name == "rate-distortion":
        return RateDistortion(config["matrix"])
    if name == "dualexpib":
        from dualib.exponential import ExponentialFamily

        return ExponentialFamily.from_config(config)
    if name == "bregman" and config.get("label") == "squared-euclidean":
        return Bregman.squared_euclidean()
    raise ValueError(f"no distortion named {name!r} can be loaded")


def check_distortion(distortion: Distortion, py_x: npt.ArrayLike, *, tol: float = 1e-5) -> None:
    """Test a distortion of one's own on conditionals `py_x` (n_x, n_y), all positive, and say what is wrong.

    Checked: shapes; that J is the Jacobian of V (central differences) and symmetric; that the gradient of b is J M, which
    makes the mean feature vector the exact centroid.

    Raises
    ------
    ValueError
        Naming the method at fault and by how much.
    """
    conditionals = as_float_array("py_x", py_x, 2)
    features, offset = distortion.lift(conditionals)
    n_x = len(conditionals)
    if features.ndim != 2 or features.shape[0] != n_x or offset.shape != (n_x,):
        raise ValueError(f"lift must return shapes (n_x, k) and (n_x,), got {features.shape} and {offset.shape}")
    mean = features.mean(axis=0, keepdims=True)
    jacobian = distortion.link_jacobian(mean)[0]
    if jacobian.shape != (features.shape[1],) * 2:
        raise ValueError(f"link_jacobian must return shape (n_t, k, k), got {(1, *jacobian.shape)}")
    scale = 1.0 + np.max(np.abs(jacobian))
    step = 1e-6 * (1.0 + np.max(np.abs(mean)))
    for direction in (features - mean) / (1e-300 + np.max(np.abs(features - mean))):
        above, b_above = distortion.link(mean + step * direction)
        below, b_below = distortion.link(mean - step * direction)
        error = np.max(np.abs((above - below)[0] / (2 * step) - jacobian @ direction)) / scale
        if not error <= tol:
            raise ValueError(f"link_jacobian is not the derivative of link: relative error {error:.1e}")
        error = abs((b_above - b_below)[0] / (2 * step) - mean[0] @ jacobian @ direction) / (scale * (1 + np.abs(mean).max()))
        if not error <= tol:
            raise ValueError(f"link: the gradient of b is not J M, so M is no centroid: relative error {error:.1e}")
    if np.max(np.abs(jacobian - jacobian.T)) > tol * scale:
        raise ValueError("link_jacobian is not symmetric: V is not the gradient of a function of M")


def _xlogx(p: Array) -> Array:
    return p * np.log(np.where(p > 0.0, p, 1.0))


def _softmax(means: Array, face: Mask | None) -> tuple[Array, Array]:
    """Softmax on the face, and its logarithm (0 off the face, where it is only ever multiplied by 0)."""
    log_r = means if face is None else np.where(face, means, -np.inf)
    log_r = log_r - np.max(log_r, axis=1, keepdims=True)
    r = np.exp(log_r)
    total = r.sum(axis=1, keepdims=True)
    log_r = log_r - np.log(total)
    return r / total, log_r if face is None else np.where(face, log_r, 0.0)


def _diagonal(rows: Array) -> Array:
    out = np.zeros((*rows.shape, rows.shape[1]))
    index = np.arange(rows.shape[1])
    out[:, index, index] = rows
    return out


def _half_square(p: Array) -> Array:
    return 0.5 * np.sum(p * p, axis=1)


def _identity(p: Array) -> Array:
    return p


def _identity_matrices(p: Array) -> Array:
    return _diagonal(np.ones_like(p))
