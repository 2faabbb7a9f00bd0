"""How firm a solution stands: when its clusters divide, and how fast plain sweeps would come to it."""

from __future__ import annotations

import contextlib

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from dualib.distortions import Array
from dualib.engine.batch import Batch
from dualib.engine.problem import Problem
from dualib.engine.starts import members_of
from dualib.engine.sweep import Sweep

_NO_MEMBER = 1e-14  # p(x|t) beside the largest, of no account
_MOST_UNKNOWNS, _DENSE = (
    20_000,
    400,
)  # of the linear rate: above the first it is not computed, up to the second by a dense matrix


def stability(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """Of each atom beta lambda_max( Cov_t(U) J ), (m,): it divides where this reaches 1. 0 for fixed columns."""
    result = np.zeros(len(batch.weights))
    if problem.fixed:
        return result
    for t, members in enumerate(members_of(problem, sweep)):
        live = np.flatnonzero(members > _NO_MEMBER * members.max())
        rows = problem.whitened(batch.means[[t]], batch.face[[t]], live)[0] * np.sqrt(members[live])[:, None]
        small = rows.T @ rows if rows.shape[1] <= len(live) else rows @ rows.T
        result[t] = batch.b[t] * max(np.linalg.eigvalsh(small)[-1], 0.0)
    return result


def linear_rate(problem: Problem, batch: Batch, sweep: Sweep) -> float:
    """The linear rate of plain sweeps at a batch of one solution, ``1 - lambda_min(H)``; inf where that is too much to compute.

    H is the Hessian in the variables in which a sweep is a gradient step: ``sqrt(w) a`` and ``sqrt(beta w) R^T m`` of each atom,
    a = dw / w and m = dM, R R^T = J. With ``A_t = [ sqrt(q), sqrt(beta q) (U - M_t) R ]`` and q = p(x|t) it is
    ``c - A_t^T A_t`` on the diagonal (no such part for the weights), plus ``B^T B``, B being all A_t sqrt(p(t|x)) side by side.
    """
    members = sweep.posterior * problem.px / batch.weights[:, None]
    rows = np.sqrt(members)[:, :, None]
    unknowns = len(rows) * (1 if problem.fixed else 1 + problem.k)
    if unknowns > _MOST_UNKNOWNS:
        return np.inf
    if not problem.fixed:
        lifted = problem.whitened(batch.means, batch.face) * (np.sqrt(batch.beta[0]) * rows)
        rows = np.concatenate([rows, lifted], axis=2)
    root = np.sqrt(sweep.posterior)[:, :, None]

    def one_minus_hessian(step: Array) -> Array:
        step = step.reshape(len(rows), -1)
        inside = np.matmul(rows, step[:, :, None])
        total = (root * inside).sum(axis=0)
        inside -= rows[:, :, :1] * step[:, :1, None]  # no such part for the weights
        image = np.matmul(rows.transpose(0, 2, 1), root * total - inside)[:, :, 0]
        image[:, 0] += (rows[:, :, 0] * inside[:, :, 0]).sum(axis=1)
        image[:, 1:] += sweep.c[:, None] * step[:, 1:]
        return np.asarray((step - image).ravel())

    if unknowns > _DENSE:
        operator = LinearOperator((unknowns, unknowns), one_minus_hessian, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(unknowns)
        with contextlib.suppress(ArpackNoConvergence):
            return float(eigsh(operator, k=1, which="LA", v0=start, tol=1e-9, maxiter=50, return_eigenvectors=False)[0])
    matrix = np.array([one_minus_hessian(row) for row in np.eye(unknowns)])
    return float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[-1])
