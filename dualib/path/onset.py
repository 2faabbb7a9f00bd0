"""The true onset of learning: a global test, where the textbook's critical beta is a local one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dualib.distortions.interface import Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine import onset as engine_onset
from dualib.engine.batch import Batch
from dualib.engine.choice import problem_of
from dualib.engine.initial import feasible, one_cluster
from dualib.engine.problem import Problem
from dualib.engine.sizes import check_solvable
from dualib.path.touching import touching

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_NEAR = 2e-3  # in log beta, that a birth right beside the one cluster may lie lower than the search says, and higher
_FEW_STATES = 500  # of x or y, whose eigenvalues take no time


@door
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

    Raises
    ------
    ValueError
        A sparse p(x, y) of more than 10 million cells with another distortion than the IB: it would have to be made dense.

    Notes
    -----
    For a fixed s, ``log sum_x p(x) exp(-beta (d(x, s) - d(x, r0)))`` is convex in beta and 0 at beta = 0, so it has one more root
    beta(s), and the onset is its minimum over s: from any beta with a violation at s, go to beta(s), let s climb there, and
    so on; then search again. This is Newton's method on the maximum over s; the searches decide, so the value is as sure as
    a multistart certificate. Right beside the one cluster, where c differs from 1 by less than its rounding, the root is sought
    along the ridge of log c there (`dualib.path.maxima.Ridge`).

    A sparse p(x, y) of the IB with more than 100,000 cells stays sparse. The searches then start from `local_critical_beta`, by
    Lanczos's method, and from a bounded number of points, and no ridge is followed: where a cluster is born right beside the one
    there is, the onset is known to about 1e-8 of itself.

    Examples
    --------
    >>> import dualib
    >>> round(dualib.onset(dualib.datasets.erasure(0.25)), 9)  # 1 / (1 - e)
    1.333333333
    >>> dualib.onset(dualib.JointDistribution([[0.25, 0.25], [0.25, 0.25]]))  # y does not depend on x
    inf
    """
    problem = problem_of(joint, as_distortion(distortion), caller="onset")
    check_solvable(problem)
    return onset_of(problem, np.random.default_rng(0))


def onset_of(problem: Problem, rng: np.random.Generator) -> float:
    """`onset` on the reduced problem."""
    beta = engine_onset.onset(problem, rng)
    if problem.fixed or problem.is_sparse or not 0.0 < beta < np.inf:
        return beta
    start = one_cluster(problem, [beta * np.exp(-_NEAR)])
    assert start is not None  # else the onset is 0
    found = _beside(problem, start, beta)
    return found if (1.0 - _NEAR) * beta < found < beta else beta


def local_critical_beta(joint: JointDistribution, distortion: str | Distortion = "ib") -> float:
    """The textbook critical beta: 1 / lambda_max of the stability matrix at the one-cluster solution.

    A local test only: an upper bound on the true onset of learning (`dualib.onset`), for a cluster can be born at a distance
    before the trivial solution loses its stability.

    Parameters
    ----------
    joint : JointDistribution
    distortion : "ib", "dualib" or Distortion

    Returns
    -------
    float
        The beta at which ``beta * lambda_max(Cov(U) J) = 1``; inf where nothing can ever be learned locally.

    Raises
    ------
    ValueError
        The one-cluster solution is infeasible (dual IB, conditionals with no common support); a sparse p(x, y) that would have to be
        dense, as of `onset`.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.case_a()
    >>> round(dualib.local_critical_beta(joint), 6), round(dualib.onset(joint), 6)
    (2.250425, 2.048793)
    >>> round(dualib.local_critical_beta(joint, "dualib"), 6), round(dualib.onset(joint, "dualib"), 6)
    (2.607823, 1.336234)
    """
    return engine_onset.local_critical_beta(problem_of(joint, as_distortion(distortion), caller="local_critical_beta"))


def cheap_onset_bound(joint: JointDistribution, distortion: Distortion) -> float:
    """An upper bound on the onset, the local critical beta; inf where there is none, or it would take more than a second or so."""
    if joint.is_sparse or distortion.fixed_atoms or min(joint.n_x, joint.n_y) > _FEW_STATES:
        return math.inf
    problem = Problem(joint, distortion)
    single = one_cluster(problem, [1.0])
    if single is None or not feasible(problem, single).all():
        return 0.0
    return engine_onset.local_critical_beta(problem)


def _beside(problem: Problem, start: Batch, beta: float) -> float:
    """Where a cluster is born right beside the one there is, or that divides; NaN if not near a beta."""
    ends = (np.array([np.log(beta) - _NEAR]), np.array([np.log(beta) + _NEAR]))
    return float(np.exp(touching(problem, start, start.means, start.face, *ends, np.array([True])).log_beta[0]))
