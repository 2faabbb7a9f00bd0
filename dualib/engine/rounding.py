"""What double precision leaves of beta d: how far an objective may be off, and the beta from which on nothing is left."""

from __future__ import annotations

import numpy as np

from dualib._validation import shown
from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

_EPS = float(np.finfo(np.float64).eps)
_LARGEST = 1e300  # beta times a feature or a link must not overflow


def rounding(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """How far the rounding of the terms of E d brings the objectives off, nats (S,): beta times the sum of their sizes, rounded.

    Half of eps for each product, and as much for adding it.
    """
    sizes = np.abs(problem.px * problem.a).sum() + batch.total(_sizes(problem, sweep))
    return np.asarray(_EPS * batch.beta * sizes)


def _sizes(problem: Problem, sweep: Sweep) -> Array:
    """Of each atom ``sum_x p(x, t) sum_k |U[x, k] V[t, k]|``, (m,); b(t), as large where there is one, cancels it: counted once."""
    if problem.non_negative:
        return np.asarray((sweep.new_weights[:, None] * sweep.new_means * np.abs(sweep.V)).sum(axis=1))
    sums = problem.absolute_sums(sweep.posterior * problem.px)
    return np.asarray((sums * np.abs(sweep.V)).sum(axis=1))


def largest_beta(problem: Problem) -> float:
    """The beta at which the rounding of beta E d is a nat where every source is a cluster, or goes to its nearest column."""
    sizes, largest = problem.sizes()
    size = float(np.sum(problem.px * sizes))
    # 0: no x says anything of Y, but for less than rounding
    by_rounding = 1.0 / (_EPS * size) if _EPS * size > 0.0 else np.inf
    return min(by_rounding, _LARGEST / max(1.0, largest))


def check_beta(problem: Problem, beta: float, name: str = "beta") -> None:
    """Refuse a beta beyond which no digit of beta d is left.

    Raises
    ------
    ValueError
        Naming the beta, and the largest that this problem takes.
    """
    most = largest_beta(problem)
    if not beta <= most:
        raise ValueError(
            f"{name} must be at most about {most:.1e} for this problem, got {shown(beta)}: beyond that beta d overflows, or is"
            " nothing but rounding. Take a smaller one: long before, the clusters are those of any larger beta"
        )
