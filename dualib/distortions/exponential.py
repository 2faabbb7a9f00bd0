"""`ExponentialFamily`: conditionals with known features, and the dual IB within them (dualExpIB)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import as_distribution, as_float_array, as_probability_rows, is_sparse, shown, validate_integer
from dualib.data.archives import csr_of
from dualib.distortions.interface import Array, Distortion, Mask, _same
from dualib.doors import door

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_MEMBER = 1e-8  # how far, relative to its size, log p(y|x) may be from the family and still count as a member
_BLOCK = 65_536  # numbers of `link_jacobian` at a time: 512 KiB, which stays in the cache


class ExponentialFamily(Distortion):
    r"""Conditionals with d known features per x, and the dual IB within them, in d numbers per cluster (dualExpIB).

    The family is ``p(y|x) = exp( - sum_k A_k(x) lambda_k(y) - nu(y) - lambda_0(x) )``, with lambda_0(x) the normaliser. The
    distortion is that of the dual IB, KL( p(y|t) || p(y|x) ); its optimal decoder, the geometric mean, stays in the family with
    the features averaged, ``A_k(t) = sum_x p(x|t) A_k(x)``, so that ::

        d(x, t) = sum_k <lambda_k>_t (A_k(x) - A_k(t)) + lambda_0(x) - lambda_0(t),      <.>_t the mean under p(y|t)

    (Piran, Shwartz-Ziv and Tishby 2020). On the family's own joint the answer is that of ``"dualib"``.

    Parameters
    ----------
    features : array_like or scipy.sparse matrix, shape (n_x, d)
        A_k(x) of each training x.
    parameters : array_like, shape (d, n_y)
        lambda_k(y). A constant added to any row changes nothing.
    intercept : array_like, shape (n_y,), optional
        nu(y): the parameters of a feature that is 1 for every x. It need not be given as a feature: its mean is always 1.

    Attributes
    ----------
    features, parameters, intercept : as given, float64, read-only; the features dense or CSR
    n_x, n_features, n_y : int
    l2 : float or None
        The penalty that `fit` used; None for families not fitted.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit together, values that are not finite.

    Notes
    -----
    As a distortion the family sees conditionals, not x: `lift` recovers the features of any member, seen or not, from
    log p(y|x), exactly where the rows of lambda, each less its mean over y, are linearly independent. Where they are not, p(y|x)
    does not determine the features, and the iteration runs in as many orthonormal coordinates as there are independent rows. A
    conditional outside the family, or one with a zero, is a ValueError: nothing is projected silently. `Solution.means` is
    -A(t), in those coordinates. Of an x with p(x) = 0 whose row is not in the family the encoder is p(t).

    Examples
    --------
    >>> import numpy as np, dualib
    >>> family = dualib.ExponentialFamily([[-1.0], [0.2], [0.6]], [[-1.0, 1.0]])
    >>> solution = dualib.solve(family.joint(), beta=12.0, distortion=family)
    >>> solution.n_clusters, solution.gap < 1e-9
    (2, True)
    >>> unseen = family.conditionals([[0.4]])
    >>> solution.predict_proba(unseen).round(3)
    array([[0.69, 0.31]])
    """

    name = "dualexpib"
    l2: float | None = None

    def __init__(self, features: Any, parameters: npt.ArrayLike, intercept: npt.ArrayLike | None = None) -> None:
        self.features = as_features("features", features)
        self.parameters = as_float_array("parameters", parameters, 2)
        self.n_x, self.n_features = (int(size) for size in self.features.shape)
        self.n_y = self.parameters.shape[1]
        if len(self.parameters) != self.n_features:
            raise ValueError(
                f"parameters must have one row for each of the {self.n_features} features, got shape {self.parameters.shape}"
            )
        self.intercept = np.zeros(self.n_y) if intercept is None else as_float_array("intercept", intercept, 1)
        if len(self.intercept) != self.n_y:
            raise ValueError(f"intercept must have length n_y = {self.n_y}, got {len(self.intercept)}")
        with np.errstate(over="ignore", invalid="ignore"):
            self._lambda = self.parameters - self.parameters.mean(axis=1, keepdims=True)
            self._nu = self.intercept - self.intercept.mean()
        if not (np.isfinite(self._lambda).all() and np.isfinite(self._nu).all()):
            raise ValueError("parameters or intercept are so large that their mean over y overflows: scale them down")
        self._basis, self._recover = _coordinates(self._lambda)
        for array in (self.parameters, self.intercept):
            array.flags.writeable = False

    @classmethod
    @door
    def fit(
        cls,
        features: Any,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        n_y: int | None = None,
        *,
        l2: float | Literal["cv"] = 1.0,
        intercept: bool = True,
        n_folds: int = 5,
        random_state: int | np.random.Generator | None = None,
    ) -> ExponentialFamily:
        """The regularised maximum-entropy family of samples: multinomial logistic regression of y on A(x).

        Minimises ``- sum_i log p(y_i|x_i) + l2/2 |lambda|^2`` by L-BFGS; without the penalty this is the family whose expected
        features under each y are those of the samples, at the largest entropy.

        Parameters
        ----------
        features : array_like or scipy.sparse matrix, shape (n_x, d)
            One row for each x, seen in the samples or not.
        x, y : array_like of int, shape (n,)
            The samples: row of `features`, and label from 0.
        n_y : int, optional
            Number of labels, by default the largest seen plus 1.
        l2 : float or "cv"
            Penalty, >= 0, per parameter on the scale of the summed log loss (a Gaussian prior of variance 1/l2); with ``"cv"`` that
            of the least held-out log loss among 13 from 1e-3 to 1e3. Above 0 the parameters of a label never seen are finite.
        intercept : bool
            Add a feature that is 1 for every x, penalised like the others, whose parameters are the family's `intercept`.
        n_folds, random_state : int, and int, Generator or None
            Folds of the samples for ``l2="cv"``, and the seed of their shuffling; None is a fixed seed.

        Returns
        -------
        ExponentialFamily

        Raises
        ------
        ValueError, TypeError
            Empty samples, lengths that differ, indices out of range or not whole, a bad `l2`; l2 = 0 with a label never seen.

        Warns
        -----
        ConvergenceWarning
            The optimiser stopped short: with l2 = 0, separable samples have no finite optimum.
        """
        from dualib.distortions.maximum_entropy import choose_l2, fit_parameters, sample_indices

        rows = as_features("features", features)
        x_index, y_index, n_labels = sample_indices(x, y, rows.shape[0], n_y)
        design = (rows, bool(intercept))
        if isinstance(l2, str) and l2 == "cv":
            penalty = choose_l2(design, x_index, y_index, n_labels, n_folds, random_state)
        elif isinstance(l2, (bool, str)) or not isinstance(l2, (int, float, np.number)) or not 0.0 <= l2 < np.inf:
            raise ValueError(f"l2 must be a finite number >= 0 or 'cv', got {shown(l2)}")
        else:
            penalty = float(l2)
        counts = np.zeros((rows.shape[0], n_labels))
        np.add.at(counts, (x_index, y_index), 1.0)
        parameters, nu = fit_parameters(design, counts, penalty)
        family = cls(rows, parameters, nu)
        family.l2 = penalty
        return family

    @classmethod
    def from_conditionals(cls, py_x: npt.ArrayLike, rank: int, px: npt.ArrayLike | None = None) -> ExponentialFamily:
        """The family of `rank` features nearest to given conditionals, all positive, in least squares of log p(y|x).

        The matrix log p(y|x), less its means over y and over x (under p(x)), is cut to its leading singular triples, rows weighted
        by p(x); the mean over x is the intercept. What the cut costs is ``family.expected_divergence(py_x, px)``; at
        ``rank = min(n_x, n_y) - 1`` it costs nothing.

        Parameters
        ----------
        py_x : array_like, shape (n_x, n_y)
        rank : int
            Number of features, from 1 to min(n_x, n_y) - 1.
        px : array_like, shape (n_x,), optional
            By default uniform.

        Returns
        -------
        ExponentialFamily
            Its parameters have orthonormal rows.

        Raises
        ------
        ValueError, TypeError
            Rows that are no distributions, zeros, a rank out of range.
        """
        rows = as_probability_rows("py_x", py_x)
        _refuse_zeros(rows)
        weights = np.full(len(rows), 1.0 / len(rows)) if px is None else as_distribution("px", px, len(rows))
        most = min(rows.shape) - 1
        if validate_integer("rank", rank, 1) > most:
            raise ValueError(f"rank must be at most min(n_x, n_y) - 1 = {most}, got {rank}")
        logs = _centred(np.log(rows))
        mean = weights @ logs
        logs -= mean
        parameters = np.linalg.svd(np.sqrt(weights)[:, None] * logs, full_matrices=False)[2][:rank]
        return cls(-logs @ parameters.T, parameters, -mean)

    def conditionals(self, features: Any = None) -> Array:
        """p(y|x) of the training x, or of any others from their features (m, d), seen or not; rows (m, n_y) sum to 1.

        Raises
        ------
        ValueError, TypeError
            A wrong width, values that are not finite, or so large that ``A(x) lambda(y)`` overflows.
        """
        return np.asarray(np.exp(self._log_conditionals(features)))

    def joint(
        self,
        px: npt.ArrayLike | None = None,
        x_labels: Sequence[object] | None = None,
        y_labels: Sequence[object] | None = None,
    ) -> JointDistribution:
        """The joint distribution p(x) p(y|x) of the training x, p(x) (n_x,) by default uniform."""
        from dualib.joint import JointDistribution

        return JointDistribution.from_conditionals(self.conditionals(), px, x_labels, y_labels)

    def expected_divergence(self, py_x: npt.ArrayLike, px: npt.ArrayLike | None = None) -> float:
        """E_x KL( p(y|x) || family's p(y|x) ), nats: how far conditionals (n_x, n_y) of the training x are from the family."""
        rows = as_probability_rows("py_x", py_x, self.n_y)
        if len(rows) != self.n_x:
            raise ValueError(f"py_x must have {self.n_x} rows, one for each training x, got {len(rows)}")
        weights = np.full(self.n_x, 1.0 / self.n_x) if px is None else as_distribution("px", px, self.n_x)
        logs = np.log(np.where(rows > 0.0, rows, 1.0))
        return max(0.0, float(weights @ np.sum(rows * np.where(rows > 0.0, logs - self._log_conditionals(None), 0.0), axis=1)))

    def _log_conditionals(self, features: Any) -> Array:
        rows = self.features if features is None else as_features("features", features)
        if rows.shape[1] != self.n_features:
            raise ValueError(f"features must have {self.n_features} columns, got shape {rows.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            logits = -np.asarray(rows @ self._lambda) - self._nu
        if not np.isfinite(logits).all():
            raise ValueError("features times parameters overflows: scale them down")
        return logits - _log_sum_exp(logits)[:, None]

    def lift(self, py_x: Array) -> tuple[Array, Array]:
        """U = -A(x), recovered from log p(y|x); a = lambda_0(x).

        Raises
        ------
        ValueError
            A row with a zero, or one that is not in the family to a relative 1e-8 of its logarithms.
        """
        if py_x.shape[1] != self.n_y:
            raise ValueError(f"py_x must have n_y = {self.n_y} columns, those of the family, got shape {py_x.shape}")
        _refuse_zeros(py_x)
        log_p = np.log(py_x)
        features = _centred(log_p + self._nu) @ self._recover
        logits = features @ self._basis - self._nu
        offset = _log_sum_exp(logits)
        logits -= offset[:, None]
        error = np.max(np.abs(logits - log_p), axis=1)
        far = np.flatnonzero(~(error <= _MEMBER * (1.0 + np.max(np.abs(log_p), axis=1))))
        if len(far):
            raise ValueError(
                f"py_x: row {far[0]} is not in the exponential family, log p(y|x) is off by {error[far[0]]:.2g}: use the family's "
                "own conditionals, fam.joint() or fam.conditionals(features)"
            )
        return features, offset

    def link(self, means: Array, face: Mask | None = None) -> tuple[Array, Array]:
        """V = mean of lambda under p(y|t), b = <V, M> - lambda_0(t)."""
        r, offset = self._member(means)
        v = r @ self._basis.T
        return v, np.sum(v * means, axis=1) - offset

    def decoder(self, means: Array, face: Mask | None = None) -> Array:
        """The member of the family at A(t) = -M."""
        return self._member(means)[0]

    def _member(self, means: Array) -> tuple[Array, Array]:
        """The decoder, and lambda_0 there."""
        r = means @ self._basis
        r -= self._nu
        top = r.max(axis=1, keepdims=True)
        r -= top
        np.exp(r, out=r)
        total = r.sum(axis=1, keepdims=True)
        r /= total
        return r, (top + np.log(total))[:, 0]

    def link_jacobian(self, means: Array, face: Mask | None = None) -> Array:
        """J = the covariance of lambda under p(y|t)."""
        r = self.decoder(means)
        out = np.empty((len(means), means.shape[1], means.shape[1]))
        step = max(1, _BLOCK // self._basis.size)
        for start in range(0, len(means), step):
            some = r[start : start + step]
            centred = self._basis - (some @ self._basis.T)[:, :, None]  # centred first: no difference of large second moments
            np.matmul(centred * some[:, None, :], centred.transpose(0, 2, 1), out=out[start : start + step])
        return 0.5 * (out + out.transpose(0, 2, 1))

    def to_config(self) -> dict[str, Any]:
        """The name, the arrays, and the penalty of the fit."""
        return {**self._numbers(), "l2": self.l2}

    def _numbers(self) -> dict[str, Any]:
        """What the conditionals depend on: all but the penalty, which only says where they came from."""
        config = {"name": self.name, "parameters": self.parameters, "intercept": self.intercept}
        if not is_sparse(self.features):
            return {**config, "features": self.features}
        parts = {f"features.{part}": getattr(self.features, part) for part in ("data", "indices", "indptr")}
        return {**config, **parts, "n_columns": self.n_features}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ExponentialFamily:
        """The family of `to_config`; files of 0.1.0 have no penalty."""
        penalty = config.get("l2")
        if penalty is not None and (not isinstance(penalty, float) or not 0.0 <= penalty < np.inf):
            raise ValueError(f"l2 must be a finite number >= 0 or None, got {penalty!r}")
        features = config["features"] if "features" in config else csr_of(config, "features", int(config["n_columns"]))
        family = cls(features, config["parameters"], config["intercept"])
        family.l2 = penalty
        return family

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExponentialFamily) and _same(self._numbers(), other._numbers())

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        kind = "sparse " if is_sparse(self.features) else ""
        return f"ExponentialFamily({kind}features of {self.n_x} x {self.n_features}, n_y = {self.n_y})"


def as_features(name: str, features: Any) -> Any:
    """A new read-only float64 matrix (n_x, d) of finite numbers: dense, or CSR of a scipy.sparse one.

    Raises
    ------
    TypeError, ValueError
        Not real, not finite, empty, not two-dimensional.
    """
    if not is_sparse(features):
        dense = as_float_array(name, features, 2)
        dense.flags.writeable = False
        return dense
    from scipy import sparse

    if features.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {features.dtype}")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name} must have 2 dimensions and not be empty, got shape {features.shape}")
    csr = sparse.csr_array(features.astype(np.float64))
    csr.sum_duplicates()
    csr.eliminate_zeros()
    if not np.isfinite(csr.data).all():
        raise ValueError(f"{name} must be finite, got {float(csr.data[~np.isfinite(csr.data)][0])!r}")
    for part in (csr.data, csr.indices, csr.indptr):
        part.flags.writeable = False
    return csr


def _coordinates(centred: Array) -> tuple[Array, Array]:
    """Basis B (k, n_y) of the centred rows of lambda, those rows themselves where independent, and C (n_y, k) with ``B C = 1``."""
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    _, values, vectors = np.linalg.svd(centred / np.where(norms > 0.0, norms, 1.0), full_matrices=False)
    rank = int(np.sum(values > values[0] * max(centred.shape) * np.finfo(np.float64).eps))
    if rank == len(centred):
        return centred, np.linalg.pinv(centred / norms, rcond=0.0) / norms.T
    if rank == 0:  # lambda constant over y: all x alike
        return np.zeros((1, centred.shape[1])), np.zeros((centred.shape[1], 1))
    return vectors[:rank], np.ascontiguousarray(vectors[:rank].T)


def _refuse_zeros(py_x: Array) -> None:
    if (py_x <= 0.0).any():
        row, column = (int(i) for i in np.argwhere(py_x <= 0.0)[0])
        raise ValueError(
            f"py_x: p(y|x) = 0 at index {(row, column)}, but members of an exponential family are positive: smooth it, or, where "
            "features are so large that p(y|x) underflows, scale them down"
        )


def _centred(rows: Array) -> Array:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def _log_sum_exp(rows: Array) -> Array:
    top = rows.max(axis=1)
    return np.asarray(top + np.log(np.sum(np.exp(rows - top[:, None]), axis=1)))
