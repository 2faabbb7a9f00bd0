"""`quantize`: the hard clusters of least expected distortion, and a bound for so many clusters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dualib._validation import validate_integer
from dualib.clusters.capped import softened
from dualib.clusters.hard import hard_clusters
from dualib.clusters.intervals import best_intervals, exact
from dualib.clusters.search import search_hard
from dualib.clusters.seeds import canonical
from dualib.distortions.interface import Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine.batch import Batch
from dualib.engine.choice import problem_of
from dualib.engine.optimum import certify as certified_optimum
from dualib.engine.problem import Ints, Problem
from dualib.engine.sizes import check_solvable
from dualib.information import mutual_information
from dualib.results.assembly import expected_distortions
from dualib.results.solution import Solution
from dualib.results.status import Status

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_TOL = 1e-8  # nats, of the optima that give the bound
_MOST_SOLVES = 30
_WORTH = 1e-3  # part of the gap by which the bound must be able to rise for another one
_LOWER, _HIGHER = 4.0, 1.5  # of beta, until optima have a rate below log K and one above: those of many clusters take long
_DIGITS = 12  # of weights that are compared: the rest is rounding
_CLOSED = 1e-9  # gap of a solution that is as good as can be


@door
def quantize(
    joint: JointDistribution,
    n_clusters: int,
    distortion: str | Distortion = "ib",
    *,
    n_init: int = 10,
    certify: bool = True,
    random_state: int | np.random.Generator | None = None,
) -> Solution:
    """The hard clusters of least expected distortion, at most `n_clusters` of them; by the IB those that lose the least information.

    They minimise ``E d(x, t)`` alone, which is the problem of `solve` at beta = inf. With two y the best clusters are intervals of
    p(y=1|x) and are found exactly, by dynamic programming (Kurkoski and Yagi 2014). Otherwise they are the best found from seeds by
    moves of single x (Slonim, Friedman and Tishby 2002), and bounded: K clusters have a rate of at most log K, so for every beta

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
        Rounds of seeds.
    certify : bool
        Compute the bound where the clusters are not known to be the best. Without it the gap is inf there.
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
    n_clusters, n_init = validate_integer("n_clusters", n_clusters, 1), validate_integer("n_init", n_init, 1)
    kind = as_distortion(distortion)
    if kind.fixed_atoms:
        raise ValueError(f"distortion {kind!r} has fixed columns: clusters cannot be joined into a common centroid")
    rng = np.random.default_rng(0 if random_state is None else random_state)
    problem = Problem(joint, kind) if exact(kind, joint.n_y) else problem_of(joint, kind)
    labels, known = _best_labels(problem, min(n_clusters, problem.n), n_init, rng)
    clusters = hard_clusters(problem, 0.0, labels, int(labels.max()) + 1)
    reached = clusters.objective
    bound: float
    certificate: str | None
    if known:
        bound, certificate = reached, "rigorous"
    elif certify:
        check_solvable(problem)
        bound, certificate = _bound(problem, n_clusters, reached, labels, rng)
    else:
        bound, certificate = -math.inf, None
    return _solution(problem, labels, reached, bound, certificate)


def _best_labels(problem: Problem, size: int, n_init: int, rng: np.random.Generator) -> tuple[Ints, bool]:
    """The best clustering found of the reduced sources, and whether it is known to be the best."""
    if size == problem.n:
        return np.arange(problem.n), True
    if exact(problem.distortion, problem.joint.n_y):
        return canonical(best_intervals(problem.distortion, problem.px, problem.py_x, size)), True
    found = search_hard(problem, math.inf, size, n_init, [], rng)
    if not found:
        raise ValueError(f"n_clusters: no {size} cluster(s) that hold all x at a finite distortion were found")
    return canonical(found[0]), size == 1


