"""What a solve or a path over beta returns: `Status`, `Solution`, `Event`, `Curve`.

All are immutable: their arrays are read-only. Information is in nats unless ``unit="bits"`` is asked for.
"""

from __future__ import annotations

import enum
import functools
import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast, overload

import numpy as np
import numpy.typing as npt

from dualib._validation import shown

if TYPE_CHECKING:
    import os

    import pandas
    import xarray
    from matplotlib.axes import Axes

    from dualib.distortions import Distortion
    from dualib.interpolation import CurvePoint
    from dualib.joint import JointDistribution

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Unit = Literal["nats", "bits"]
EventKind = Literal["appearance", "split", "jump"]
Assignment = Literal["soft", "map"]
DecoderKind = Literal["problem", "bayes"]

_INFORMATION = ("objective", "lower_bound", "rate", "relevance", "decoder_information", "gap")
_KL_DISTORTIONS = ("ib", "dualib", "dualexpib")  # whose expected distortion is an information, in nats


class Status(enum.Enum):
    """How a solve ended; the value is the message for a person, with advice."""

    CONVERGED = "converged: the residual and the certified gap are within the tolerance"
    MAX_ITER = (
        "stopped at max_iter before the residual fell below tol: raise max_iter, loosen tol, or start from a "
        "neighbouring beta (anneal)"
    )
    GAP_OPEN = (
        "stationary, but a gap above tol to the global optimum is left: raise max_iter, give another init or "
        "random_state, or anneal down from a higher beta; the gap stated is the bound that holds"
    )
    CAPPED = (
        "stationary with no more than n_clusters clusters; the gap stated is to the optimum without that cap: "
        "what the cap costs; that of hard clusters (quantize) is to a bound for so many"
    )
    NOT_CERTIFIED = "stationary; no bound on the distance to the global optimum was asked for: pass certify=True for one"


class _Result:
    """What a Solution and a Curve have in common."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to `path` as one .npz file without pickle; `dualib.load` reads it back."""
        from dualib.storage import save

        save(self, path)

    def plot_clusters(self, ax: Axes | None = None, **options: Any) -> Axes:
        """The encoder as a labelled map; see `dualib.plotting.plot_clusters`."""
        from dualib.plotting import plot_clusters

        return plot_clusters(cast("Solution | Curve", self), ax=ax, **options)


