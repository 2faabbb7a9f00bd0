"""How firm a solution stands: when its clusters divide, how fast plain sweeps would come to it, and how far from it they may be.

Moves of a mean are measured by J at the means after the sweep, along what is `seen` of an atom alone.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch
from dualib.engine.conjugate import softest
from dualib.engine.problem import Ints, Jacobian, Problem, inner
from dualib.engine.sweep import Sweep

UNSEEN = 1e-14  # p(y|t) up to which, beside the 1 that they sum to, no number but its own logarithm can tell it from 0
_NO_MEMBER = UNSEEN**2  # p(x|t) beside the largest, of no account even where p(y|t) is hardly seen
_MOST_UNKNOWNS = 20_000  # of the linear rate: above these it is not computed
_DENSE, _DENSE_AT_LAST = 400, 3_000  # up to which it is by a dense matrix; where the iteration for more has not ended
_MOST_NUMBERS = 20_000_000  # of a sparse problem: sources times unknowns; sources times atoms that are looked at together
_LANCZOS = 30  # steps behind the stability numbers of a sparse problem
_RESOLVED = 1e-13  # 1 - rho, the least eigenvalue of a matrix of norm 1, is rounding below this


def seen(problem: Problem, means: Array, face: Ints) -> Mask | None:
    """The faces (m, n_y) of atoms without the y of which they have no more than UNSEEN, where a mean must cover its members (IB).

    None where nothing is left out. The metric there is 1 / p(y|t), and the entry a power of itself from sweep to sweep,
    ``p(y|t)' = sum_x A_x p(y|t)^(beta p(y|x))`` over the x that have y, all of them far from t. On its way to a limit of, say, 1e-44
    it passes 1e-123, and neither shows in anything else.
    """
    if problem.distortion.support != "cover":
        return None
    more = problem.decoder(means, face) > UNSEEN
    if problem.faces is None:
        return None if more.all() else more
    masks = problem.faces.masks[face]
    return None if more[masks].all() else masks & more


def visible_jacobian(problem: Problem, means: Array, face: Ints) -> tuple[Jacobian, Mask]:
    """J at means (m, k) of a large problem, 0 in components that are not `seen`; and which those are."""
    jacobian, masks = problem.jacobian(means, face), seen(problem, means, face)
    if masks is None:
        return jacobian, np.zeros(means.shape, dtype=bool)
    return jacobian._replace(diagonal=np.where(masks, jacobian.diagonal, 0.0)), ~masks


def _whitened(problem: Problem, means: Array, face: Ints, which: npt.NDArray | slice = slice(None)) -> Array:
    """`Problem.whitened` along what is seen: rows ``(U[x] - M_t) R_t``, (m, n, k)."""
    masks = seen(problem, means, face)
    if masks is None:
        return problem.whitened(means, face, which)
    return problem.distortion.whiten(problem.features(which)[0][None] - means[:, None, :], means, masks)


def stability(problem: Problem, batch: Batch, sweep: Sweep, most: int = _LANCZOS) -> Array:
    """Of each atom beta lambda_max( Cov_t(U) J ), (m,): it divides where this reaches 1.

    Its members are taken about their own mean. 0 for fixed columns, and for an atom that no source goes to. Of a large problem from
    below, by at most so many steps of Lanczos's method.
    """
    result = np.zeros(len(batch.weights))
    if problem.fixed:
        return result
    if problem.is_sparse:
        size = max(1, _MOST_NUMBERS // problem.n)
        for some in (slice(first, first + size) for first in range(0, len(result), size)):
            result[some] = softest(problem, batch.b[some], *_members(problem, batch, sweep, some), most, vectors=False)[0]
        return result
    for t in np.flatnonzero(sweep.new_weights > 0.0):
        _, rows = _weighted_rows(problem, batch, sweep, int(t))
        small = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
        result[t] = batch.b[t] * max(np.linalg.eigvalsh(small)[-1], 0.0)
    return result


def _members(problem: Problem, batch: Batch, sweep: Sweep, some: slice) -> tuple[Array, Array, Jacobian]:
    """Of some atoms p(x|t), 0 where no source goes to one, their means, and J along what is seen."""
    weights, means = sweep.new_weights[some, None], sweep.new_means[some]
    q = sweep.posterior[some] * problem.px
    q /= np.where(weights > 0.0, weights, 1.0)
    return q, means, visible_jacobian(problem, means, batch.face[some])[0]


def softest_tilt(problem: Problem, batch: Batch, sweep: Sweep, t: int) -> Array:
    """The relative change of the members p(x|t) of one atom along which it divides most easily, (n,), the largest 1."""
    if problem.is_sparse:
        q, means, jacobian = _members(problem, batch, sweep, slice(t, t + 1))
        ahead = jacobian.times(softest(problem, batch.b[[t]], q, means, jacobian)[1])
        tilt = (problem.products(ahead) - inner(ahead, means)[:, None])[0]
        return np.asarray(np.where(q[0] > 0.0, tilt, 0.0) / max(np.abs(tilt[q[0] > 0.0]).max(), 1e-300))
    live, rows = _weighted_rows(problem, batch, sweep, t)
    way = (
        np.linalg.eigh(rows @ rows.T)[1][:, -1]
        if len(rows) < rows.shape[1]
        else rows @ np.linalg.eigh(rows.T @ rows)[1][:, -1]
    )
    tilt = np.zeros(problem.n)
    tilt[live] = way / np.sqrt(sweep.posterior[t, live] * problem.px[live])
    return np.asarray(tilt / max(np.abs(tilt).max(), 1e-300))


def _weighted_rows(problem: Problem, batch: Batch, sweep: Sweep, t: int) -> tuple[Ints, Array]:
    """The members of an atom that count, and ``sqrt(p(x|t)) (U[x] - M_t) R_t`` of each, M_t being their own mean."""
    members = sweep.posterior[t] * problem.px
    live = np.flatnonzero(members > _NO_MEMBER * members.max())
    members = members[live] / members.sum()
    return live, _whitened(problem, sweep.new_means[[t]], batch.face[[t]], live)[0] * np.sqrt(members)[:, None]


def error_bound(residual: float, rho: float) -> float:
    """How far the fixed point is where sweeps converge at the rate rho; inf where that is 1 or above, to rounding."""
    if rho < 1.0 - _RESOLVED:
        return residual / (1.0 - rho)
    return 0.0 if residual == 0.0 else math.inf


def linear_rate(problem: Problem, batch: Batch, sweep: Sweep) -> float:
    """The linear rate of plain sweeps at a batch of one solution, ``1 - lambda_min(H)``; inf where that is too much to compute.

    H is the Hessian in the variables in which a sweep is a gradient step: ``sqrt(w) a`` and ``sqrt(beta w) R^T m`` of each atom,
    a = dw / w and m = dM, R R^T = J. With ``A_t = [ sqrt(q), sqrt(beta q) (U - M_t) R ]`` and q = p(x|t) it is
    ``c - A_t^T A_t`` on the diagonal (no such part for the weights), plus ``B^T B``, B being all A_t sqrt(p(t|x)) side by side.
    At the weights and means after the sweep: then no entry of an IB decoder has a rate above ``beta max p(y|x)``, however far it is
    from where it belongs.
    """
    kept = sweep.new_weights > 0.0
    posterior, c = sweep.posterior[kept], sweep.c[kept]
    members = posterior * problem.px / sweep.new_weights[kept, None]
    rows = np.sqrt(members)[:, :, None]
    unknowns = len(rows) * (1 if problem.fixed else 1 + problem.k)
    if unknowns > _MOST_UNKNOWNS or (problem.is_sparse and problem.n * unknowns > _MOST_NUMBERS):
        return np.inf
    if not problem.fixed:
        lifted = _whitened(problem, sweep.new_means[kept], batch.face[kept]) * (np.sqrt(batch.beta[0]) * rows)
        rows = np.concatenate([rows, lifted], axis=2)
    root = np.sqrt(posterior)[:, :, None]

    def one_minus_hessian(step: Array) -> Array:
        step = step.reshape(len(rows), -1)
        inside = np.matmul(rows, step[:, :, None])
        total = (root * inside).sum(axis=0)
        inside -= rows[:, :, :1] * step[:, :1, None]  # no such part for the weights
        image = np.matmul(rows.transpose(0, 2, 1), root * total - inside)[:, :, 0]
        image[:, 0] += (rows[:, :, 0] * inside[:, :, 0]).sum(axis=1)
        image[:, 1:] += c[:, None] * step[:, 1:]
        return np.asarray((step - image).ravel())

    if unknowns > _DENSE:
        operator = LinearOperator((unknowns, unknowns), one_minus_hessian, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(unknowns)
        try:
            return float(eigsh(operator, k=1, which="LA", v0=start, tol=1e-9, maxiter=50, return_eigenvectors=False)[0])
        except ArpackNoConvergence:
            if unknowns > _DENSE_AT_LAST:
                return np.inf
    matrix = np.array([one_minus_hessian(row) for row in np.eye(unknowns)])
    return float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[-1])
