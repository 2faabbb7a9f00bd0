"""`CrossFit`: what `dualib.cross_fit` returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib.distortions.interface import Array
from dualib.information.estimates import mutual_information_miller_madow
from dualib.results.common import counted
from dualib.results.curve import Curve
from dualib.results.solution import Solution

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    *("beta", "n_clusters", "rate", "relevance"),
    *("cross_fitted_relevance", "cross_fitted_se", "log_loss", "log_loss_se"),
)


@dataclass(frozen=True, eq=False, repr=False)
class CrossFit:
    """How much of a curve is the sample's; all information in nats.

    Attributes
    ----------
    counts : ndarray, shape (n_x, n_y)
        The observations.
    solutions : tuple of Solution
        On all counts, at each of the m betas, ascending.
    beta, n_clusters, rate : ndarray, shape (m,)
        Theirs.
    relevance : ndarray, shape (m,)
        In-sample: the plug-in I(T;Y) of their encoders on the counts that chose them.
    cross_fitted_relevance, log_loss : ndarray, shape (m,)
        I(T;Y) of encoders chosen on one half of the observations and measured on the other, less the Miller-Madow term; and the log
        loss per observation of the other half, predicted through their clusters. Means over the splits.
    cross_fitted_se, log_loss_se : ndarray, shape (m,), or None
        Standard errors of these means over the splits of this one sample; None where there is one split.
    relevance_of_splits, log_loss_of_splits, smoothing_of_splits : ndarray, shape (n_splits, m)
        Of each split, means of both directions; and the pseudocounts of the predictions.
    onset : float
        Where the curve of all counts begins to learn.
    null_onsets : ndarray, shape (n_shuffles,)
        The onsets of tables with y shuffled within the sample. Where `onset` is not below most of them the table shows no more than
        noise does; beyond them, clusters appear in noise as well.
    best : Solution
        On all counts, certified, at the beta of least held-out log loss, `best_beta`.

    Examples
    --------
    >>> import dualib
    >>> import numpy as np
    >>> counts = np.array([[30, 5], [4, 33], [28, 6], [7, 29]])
    >>> result = dualib.cross_fit(counts, betas=[5.0, 20.0], n_splits=2, n_shuffles=4)
    >>> bool((result.cross_fitted_relevance < result.relevance).all()), bool(result.onset < result.null_onsets.min())
    (True, True)
    """

    counts: Array
    solutions: tuple[Solution, ...]
    relevance: Array
    relevance_of_splits: Array
    log_loss_of_splits: Array
    smoothing_of_splits: Array
    onset: float
    null_onsets: Array
    best: Solution

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def beta(self) -> Array:
        """The trade-offs, ascending, (m,)."""
        return np.array([solution.beta for solution in self.solutions])

    @property
    def n_clusters(self) -> npt.NDArray[np.int64]:
        """Numbers of clusters on all counts, (m,)."""
        return np.array([solution.n_clusters for solution in self.solutions])

    @property
    def rate(self) -> Array:
        """I(X;T) on all counts, (m,)."""
        return np.array([solution.rate for solution in self.solutions])

    @property
    def n_splits(self) -> int:
        """How many times the observations were divided."""
        return len(self.relevance_of_splits)

    @property
    def cross_fitted_relevance(self) -> Array:
        """I(T;Y) on the halves that did not choose the encoder, (m,)."""
        return np.asarray(self.relevance_of_splits.mean(axis=0))

    @property
    def cross_fitted_se(self) -> Array | None:
        """Its standard error over the splits; None where there is one."""
        return _standard_error(self.relevance_of_splits)

    @property
    def log_loss(self) -> Array:
        """Held-out log loss per observation, (m,)."""
        return np.asarray(self.log_loss_of_splits.mean(axis=0))

    @property
    def log_loss_se(self) -> Array | None:
        """Its standard error over the splits; None where there is one."""
        return _standard_error(self.log_loss_of_splits)

    @property
    def best_beta(self) -> float:
        """The beta of least held-out log loss."""
        return self.best.beta

    @cached_property
    def curve(self) -> Curve:
        """The solutions on all counts as a curve, to `tol`, with its onset."""
        return Curve(self.solutions, onset=self.onset)

    @property
    def onset_p_value(self) -> float | None:
        """How often noise begins to learn no later: ``(1 + #{null onsets <= onset}) / (1 + n_shuffles)``; None without shuffles."""
        if not len(self.null_onsets):
            return None
        return float((1 + np.count_nonzero(self.null_onsets <= self.onset)) / (1 + len(self.null_onsets)))

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per beta: beta, n_clusters, rate, relevance, cross_fitted_relevance and _se, log_loss and _se.

        Standard errors are None where there is one split. Needs ``pip install "dualib[pandas]"``.
        """
        from dualib.data.frames import data_frame

        columns: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        none = np.full(len(self.solutions), None, dtype=object)
        return data_frame({name: none if column is None else column for name, column in columns.items()})

    def plot(self, axes: Any = None) -> Any:
        """Relevance and log loss against beta; see `dualib.plotting.cross_fit.plot_cross_fit`."""
        from dualib.plotting.cross_fit import plot_cross_fit

        return plot_cross_fit(self, axes)

    def __repr__(self) -> str:
        n_x, n_y = self.counts.shape
        plug_in = self.solutions[0].joint.mutual_information
        lines = [
            f"CrossFit({self.best.distortion.name}, {n_x} x {n_y}): {int(self.counts.sum())} observations, "
            f"{counted(self.n_splits, 'split')} into halves",
            f"  I(X;Y)   plug-in {plug_in:.4f} nats, Miller-Madow {mutual_information_miller_madow(self.counts):.4f}",
            f"  onset    beta = {self.onset:.4g}{self._null()}",
            f"  best     beta = {self.best_beta:.4g}, {counted(self.best.n_clusters, 'cluster')}: least held-out log loss",
            "      beta  clusters    rate  relevance  cross-fitted          log loss",
        ]
        rows = zip(self.beta, self.n_clusters, self.rate, self.relevance, *map(_with_errors, self._measured()), strict=True)
        for beta, clusters, rate, relevance, cross_fitted, loss in rows:
            row = f"{beta:>10.4g}  {clusters:>8}  {rate:>6.3f}  {relevance:>9.4f}  {cross_fitted}  {loss}"
            lines.append(row + ("  <- best" if beta == self.best_beta else ""))
        if self.n_splits == 1:
            lines.append("  one split: no standard error; n_splits > 1 gives one")
        return "\n".join(lines)

    def _measured(self) -> list[tuple[Array, Array | None]]:
        return [(self.cross_fitted_relevance, self.cross_fitted_se), (self.log_loss, self.log_loss_se)]

    def _null(self) -> str:
        if not len(self.null_onsets):
            return ""
        low, high = self.null_onsets.min(), self.null_onsets.max()
        return f"; with y shuffled {low:.4g} to {high:.4g} ({len(self.null_onsets)} shuffles, p = {self.onset_p_value:.2g})"


def _standard_error(values: Array) -> Array | None:
    """Over splits, (m,); inf where a value is, as of a log loss without smoothing."""
    if len(values) < 2:
        return None
    error = np.full(values.shape[1], np.inf)
    finite = np.isfinite(values).all(axis=0)
    error[finite] = values[:, finite].std(axis=0, ddof=1) / np.sqrt(len(values))
    return error


def _with_errors(measured: tuple[Array, Array | None]) -> list[str]:
    """Values (m,) with their standard errors, where there are any."""
    values, errors = measured
    if errors is None:
        return [f"{value:8.4f}" + " " * 10 for value in values]
    return [f"{value:8.4f} +- {error:.4f}" for value, error in zip(values, errors, strict=True)]
