"""The bottlenecks as scikit-learn estimators: rows of counts or probabilities in, p(t|x) out; needs ``dualib[sklearn]``."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dualib._validation import shown
from dualib.joint import JointDistribution
from dualib.path.onset import cheap_onset_bound
from dualib.predict.scores import log_loss_of
from dualib.solving.solver import solve
from dualib.warnings import DualibWarning

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:  # pragma: no cover - which extra to install
    raise ImportError('the estimators need scikit-learn 1.6 or newer: pip install "dualib[sklearn]"') from error

__all__ = ["DualInformationBottleneck", "InformationBottleneck"]

_INDEPENDENT = 1e-12  # I(X;Y) in nats up to which the rows are alike but for rounding

Array = npt.NDArray[np.float64]


class InformationBottleneck(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):
    """Soft clusters of the rows of a table by the Information Bottleneck, as a scikit-learn transformer and clusterer.

    Each sample is one source x, its features are how often (or with which probability) each y goes with it: word counts of
    documents, for instance. ``transform`` gives p(t|x), ``predict`` the likeliest cluster, ``score`` the log-likelihood of counts.

    Parameters
    ----------
    beta : float
        Trade-off, > 0: the larger, the more clusters.
    n_clusters : int, optional
        At most so many clusters; None: as many as are optimal.
    smoothing : float
        Added to every cell of a table before its rows are normalised, in fitting and in transforming alike.
    certify : bool
        Search for the global optimum and bound the distance to it (``solution_.gap``); False is faster and local.
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
        Negative entries; a row of zeros, unless `smoothing` is positive; what `dualib.solve` raises.

    Warns
    -----
    DualibWarning
        All rows are in one cluster, though they differ: beta is too small; the message says what is large enough.

    Examples
    --------
    >>> from dualib import InformationBottleneck
    >>> counts = [[8, 1, 1], [9, 0, 1], [1, 1, 8], [0, 2, 9]]
    >>> model = InformationBottleneck(beta=6.0).fit(counts)
    >>> model.predict(counts).tolist(), model.transform(counts).shape
    ([1, 1, 0, 0], (4, 2))
    """

    _distortion: ClassVar[str] = "ib"

    solution_: Any
    labels_: npt.NDArray[np.int64]
    cluster_centers_: Array
    weights_: Array
    n_clusters_: int

    def __init__(
        self,
        beta: float = 5.0,
        *,
        n_clusters: int | None = None,
        smoothing: float = 0.0,
        certify: bool = True,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.beta = beta
        self.n_clusters = n_clusters
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
        self.solution_ = solve(
            joint,
            self.beta,
            self._distortion,
            n_clusters=self.n_clusters,
            certify=self.certify,
            tol=self.tol,
            random_state=_seed(self.random_state),
        )
        self.labels_ = np.argmax(self.solution_.encode(joint.py_x), axis=1)
        self.cluster_centers_, self.weights_ = self.solution_.decoder, self.solution_.weights
        self.n_clusters_ = self.solution_.n_clusters
        self._warn_of_one_cluster()
        return self

    def _warn_of_one_cluster(self) -> None:
        """Where learning was possible and none was asked for: as KMeans says where it finds fewer clusters than it should."""
        joint = self.solution_.joint
        if self.n_clusters_ > 1 or self.n_clusters == 1 or not joint.mutual_information > _INDEPENDENT:
            return
        bound = cheap_onset_bound(joint, self.solution_.distortion)
        onset = f", which is at most {bound:.6g}" if np.isfinite(bound) else " (dualib.onset)"
        warnings.warn(
            f"beta = {shown(self.beta)} puts all {joint.n_x} rows into one cluster: give a beta above the onset of learning{onset}",
            DualibWarning,
            stacklevel=3,
        )

    def transform(self, X: Any) -> Array:
        """p(t|x), (n_samples, n_clusters), of rows seen in fitting or not."""
        rows = self._rows(self._fitted(X))
        return np.asarray(self.solution_.encode(rows))

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Array:
        """Fit, and p(t|x) of the rows."""
        return self.fit(X, y).transform(X)

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
        prediction = self.solution_.predict_proba(self._rows(table))
        return -log_loss_of(prediction, table)

    @property
    def _n_features_out(self) -> int:
        return self.n_clusters_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        return tags

    def _fitted(self, X: Any) -> Array:
        check_is_fitted(self)
        return self._checked(X, reset=False)

    def _checked(self, X: Any, *, reset: bool) -> Array:
        table = validate_data(self, X, reset=reset, accept_sparse="csr", dtype=np.float64)
        table = table.toarray() if hasattr(table, "toarray") else table
        if (table < 0.0).any():
            row, column = (int(i) for i in np.argwhere(table < 0.0)[0])
            raise ValueError(
                f"Negative values in data passed to {type(self).__name__}: X must hold counts or probabilities, "
                f"got {float(table[row, column])!r} at {(row, column)}"
            )
        empty = np.flatnonzero(table.sum(axis=1) == 0.0)
        if len(empty) and not self.smoothing > 0.0:
            raise ValueError(
                f"X: row {int(empty[0])} is all zero and says nothing about y; leave it out, or give a smoothing > 0"
            )
        return np.asarray(table)

    def _rows(self, table: Array) -> Array:
        rows = table + self.smoothing
        rows /= rows.max(axis=1, keepdims=True)  # first, so that no sum overflows
        return np.asarray(rows / rows.sum(axis=1, keepdims=True))


class DualInformationBottleneck(InformationBottleneck):
    """Soft clusters of the rows of a table by the dual Information Bottleneck, as a scikit-learn transformer and clusterer.

    As `InformationBottleneck`, with the distortion KL( p(y|t) || p(y|x) ), for which every row must be positive where a
    cluster is: tables of counts with zeros want a `smoothing`, or their rows cluster by support.

    Parameters
    ----------
    beta, n_clusters, smoothing, certify, tol, random_state
        As of `InformationBottleneck`.

    Attributes
    ----------
    solution_, labels_, cluster_centers_, weights_, n_clusters_, n_features_in_
        As of `InformationBottleneck`.

    Examples
    --------
    >>> from dualib import DualInformationBottleneck
    >>> counts = [[8, 1, 1], [9, 0, 1], [1, 1, 8], [0, 2, 9]]
    >>> DualInformationBottleneck(beta=3.0, smoothing=0.5).fit_predict(counts).tolist()
    [1, 1, 0, 0]
    """

    _distortion: ClassVar[str] = "dualib"


def _seed(random_state: Any) -> int | None:
    return None if random_state is None else int(check_random_state(random_state).randint(2**31 - 1))