def _bound(problem: Problem, n_clusters: int, reached: float, labels: Ints, rng: np.random.Generator) -> tuple[float, str]:
    """The largest ``(F(beta) - log K) / beta`` of some betas, at least 0, and the kind of certificate that F has there.

    With u = 1 / beta it is the least ``u (rate - log K) + E d`` of any encoder: concave in u, and below the lines of the optima
    found, of which one rises and one falls at its maximum. The next u is where they cross. Each optimum starts from the one before,
    the first from the hard clusters softened.
    """
    rate, entropy = math.log(n_clusters), -float(problem.px @ problem.log_px)
    best = (0.0, "rigorous")
    if not (reached > 0.0 and rate < entropy):  # F is at most the entropy
        return best
    u = _LOWER * reached / (1.0 + rate)
    start = softened(problem, 1.0 / u, [labels])
    falling: tuple[float, float] | None = None  # slope and value at 0 of a line
    rising: tuple[float, float] | None = None
    for _ in range(_MOST_SOLVES):
        start = Batch(np.array([1.0 / u]), start.weights, start.means, start.owner, start.face)
        found = certified_optimum(problem, start, tol=_TOL, coarse=False, rng=rng)
        start = found.batch
        objective, gap = float(found.sweep.objective[0]), float(found.gap[0])
        best = max(best, (u * (objective - gap - rate), str(found.kind[0])), key=lambda pair: pair[0])
        at_0 = float(expected_distortions(problem, found.batch, found.sweep)[0])
        line = (objective - at_0 / u - rate, at_0)
        falling, rising = (line, rising) if line[0] < 0.0 else (falling, line)
        if falling is None or rising is None:
            u *= _LOWER if falling is None else 1.0 / _HIGHER
            continue
        u = (falling[1] - rising[1]) / (rising[0] - falling[0])
        left = rising[1] + u * rising[0] - best[0]  # what the bound can still rise by
        if not (u > 0.0 and left > max(_WORTH * (reached - best[0]), _TOL * reached)):
            break
    return best


def _solution(problem: Problem, labels: Ints, reached: float, bound: float, certificate: str | None) -> Solution:
    """The public solution of a clustering of the reduced sources, clusters by falling weight."""
    joint, size = problem.joint, int(labels.max()) + 1
    weights = np.bincount(labels, problem.px)
    order = np.argsort(-np.round(weights, _DIGITS), kind="stable")  # of equal weights that of the first x
    labels, weights = np.argsort(order)[labels], weights[order]
    means, face, _ = problem.centroids(problem.members(labels, size, problem.px / weights[labels]))
    V, b = problem.link(means, face)
    encoder = np.zeros((joint.n_x, size))
    live = problem.row_of >= 0
    encoder[live, labels[problem.row_of[live]]] = 1.0
    dead = np.flatnonzero(~live)
    encoder[dead, np.argmax(problem.terms_of(np.ones(size), V, b, face, dead), axis=0)] = 1.0
    decoder = problem.decoder(means, face)
    pty = np.asarray((joint.pxy.T @ encoder).T)
    weights = encoder.T @ joint.px
    claimed = weights[:, None] * decoder
    sizes = np.abs(problem.px * problem.a).sum() + weights @ (np.abs(b) + np.abs(means * V).sum(axis=1))
    gap = max(reached - bound, float(np.finfo(float).eps * sizes))  # at least its own rounding
    several = np.bincount(labels, minlength=size) > 1
    return Solution(
        joint=joint,
        distortion=problem.distortion,
        beta=math.inf,
        encoder=encoder,
        weights=weights,
        means=means,
        decoder=decoder,
        objective=reached,
        rate=max(0.0, -float(weights @ np.log(weights))),
        relevance=mutual_information(pty / pty.sum()),
        expected_distortion=reached,
        decoder_information=mutual_information(claimed / claimed.sum()),
        gap=gap,
        certificate=certificate,  # type: ignore[arg-type]
        status=Status.CONVERGED if gap <= _CLOSED else Status.CAPPED,
        n_iter=0,
        residual=0.0,
        error_bound=0.0,
        rho=0.0,
        stability=np.where(several, math.inf, 0.0),
    )
