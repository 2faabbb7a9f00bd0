"""The bottlenecks as scikit-learn estimators: rows of counts or probabilities in, p(t|x) out; needs ``dualib[sklearn]``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualib._validation import Array, is_sparse, shown
from dualib.clusters.quantize import quantize
from dualib.joint import JointDistribution
from dualib.path.onset import cheap_onset_bound
from dualib.predict.scores import log_loss_of
from dualib.solving.solver import check_options, solve
from dualib.warnings import DualibWarning

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:  # pragma: no cover - which extra to install
    raise ImportError('the estimators need scikit-learn 1.6 or newer: pip install "dualib[sklearn]"') from error

__all__ = ["DualInformationBottleneck", "InformationBottleneck"]

_INDEPENDENT = 1e-12  # I(X;Y) in nats up to which the rows are alike but for rounding
_AT_ONCE = 250_000  # cells of a sparse table that are dense at a time


class InformationBottleneck(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):
    """Clusters of the rows of a table by the Information Bottleneck, as a scikit-learn transformer and clusterer.

    Each sample is one source x, its features are how often (or with which probability) each y goes with it: word counts of
    documents, for instance. Without a `beta` the clusters are hard, those of `dualib.quantize`, which lose the least information;
    with one they are soft, those of `dualib.solve`. ``transform`` gives p(t|x), ``predict`` the likeliest cluster, ``score`` the
    log-likelihood of counts. Sparse tables stay sparse, also in fitting, for the IB; those of more than a million cells with a
    `smoothing`, too, which is kept beside them.

    Parameters
    ----------
    n_clusters : int, optional
        At most so many clusters. None, which needs a `beta`: as many as are optimal there.
    beta : float, optional
        Trade-off, > 0: the larger, the more clusters. None: infinity, hard clusters.
    alpha : float
        The price of a soft encoder, in [0, 1]: 1 is the bottleneck, 0 the deterministic one; see `dualib.solve`. Without a `beta`
        only the distortion counts, so that it changes nothing.
    n_init : int
        Rounds of seeds of the search for at most `n_clusters` clusters.
    smoothing : float
        Added to every cell of a table before its rows are normalised, in fitting and in transforming alike.
    certify : bool, optional
        Bound the distance to the global optimum (``solution_.gap``), and with a `beta` search for it; False is faster and local.
        None: True with a `beta` and False without, where a bound may take longer than the clusters.
    tol : float
        Wanted gap, nats.
    random_state : int, RandomState or None
        Seed of the search; None is a fixed seed.

    Attributes
    ----------
    solution_ : Solution
        The whole answer: encoder, rate, relevance, gap.
    labels_ : ndarray, shape (n_samples,)
        Likeliest cluster of each training row.
    cluster_centers_ : ndarray, shape (n_clusters, n_features)
        p(y|t).
    weights_ : ndarray, shape (n_clusters,)
        p(t).
    n_clusters_, n_features_in_ : int

    Raises
    ------
    ValueError
        Negative entries; a row of zeros, unless `smoothing` is positive; neither `n_clusters` nor `beta`; what `dualib.solve` and
        `dualib.quantize` raise.
    MemoryError
        A `smoothing` of a sparse table of up to a million cells, which is made dense, and does not fit.

    Warns
    -----
    DualibWarning
        All rows are in one cluster, though they differ: beta is too small; the message says what is large enough.

    Examples
    --------
    >>> from dualib import InformationBottleneck
    >>> counts = [[8, 1, 1], [9, 0, 1], [1, 1, 8], [0, 2, 9]]
    >>> InformationBottleneck(n_clusters=2).fit_predict(counts).tolist()
    [1, 1, 0, 0]
    >>> model = InformationBottleneck(beta=6.0).fit(counts)
    >>> model.transform(counts).shape, model.solution_.certificate
    ((4, 2), 'rigorous')
    """

    _distortion: ClassVar[str] = "ib"

    solution_: Any
    labels_: npt.NDArray[np.int64]
    cluster_centers_: Array
    weights_: Array
    n_clusters_: int

    def __init__(
        self,
        n_clusters: int | None = 8,
        beta: float | None = None,
        *,
        alpha: float = 1.0,
        n_init: int = 10,
        smoothing: float = 0.0,
        certify: bool | None = None,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.beta = beta
        self.alpha = alpha
        self.n_init = n_init
        self.smoothing = smoothing
        self.certify = certify
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> InformationBottleneck:
        """Cluster the rows.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix, shape (n_samples, n_features)
            Counts or probabilities, >= 0; p(x) is in proportion to the row sums, so that rows of probabilities weigh the same.
        y : ignored

        Returns
        -------
        self
        """
        table = self._checked(X, reset=True)
        joint = JointDistribution.from_counts(table, smoothing=self.smoothing)
        del table
        self.solution_ = self._solved(joint)
        self.labels_ = np.concatenate(
            [np.argmax(self.solution_.encode(rows), axis=1) for rows in _parts(joint.py_x, joint.is_sparse)]
        )
        self.cluster_centers_, self.weights_ = self.solution_.decoder, self.solution_.weights
        self.n_clusters_ = self.solution_.n_clusters
        self._warn_of_one_cluster()
        return self

    def _solved(self, joint: JointDistribution) -> Any:
        """The hard clusters, or with a beta the soft ones."""
        check_options(self.tol, n_clusters=self.n_clusters, n_init=self.n_init)
        if isinstance(self.alpha, (bool, str)) or not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must be from 0 to 1, got {shown(self.alpha)}")
        seed = _seed(self.random_state)
        if self.beta is not None:
            options: dict[str, Any] = {} if self.alpha == 1.0 else {"alpha": self.alpha}
            certify = True if self.certify is None else self.certify
            options.update(n_clusters=self.n_clusters, n_restarts=self.n_init, certify=certify, tol=self.tol)
            return solve(joint, self.beta, self._distortion, random_state=seed, **options)
        if self.n_clusters is None:
            raise ValueError("n_clusters and beta are both None: give how many clusters there may be, or a trade-off, or both")
        options = {"n_init": self.n_init, "certify": bool(self.certify), "random_state": seed}
        return quantize(joint, self.n_clusters, self._distortion, **options)

    def _warn_of_one_cluster(self) -> None:
        """Where learning was possible and none was asked for: as KMeans says where it finds fewer clusters than it should."""
        joint = self.solution_.joint
        if self.n_clusters_ > 1 or self.n_clusters == 1 or not joint.mutual_information > _INDEPENDENT:
            return
        bound = cheap_onset_bound(joint, self.solution_.distortion)
        onset = f", which is at most {bound:.6g}" if np.isfinite(bound) else " (dualib.onset)"
        warnings.warn(
            f"beta = {shown(self.beta)} puts all {joint.n_x} rows into one cluster: leave beta out for hard clusters, or give one "
            f"above the onset of learning{onset}",
            DualibWarning,
            stacklevel=3,
        )

    def transform(self, X: Any) -> Array:
        """p(t|x), (n_samples, n_clusters), of rows seen in fitting or not."""
        return self._encoded(self._fitted(X))

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Likeliest cluster of each row, (n_samples,)."""
        return np.argmax(self.transform(X), axis=1)

    def inverse_transform(self, X: npt.ArrayLike) -> Array:
        """``sum_t p(t|x) p(y|t)``, (n_samples, n_features), from p(t|x) (n_samples, n_clusters): the prediction of y."""
        check_is_fitted(self)
        encoder = np.asarray(X, dtype=np.float64)
        if encoder.ndim != 2 or encoder.shape[1] != self.n_clusters_:
            raise ValueError(f"X must have shape (n_samples, {self.n_clusters_}), got {encoder.shape}")
        return encoder @ self.cluster_centers_

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-likelihood of the counted symbols, nats per symbol, each row predicted through its clusters; -inf at worst.

        Rows that were not fitted are encoded by their own counts, so compare scores on rows of few counts with care;
        `compare_predictions` keeps what encodes apart from what is scored.
        """
        table = self._fitted(X)
        encoder, first, loss = self._encoded(table), 0, 0.0
        for part in _parts(table, is_sparse(table)):
            counts = _dense(part)
            prediction = self.inverse_transform(encoder[first : first + len(counts)])
            loss += log_loss_of(prediction / prediction.sum(axis=1, keepdims=True), counts) * float(counts.sum())
            first += len(counts)
        return -loss / float(table.sum())

    @property
    def _n_features_out(self) -> int:
        return self.n_clusters_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        return tags

    def _fitted(self, X: Any) -> Any:
        check_is_fitted(self)
        return self._checked(X, reset=False)

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """The table, dense or CSR as it comes, of values that are counts or probabilities."""
        # a sparse table in its own type: of whole numbers there would be a copy of all
        dtype = "numeric" if is_sparse(X) else np.float64
        table = validate_data(self, X, reset=reset, accept_sparse="csr", dtype=dtype)
        values = table.data if is_sparse(table) else table
        if values.size and values.min() < 0.0:
            cells = sparse.coo_array(table)
            cell = int(np.argmax(cells.data < 0.0))
            raise ValueError(
                f"Negative values in data passed to {type(self).__name__}: X must hold counts or probabilities, "
                f"got {float(cells.data[cell])!r} at {(int(cells.row[cell]), int(cells.col[cell]))}"
            )
        empty = np.flatnonzero(np.asarray(table.sum(axis=1)).ravel() == 0.0)
        if len(empty) and not self.smoothing > 0.0:
            raise ValueError(
                f"X: row {int(empty[0])} is all zero and says nothing about y; leave it out, or give a smoothing > 0"
            )
        return table

    def _encoded(self, table: Any) -> Array:
        """p(t|x) of the rows, those of a sparse table that a smoothing fills some at a time."""
        if not (is_sparse(table) and self.smoothing):
            return np.asarray(self.solution_.encode(self._rows(table)))
        return np.concatenate([self.solution_.encode(self._rows(_dense(part))) for part in _parts(table, True)])

    def _rows(self, table: Any) -> Any:
        """The smoothed conditionals of a table, in its own form."""
        if is_sparse(table):
            size = np.diff(table.indptr)
            top = table.max(axis=1).toarray().ravel().astype(np.float64)
            data = np.repeat(top, size)  # divided by first, so that no sum overflows
            np.divide(table.data, data, out=data)
            rows = sparse.csr_array((data, table.indices, table.indptr), shape=table.shape)
            data /= np.repeat(np.asarray(rows.sum(axis=1)).ravel(), size)
            return rows
        rows = table + self.smoothing
        rows /= rows.max(axis=1, keepdims=True)
        return np.asarray(rows / rows.sum(axis=1, keepdims=True))


class DualInformationBottleneck(InformationBottleneck):
    """Clusters of the rows of a table by the dual Information Bottleneck, as a scikit-learn transformer and clusterer.

    As `InformationBottleneck`, with the distortion KL( p(y|t) || p(y|x) ), for which every row must be positive where a
    cluster is: tables of counts with zeros want a `smoothing`, or their rows cluster by support.

    Parameters
    ----------
    n_clusters, beta, alpha, n_init, smoothing, certify, tol, random_state
        As of `InformationBottleneck`.

    Attributes
    ----------
    solution_, labels_, cluster_centers_, weights_, n_clusters_, n_features_in_
        As of `InformationBottleneck`.

    Examples
    --------
    >>> from dualib import DualInformationBottleneck
    >>> counts = [[8, 1, 1], [9, 0, 1], [1, 1, 8], [0, 2, 9]]
    >>> DualInformationBottleneck(n_clusters=2, smoothing=0.5).fit_predict(counts).tolist()
    [1, 1, 0, 0]
    """

    _distortion: ClassVar[str] = "dualib"


def _seed(random_state: Any) -> int | None:
    return None if random_state is None else int(check_random_state(random_state).randint(2**31 - 1))


def _parts(table: Any, some: bool) -> Iterator[Any]:
    """A table whole, or by as many rows as make up so many cells."""
    size = max(1, _AT_ONCE // table.shape[1]) if some else table.shape[0]
    for first in range(0, table.shape[0], size):
        yield table[first : first + size]


def _dense(table: Any) -> Array:
    return np.asarray(table.toarray() if is_sparse(table) else table)
