"""The weights alone, of atoms that stay where they are: a convex problem, whose solution needs few of many atoms."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from dualib.distortions.interface import Array
from dualib.engine.problem import Problem

_MOST_STEPS, _MOST_HALVINGS = 6, 8
_OF_SUM = 1e3  # how strongly a step keeps the sum of the weights
_RARE, _LEFT = 1e-10, 0.5  # p(x) of a source whose loss an objective hardly shows, and the part of Z that it keeps at least
_ENOUGH = 1e-3  # part of the first gain below which a further step is not worth it


def reweighed(problem: Problem, weights: Array, posterior: Array, least: float) -> Array | None:
    """Better weights (m,) of one solution's atoms, most of them 0 where there are many; None where none gain more than `least`.

    The constrained Newton method for mixtures (Wang, 2007, J. R. Stat. Soc. B 69: 185): G as a function of the weights is
    ``-sum p(x) log (S w)(x)``, S = posterior / w, whose quadratic model is a problem of non-negative least squares, and a basic
    solution of that has no more atoms than there are sources.
    """
    terms = (posterior / weights[:, None]).T
    if not np.isfinite(terms).all():
        return None
    z, rare, before = np.ones(problem.n), problem.px < _RARE, 0.0
    now, first = weights, 0.0
    for _ in range(_MOST_STEPS):
        target = _least_squares(terms / z[:, None] * np.sqrt(problem.px)[:, None], 2.0 * np.sqrt(problem.px))
        if target is None:
            break
        for halving in range(_MOST_HALVINGS):
            part = 0.5**halving
            trial = (1.0 - part) * now + part * target
            new_z = terms @ trial
            objective = -float(problem.px @ np.log(new_z)) if new_z.min() > 0.0 else np.inf
            if objective < before and (new_z[rare] > _LEFT).all():
                break
        else:
            break
        gain, before, now, z = before - objective, objective, trial, new_z
        first = max(first, gain)
        if gain <= max(least, _ENOUGH * first):
            break
    return now if before < -least else None


def _least_squares(rows: Array, wanted: Array) -> Array | None:
    """Weights w >= 0 of sum 1 that bring ``rows w`` (n, m) nearest to what is wanted (n,)."""
    system = np.column_stack([np.vstack([rows, np.full(rows.shape[1], _OF_SUM)]), np.append(wanted, _OF_SUM)])
    triangle = np.asarray(np.linalg.qr(system, mode="r"))
    try:
        found = nnls(triangle[:, :-1], triangle[:, -1])[0]
    except RuntimeError:  # its limit of iterations
        return None
    return found / found.sum() if found.sum() > 0.0 else None
