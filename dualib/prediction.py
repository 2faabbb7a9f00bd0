"""Encoding of sources, seen in training or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dualib._validation import as_probability_rows
from dualib.distortions import Array
from dualib.problem import Atoms, Problem

if TYPE_CHECKING:
    from dualib.results import Solution


def encode(solution: Solution, py_x: npt.ArrayLike) -> Array:
    """``p(t|x) = w_t exp(-beta d(x, r_t)) / Z(x)`` of any sources, from their conditionals.

    Parameters
    ----------
    solution : Solution
    py_x : array_like, shape (m, n_y)
        Conditionals p(y|x), rows summing to 1. A row of zeros has no conditional: smooth or estimate it first.

    Returns
    -------
    ndarray, shape (m, n_t)

    Raises
    ------
    ValueError
        A wrong width, a row that is no distribution, or a row infinitely far from every cluster (its zeros forbid all of
        them): smooth it.
    """
    rows = as_probability_rows("py_x", py_x, solution.joint.n_y)
    problem = Problem(solution.joint, solution.distortion)
    face = None if solution.distortion.support is None else solution.decoder > 0.0
    atoms = Atoms(solution.weights, solution.means, face)
    features, _ = solution.distortion.lift(rows)
    terms = problem.log_terms_of(atoms, solution.beta, features, rows).T
    terms += np.log(atoms.weights)
    top = terms.max(axis=1)
    if not np.isfinite(top).all():
        row = int(np.flatnonzero(~np.isfinite(top))[0])
        raise ValueError(f"py_x: row {row} is infinitely far from every cluster, for its zeros exclude all; smooth it first")
    encoder = np.exp(terms - top[:, None])
    return np.asarray(encoder / encoder.sum(axis=1, keepdims=True))
