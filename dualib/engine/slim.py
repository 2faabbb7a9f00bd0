"""The same optimum on no more atoms than sources, which there always is (Caratheodory)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from dualib.engine.batch import Batch, in_order
from dualib.engine.descent import ROUNDING, without_idle
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

_SAME_ENCODER = 1e-9  # misfit of ``L w = Z`` within which other weights give the same Z


def slim(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Batch, Sweep]:
    """The solutions that have more atoms than there are sources, on fewer: batch and sweep.

    All weights with the same ``L w = Z`` have the same objective; non-negative least squares finds a basic one among them.
    """
    weights, changed = batch.weights.copy(), False
    for s in np.flatnonzero(batch.counts > problem.n):
        own = slice(batch.ends[s], batch.ends[s + 1])
        ratio = sweep.posterior[own] / batch.weights[own, None]
        try:
            fewer, misfit = nnls(ratio.T, np.ones(problem.n))
        except RuntimeError:  # its iteration cap
            continue
        if misfit < _SAME_ENCODER and fewer.sum() > 0.0:
            weights[own], changed = fewer / fewer.sum(), True
    if not changed:
        return batch, sweep
    new = Batch(batch.beta, weights, batch.means, batch.owner, batch.face).keep(weights > 0.0)
    again = Sweep(problem, new)
    worse = ~(again.objective <= sweep.objective + ROUNDING * (1.0 + np.abs(sweep.objective)))
    if worse.all():
        return batch, sweep
    if worse.any():  # the cluster of some x too rare to be noticed was lost
        new = in_order([(np.flatnonzero(worse), batch.pick(worse)[0]), (np.flatnonzero(~worse), new.pick(~worse)[0])])
        again = Sweep(problem, new)
    return without_idle(problem, new, again)
