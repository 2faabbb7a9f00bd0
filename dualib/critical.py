"""The true onset of learning: a global test, where the textbook's critical beta is a local one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dualib.branch import ascend, distinct
from dualib.distortions import Array, Distortion, as_distortion
from dualib.engine.onset import onset as onset_of_problem
from dualib.gap import judge
from dualib.kernels import crossings
from dualib.memory import check_solvable
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, identity_atoms, sweep, trivial_atoms
from dualib.search import search
from dualib.sparse_problem import engine_problem
from dualib.threads import one_blas_thread

_POSITIVE = 1e-15  # log c above this is a violation
_FEW = 8  # points of lowest root that climb again

if TYPE_CHECKING:
    from dualib.joint import JointDistribution


@one_blas_thread
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
    beta(s), and the onset is its minimum over s: from any beta with a violation at s, go to beta(s), let s climb there, and
    so on; then search again. This is Newton's method on the maximum over s; the searches decide, so the value is as sure as
    a multistart certificate.
    """
    problem = engine_problem(joint, as_distortion(distortion), "onset")
    check_solvable(problem)
    return onset_of_problem(problem, np.random.default_rng(0))


def onset_of(problem: Problem, rng: np.random.Generator) -> float:
    """`onset` on the reduced problem."""
    return certified_onset(problem, rng)[0]


def certified_onset(problem: Problem, rng: np.random.Generator) -> tuple[float, Outcome | None]:
    """`onset` on the reduced problem, and the one cluster there with its gap; None where there is no such beta."""
    trivial = trivial_atoms(problem)
    if not len(trivial) or not problem.allowed(trivial.face).all():
        return 0.0, None
    beta = _first_violation(problem, trivial, rng)
    if np.isfinite(beta):  # a search there would be dear: so much climbs near a split
        beta = _descended(problem, trivial, beta, identity_atoms(problem))
    while np.isfinite(beta):
        state = sweep(problem, beta, trivial)
        maxima = search(problem, beta, trivial, state.posterior, state.log_z, rng)
        lower = _descended(problem, trivial, beta, maxima.points.pick(maxima.log_c > _POSITIVE))
        if lower == beta:
            gap, kind, _ = judge(problem, state, maxima, _POSITIVE, prove=False)
            return beta, Outcome(state, gap, kind, maxima, 1)
        beta = lower
    return math.inf, None


def local_critical_beta_of(problem: Problem) -> float:
    """`dualib.local_critical_beta` on the reduced problem."""
    if problem.distortion.fixed_atoms:
        raise ValueError("local_critical_beta needs atoms that can move; a rate-distortion matrix has fixed columns")
    atoms = trivial_atoms(problem)
    if not len(atoms) or not problem.allowed(atoms.face).all():
        raise ValueError("joint has no feasible one-cluster solution: its conditionals share no support")
    rate = float(problem.stability(atoms, problem.px[None, :])[0])
    return 1.0 / rate if rate > 0.0 else math.inf


def _descended(problem: Problem, trivial: Atoms, beta: float, points: Atoms) -> float:
    """The least beta that these points lead to: from each root of log c at fixed points they climb again, until none violates."""
    own = problem.log_terms(trivial, 1.0)
    while len(points):
        roots = _roots(problem, own, points, beta)
        lowest = np.argsort(roots, kind="stable")[:_FEW]  # if another leads further down, the next search finds it
        if not roots[lowest[0]] < beta * (1.0 - 1e-12):
            break
        beta, points = float(roots[lowest[0]]), points.pick(lowest)
        state = sweep(problem, beta, trivial)
        points, values = ascend(problem, state, points)
        points = distinct(problem, state, points.pick(values > _POSITIVE))  # one may have run into the one cluster
    return beta


def _first_violation(problem: Problem, trivial: Atoms, rng: np.random.Generator) -> float:
    """A beta at or above the onset: the local critical beta, or where that is infinite one found by doubling."""
    if not problem.distortion.fixed_atoms:
        local = local_critical_beta_of(problem)
        if np.isfinite(local) and local < 1e12:
            return local
    beta = 1e-3
    while beta < 1e12:
        state = sweep(problem, beta, trivial)
        if search(problem, beta, trivial, state.posterior, state.log_z, rng).best > 1e-12 * (1.0 + beta):
            return beta  # rounding in d counts beta-fold: without the factor, equal rows but for rounding would have an onset
        beta *= 2.0
    return math.inf


def _roots(problem: Problem, own: Array, points: Atoms, beta: float) -> Array:
    """The beta at which ``log c(s)`` at the one-cluster solution crosses 0, for each s, below a beta where it is positive.

    `own` is the distortion of the one cluster, (1, n), as of `Problem.log_terms` at beta = 1.
    `beta` itself where it comes to 0: the point is the one cluster, to rounding.
    """
    excess = own - problem.log_terms(points, 1.0)
    roots = crossings(problem.log_px, np.require(excess, requirements=["C", "W"]), beta)
    return np.where(roots > 1e-12 * beta, roots, beta)
