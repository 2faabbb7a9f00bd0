"""Newton's step to a stationary point, minimum or not, by a system of size n + n_t in place of n_t (1 + k).

The Hessian of `dualib.local` couples the clusters only through the n sources. With ``P_t = Y_t (c_t - Y_t^T Y_t)^-1 Y_t^T`` the
answer of cluster t's mean to a pull on its members, ``omega`` the scaled step of the weights and u = B step the step of log Z
(scaled by sqrt(p(x))), eliminating the means from ``H step = -gradient`` leaves

    [ I + K    -W ] [ u     ]   [ sum_t sqrt(p(t|x)) P_t sqrt(w_t q_t) ]       K = sum_t diag(sqrt(p(t|x))) P_t diag(sqrt(p(t|x)))
    [ W^T       0 ] [ omega ] = [ sqrt(w_t) (c_t - 1)                  ],      W[x, t] = sqrt(p(t|x) q_t(x))

and then the step of each mean. Where some ``c_t - Y_t^T Y_t`` is nearly singular, a cluster about to split, the elimination loses
digits of the step relative to its length, which the next step corrects.
"""

from __future__ import annotations

import numpy as np

from dualib.distortions import Array
from dualib.problem import Atoms, Problem, Sweep


class _Response:
    """P_t of every cluster, in whichever of the k features and the n sources are fewer."""

    def __init__(self, rows: Array, c: Array) -> None:
        self.rows = rows
        n_t, n, k = rows.shape
        self.by_feature = k < n
        across = rows.transpose(0, 2, 1)
        own = np.matmul(across, rows) if self.by_feature else np.matmul(rows, across)
        np.negative(own, out=own)
        size = own.shape[1]
        own.reshape(n_t, size * size)[:, :: size + 1] += c[:, None]
        if self.by_feature:
            self.solved: Array = np.linalg.solve(own, across)  # (n_t, k, n)
        else:
            self.solved = np.linalg.inv(own)  # (n_t, n, n)

    def coupling(self, root_post: Array) -> Array:
        """K (n, n)."""
        n_t, n, k = self.rows.shape
        if self.by_feature:
            left = (self.rows * root_post[:, :, None]).transpose(1, 0, 2).reshape(n, n_t * k)
            return left @ (self.solved * root_post[:, None, :]).reshape(n_t * k, n)
        own = np.matmul(self.rows, np.matmul(self.rows.transpose(0, 2, 1), self.solved))
        own *= root_post[:, :, None]
        own *= root_post[:, None, :]
        return np.asarray(own.sum(axis=0))

    def along(self, pull: Array) -> tuple[Array, Array]:
        """``P_t pull_t`` (n_t, n), and the length of the scaled step of each mean (n_t,)."""
        moved = np.matmul(self.solved, pull[:, :, None])
        if not self.by_feature:
            moved = np.matmul(self.rows.transpose(0, 2, 1), moved)
        length = np.sqrt(np.einsum("tki,tki->t", moved, moved))
        return np.matmul(self.rows, moved)[:, :, 0], length


def stationary_step(problem: Problem, state: Sweep, *, descending: bool = False) -> Atoms | None:
    """One Newton step on weights and means; None where the system is singular. No step is longer than 1 in the natural metric.

    Atoms whose weight would end at or below 0 are dropped. With `descending`, None also where the step does not lead downhill.
    """
    with np.errstate(all="ignore"):  # far from a solution entries may overflow: the step is then refused
        try:
            weights, means, slope = _step(problem, state)
        except np.linalg.LinAlgError:
            return None
    if descending and not slope < 0.0:
        return None
    if not (np.isfinite(weights).all() and np.isfinite(means).all()):
        return None
    keep = weights > 1e-3 * np.minimum(state.atoms.weights, 1e-9)
    atoms = Atoms(weights, means, state.atoms.face)
    if not keep.all():
        atoms = atoms.pick(keep)
    return atoms.normalised() if len(atoms) else None


def _step(problem: Problem, state: Sweep) -> tuple[Array, Array, float]:
    """The weights and means after the step, and the slope of the objective along it."""
    atoms = state.atoms
    n_t, n = state.posterior.shape
    root_w = np.sqrt(atoms.weights)[:, None]
    q = state.posterior * (problem.px / atoms.weights[:, None])
    root_q, root_post = np.sqrt(q), np.sqrt(state.posterior)
    system, right = np.zeros((n + n_t, n + n_t)), np.zeros(n + n_t)
    system.ravel()[: n * (n + n_t) : n + n_t + 1] = 1.0
    border = root_post * root_q
    system[:n, n:] = -border.T
    system[n:, :n] = border
    right[n:] = root_w[:, 0] * (state.c - 1.0)
    response, pull = None, root_w * root_q
    if not problem.distortion.fixed_atoms:
        rows = problem.whitened(atoms) * (np.sqrt(state.beta) * root_q)[:, :, None]
        response = _Response(rows, state.c)
        system[:n, :n] += response.coupling(root_post)
        right[:n] = np.sum(root_post * response.along(pull)[0], axis=0)
    solved = np.linalg.solve(system, right)
    u, omega = solved[:n], solved[n:, None]
    slope = -float(right[n:] @ omega[:, 0])
    if response is None:
        return atoms.weights + (root_w * omega)[:, 0], atoms.means, slope
    inner, length = response.along(pull - root_post * u)
    slope -= float(np.sum(pull * inner))
    longest = np.max(length / root_w[:, 0])
    shrink = 1.0 / max(1.0, longest) if np.isfinite(longest) else np.nan
    # R_t need not be invertible: the step of the mean as a combination of U[x] - M_t, as in `dualib.local`
    moved = (q + root_q * (inner - root_post * u) / root_w) / state.c[:, None]
    means = atoms.means + shrink * (moved @ problem.U - moved.sum(axis=1, keepdims=True) * atoms.means)
    return atoms.weights + shrink * (root_w * omega)[:, 0], means, slope
