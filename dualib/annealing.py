"""The path over beta: `anneal`, and the true onset of learning, `onset`.

Every point is solved to certified optimality, warm-started from its neighbour and from the points where the neighbour's
gradient function came close to 1: a cluster that is about to be born is then found where it will be born.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from dualib._validation import as_float_array, validate_beta
from dualib.distortions import Array, Distortion, as_distortion, local_critical_beta
from dualib.path import Path
from dualib.problem import Atoms, Problem, sweep, trivial_atoms
from dualib.results import Curve, Event, Solution
from dualib.search import search
from dualib.solver import check_options

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_LARGEST_BETA = 1e4
_SATURATED = 1e-3  # the grid ends where all but this part of I(X;Y) is kept
_COARSE_POINTS = 16
_LARGEST_STEP = 0.04  # in rate and relevance, relative to their ranges, between neighbours of the adaptive grid
_MOST_POINTS = 120

Progress = bool | Callable[[int, int], Any]


def anneal(
    joint: JointDistribution,
    distortion: str | Distortion = "ib",
    betas: npt.ArrayLike | None = None,
    *,
    beta_min: float | None = None,
    beta_max: float | None = None,
    tol: float = 1e-9,
    direction: Literal["down", "up"] = "down",
    max_iter: int = 20_000,
    progress: Progress = False,
    random_state: int | np.random.Generator | None = None,
) -> Curve:
    """Solve the whole path over beta, every point certified.

    Parameters
    ----------
    joint : JointDistribution
    distortion : "ib", "dualib" or Distortion
    betas : array_like, shape (m,), optional
        The trade-offs to solve, in any order; the curve holds each of them once. None: an adaptive grid, logarithmic and refined
        where rate or relevance change most, from below the onset to where the curve saturates.
    beta_min, beta_max : float, optional
        Ends of the adaptive grid, in place of the automatic ones.
    tol : float
        Wanted gap at every point, nats.
    direction : "down" or "up"
        From large beta to small (the default, the better one: clusters merge) or from small to large.
    max_iter : int
        Cap on the sweeps at each beta.
    progress : bool or callable
        True: a progress line on stderr. A callable is called as ``progress(done, total)``.
    random_state : int, Generator or None
        Seed of the search; None is a fixed seed.

    Returns
    -------
    Curve
        Ascending in beta.

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value.

    Warns
    -----
    ConvergenceWarning
        At some beta `tol` was not reached; each solution states its true gap.
    """
    if direction not in ("down", "up"):
        raise ValueError(f"direction must be 'down' or 'up', got {direction!r}")
    check_options(tol, max_iter=max_iter)
    problem = Problem(joint, as_distortion(distortion))
    rng = np.random.default_rng(0 if random_state is None else random_state)
    path = Path(problem, tol, max_iter, rng)
    report = _reporter(progress)
    first = onset_of(problem, rng)
    if betas is not None:
        if beta_min is not None or beta_max is not None:
            raise ValueError("betas fixes the grid: give either betas or beta_min and beta_max, not both")
        _solve_all(path, _checked_betas(betas), direction, report)
    else:
        low, high = _ends(path, first, beta_min, beta_max)
        _solve_all(path, np.geomspace(low, high, _COARSE_POINTS).tolist(), direction, report)
        _refine(path, report)
    report.close()
    return _curve(path, first)


def _solve_all(path: Path, betas: list[float], direction: str, report: _Silent) -> None:
    """Solve each beta not solved yet, in the given direction, each from the one before."""
    wanted = sorted(set(betas) - path.outcomes.keys(), reverse=direction == "down")
    report.expect(len(wanted))
    for start, beta in zip([None, *wanted], wanted, strict=False):
        path.solve(beta, start)
        report.step()


def _refine(path: Path, report: _Silent) -> None:
    """Add the geometric middle of intervals across which rate or relevance change too much, widest change first."""
    while len(path.solutions) < _MOST_POINTS:
        betas = sorted(path.solutions)
        rate = np.array([path.solutions[beta].rate for beta in betas])
        relevance = np.array([path.solutions[beta].relevance for beta in betas])
        step = np.maximum(_relative_steps(rate), _relative_steps(relevance))
        step[np.diff(np.log(betas)) < 1e-3] = 0.0  # a jump stays a jump however close the grid
        wide = np.argsort(-step, kind="stable")[: _MOST_POINTS - len(betas)]
        wide = wide[step[wide] > _LARGEST_STEP]
        if not len(wide):
            break
        report.expect(len(wide))
        for i in sorted(wide, reverse=True):
            path.solve(math.sqrt(betas[i] * betas[i + 1]), betas[i + 1])
            report.step()


def _curve(path: Path, first: float) -> Curve:
    """The public curve, with the events that the grid brackets."""
    solutions = [path.solutions[beta] for beta in sorted(path.solutions)]
    return Curve(solutions, events=bracketed_events(solutions), onset=first)


def _relative_steps(values: Array) -> Array:
    span = np.ptp(values)
    return np.abs(np.diff(values)) / span if span > 0.0 else np.zeros(len(values) - 1)


def bracketed_events(solutions: list[Solution]) -> list[Event]:
    """Changes of the number of clusters between neighbouring points: bracketed by the grid, not located.

    A new cluster close to a cluster of the neighbour (their decoders nearer than the new cluster is to any other) is called
    a split, one away from all an appearance.
    """
    events = []
    for low, high in itertools.pairwise(solutions):
        if low.n_clusters != high.n_clusters:
            beta = math.sqrt(low.beta * high.beta)
            events.append(
                Event(
                    kind=_kind(low, high),
                    beta=beta,
                    interval=(low.beta, high.beta),
                    before=low.n_clusters,
                    after=high.n_clusters,
                    located=False,
                    precision=(high.beta - low.beta) / beta,
                )
            )
    return events


def _kind(low: Solution, high: Solution) -> Literal["appearance", "split"]:
    """A split where some cluster of `low` is an unstable one at the beta of `high`, else an appearance."""
    return "split" if np.max(low.stability) * high.beta / low.beta >= 1.0 else "appearance"


def onset(joint: JointDistribution, distortion: str | Distortion = "ib") -> float:
    """The true onset of learning: the largest beta at which the one-cluster solution is globally optimal.

    ``sup { beta : c(s) <= 1 for all s }`` at the one-cluster solution, a global test; `local_critical_beta` is an upper bound.

    Parameters
    ----------
    joint : JointDistribution
    distortion : "ib", "dualib" or Distortion

    Returns
    -------
    float
        0 where one cluster is infeasible (dual IB, no common support); inf where nothing can be learned (Y independent of X).

    Notes
    -----
    For a fixed s, ``log sum_x p(x) exp(-beta (d(x, s) - d(x, r0)))`` is convex in beta and 0 at beta = 0, so it has one more root
    beta(s), and the onset is its minimum over s: from any beta with a violation at s, go to beta(s), and search again. This is
    Newton's method on the maximum over s; the searches decide, so the value is as sure as a multistart certificate.
    """
    problem = Problem(joint, as_distortion(distortion))
    return onset_of(problem, np.random.default_rng(0))


def onset_of(problem: Problem, rng: np.random.Generator) -> float:
    """`onset` on the reduced problem."""
    trivial = trivial_atoms(problem)
    if not len(trivial) or not problem.allowed(trivial.face).all():
        return 0.0
    beta = _first_violation(problem, trivial, rng)
    while np.isfinite(beta):
        state = sweep(problem, beta, trivial)
        maxima = search(problem, beta, trivial, state.posterior, state.log_z, rng)
        roots = [
            _root(problem, trivial, maxima.points.pick(np.array([j])), beta) for j in np.flatnonzero(maxima.log_c > 1e-15)
        ]
        lower = min([root for root in roots if root < beta * (1.0 - 1e-12)], default=None)
        if lower is None:
            return beta
        beta = lower
    return math.inf


def _first_violation(problem: Problem, trivial: Atoms, rng: np.random.Generator) -> float:
    """A beta at or above the onset: the local critical beta, or where that is infinite one found by doubling."""
    if not problem.distortion.fixed_atoms:
        local = local_critical_beta(problem.joint, problem.distortion)
        if np.isfinite(local) and local < 1e12:
            return local
    beta = 1e-3
    while beta < 1e12:
        state = sweep(problem, beta, trivial)
        if search(problem, beta, trivial, state.posterior, state.log_z, rng).best > 1e-12:
            return beta
        beta *= 2.0
    return math.inf


def _root(problem: Problem, trivial: Atoms, point: Atoms, beta: float) -> float:
    """The beta at which ``log c(s)`` at the one-cluster solution crosses 0 for this s, below a beta where it is positive."""
    d_point, d_trivial = -problem.log_terms(point, 1.0)[0], -problem.log_terms(trivial, 1.0)[0]
    excess = d_point - d_trivial

    def log_c_at(b: float) -> float:
        exponent = np.log(problem.px) - b * excess
        top = exponent.max()
        return float(top + np.log(np.sum(np.exp(exponent - top))))

    low = beta
    while log_c_at(low) > 0.0:
        low *= 0.5
        if low < 1e-12 * beta:
            return beta  # the point is the one cluster itself, to rounding
    return float(brentq(log_c_at, low, beta, xtol=1e-14 * beta, rtol=1e-14)) if low < beta else beta


def _ends(path: Path, first: float, beta_min: float | None, beta_max: float | None) -> tuple[float, float]:
    """The ends of the adaptive grid: below the onset, and where the relevance saturates."""
    low = validate_beta(beta_min, "beta_min") if beta_min is not None else None
    high = validate_beta(beta_max, "beta_max") if beta_max is not None else None
    if low is not None and high is not None and low >= high:
        raise ValueError(f"beta_min must be below beta_max, got {low!r} and {high!r}")
    scale = first if 0.0 < first < math.inf else 1.0
    if low is None:
        low = 0.8 * scale if high is None else min(0.8 * scale, 0.5 * high)
    if high is None:
        high = _saturation(path, 4.0 * max(scale, low)) if math.isfinite(first) else 4.0 * max(scale, low)
    return low, max(high, 1.25 * low)


def _saturation(path: Path, beta: float) -> float:
    """The first beta, by doubling, at which all but a thousandth of I(X;Y) is kept."""
    total = path.problem.joint.mutual_information
    while beta < _LARGEST_BETA:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            solution = path.solve(beta)
        if solution.relevance >= (1.0 - _SATURATED) * total:
            break
        beta *= 2.0
    path.outcomes.clear()
    path.solutions.clear()
    return min(beta, _LARGEST_BETA)


def _checked_betas(betas: npt.ArrayLike) -> list[float]:
    values = as_float_array("betas", betas, 1)
    return [validate_beta(float(value), "betas") for value in values]


class _Silent:
    """No report."""

    def expect(self, count: int) -> None:
        """Announce further points."""

    def step(self) -> None:
        """One point is done."""

    def close(self) -> None:
        """All are done."""


class _Calls(_Silent):
    """Report to a callable, as ``progress(done, total)``."""

    def __init__(self, call: Callable[[int, int], Any]) -> None:
        self._call, self._done, self._total = call, 0, 0

    def expect(self, count: int) -> None:
        self._total += count

    def step(self) -> None:
        self._done += 1
        self._call(self._done, self._total)


class _Line(_Silent):
    """Report as a progress line on stderr."""

    def __init__(self) -> None:
        from dualib.progress import ProgressBar

        self._bar = ProgressBar(0, "anneal")

    def expect(self, count: int) -> None:
        self._bar.total += count

    def step(self) -> None:
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def _reporter(progress: Progress) -> _Silent:
    if callable(progress):
        return _Calls(progress)
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(f"progress must be a bool or a callable, got {progress!r}")
    return _Line() if progress else _Silent()
