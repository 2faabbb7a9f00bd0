"""The same optimum on no more atoms than sources, which there always is (Caratheodory)."""

from __future__ import annotations

import contextlib

import numpy as np
from scipy.optimize import nnls

from dualib.engine.batch import Batch
from dualib.engine.descent import ROUNDING, without_idle
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

_SAME_ENCODER = 1e-9  # misfit of ``L w = Z`` within which other weights give the same Z


@np.errstate(divide="ignore")
def slim(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Batch, Sweep]:
    """The solutions that have more atoms than there are sources, on fewer: batch and sweep.

    All weights with the same ``L w = Z`` have the same objective; non-negative least squares finds a basic one among them.
    """
    weights = batch.weights.copy()
    for s in np.flatnonzero(batch.counts > problem.n):
        own = slice(batch.ends[s], batch.ends[s + 1])
        ratio = (sweep.posterior[own] / batch.weights[own, None]).T
        with contextlib.suppress(RuntimeError):  # its iteration cap
            fewer, misfit = nnls(ratio, np.ones(problem.n))
            z = ratio @ (fewer / max(fewer.sum(), _SAME_ENCODER))
            # the last: the cluster of some x may be lost that is too rare for the misfit
            if misfit < _SAME_ENCODER and -problem.px @ np.log(z) <= ROUNDING * (1.0 + abs(sweep.objective[s])):
                weights[own] = fewer
    if (weights == batch.weights).all():
        return batch, sweep
    new = Batch(batch.beta, weights, batch.means, batch.owner, batch.face).keep(weights > 0.0)
    return without_idle(problem, new, Sweep(problem, new))
