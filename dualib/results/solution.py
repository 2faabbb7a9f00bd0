"""`Solution`: what a solve returns. It is immutable, its arrays are read-only; information is in nats unless bits are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, Unit, is_frozen, shown
from dualib.information.entropies import entropy_of

if TYPE_CHECKING:
    import pandas

    from dualib.distortions.interface import Distortion
    from dualib.joint import JointDistribution
from dualib.results.common import Assignment, DecoderKind, Result, counted, frozen
from dualib.results.status import Status
from dualib.results.units import INFORMATION, distortion_factor, unit_factor


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Result):
    """One solution of ``min H(T) - alpha H(T|X) + beta E d`` at one beta; all fields are given by keyword and checked.

    At alpha = 1 that is ``I(X;T) + beta E d``, the Information Bottleneck or another of its kind; at alpha = 0 clusters are hard.

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
        H(T) - alpha H(T|X) + beta E d, I(X;T), and I(T;Y) of the true joint p(t, y); nats.
    expected_distortion : float
        E d, in the unit of the distortion: nats for the IB and the dual IB.
    decoder_information : float
        The information I(T;Y') that the decoder itself claims, nats.
    gap : float
        Bound on the distance of the objective from the global optimum, nats; inf where nothing was certified. Under a cap on the
        clusters it is to the largest lower bound that is known for so many, at alpha below 1 to one for every alpha: some of it
        would be left at the optimum, too.
    certificate : {"rigorous", "multistart", "heuristic", None}
        ``"rigorous"``: the gap is proved; ``"multistart"``: searched for, nothing larger found; ``"heuristic"``: searched for, but
        decoders of the dual IB may lie on more sets of y than could be looked at; None: not certified.
    status, n_iter, residual : Status, int, float
        How it ended, after how many sweeps, and how far one more would move.
    error_bound, rho : float
        Distance from the fixed point, ``residual / (1 - rho)``, and the linear rate of sweeps there; inf where unknown, the
        first also where rho is 1 to rounding.
    stability : ndarray, shape (n_t,)
        beta * lambda_max of each cluster: it splits where this reaches 1; 0 where nothing of it can move. (At alpha below 1 no
        cluster splits so, for its halves cost more at once: beta / alpha * lambda_max, and inf at alpha = 0.)
    alpha : float
        Price of randomness, from 0 to 1 (Strouse and Schwab 2017).
    cap_cost : float or None
        ``objective - F(beta)``, nats: what a cap on the clusters, and alpha below 1, cost; None where the optimum F without them
        was not certified.
    relevance_bound : float
        The most I(T;Y) that so many clusters can have, nats: for the IB no more than its curve has at the rate log K, as far as
        that was certified; else min(log K, I(X;Y)). K is the cap, or the number of clusters where there was none.
    restarts : tuple of float
        The objectives that the restarts came to, the best first, which is the solution's own; empty where there were none.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit together, values that are not finite, rows that do not sum to 1.

    Examples
    --------
    >>> import dualib
    >>> solution = dualib.solve(dualib.datasets.toy(), 8.0)
    >>> solution.encoder.shape, solution.decoder.shape, solution.status.name
    ((5, 2), (2, 2), 'CONVERGED')
    >>> [list(map(str, names)) for names in solution.members()]
    [['-1', '-0.6', '-0.2'], ['0.2', '0.6']]
    >>> round(solution.summary("bits")["relevance"], 6)
    0.107199
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
    alpha: float = 1.0
    cap_cost: float | None = None
    relevance_bound: float = math.nan
    restarts: tuple[float, ...] = ()
    _deferred: dict[str, Callable[[], Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = self.__dict__  # a path makes many of these: written to directly
        if math.isnan(own["relevance_bound"]):
            own["relevance_bound"] = most_relevance(self.joint, max(1, np.size(own["weights"])))
        own["restarts"] = tuple(map(float, own["restarts"]))
        own["cap_cost"] = None if own["cap_cost"] is None else float(own["cap_cost"])
        own["_deferred"] = {name: own.pop(name) for name in _DEFERRABLE if callable(own[name])}  # dear, and seldom asked for
        for name in SOLUTION_FLOATS:
            if name in own:
                own[name] = float(own[name])
        arrays = [name for name in _SOLUTION_ARRAYS if name in own]
        for name in arrays:  # a caller's own array stays its own, unless it is one that nobody writes to
            if not is_frozen(own[name]):
                own[name] = np.array(own[name], dtype=np.float64, order="C")
        _check_solution(self)
        for name in arrays:
            own[name].flags.writeable = False

    def _settled(self, name: str, value: Any) -> Any:
        return frozen(value) if name in _SOLUTION_ARRAYS else float(value)

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
        return math.exp(entropy_of(self.weights))

    @property
    def complexity(self) -> float:
        """``H(T) - alpha H(T|X)``, nats: what `objective` has beside ``beta E d``; the rate at alpha = 1."""
        return self.rate if self.alpha == 1.0 else (1.0 - self.alpha) * entropy_of(self.weights) + self.alpha * self.rate

    @property
    def converged(self) -> bool:
        """True where what was asked for was reached: stationary to `tol`, and certified unless capped, alpha < 1, or not asked."""
        return self.status not in (Status.MAX_ITER, Status.GAP_OPEN)

    @property
    def lower_bound(self) -> float:
        """``objective - gap``, nats: no encoder and decoder can be below it (as sure as the certificate is)."""
        return self.objective - self.gap

    def encode(self, py_x: npt.ArrayLike, *, assignment: Assignment = "soft") -> Array:
        """p(t|x), (m, n_t), of sources seen in training or not; see `dualib.results.encoding.encode`.

        Parameters
        ----------
        py_x : array_like, shape (m, n_y)
            Their conditionals p(y|x), rows summing to 1.
        assignment : "soft" or "map"
            p(t|x) itself, or 1 at the likeliest cluster of each x and 0 elsewhere.
        """
        from dualib.results.encoding import encode

        return encode(self, py_x, assignment=assignment)

    def predict_proba(
        self, py_x: npt.ArrayLike | None = None, *, decoder: DecoderKind = "problem", assignment: Assignment = "soft"
    ) -> Array:
        """``sum_t p(t|x) p(y|t)``, (m, n_y), for sources seen or not; see `dualib.results.encoding.predict_proba`.

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
        from dualib.results.encoding import predict_proba

        return predict_proba(self, py_x, decoder=decoder, assignment=assignment)

    def summary(self, unit: Unit = "nats") -> dict[str, Any]:
        """Every scalar of the solution, by name, information in `unit` ("nats" or "bits").

        The expected distortion is converted where it is an information (IB, dual IB), and otherwise left in the unit of
        its distortion.
        """
        factor = unit_factor(unit)
        of_objective = distortion_factor(self.distortion, unit) if math.isinf(self.beta) else factor
        result: dict[str, Any] = {"distortion": self.distortion.name, "beta": self.beta, "alpha": self.alpha}
        result.update({name: getattr(self, name) * factor for name in INFORMATION})
        result.update({name: getattr(self, name) * of_objective for name in ("objective", "lower_bound", "gap")})
        result["relevance_bound"] = self.relevance_bound * factor
        result["cap_cost"] = None if self.cap_cost is None else self.cap_cost * of_objective
        result["expected_distortion"] = self.expected_distortion * distortion_factor(self.distortion, unit)
        result.update({name: getattr(self, name) for name in ("n_clusters", "effective_clusters", "certificate")})
        result.update({"status": self.status.name, "n_iter": self.n_iter, "residual": self.residual})
        result.update({"error_bound": self.error_bound, "rho": self.rho, "unit": unit})
        return result

    def __repr__(self) -> str:
        total = self.joint.mutual_information
        certified = "not certified" if self.certificate is None else f"gap {self.gap:.1e} ({self.certificate})"
        alpha = "" if self.alpha == 1.0 else f", alpha={self.alpha:.6g}"
        clusters = f"{counted(self.n_clusters, 'cluster')} (effective {self.effective_clusters:.2f})"
        return (
            f"Solution({self.distortion.name}, beta={self.beta:.6g}{alpha}): {self.n_x} x {self.n_y} into {clusters}\n"
            f"  rate I(X;T)       {self.rate:.6g} nats\n"
            f"  relevance I(T;Y)  {self.relevance:.6g} nats of I(X;Y) = {total:.6g}\n"
            f"  distortion E d    {self.expected_distortion:.6g}\n"
            f"  objective         {self.objective:.10g}{'' if math.isinf(self.beta) else ' nats'}, {certified}\n"
            f"  {self.status.name}, {counted(self.n_iter, 'sweep')}, residual {self.residual:.1e}"
            + ("\n  one cluster is optimal: beta is not above the onset of learning (dualib.onset)" * is_below_onset(self))
        )

    def _repr_html_(self) -> str:
        from dualib.results.shown import solution_html

        return solution_html(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per x: its probability, its likeliest cluster and p(t|x); needs ``pip install "dualib[pandas]"``.

        Returns
        -------
        DataFrame
            Index ``x`` of labels; columns ``px``, ``cluster`` (int), and ``t0``, ``t1``, ... with p(t|x).
        """
        from dualib.data.frames import data_frame

        columns = {"x": self.joint.x_labels, "px": self.joint.px, "cluster": self.labels}
        return data_frame({**columns, **{f"t{t}": self.encoder[:, t] for t in range(self.n_clusters)}}).set_index("x")


def most_relevance(joint: JointDistribution, n_clusters: int, lost: float = 0.0) -> float:
    """The most I(T;Y) that so many clusters can have, nats, where at least `lost` of I(X;Y) is known to be."""
    return max(0.0, min(math.log(n_clusters), joint.mutual_information - max(lost, 0.0)))


def not_below(bound: float, relevance: float) -> float:
    """A bound of the relevance; where that is above it by no more than rounding, the relevance."""
    return relevance if bound < relevance <= bound + _ROUNDING_OF_I else bound


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


def is_below_onset(solution: Solution) -> bool:
    """Whether one cluster is certified to be optimal, so that beta is at most the onset of learning."""
    known = solution.certificate is not None and solution.status is Status.CONVERGED
    return solution.n_clusters == 1 and known and math.isfinite(solution.beta)


_ROUNDING_OF_D, _ROUNDING_OF_I = 1e-13, 1e-12
_OFF = 1e-6  # from 1, at most, of sums that are to be 1
_SOLUTION_ARRAYS = ("encoder", "weights", "means", "decoder", "stability")
_DEFERRABLE = ("error_bound", "rho", "stability")
_MAY_BE_INFINITE = ("beta", "gap", "error_bound", "rho", "residual")
SOLUTION_FLOATS = tuple(field.name for field in fields(Solution) if field.type == "float")


def fresh_solution(fields: dict[str, Any], deferred: dict[str, Callable[[], Any]]) -> Solution:
    """``Solution(**fields, **deferred)`` without copies: a path makes many.

    The arrays are read-only, nobody who might write into them has another view, and `fields` becomes the solution's own.
    """
    solution = object.__new__(Solution)
    fields["_deferred"] = deferred
    object.__setattr__(solution, "__dict__", fields)
    _check_solution(solution)
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
        if not (values.min() >= 0.0 and np.abs(values.sum(axis=-1) - 1.0).max() <= _OFF):
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
    if not 0.0 <= solution.alpha <= 1.0:
        raise ValueError(f"alpha must be from 0 to 1, got {shown(solution.alpha)}")
    if solution.beta <= 0.0 or solution.gap < 0.0:
        raise ValueError(f"beta must be > 0 and gap >= 0, got beta = {shown(solution.beta)}, gap = {shown(solution.gap)}")
    if solution.certificate not in ("rigorous", "multistart", "heuristic", None):
        raise ValueError(
            f"certificate must be 'rigorous', 'multistart', 'heuristic' or None, got {shown(solution.certificate)}"
        )
    if not isinstance(solution.status, Status):
        raise TypeError(f"status must be a Status, got {shown(solution.status)}")
