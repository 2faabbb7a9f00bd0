"""`Curve`: what a path over beta returns. It is immutable."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, Unit, is_real, shown

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

    from dualib.distortions.interface import Distortion
    from dualib.joint import JointDistribution
    from dualib.progress import Progress
    from dualib.results.deviation import Deviation
    from dualib.results.interpolation import CurvePoint
from dualib.markup import block
from dualib.results.common import Result, counted, split_fact
from dualib.results.event import EVENT_KINDS, Event, Events, events_table
from dualib.results.solution import Solution


class Curve(Result):
    """Solutions of one problem along beta, ascending, with the events between them.

    ``curve[i]`` is a Solution; ``curve[a:b]`` is a shorter curve, with the events inside its range of beta.

    Parameters
    ----------
    solutions : sequence of Solution
        In any order of beta, all of one joint distribution and one distortion.
    events : sequence of Event, or function
        A function is called at their first use.
    onset : float or function, optional
        The beta at which learning begins (see `dualib.onset`), likewise.

    Attributes
    ----------
    beta, rate, relevance, objective, expected_distortion, decoder_information, gap, lower_bound : ndarray, shape (n,)
        As in `Solution`, one entry per beta; nats; read-only. So are `relevance_bound`, and `n_clusters`, of integers.
    alpha : float
        That of all solutions; a curve of alpha below 1, or with a cap on the clusters, has neither events nor an onset.

    Raises
    ------
    ValueError
        No solutions, a beta given twice, or solutions of different problems.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> curve.n_clusters
    array([1, 2, 3, 4])
    >>> curve[1].beta, len(curve), len(curve.events)
    (8.0, 4, 3)
    >>> low, high = curve.objective_bounds(10.0)
    >>> bool(low <= high)
    True
    """

    beta: Array
    rate: Array
    relevance: Array
    objective: Array
    expected_distortion: Array
    decoder_information: Array
    gap: Array
    lower_bound: Array
    relevance_bound: Array
    n_clusters: IntArray
    alpha: float
    onset: float | None
    events: tuple[Event, ...]
    solutions: tuple[Solution, ...]
    joint: JointDistribution
    distortion: Distortion

    def __init__(
        self,
        solutions: Sequence[Solution],
        events: Sequence[Event] | Callable[[], Sequence[Event]] = (),
        onset: float | Callable[[], float] | None = None,
    ) -> None:
        ordered = tuple(sorted(solutions, key=lambda solution: solution.beta))
        _check_one_problem(ordered)
        table = np.array(list(map(_OWN_COLUMNS, ordered))).T.copy()
        columns: dict[str, Any] = dict(zip(CURVE_COLUMNS[:-1], table, strict=True))
        columns["lower_bound"] = columns["objective"] - columns["gap"]
        columns["relevance_bound"] = np.array([s.relevance_bound for s in ordered])
        columns["n_clusters"] = np.array([s.weights.shape[0] for s in ordered], np.int64)
        for column in columns.values():
            column.setflags(write=False)
        columns.update(events=events, onset=onset)
        columns["_deferred"] = {name: columns.pop(name) for name in ("events", "onset") if callable(columns[name])}
        columns.update({name: self._settled(name, columns[name]) for name in ("events", "onset") if name in columns})
        columns.update(solutions=ordered, joint=ordered[0].joint, distortion=ordered[0].distortion, alpha=ordered[0].alpha)
        self.__dict__.update(columns)

    def _settled(self, name: str, value: Any) -> Any:
        if name == "events":
            return Events(sorted(value, key=lambda event: event.beta))
        return None if value is None else float(value)

    def __setattr__(self, name: str, *value: object) -> NoReturn:
        raise AttributeError(f"a Curve is immutable: cannot set or delete {name!r}")

    __delattr__ = __setattr__

    def __reduce__(self) -> tuple[Any, ...]:
        return (Curve, (self.solutions, self.events, self.onset))

    def __len__(self) -> int:
        return len(self.solutions)

    def __iter__(self) -> Iterator[Solution]:
        return iter(self.solutions)

    @overload
    def __getitem__(self, index: int) -> Solution: ...
    @overload
    def __getitem__(self, index: slice) -> Curve: ...
    def __getitem__(self, index: int | slice) -> Solution | Curve:
        if not isinstance(index, slice):
            return self.solutions[index]
        part = self.solutions[index]
        if not part:
            raise ValueError(f"index {index} picks no solution out of {len(self)}")
        low, high = min(s.beta for s in part), max(s.beta for s in part)
        events = [event for event in self.events if low <= event.beta <= high]
        return Curve(part, events, self.__dict__.get("onset", functools.partial(getattr, self, "onset")))

    def objective_bounds(self, beta: npt.ArrayLike) -> tuple[Array, Array]:
        """Certified lower and upper bounds of the optimal objective F at any beta, on the grid or not, nats.

        F is concave in beta: the chords of the lower bounds at the points of the curve lie below it, and each solution's
        own line ``rate + beta E d`` above. They hold as surely as the certificates of the points do. Of a curve with a cap, or of
        alpha below 1, F is the least objective with these, which is concave too.

        Parameters
        ----------
        beta : float or array_like
            Trade-offs, > 0.

        Returns
        -------
        lower, upper : ndarray, of the shape of `beta`
        """
        from dualib.results.enclosure import Enclosure, least_distortion

        values = np.asarray(beta)
        if values.dtype.kind not in "iuf":
            raise TypeError(f"beta must be a number or an array of numbers, got {shown(beta)}")
        values = values.astype(np.float64)
        if not ((values > 0.0) & (values < np.inf)).all():
            raise ValueError(f"beta must be positive and finite, got {shown(beta)}")
        return Enclosure.of(self.solutions).bounds(values, least_distortion(self.joint, self.distortion))

    def at(self, beta: float) -> CurvePoint:
        """The best encoder that the curve has for any beta, with the bound of its distance from the optimum there.

        Beyond the ends of the curve that is an encoder of its ends, and the bound grows with beta: where it is large, solve there.

        Parameters
        ----------
        beta : float
            Trade-off, > 0, on the grid or not.

        Returns
        -------
        CurvePoint
            Its `objective` is within `error_bound` of the optimum at `beta`.
        """
        from dualib.results.interpolation import at

        return at(self, beta)

    def at_rate(self, rate: float) -> CurvePoint:
        """The point of the curve at any rate between its ends: neighbours mixed, exactly optimal on a straight piece.

        Parameters
        ----------
        rate : float
            I(X;T), nats.

        Returns
        -------
        CurvePoint
            Its `expected_distortion` is within `error_bound` of the least one at this rate.
        """
        from dualib.results.interpolation import at_rate

        return at_rate(self, rate)

    def deviation(self, encoder: npt.ArrayLike, *, tol: float = 1e-9, progress: Progress = False) -> Deviation:
        """How far an encoder is from the whole curve, ``min over beta of (L_beta[q] - F(beta)) / beta``; see `Deviation`.

        Zaslavsky, Kemp, Regier and Tishby (2018). It is how much less expected distortion the curve has at the rate of the encoder.
        The minimum is over all beta, not over those of the curve alone: more are solved, until it is known to `tol`.

        Parameters
        ----------
        encoder : array_like, shape (n_x, n_t), or of int, shape (n_x,)
            p(t|x), rows summing to 1; or the labels of a hard clustering, the cluster of each x, numbers or text.
        tol : float
            Wanted error of epsilon, nats.
        progress : bool or callable
            As of `anneal`; a step is a beta that is solved, and how many there will be is not known before.

        Returns
        -------
        Deviation
            ``.epsilon``, ``.beta``, ``.solution``, and the certified ``.error_bound``.

        Raises
        ------
        ValueError, TypeError
            Not an encoder of the x of the curve, or one of infinite distortion.
        """
        from dualib.results.deviation import deviation

        return deviation(self, encoder, tol, progress)

    def nearest(self, beta: float) -> Solution:
        """The solution whose beta is nearest to `beta` in ratio."""
        if not is_real(beta) or not 0.0 < beta < math.inf:
            raise ValueError(f"beta must be a positive finite number, got {shown(beta)}")
        return self.solutions[int(np.argmin(np.abs(np.log(self.beta / beta))))]

    def to_dataframe(self, unit: Unit = "nats") -> pandas.DataFrame:
        """One row per beta with every scalar of `Solution.summary`; needs ``pip install "dualib[pandas]"``."""
        from dualib.data.frames import data_frame

        return data_frame([s.summary(unit) for s in self])

    def to_xarray(self, unit: Unit = "nats") -> xarray.Dataset:
        """Scalars by beta; weights, encoder, decoder by (beta, t, x, y), 0 beyond `n_clusters`; extra "xarray"."""
        from dualib.results.storage import curve_to_xarray

        return curve_to_xarray(self, unit)

    def plot_information_plane(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Relevance against rate; see `dualib.plotting.plot_information_plane`."""
        from dualib.plotting.plane import plot_information_plane

        return plot_information_plane(self, ax=ax, **options)

    def plot_rate_distortion(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Rate against the problem's own distortion; see `dualib.plotting.plot_rate_distortion`."""
        from dualib.plotting.plane import plot_rate_distortion

        return plot_rate_distortion(self, ax=ax, **options)

    def plot_stability(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Stability numbers against beta; see `dualib.plotting.plot_stability`."""
        from dualib.plotting.bifurcations import plot_stability

        return plot_stability(self, ax=ax, **options)

    def plot_clusters_vs_beta(self, ax: Axes | None = None, **options: Any) -> Axes:
        """The number of clusters against beta; see `dualib.plotting.plot_clusters_vs_beta`."""
        from dualib.plotting.bifurcations import plot_clusters_vs_beta

        return plot_clusters_vs_beta(self, ax=ax, **options)

    def plot_bifurcations(self, ax: Axes | None = None, **options: Any) -> Axes:
        """The tree of clusters over beta; see `dualib.plotting.plot_bifurcations`."""
        from dualib.plotting.bifurcations import plot_bifurcations

        return plot_bifurcations(self, ax=ax, **options)

    def __repr__(self) -> str:
        kinds = Counter(str(event.kind) for event in self.events)
        events = ", ".join(counted(kinds[kind], kind) for kind in EVENT_KINDS if kinds[kind]) or "none recorded"
        worst = int(np.argmax(self.gap))
        alpha = "" if self.alpha == 1.0 else f", alpha={self.alpha:.6g}"
        onset = "" if self.onset is None else f"; onset at beta = {self.onset:.6g}"
        certificates = Counter(s.certificate for s in self)
        certified = f"{certificates['rigorous']} rigorous"
        if certificates["heuristic"]:
            certified += f", {certificates['heuristic']} heuristic"
        return (
            f"Curve({self.distortion.name}{alpha}, {self.joint.n_x} x {self.joint.n_y}): {counted(len(self), 'beta')} "
            f"from {self.beta[0]:.6g} to {self.beta[-1]:.6g}{onset}\n"
            f"  rate I(X;T)       {self.rate[0]:.6g} to {self.rate[-1]:.6g} nats\n"
            f"  relevance I(T;Y)  {self.relevance[0]:.6g} to {self.relevance[-1]:.6g} nats "
            f"of I(X;Y) = {self.joint.mutual_information:.6g}\n"
            f"  clusters          {self.n_clusters[0]} to {self.n_clusters[-1]}; events: {events}\n"
            f"  largest gap       {self.gap[worst]:.1e} nats at beta = {self.beta[worst]:.6g}; {certified}\n"
            f"  converged         {sum(s.converged for s in self)} of {len(self)}"
        )

    def _repr_html_(self) -> str:
        title, *lines = repr(self).split("\n")
        events = [events_table(self.events, _SHOWN_EVENTS)] if self.events else []
        return block(title, map(split_fact, lines), *events)


_SHOWN_EVENTS = 12  # in a notebook

CURVE_COLUMNS = (
    *("beta", "rate", "relevance", "objective", "expected_distortion"),
    *("decoder_information", "gap", "lower_bound"),
)


_OWN_COLUMNS = operator.attrgetter(*CURVE_COLUMNS[:-1])  # all but the bound, which is their difference


def _check_one_problem(solutions: Sequence[Solution]) -> None:
    if not solutions:
        raise ValueError("solutions must hold at least one Solution, got none")
    first = solutions[0]
    if math.isinf(max(solution.beta for solution in solutions)):
        raise ValueError("solutions must have a finite beta, got one of quantize, with beta = inf")
    for below, above in itertools.pairwise(solutions):
        if below.beta == above.beta:
            raise ValueError(f"solutions must have distinct beta, got {shown(above.beta)} twice")
        if above.joint is not first.joint and above.joint != first.joint:
            raise ValueError(f"solutions must share one joint distribution, got another at beta = {shown(above.beta)}")
        if above.distortion is not first.distortion and above.distortion != first.distortion:
            raise ValueError(f"solutions must share one distortion, got {first.distortion!r} and {above.distortion!r}")
        if above.alpha != first.alpha:
            raise ValueError(f"solutions must share one alpha, got {first.alpha!r} and {above.alpha!r}")
