"""What bounds the clusters of any encoder with at most K of them, from certified lower bounds of F.

K clusters have ``I(X;T) <= H(T) <= log K``, so for every beta' their expected distortion, hard or soft, is at least

    ( F(beta') - log K ) / beta',

and for beta' <= beta their objective at least ``log K + beta (F(beta') - log K) / beta'``. With u = 1 / beta' the first is the least
``u (rate - log K) + E d`` of any encoder: concave in u, and below the lines of the optima found, of which one rises and one falls at
its maximum, where the optimal rate is log K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dualib.distortions.bottlenecks import IB
from dualib.doors import step
from dualib.engine.batch import Batch, moved
from dualib.engine.optimum import Optimum
from dualib.engine.optimum import certify as certified_optimum
from dualib.engine.problem import Problem
from dualib.results.assembly import expected_distortions
from dualib.results.solution import most_relevance

_MOST_SOLVES = 30
_WORTH, _ROUGH = 1e-3, 1e-4  # parts of what the bound leaves: worth another optimum, and the gap of one
_LARGE, _LARGE_WORTH, _LARGE_ROUGH = 10_000, 1e-2, 1e-2  # the same of so many numbers, whose optima take seconds each
_TOL = 1e-8  # part of the distortion within which a bound is as good as can be
_LOWER, _HIGHER = 4.0, 1.5  # of beta, until optima have a rate below log K and one above: those of many clusters take long


class Floor(NamedTuple):
    """A certified lower bound of F at one beta, nats, and the kind of its certificate."""

    beta: float
    bound: float
    kind: str

    def distortion(self, n_clusters: int) -> float:
        """At least this is the expected distortion of so many clusters."""
        return (self.bound - math.log(n_clusters)) / self.beta


def floor_of(found: Optimum) -> Floor:
    """Of a certified optimum alone in its batch."""
    return Floor(float(found.batch.beta[0]), float(found.sweep.objective[0] - found.gap[0]), str(found.kind[0]))


def known_floors(problem: Problem) -> list[Floor]:
    """What is known of F without work: by data processing F(1) = I(X;Y) for the IB."""
    return [Floor(1.0, problem.joint.mutual_information, "rigorous")] if type(problem.distortion) is IB else []


def least_objective(
    problem: Problem, floors: Sequence[Floor], beta: float, n_clusters: int | None
) -> tuple[float, str | None]:
    """The largest lower bound of the objective at `beta` with at most `n_clusters` clusters (None: any number), and its kind."""
    bounds: list[tuple[float, str | None]] = [(-math.inf, None) if problem.fixed else (0.0, "rigorous")]
    for floor in floors:
        if floor.beta == beta:
            bounds.append((floor.bound, floor.kind))
        elif floor.beta < beta and n_clusters is not None:
            bounds.append((math.log(n_clusters) + beta * floor.distortion(n_clusters), floor.kind))
    return max(bounds, key=lambda pair: pair[0])


def least_distortion(problem: Problem, floors: Sequence[Floor], n_clusters: int) -> tuple[float, str | None]:
    """The largest lower bound of E d with at most `n_clusters` clusters, and its kind."""
    bounds: list[tuple[float, str | None]] = [(-math.inf, None) if problem.fixed else (0.0, "rigorous")]
    return max([*bounds, *((floor.distortion(n_clusters), floor.kind) for floor in floors)], key=lambda pair: pair[0])


def most_relevance_of(problem: Problem, floors: Sequence[Floor], n_clusters: int) -> float:
    """The most I(T;Y) that so many clusters can have: of the IB what E d is below I(X;Y)."""
    lost = least_distortion(problem, floors, n_clusters)[0] if type(problem.distortion) is IB else 0.0
    return most_relevance(problem.joint, n_clusters, lost)


@step("bound of so many clusters")
def found_floors(
    problem: Problem,
    n_clusters: int,
    reached: float,
    begin: Optimum | Batch,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
) -> list[Floor]:
    """Floors up to a beta among which the one that bounds so many clusters best is, as far as that is worth the work.

    Parameters
    ----------
    problem : Problem
    n_clusters : int
    reached : float
        The E d that the bound is to come near to; of an objective at beta ``(objective - log K) / beta``.
    begin : Optimum or Batch
        An optimum at the largest beta allowed; or a start for one at the first beta, from which larger ones are allowed, too.
    tol : float
        Gap of each optimum, nats; more where that is a small part of what the bound leaves.
    """
    rate, floors = math.log(n_clusters), known_floors(problem)
    worth, rough = (_WORTH, _ROUGH) if problem.n * problem.k <= _LARGE else (_LARGE_WORTH, _LARGE_ROUGH)
    falling: tuple[float, float] | None = None  # slope and value at 0 of a line
    rising: tuple[float, float] | None = None
    found = begin if isinstance(begin, Optimum) else None
    start = begin.batch if isinstance(begin, Optimum) else begin
    least_u = 1.0 / float(start.beta[0]) if isinstance(begin, Optimum) else 0.0
    for _ in range(_MOST_SOLVES):
        if found is None:
            apart = (reached - least_distortion(problem, floors, n_clusters)[0]) * float(start.beta[0])
            found = certified_optimum(problem, start, tol=max(tol, rough * apart), most=max_iter, coarse=False, rng=rng)
        floors.append(floor_of(found))
        best = least_distortion(problem, floors, n_clusters)[0]
        u, objective = 1.0 / float(found.batch.beta[0]), float(found.sweep.objective[0])
        at_0 = float(expected_distortions(problem, found.batch, found.sweep)[0])
        line = (objective - at_0 / u - rate, at_0)
        falling, rising = (line, rising) if line[0] < 0.0 else (falling, line)
        if falling is None:
            u *= _LOWER
        elif rising is None:
            u /= _HIGHER
            if u < least_u:
                break
        else:
            u = (falling[1] - rising[1]) / (rising[0] - falling[0])
            left = rising[1] + u * rising[0] - best  # what the bound can still rise by
            if not (u > least_u and left > max(worth * (reached - best), _TOL * reached)):
                break
        start, found = moved(found.batch, 1.0 / u), None
    return floors
