"""Newton's step to a stationary point, minimum or not, by a system of size n + n_t in place of n_t (1 + k).

The Hessian of `dualib.curvature` couples the clusters only through the n sources. With ``P_t = Y_t (c_t - Y_t^T Y_t)^-1 Y_t^T`` the
answer of cluster t's mean to a pull on its members, ``omega`` the scaled step of the weights and u = B step the step of log Z
(scaled by sqrt(p(x))), eliminating the means from ``H step = -gradient`` leaves

    [ I + K    -W ] [ u     ]   [ sum_t sqrt(p(t|x)) P_t sqrt(w_t q_t) ]       K = sum_t diag(sqrt(p(t|x))) P_t diag(sqrt(p(t|x)))
    [ W^T       0 ] [ omega ] = [ sqrt(w_t) (c_t - 1)                  ],      W[x, t] = sqrt(p(t|x) q_t(x))

and then the step of each mean. Where some ``c_t - Y_t^T Y_t`` is nearly singular, a cluster about to split, the elimination would
lose most digits of the step, though the whole system is regular; so 1e-8 is added to its diagonal. The right-hand side stays
exact, so that Newton's method only leaves 1e-8 of the way at each step. The same system with the derivative of the gradient by log
beta on its right-hand side gives the tangent of the branch of stationary points (the implicit ODE of continuation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.lapack import dgetrf as getrf
from scipy.linalg.lapack import dgetrs as getrs

from dualib.distortions import Array
from dualib.newton_kernels import LARGEST, STEP, TANGENT
from dualib.problem import Atoms, Problem, Sweep, newton_steps, sweep
from dualib.stationary_kernels import NUDGE

NEARLY = 1e-6  # residual of a point of a branch that only leads to others


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
        own.reshape(n_t, size * size)[:, :: size + 1] += c[:, None] + NUDGE
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


class StationarySystem:
    """The system above at one sweep, factored once for several right-hand sides.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where it is singular to the bit.
    """

    def __init__(self, problem: Problem, state: Sweep) -> None:
        self._problem, self._state = problem, state
        atoms = state.atoms
        self._n_t, self._n = n_t, n = state.posterior.shape
        self._root_w: Array = np.sqrt(atoms.weights)[:, None]
        q = state.posterior * (problem.px / atoms.weights[:, None])
        self._root_q, self._root_post = np.sqrt(q), np.sqrt(state.posterior)
        system = np.zeros((n + n_t, n + n_t))
        system.ravel()[: n * (n + n_t) : n + n_t + 1] = 1.0
        border = self._root_post * self._root_q
        system[:n, n:] = -border.T
        system[n:, :n] = border
        self._response = None
        if not problem.distortion.fixed_atoms:
            rows = problem.whitened(atoms) * (np.sqrt(state.beta) * self._root_q)[:, :, None]
            self._response = _Response(rows, state.c)
            system[:n, :n] += self._response.coupling(self._root_post)
        if not np.isfinite(system).all():
            raise np.linalg.LinAlgError("not finite")
        self._factor, self._pivots, info = getrf(system, overwrite_a=True)
        if info > 0:
            raise np.linalg.LinAlgError("singular")

    def newton(self) -> tuple[Array, Array, float]:
        """The steps of weights and means to the stationary point of the quadratic model, and the objective's slope along them.

        Both are shortened where some mean would move by more than 1 in the natural metric.
        """
        pull = self._root_w * self._root_q
        right = self._root_w[:, 0] * (self._state.c - 1.0)
        weights, means, inner, longest = self._solve(pull, right)
        slope = -float(right @ (weights / self._root_w[:, 0])) - float(np.sum(pull * inner))
        shrink = 1.0 / max(1.0, longest) if np.isfinite(longest) else np.nan
        return shrink * weights, shrink * means, slope

    def tangent(self) -> tuple[Array, Array]:
        """The derivatives of weights and means along the branch of stationary points, by log beta."""
        terms = self._problem.log_terms(self._state.atoms, self._state.beta)
        live = self._state.posterior > 0.0
        terms[~live] = 0.0
        faster = np.where(live, terms - np.sum(self._state.posterior * terms, axis=0), 0.0)  # d log p(t|x) at fixed atoms
        pull = self._root_w * self._root_q * faster
        weights, means, _, _ = self._solve(pull, self._root_w[:, 0] * np.sum(self._root_q**2 * faster, axis=1))
        return weights, means

    def _solve(self, pull: Array, weights_right: Array) -> tuple[Array, Array, Array, float]:
        """For a pull on the means and a right-hand side of the weights: both steps, Y zeta, the longest step of a mean."""
        n = self._n
        right = np.zeros(n + self._n_t)
        right[n:] = weights_right
        if self._response is not None:
            right[:n] = np.sum(self._root_post * self._response.along(pull)[0], axis=0)
        solved = getrs(self._factor, self._pivots, right)[0]
        u, omega = solved[:n], solved[n:]
        weights = self._root_w[:, 0] * omega
        means = self._state.atoms.means
        if self._response is None:
            return weights, np.zeros_like(means), np.zeros_like(pull), 0.0
        rest = pull - self._root_post * u
        inner, length = self._response.along(rest)
        # R_t need not be invertible: the step of the mean as a combination of U[x] - M_t, as in `dualib.curvature`
        moved = self._root_q * (rest + inner) / (self._root_w * (self._state.c[:, None] + NUDGE))
        step = moved @ self._problem.U - moved.sum(axis=1, keepdims=True) * means
        return weights, step, inner, float(np.max(length / self._root_w[:, 0]))


def in_kernel(problem: Problem, atoms: Atoms) -> bool:
    """Whether Newton's method runs whole inside a compiled kernel: a distortion known there, and not too large."""
    return problem.known is not None and problem.n + len(atoms) <= LARGEST


