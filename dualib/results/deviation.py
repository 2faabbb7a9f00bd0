"""How far an encoder is from a whole curve: `Curve.deviation`.

With R and D the rate and the expected distortion of the encoder, ``(R + beta D - F(beta)) / beta = D - (F(beta) - R) / beta``, and
the largest ``(F(beta) - R) / beta`` is the least distortion at the rate R. So the deviation is the distortion that the encoder has
above the curve at its own rate, and the beta of the minimum the slope of the curve there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dualib._validation import validate_positive
from dualib.doors import door
from dualib.encoders import encoder_rows
from dualib.engine.choice import problem_of
from dualib.engine.costs import encoder_costs
from dualib.engine.initial import feasible, of_encoder, one_cluster
from dualib.engine.optimum import optimum
from dualib.engine.problem import Problem
from dualib.engine.rounding import largest_beta
from dualib.information.entropies import entropy_of
from dualib.progress import Progress, Reporter, reporter
from dualib.results.assembly import judged, solutions_of
from dualib.results.enclosure import least_distortion

if TYPE_CHECKING:
    from dualib.results.curve import Curve
    from dualib.results.solution import Solution

_MOST_SOLVES = 60  # each at least halves the interval of beta, so that the error falls by a factor of four and more
_TIGHTER = 0.1  # of the tolerance times beta, to which these are solved
_LEAST_TOL, _MOST_SWEEPS = 1e-12, 20_000
_SAME = 1e-12  # difference of rates, nats, that is rounding


@dataclass(frozen=True, eq=False)
class Deviation:
    """How far an encoder q is from the curve of optimal ones; nats for the IB and the dual IB.

    Attributes
    ----------
    epsilon : float
        ``min over beta of (L_beta[q] - F(beta)) / beta``, with ``L_beta[q] = I(X;T) + beta E d`` of the encoder and F the optimum:
        for the IB, the relevance that it lacks at its rate.
    error_bound : float
        The true value is within this of epsilon, as surely as the certificates of the solutions used.
    beta : float
        Where the minimum is; inf where it is the limit of large beta, as of an encoder that tells all x apart.
    solution : Solution
        The optimum at that beta; of the largest beta solved where that is inf.
    rate, expected_distortion : float
        Those of the encoder.
    """

    epsilon: float
    error_bound: float
    beta: float
    solution: Solution
    rate: float
    expected_distortion: float

    def __repr__(self) -> str:
        return (
            f"Deviation(epsilon={self.epsilon:.6g} +- {self.error_bound:.1e} at beta={self.beta:.6g}; "
            f"rate {self.rate:.6g}, distortion {self.expected_distortion:.6g})"
        )


@door
def deviation(curve: Curve, encoder: Any, tol: float, progress: Progress) -> Deviation:
    """`Curve.deviation`."""
    report = reporter(progress, "deviation")
    tol = validate_positive("tol", tol)
    problem = problem_of(curve.joint, curve.distortion, caller="deviation")
    rows = encoder_rows(encoder, curve.joint.n_x, problem.k if problem.fixed else None)
    rate, distortion = encoder_costs(problem, rows, of_encoder(problem, [1.0], rows, "encoder"))
    if not math.isfinite(distortion):
        raise ValueError("encoder has an infinite distortion: some x is in a cluster at infinite distance")
    with report:
        return _Search(problem, curve, max(0.0, rate), tol, report).measured(distortion)


class _Knot(NamedTuple):
    """What some encoder attains: of a solution, or of one of the ends of every curve, beta 0 and inf."""

    rate: float
    distortion: float
    beta: float


class _Search:
    """The least distortion at one rate, enclosed between a mixture of two encoders and the bounds that solutions prove."""

    def __init__(self, problem: Problem, curve: Curve, rate: float, tol: float, report: Reporter) -> None:
        self.problem, self.rate, self.tol, self.report = problem, rate, tol, report
        self.least = least_distortion(curve.joint, curve.distortion)
        self.solutions = list(curve.solutions)
        self.ends = _ends(problem)

    def measured(self, distortion: float) -> Deviation:
        for _ in range(_MOST_SOLVES):
            beta = self._next()
            if beta is None:
                break
            self.report.expect(1)
            self.solutions.append(self._solved(beta))
            self.report.step()
        lower, upper = self._bounds()
        each = [distortion - (solution.objective - self.rate) / solution.beta for solution in self.solutions]
        index = int(np.argmin(each))
        epsilon, beta = each[index], self.solutions[index].beta
        below, above = self._neighbours()
        if above is None and below is not None and distortion - below.distortion < epsilon - self.tol:
            epsilon, beta = distortion - below.distortion, math.inf
            index = int(np.argmax([solution.beta for solution in self.solutions]))
        epsilon = max(0.0, epsilon)
        error = max(0.0, epsilon - (distortion - upper), (distortion - lower) - epsilon)
        return Deviation(epsilon, error, beta, self.solutions[index], self.rate, distortion)

    def _neighbours(self) -> tuple[_Knot | None, _Knot | None]:
        """The knot of the largest rate that is not above the wanted one, and that of the least that is."""
        knots = [_Knot(solution.rate, solution.expected_distortion, solution.beta) for solution in self.solutions] + self.ends
        below = [knot for knot in knots if knot.rate <= self.rate + _SAME]
        above = [knot for knot in knots if knot.rate > self.rate + _SAME]
        return (
            max(below, key=lambda knot: (knot.rate, -knot.distortion), default=None),
            min(above, key=lambda knot: (knot.rate, knot.distortion), default=None),
        )

    def _bounds(self) -> tuple[float, float]:
        """Bounds of the least distortion at this rate: a lower one by each solution, an upper one by the mixture of two knots."""
        lower = max(self.least, *((solution.lower_bound - self.rate) / solution.beta for solution in self.solutions))
        below, above = self._neighbours()
        if below is None:
            return lower, math.inf
        if above is None:
            return lower, below.distortion
        share = max(0.0, self.rate - below.rate) / (above.rate - below.rate)
        return lower, min(below.distortion, (1.0 - share) * below.distortion + share * above.distortion)

    def _next(self) -> float | None:
        """The beta to solve next; None where nothing is left to gain."""
        below, above = self._neighbours()
        lower, upper = self._bounds()
        if upper - lower <= self.tol or above is None:
            return None
        if below is None:
            return 0.5 * min(solution.beta for solution in self.solutions)
        fall = below.distortion - above.distortion
        beta = (above.rate - below.rate) / fall if fall > 0.0 else math.nan  # the slope of the chord
        return beta if below.beta < beta < above.beta and beta <= largest_beta(self.problem) else None

    def _solved(self, beta: float) -> Solution:
        """The certified optimum."""
        tol = max(_LEAST_TOL, _TIGHTER * self.tol * min(1.0, beta))
        found = optimum(self.problem, np.array([beta]), tol=tol, most=_MOST_SWEEPS, rng=np.random.default_rng(0))
        return solutions_of(self.problem, found.batch, found.sweep, judged(found), tol)[0]


def _ends(problem: Problem) -> list[_Knot]:
    """The one cluster, where it is feasible, and what no larger beta improves: each distinct x a cluster, or its nearest column."""
    n_x, columns = problem.joint.n_x, problem.k if problem.fixed else None
    ends = []
    single = one_cluster(problem, [1.0])
    if single is not None and feasible(problem, single).all():
        labels = np.full(n_x, np.argmax(single.means[0]) if problem.fixed else 0)
        ends.append(_Knot(*encoder_costs(problem, encoder_rows(labels, n_x, columns), single), 0.0))
    if problem.is_sparse:  # whose encoder of so many clusters is not made
        return [*ends, _Knot(entropy_of(problem.px), 0.0, math.inf)]
    nearest = problem.U.argmax(axis=1) if problem.fixed else np.arange(problem.n)
    rows = encoder_rows(nearest[np.maximum(problem.row_of, 0)], n_x, columns)
    ends.append(_Knot(*encoder_costs(problem, rows, of_encoder(problem, [1.0], rows, "encoder")), math.inf))
    return ends