@dataclass(frozen=True, eq=False, repr=False)
class Solution(_Result):
    """One solution of ``min I(X;T) + beta E d`` at one beta; all fields are given by keyword and checked.

    Attributes
    ----------
    joint, distortion, beta : JointDistribution, Distortion, float
        The problem that was solved; beta = inf for the hard clusters of `quantize`, whose objective is E d.
    encoder, weights : ndarray, shapes (n_x, n_t) and (n_t,)
        p(t|x), rows summing to 1, and p(t).
    means : ndarray, shape (n_t, k)
        Mean feature vector of each cluster, which the distortion's `link` takes.
    decoder : ndarray, shape (n_t, n_y)
        p(y|t) of the distortion, rows summing to 1; for a rate-distortion matrix (n_t, n_columns), the column chosen.
    objective, rate, relevance : float
        I(X;T) + beta E d, I(X;T), and I(T;Y) of the true joint p(t, y); nats.
    expected_distortion : float
        E d, in the unit of the distortion: nats for the IB and the dual IB.
    decoder_information : float
        The information I(T;Y') that the decoder itself claims, nats.
    gap : float
        Bound on the distance of the objective from the global optimum, nats; inf where nothing was certified.
    certificate : {"rigorous", "multistart", "heuristic", None}
        ``"rigorous"``: the gap is proved; ``"multistart"``: searched for, nothing larger found; ``"heuristic"``: searched for, but
        decoders of the dual IB may lie on more sets of y than could be looked at; None: not certified.
    status, n_iter, residual : Status, int, float
        How it ended, after how many sweeps, and how far one more would move.
    error_bound, rho : float
        Distance from the fixed point, ``residual / (1 - rho)``, and the linear rate of sweeps there; inf where unknown, the
        first also where rho is 1 to rounding.
    stability : ndarray, shape (n_t,)
        beta * lambda_max of each cluster: it splits where this reaches 1; 0 where nothing of it can move.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit together, values that are not finite, rows that do not sum to 1.
    """

    joint: JointDistribution
    distortion: Distortion
    beta: float
    encoder: Array
    weights: Array
    means: Array
    decoder: Array
    objective: float
    rate: float
    relevance: float
    expected_distortion: float
    decoder_information: float
    gap: float
    certificate: Literal["rigorous", "multistart", "heuristic"] | None
    status: Status
    n_iter: int
    residual: float
    error_bound: float
    rho: float
    stability: Array
    _deferred: Mapping[str, Callable[[], Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = self.__dict__  # a path makes many of these: written to directly
        own["_deferred"] = {name: own.pop(name) for name in _DEFERRABLE if callable(own[name])}  # dear, and seldom asked for
        for name in SOLUTION_FLOATS:
            if name in own:
                own[name] = float(own[name])
        arrays = [name for name in _SOLUTION_ARRAYS if name in own]
        for name in arrays:  # a caller's own array stays its own
            own[name] = np.array(own[name], dtype=np.float64, order="C")
        _check_solution(self)
        for name in arrays:
            own[name].flags.writeable = False

    if not TYPE_CHECKING:  # with it, mypy would take any attribute

        def __getattr__(self, name: str) -> Any:
            """A deferred field, computed at its first use."""
            compute = self.__dict__.get("_deferred", {}).get(name)
            if compute is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = compute()
            object.__setattr__(self, name, _frozen(value) if name in _SOLUTION_ARRAYS else float(value))
            return self.__dict__[name]

    def __getstate__(self) -> dict[str, Any]:
        for name in tuple(self._deferred):
            getattr(self, name)
        return {**self.__dict__, "_deferred": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in _SOLUTION_ARRAYS:  # numpy's pickles come back writeable
            getattr(self, name).flags.writeable = False

    @property
    def n_x(self) -> int:
        """Number of source states."""
        return int(self.encoder.shape[0])

    @property
    def n_y(self) -> int:
        """Number of states of Y in the joint distribution."""
        return int(self.joint.n_y)

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.weights)

    @property
    def labels(self) -> IntArray:
        """The likeliest cluster of each x, (n_x,), the first of equals."""
        return np.asarray(np.argmax(self.encoder, axis=1), dtype=np.int64)

    def members(self) -> list[npt.NDArray[np.str_]]:
        """The labels of the x that each cluster is the likeliest of, one array a cluster."""
        names, labels = np.array(self.joint.x_labels), self.labels
        return [names[labels == t] for t in range(self.n_clusters)]

    @property
    def effective_clusters(self) -> float:
        """``exp(H(T))``: how many equally likely clusters would carry the same entropy."""
        w = self.weights[self.weights > 0.0]
        return float(np.exp(-np.sum(w * np.log(w))))

    @property
    def converged(self) -> bool:
        """True where what was asked for was reached: stationary to `tol`, and certified unless capped or not asked."""
        return self.status not in (Status.MAX_ITER, Status.GAP_OPEN)

    @property
    def lower_bound(self) -> float:
        """``objective - gap``, nats: no encoder and decoder can be below it (as sure as the certificate is)."""
        return self.objective - self.gap

    def encode(self, py_x: npt.ArrayLike, *, assignment: Assignment = "soft") -> Array:
        """p(t|x), (m, n_t), of sources seen in training or not; see `dualib.prediction.encode`.

        Parameters
        ----------
        py_x : array_like, shape (m, n_y)
            Their conditionals p(y|x), rows summing to 1.
        assignment : "soft" or "map"
            p(t|x) itself, or 1 at the likeliest cluster of each x and 0 elsewhere.
        """
        from dualib.prediction import encode

        return encode(self, py_x, assignment=assignment)

    def predict_proba(
        self, py_x: npt.ArrayLike | None = None, *, decoder: DecoderKind = "problem", assignment: Assignment = "soft"
    ) -> Array:
        """``sum_t p(t|x) p(y|t)``, (m, n_y), for sources seen or not; see `dualib.prediction.predict_proba`.

        Parameters
        ----------
        py_x : array_like, shape (m, n_y), optional
            Conditionals of the sources; None: those of training.
        decoder : "problem" or "bayes"
            p(y|t) of the distortion (of the dual IB a geometric mean), or of the joint distribution (an arithmetic mean). They are
            the same for the IB.
        assignment : "soft" or "map"
            Weigh the clusters by p(t|x), or take the likeliest.
        """
        from dualib.prediction import predict_proba

        return predict_proba(self, py_x, decoder=decoder, assignment=assignment)

    def summary(self, unit: Unit = "nats") -> dict[str, Any]:
        """Every scalar of the solution, by name, information in `unit` ("nats" or "bits").

        The expected distortion is converted where it is an information (IB, dual IB), and otherwise left in the unit of
        its distortion.
        """
        factor = unit_factor(unit)
        of_objective = distortion_factor(self.distortion, unit) if math.isinf(self.beta) else factor
        result: dict[str, Any] = {"distortion": self.distortion.name, "beta": self.beta}
        result.update({name: getattr(self, name) * factor for name in _INFORMATION})
        result.update({name: getattr(self, name) * of_objective for name in ("objective", "lower_bound", "gap")})
        result["expected_distortion"] = self.expected_distortion * distortion_factor(self.distortion, unit)
        result.update({name: getattr(self, name) for name in ("n_clusters", "effective_clusters", "certificate")})
        result.update({"status": self.status.name, "n_iter": self.n_iter, "residual": self.residual})
        result.update({"error_bound": self.error_bound, "rho": self.rho, "unit": unit})
        return result

    def __repr__(self) -> str:
        total = self.joint.mutual_information
        certified = "not certified" if self.certificate is None else f"gap {self.gap:.1e} ({self.certificate})"
        clusters = f"{_count(self.n_clusters, 'cluster')} (effective {self.effective_clusters:.2f})"
        return (
            f"Solution({self.distortion.name}, beta={self.beta:.6g}): {self.n_x} x {self.n_y} into {clusters}\n"
            f"  rate I(X;T)       {self.rate:.6g} nats\n"
            f"  relevance I(T;Y)  {self.relevance:.6g} nats of I(X;Y) = {total:.6g}\n"
            f"  distortion E d    {self.expected_distortion:.6g}\n"
            f"  objective         {self.objective:.10g}{'' if math.isinf(self.beta) else ' nats'}, {certified}\n"
            f"  {self.status.name}, {_count(self.n_iter, 'sweep')}, residual {self.residual:.1e}"
            + ("\n  one cluster is optimal: beta is not above the onset of learning (dualib.onset)" * is_below_onset(self))
        )


def is_below_onset(solution: Solution) -> bool:
    """Whether one cluster is certified to be optimal, so that beta is at most the onset of learning."""
    known = solution.certificate is not None and solution.status is Status.CONVERGED
    return solution.n_clusters == 1 and known and math.isfinite(solution.beta)


def status_text(solution: Solution) -> str:
    """`Status.value`, or, where what is left is rounding, that, in place of advice that cannot help.

    d is good to about 1e-13 of its size, taken as 1 + log n_y, and counts beta-fold in the objective, in its bound and, through
    exp(-beta d), in the residual.
    """
    rounding = _ROUNDING_OF_D * solution.beta * (1.0 + math.log(max(solution.n_y, 1)))
    left = {Status.GAP_OPEN: solution.gap, Status.MAX_ITER: solution.residual}.get(solution.status, math.inf)
    if left > rounding:
        return solution.status.value
    return (
        f"what is left is no more than the rounding of beta d, up to {rounding:.0e} at this beta: no more iterations and no other "
        "start can lower it; take a smaller beta, or a larger tol"
    )


_ROUNDING_OF_D = 1e-13
_SOLUTION_ARRAYS = ("encoder", "weights", "means", "decoder", "stability")
OFF = 1e-6  # from 1, at most, of sums that are to be 1
_DEFERRABLE = ("error_bound", "rho", "stability")
_MAY_BE_INFINITE = ("beta", "gap", "error_bound", "rho", "residual")
SOLUTION_FLOATS = tuple(field.name for field in fields(Solution) if field.type == "float")


@dataclass(frozen=True)
class Event:
    """A beta at which the support of the optimal solution changes, named for rising beta.

    Attributes
    ----------
    kind : {"appearance", "split", "jump"}
        A cluster is born away from all others with weight 0 (or, where `after` is the smaller number, dies there); one divides;
        a whole segment of solutions is optimal, from `below` to `above`.
    beta, interval : float, (float, float)
        Where it is, and the betas between which it lies.
    before, after, multiplicity : int
        Numbers of clusters just below and above `beta`; how many events coincide there (symmetric problems).
    located, precision : bool, float
        Found by root finding, or only bracketed by the grid; relative width of the bracket, by default of `interval`.
    below, above : Solution, optional
        The solution at the event, continued from below and from above. Both are at `beta` itself for a jump; otherwise a new cluster
        has weight 0 at `beta`, and the side that has it is given a little further on. Put together at their first use.
    """

    kind: EventKind
    beta: float
    interval: tuple[float, float]
    before: int
    after: int
    multiplicity: int = 1
    located: bool = False
    precision: float = math.inf
    below: Solution | None = field(default_factory=lambda: None, compare=False, repr=False)
    above: Solution | None = field(default_factory=lambda: None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(EVENT_KINDS)}, got {shown(self.kind)}")
        low, high = (float(end) for end in self.interval)
        if not (math.isfinite(high) and 0.0 < low <= self.beta <= high):
            raise ValueError(
                f"interval must be positive, finite and hold beta = {shown(self.beta)}, got {shown(self.interval)}"
            )
        object.__setattr__(self, "beta", float(self.beta))
        object.__setattr__(self, "interval", (low, high))
        for name in ("below", "above"):
            if callable(getattr(self, name)):
                object.__setattr__(self, f"_{name}", getattr(self, name))
                object.__delattr__(self, name)
        if math.isinf(self.precision):
            object.__setattr__(self, "precision", (high - low) / self.beta)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A side given as a function."""
            compute = self.__dict__.get(f"_{name}") if name in ("below", "above") else None
            if compute is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            object.__setattr__(self, name, compute())
            object.__delattr__(self, f"_{name}")
            return self.__dict__[name]

    def __getstate__(self) -> dict[str, Any]:
        sides = {"below": self.below, "above": self.above}
        return {**self.__dict__, **sides}


EVENT_KINDS = ("appearance", "split", "jump")


class Curve(_Result):
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
        As in `Solution`, one entry per beta; nats; read-only. So is `n_clusters`, of integers.

    Raises
    ------
    ValueError
        No solutions, a beta given twice, or solutions of different problems.
    """

    beta: Array
    rate: Array
    relevance: Array
    objective: Array
    expected_distortion: Array
    decoder_information: Array
    gap: Array
    lower_bound: Array
    n_clusters: IntArray
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
        columns["n_clusters"] = np.array([s.weights.shape[0] for s in ordered], np.int64)
        for column in columns.values():
            column.setflags(write=False)
        if callable(events):
            columns["_events"] = lambda: _by_beta(events())
        else:
            columns["events"] = _by_beta(events)
        if callable(onset):
            columns["_onset"] = lambda: float(onset())
        else:
            columns["onset"] = None if onset is None else float(onset)
        columns.update(solutions=ordered, joint=ordered[0].joint, distortion=ordered[0].distortion)
        self.__dict__.update(columns)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The events or the onset given as a function."""
            if name not in ("events", "onset") or "_" + name not in self.__dict__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return self.__dict__.setdefault(name, self.__dict__["_" + name]())

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
        own line ``rate + beta E d`` above. They hold as surely as the certificates of the points do.

        Parameters
        ----------
        beta : float or array_like
            Trade-offs, > 0.

        Returns
        -------
        lower, upper : ndarray, of the shape of `beta`
        """
        from dualib.enclosure import Enclosure, least_distortion

        values = np.asarray(beta)
        if values.dtype.kind not in "iuf":
            raise TypeError(f"beta must be a number or an array of numbers, got {shown(beta)}")
        values = values.astype(np.float64)
        if not ((values > 0.0) & (values < np.inf)).all():
            raise ValueError(f"beta must be positive and finite, got {shown(beta)}")
        return Enclosure.of(self.solutions).bounds(values, least_distortion(self.joint, self.distortion))

    def at(self, beta: float) -> CurvePoint:
        """The best encoder that the curve has for any beta, with the bound of its distance from the optimum there.

        Parameters
        ----------
        beta : float
            Trade-off, > 0, on the grid or not.

        Returns
        -------
        CurvePoint
            Its `objective` is within `error_bound` of the optimum at `beta`.
        """
        from dualib.interpolation import at

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
        from dualib.interpolation import at_rate

        return at_rate(self, rate)

    def nearest(self, beta: float) -> Solution:
        """The solution whose beta is nearest to `beta` in ratio."""
        if isinstance(beta, bool) or not isinstance(beta, (int, float, np.number)) or not 0.0 < beta < math.inf:
            raise ValueError(f"beta must be a positive finite number, got {shown(beta)}")
        return self.solutions[int(np.argmin(np.abs(np.log(self.beta / beta))))]

    def to_dataframe(self, unit: Unit = "nats") -> pandas.DataFrame:
        """One row per beta with every scalar of `Solution.summary`; needs ``pip install "dualib[pandas]"``."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError('to_dataframe needs pandas: pip install "dualib[pandas]"') from error
        return pd.DataFrame([s.summary(unit) for s in self])

    def to_xarray(self, unit: Unit = "nats") -> xarray.Dataset:
        """Scalars by beta; weights, encoder, decoder by (beta, t, x, y), 0 beyond `n_clusters`; extra "xarray"."""
        from dualib.storage import curve_to_xarray

        return curve_to_xarray(self, unit)

    def plot_information_plane(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Relevance against rate; see `dualib.plotting.plot_information_plane`."""
        from dualib.plotting import plot_information_plane

        return plot_information_plane(self, ax=ax, **options)

    def plot_rate_distortion(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Rate against the problem's own distortion; see `dualib.plotting.plot_rate_distortion`."""
        from dualib.plotting import plot_rate_distortion

        return plot_rate_distortion(self, ax=ax, **options)

    def plot_stability(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Stability numbers against beta; see `dualib.plotting.plot_stability`."""
        from dualib.plotting import plot_stability

        return plot_stability(self, ax=ax, **options)

    def plot_bifurcations(self, ax: Axes | None = None, **options: Any) -> Axes:
        """The tree of clusters over beta; see `dualib.plotting.plot_bifurcations`."""
        from dualib.plotting import plot_bifurcations

        return plot_bifurcations(self, ax=ax, **options)

    def __repr__(self) -> str:
        kinds = Counter(str(event.kind) for event in self.events)
        events = ", ".join(_count(kinds[kind], kind) for kind in EVENT_KINDS if kinds[kind]) or "none recorded"
        worst = int(np.argmax(self.gap))
        onset = "" if self.onset is None else f"; onset at beta = {self.onset:.6g}"
        certificates = Counter(s.certificate for s in self)
        certified = f"{certificates['rigorous']} rigorous"
        if certificates["heuristic"]:
            certified += f", {certificates['heuristic']} heuristic"
        return (
            f"Curve({self.distortion.name}, {self.joint.n_x} x {self.joint.n_y}): {_count(len(self), 'beta')} "
            f"from {self.beta[0]:.6g} to {self.beta[-1]:.6g}{onset}\n"
            f"  rate I(X;T)       {self.rate[0]:.6g} to {self.rate[-1]:.6g} nats\n"
            f"  relevance I(T;Y)  {self.relevance[0]:.6g} to {self.relevance[-1]:.6g} nats "
            f"of I(X;Y) = {self.joint.mutual_information:.6g}\n"
            f"  clusters          {self.n_clusters[0]} to {self.n_clusters[-1]}; events: {events}\n"
            f"  largest gap       {self.gap[worst]:.1e} nats at beta = {self.beta[worst]:.6g}; {certified}\n"
            f"  converged         {sum(s.converged for s in self)} of {len(self)}"
        )


CURVE_COLUMNS = (
    *("beta", "rate", "relevance", "objective", "expected_distortion"),
    *("decoder_information", "gap", "lower_bound"),
)
_OWN_COLUMNS = operator.attrgetter(*CURVE_COLUMNS[:-1])  # all but the bound, which is their difference


def unit_factor(unit: str) -> float:
    """What to multiply nats by to have `unit`: 1 for "nats", 1/ln 2 for "bits"; ValueError for another."""
    if unit not in ("nats", "bits"):
        raise ValueError(f"unit must be 'nats' or 'bits', got {shown(unit)}")
    return 1.0 if unit == "nats" else 1.0 / math.log(2.0)


def is_information(distortion: Distortion) -> bool:
    """Whether the expected distortion is an information, in nats or bits."""
    return distortion.name in _KL_DISTORTIONS


def distortion_factor(distortion: Distortion, unit: str) -> float:
    """`unit_factor` where the expected distortion is an information, else 1."""
    return unit_factor(unit) if is_information(distortion) else 1.0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _by_beta(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: event.beta))


def _frozen(values: npt.ArrayLike, dtype: type[np.generic] = np.float64) -> Any:
    """A read-only copy in C order: a caller's own array stays its own."""
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


def fresh_solution(fields: dict[str, Any], deferred: Mapping[str, Callable[[], Any]], *, sound: bool) -> Solution:
    """``Solution(**fields, **deferred)`` without copies, and without checks where all is known to be `sound`: a path makes many.

    The arrays are read-only, nobody who might write into them has another view, and `fields` becomes the solution's own.
    """
    solution = object.__new__(Solution)
    fields["_deferred"] = deferred
    object.__setattr__(solution, "__dict__", fields)
    if not sound:
        _check_solution(solution)  # which says what is wrong
    return solution


def _check_solution(solution: Solution) -> None:
    """Shapes, ranges and sums; without these a wrong file or a slip of a solver would show up far from its cause."""
    n_x, n_t = solution.joint.n_x, solution.weights.shape[0] if solution.weights.ndim == 1 else 0
    if n_t == 0:
        raise ValueError(f"weights must have shape (n_t,) with n_t >= 1, got {solution.weights.shape}")
    wanted = {"encoder": (n_x, n_t), "stability": (n_t,), "means": (n_t, None), "decoder": (n_t, None)}
    for name, shape in wanted.items():
        if name in solution._deferred:
            continue
        found = getattr(solution, name).shape
        if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
            raise ValueError(f"{name} must have shape {shape}, got {found}")
    for name in ("encoder", "weights", "decoder"):
        values = getattr(solution, name)
        if not ((values >= 0.0).all() and np.abs(np.atleast_2d(values).sum(axis=-1) - 1.0).max(initial=0.0) <= OFF):
            raise ValueError(f"{name} must be non-negative and sum to 1, got sums {shown(values.sum(axis=-1))}")
    if not np.isfinite(solution.means).all() or ("stability" not in solution._deferred and np.isnan(solution.stability).any()):
        raise ValueError("means must be finite and stability must not be NaN")
    _check_numbers(solution)


def _check_numbers(solution: Solution) -> None:
    """The same of all that is no array."""
    own = solution.__dict__
    numbers = [own.get(name, 0.0) for name in SOLUTION_FLOATS]  # 0: deferred
    if not all(map(math.isfinite, numbers)):
        for name, value in zip(SOLUTION_FLOATS, numbers, strict=True):
            if math.isnan(value) or (math.isinf(value) and name not in _MAY_BE_INFINITE):
                raise ValueError(f"{name} must be finite, got {shown(value)}")
    if solution.beta <= 0.0 or solution.gap < 0.0:
        raise ValueError(f"beta must be > 0 and gap >= 0, got beta = {shown(solution.beta)}, gap = {shown(solution.gap)}")
    if solution.certificate not in ("rigorous", "multistart", "heuristic", None):
        raise ValueError(
            f"certificate must be 'rigorous', 'multistart', 'heuristic' or None, got {shown(solution.certificate)}"
        )
    if not isinstance(solution.status, Status):
        raise TypeError(f"status must be a Status, got {shown(solution.status)}")


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