def point_and_tangent(problem: Problem, beta: float, atoms: Atoms, most: int) -> tuple[Atoms, Array, Array, float] | None:
    """The stationary point to `NEARLY`, by at most `most` Newton steps, with the tangent of its branch; None where they fail.

    The tangent is that of the point before the last step, whose system it shares; the residual there comes last.
    """
    if in_kernel(problem, atoms):
        regular, atoms, weights, means, residual = newton_steps(problem, beta, atoms, goal=NEARLY, most=most, end=TANGENT)
        return (atoms, weights, means, residual) if regular else None
    state = sweep(problem, beta, atoms)
    with np.errstate(all="ignore"):
        for _ in range(max(most, 1)):
            try:
                system = StationarySystem(problem, state)
                weights, means, _ = system.newton()
                tangent = system.tangent()
            except np.linalg.LinAlgError:
                return None
            proposal = moved_atoms(state.atoms, weights, means)
            if proposal is None or len(proposal) != len(atoms):
                return None
            residual, state = state.residual, sweep(problem, beta, proposal)
            if state.residual <= NEARLY:
                return (proposal, *tangent, residual) if all(np.isfinite(part).all() for part in tangent) else None
            if not state.residual <= 2.0 * max(residual, 0.1):
                return None
    return None


def stationary_step(problem: Problem, state: Sweep, *, descending: bool = False, damping: float = 0.0) -> Atoms | None:
    """One Newton step on weights and means; None where the system is singular. No step is longer than 1 in the natural metric.

    Atoms whose weight would end at or below 0 are dropped. With `descending`, None also where the step does not lead downhill. A
    `damping` of the Hessian is for distortions known to the kernels only.
    """
    if in_kernel(problem, state.atoms):
        options: dict[str, Any] = {"goal": 0.0, "most": 0, "end": STEP, "damping": damping}
        regular, _, weights, means, slope = newton_steps(problem, state.beta, state.atoms, **options)
        if not regular:
            return None
    else:
        with np.errstate(all="ignore"):  # far from a solution entries may overflow: the step is then refused
            try:
                weights, means, slope = StationarySystem(problem, state).newton()
            except np.linalg.LinAlgError:
                return None
    if descending and not slope < 0.0:
        return None
    return moved_atoms(state.atoms, weights, means)


def moved_atoms(atoms: Atoms, weights: Array, means: Array) -> Atoms | None:
    """The atoms after a step of weights and means, those without weight dropped; None where it is not finite, or none is left."""
    weights, means = atoms.weights + weights, atoms.means + means
    if not (np.isfinite(weights).all() and np.isfinite(means).all()):
        return None
    keep = weights > 1e-3 * np.minimum(atoms.weights, 1e-9)
    moved = Atoms(weights, means, atoms.face)
    if not keep.all():
        moved = moved.pick(keep)
    return moved.normalised() if len(moved) else None
