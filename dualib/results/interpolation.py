"""Between the points of a curve: encoders for any beta and any rate, each with a certified error bound.

Nothing is fitted. At a beta between two points the encoder of a neighbour is used as it is, for its line ``rate + beta E d``
is what it achieves there. At a rate between two points their encoders are mixed: with probability s the one is used, else the
other, by a coin independent of x that T carries along, which mixes rate, relevance and distortion linearly. On a straight
piece of the curve (a jump) the mixture of its two ends is optimal itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import is_real, shown, validate_beta
from dualib.results.enclosure import Enclosure, least_distortion
from dualib.results.status import Status

if TYPE_CHECKING:
    from dualib.results.curve import Curve
    from dualib.results.solution import Solution


@dataclass(frozen=True)
class CurvePoint:
    """A point of a curve that was not solved, and how far it may be from the optimum.

    Attributes
    ----------
    beta : float
        Slope of the trade-off there.
    rate, relevance, expected_distortion, objective : float
        I(X;T), I(T;Y), E d and ``H(T) - alpha H(T|X) + beta E d`` of the encoder given, nats.
    error_bound : float
        For `Curve.at`: the objective is within this of the optimum at `beta`. For `Curve.at_rate`: the expected distortion is within
        this of the least one at this rate. As sure as the certificates of the curve's points.
    parts : tuple of (float, Solution)
        The encoders used, and with what probability.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> point = curve.at_rate(0.5)
    >>> round(point.relevance, 4), point.error_bound < 1e-3
    (0.0835, True)
    """

    beta: float
    rate: float
    relevance: float
    expected_distortion: float
    objective: float
    error_bound: float
    parts: tuple[tuple[float, Solution], ...]


def at(curve: Curve, beta: float) -> CurvePoint:
    """`Curve.at`."""
    beta = validate_beta(beta)
    best = min(knots(curve), key=lambda solution: solution.complexity + beta * solution.expected_distortion)
    objective = best.complexity + beta * best.expected_distortion
    lower, _ = Enclosure.of(curve.solutions).bounds(np.array([beta]), least_distortion(curve.joint, curve.distortion))
    return CurvePoint(
        beta=beta,
        rate=best.rate,
        relevance=best.relevance,
        expected_distortion=best.expected_distortion,
        objective=objective,
        error_bound=max(0.0, objective - float(lower[0])),
        parts=((1.0, best),),
    )


def at_rate(curve: Curve, rate: float) -> CurvePoint:
    """`Curve.at_rate`."""
    if not is_real(rate):
        raise TypeError(f"rate must be a number, got {shown(rate)}")
    if curve.alpha < 1.0 or any(solution.status is Status.CAPPED for solution in curve):
        raise ValueError(
            f"rate must be that of a point of the curve, got {shown(rate)}: under a cap on the clusters, or at alpha below 1, a "
            "mixture of two points is no solution"
        )
    ends = sorted(knots(curve), key=lambda solution: (solution.rate, -solution.expected_distortion))
    if not ends[0].rate <= rate <= ends[-1].rate:
        raise ValueError(
            f"rate must be on the curve, from {ends[0].rate:.10g} to {ends[-1].rate:.10g} nats, got {shown(rate)}"
        )
    above = next(i for i, solution in enumerate(ends) if solution.rate >= rate)
    low, high = ends[max(above - 1, 0)], ends[above]
    span = high.rate - low.rate
    share = (rate - low.rate) / span if span > 0.0 else 1.0
    mixed = {name: (1.0 - share) * getattr(low, name) + share * getattr(high, name) for name in _MIXED}
    # D(R) = max over beta of (F(beta) - R) / beta, so each certified lower bound of F bounds it from below
    least = max((solution.lower_bound - rate) / solution.beta for solution in ends)
    beta = span / (low.expected_distortion - high.expected_distortion) if low is not high and span > 0.0 else high.beta
    parts = tuple((part, solution) for part, solution in ((1.0 - share, low), (share, high)) if part > 0.0)
    mixed["rate"] = float(rate)
    objective = mixed["rate"] + beta * mixed["expected_distortion"]
    return CurvePoint(
        beta=beta, objective=objective, error_bound=max(0.0, mixed["expected_distortion"] - least), parts=parts, **mixed
    )


def knots(curve: Curve) -> list[Solution]:
    """The points of the curve and the solutions beside its events, ascending in beta."""
    sides: list[Any] = [side for event in curve.events for side in (event.below, event.above) if side is not None]
    return sorted([*curve.solutions, *sides], key=lambda solution: (solution.beta, solution.rate))


_MIXED = ("rate", "relevance", "expected_distortion")
