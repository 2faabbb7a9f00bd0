"""`quantize`: the hard clusters of least expected distortion, and a bound for so many clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dualib._validation import random_generator, validate_integer
from dualib.clusters.bound import Floor, found_floors, known_floors, least_distortion, most_relevance_of
from dualib.clusters.capped import softened
from dualib.clusters.hard import hard_clusters
from dualib.clusters.intervals import best_intervals, exact
from dualib.clusters.search import search_hard
from dualib.clusters.seeds import canonical
from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine.choice import problem_of
from dualib.engine.problem import Ints, Problem
from dualib.engine.sizes import check_solvable
from dualib.joint import check_joint
from dualib.results.alone import by_falling_weight, hard_posterior, solution_alone
from dualib.results.solution import Solution
from dualib.results.status import Status

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_TOL, _MOST_SWEEPS = 1e-8, 20_000  # nats, of the optima that give the bound
_LOWER = 4.0  # by how much the first of their betas is above where a nat of distortion costs as much as the rate
_QUICK = 2_000_000  # n^2 k of a table up to which optima for a bound take seconds: of documents about 2 microseconds each
_CLOSED = 1e-9  # gap of a solution that is as good as can be


@door
def quantize(
    joint: JointDistribution,
    n_clusters: int,
    distortion: str | Distortion = "ib",
    *,
    n_init: int = 6,
    certify: bool | None = None,
    random_state: int | np.random.Generator | None = None,
) -> Solution:
    """The hard clusters of least expected distortion, at most `n_clusters` of them; by the IB those that lose the least information.

    They minimise ``E d(x, t)`` alone, which is the problem of `solve` at beta = inf. With two y the best clusters are intervals of
    p(y=1|x) and are found exactly, by dynamic programming (Kurkoski and Yagi 2014). Otherwise they are the best found from random
    partitions by moves of single x (Slonim, Friedman and Tishby 2002) and by mergers, and bounded: K clusters have a rate of at
    most log K, so for every beta

        E d  >=  ( F(beta) - log K ) / beta

    with F the optimum of `solve`, certified. The beta is chosen that makes it the best bound.

    Parameters
    ----------
    joint : JointDistribution
        p(x, y), (n_x, n_y). An x of probability 0 goes to the nearest cluster.
    n_clusters : int
        K >= 1.
    distortion : "ib", "dualib" or Distortion
    n_init : int
        Random beginnings, from the best of which the search goes on. More of them find more where `restarts` of the solution spread.
    certify : bool, optional
        Compute the bound where the clusters are not known to be the best, from optima of `solve` at some betas; with False the gap
        is inf there. By default where that takes seconds at most (n_x^2 n_y up to two million); of larger tables, where it may
        take minutes, the bound is the one that costs nothing: 0, or I(X;Y) - log K of the IB.
    random_state : int, Generator or None
        Seed of the seeds; None is a fixed one, so that results repeat.

    Returns
    -------
    Solution
        With ``beta = inf``, a 0/1 encoder, and `objective`, `gap` and `lower_bound` those of E d, in its unit. It encodes any x by
        its nearest cluster.

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value; the dual IB of conditionals that no `n_clusters` clusters can hold at a finite
        distortion; a rate-distortion matrix, whose columns have no centroids.

    Examples
    --------
    >>> import dualib
    >>> levels = dualib.quantize(dualib.datasets.toy(), 2)
    >>> levels.labels.tolist(), levels.certificate
    ([0, 0, 0, 1, 1], 'rigorous')
    """
    check_joint("joint", joint)
    n_clusters, n_init = validate_integer("n_clusters", n_clusters, 1), validate_integer("n_init", n_init, 1)
    kind = as_distortion(distortion)
    if kind.fixed_atoms:
        raise ValueError(f"distortion {kind!r} has fixed columns: clusters cannot be joined into a common centroid")
    rng = random_generator(random_state)
    problem = Problem(joint, kind) if exact(kind, joint.n_y) else problem_of(joint, kind)
    labels, known, rounds = _best_labels(problem, min(n_clusters, problem.n), n_init, rng)
    reached = hard_clusters(problem, 0.0, labels, int(labels.max()) + 1).objective
    restarts = tuple(sorted(max(value, reached) for value in rounds))
    floors: Sequence[Floor] = known_floors(problem) if known or certify is not False else []
    bound: float
    certificate: str | None
    if known:
        bound, certificate = reached, "rigorous"
    elif certify is False:
        bound, certificate = -math.inf, None
    else:
        if certify or (not problem.is_sparse and problem.n**2 * problem.k <= _QUICK):
            floors = _floors(problem, labels, n_clusters, reached, rng)
        bound, certificate = least_distortion(problem, floors, n_clusters)
    return _solution(problem, labels, bound, certificate, n_clusters, floors, restarts)


def _best_labels(problem: Problem, size: int, n_init: int, rng: np.random.Generator) -> tuple[Ints, bool, list[float]]:
    """The best clustering found of the reduced sources, whether it is known to be the best, and the E d of the restarts."""
    if size == problem.n:
        return np.arange(problem.n), True, []
    if exact(problem.distortion, problem.joint.n_y):
        return canonical(best_intervals(problem.distortion, problem.px, problem.py_x, size)), True, []
    found = search_hard(problem, math.inf, size, n_init, [], rng)
    if not found.labels:
        raise ValueError(f"n_clusters: no {size} cluster(s) that hold all x at a finite distortion were found")
    return canonical(found.labels[0]), size == 1, [value for value, _ in found.rounds]


def _floors(problem: Problem, labels: Ints, n_clusters: int, reached: float, rng: np.random.Generator) -> Sequence[Floor]:
    """Those of the optima that bound so many clusters best."""
    check_solvable(problem)
    if not (reached > 0.0 and math.log(n_clusters) < -float(problem.px @ problem.log_px)):  # F is at most the entropy
        return known_floors(problem)
    begin = softened(problem, (1.0 + math.log(n_clusters)) / (_LOWER * reached), [labels])[0]
    return found_floors(problem, n_clusters, reached, begin, tol=_TOL, max_iter=_MOST_SWEEPS, rng=rng)


def _solution(
    problem: Problem,
    labels: Ints,
    bound: float,
    certificate: str | None,
    n_clusters: int,
    floors: Sequence[Floor],
    restarts: tuple[float, ...],
) -> Solution:
    """The public solution of a clustering of the reduced sources."""
    size = int(labels.max()) + 1
    labels = np.argsort(by_falling_weight(np.asarray(np.bincount(labels, problem.px), dtype=np.float64)))[labels]
    weights = np.bincount(labels, problem.px)
    means, face, _ = problem.centroids(problem.members(labels, size, problem.px / weights[labels]))
    means.flags.writeable = False  # so that it is kept, not copied
    most = most_relevance_of(problem, floors, n_clusters)
    if (
        certificate == "rigorous" and type(problem.distortion) is IB
    ):  # E d is convex in the encoder: no soft clusters keep more
        most = min(most, problem.joint.mutual_information - bound)
    return solution_alone(
        problem,
        hard_posterior(labels, size),
        means,
        face,
        beta=math.inf,
        alpha=1.0,
        bound=bound,
        certificate=certificate,
        status=lambda gap: Status.CONVERGED if gap <= _CLOSED else Status.CAPPED,
        beside={"relevance_bound": most, "restarts": restarts},
    )
