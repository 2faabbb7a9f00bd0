"""The scaled Hessian of the objective at a sweep, Newton's step by it, and the linear rate of sweeps.

Newton's method works on the symmetric form of the linearised sweep. With S = L / Z, p(t|x) = w_t S, q = p(x) S and the
factor R_t R_t^T = J(M_t), scale the unknowns as ``omega_t = dw_t / sqrt(w_t)`` and ``zeta_t = sqrt(beta w_t) R_t^T dM_t``.
Then the Hessian of the objective at a stationary point is

    H = B^T B + blockdiag( 0, c_t - Y_t^T Y_t ),   B[x, t] = sqrt(p(t|x)) [ sqrt(q), Y_t ],   Y_t = sqrt(beta q) (U - M_t) R_t

a sweep is the step -gradient, its Jacobian is I - H (self-adjoint in these variables), so that the linear rate of
Blahut-Arimoto is ``rho = 1 - lambda_min(H)``, and Newton's step is ``-H^-1 gradient``.
"""

from __future__ import annotations

import contextlib

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from dualib.distortions import Array
from dualib.problem import Atoms, Problem, Sweep
from dualib.stationary import in_kernel, stationary_step

NEWTON_LIMIT = 20_000  # unknowns n_t (k + 1) up to which Newton's method is used
SMALL = 40  # ... from which on the system of `dualib.stationary` is the faster one: undamped, or in a kernel
_LARGEST_BORDERED = 1_500  # ... up to this size
_DENSE_LIMIT = 160  # ... by a dense factorisation; above it by conjugate gradients
_DENSE_SPECTRUM = 400  # unknowns up to which the spectrum of the Hessian is computed whole; above it by Lanczos
_FEW = 24  # features up to which all clusters are compressed at once
_NEGLIGIBLE = 1e-7  # part of the Hessian, beside 1, that Newton's method may leave out


def size_of(atoms: Atoms, problem: Problem) -> int:
    """Number of unknowns of Newton's method on weights and means."""
    return len(atoms) * (1 if problem.distortion.fixed_atoms else 1 + problem.U.shape[1])


class Curvature:
    """Scaled gradient and Hessian at a sweep, in the variables of the module's docstring; k = 0 for fixed atoms.

    Attributes
    ----------
    gradient : (n_t, 1 + k)
    rows : (n_t, n, 1 + k)
        ``A_t = [ sqrt(q), Y_t ]``; B is these, times sqrt(p(t|x)), side by side.
    """

    def __init__(self, problem: Problem, state: Sweep) -> None:
        atoms = state.atoms
        self.c = state.c
        self.q = state.posterior * problem.px / atoms.weights[:, None]
        self.root_post = np.sqrt(state.posterior)
        root_q, root_w = np.sqrt(self.q), np.sqrt(atoms.weights)[:, None]
        self.rows = root_q[:, :, None]
        self.gradient: Array = root_w * (1.0 - np.sum(self.q, axis=1, keepdims=True))
        if not problem.distortion.fixed_atoms:
            lifted = problem.whitened(atoms) * (np.sqrt(state.beta) * root_q)[:, :, None]
            pull = np.matmul(root_q[:, None, :], lifted)[:, 0, :]
            lifted, pull = _compress(lifted, pull)
            self.rows = np.concatenate([self.rows, lifted], axis=2)
            self.gradient = np.concatenate([self.gradient, -root_w * pull], axis=1)

    @property
    def size(self) -> int:
        """Number of unknowns N."""
        return self.gradient.size

    def along(self, step: Array) -> tuple[Array, Array]:
        """``Y_t zeta_t`` (n_t, n), and ``B step`` (n,)."""
        inner = np.matmul(self.rows, step[:, :, None])[:, :, 0]
        total = np.sum(self.root_post * inner, axis=0)
        inner -= self.rows[:, :, 0] * step[:, :1]
        return inner, total

    def apply(self, step: Array) -> Array:
        """H step, (n_t, 1 + k)."""
        inner, total = self.along(step)
        result = np.matmul(self.rows.transpose(0, 2, 1), (self.root_post * total - inner)[:, :, None])[:, :, 0]
        result[:, 0] += np.sum(self.rows[:, :, 0] * inner, axis=1)  # E has no part in the weights
        result[:, 1:] += self.c[:, None] * step[:, 1:]
        return result

    def dense(self) -> Array:
        """H as a matrix (N, N)."""
        n_t, n, width = self.rows.shape
        coupling = (self.root_post[:, :, None] * self.rows).transpose(1, 0, 2).reshape(n, n_t * width)
        hessian = coupling.T @ coupling
        blocks = self._own_blocks()
        for t in range(n_t):
            own = slice(t * width, (t + 1) * width)
            hessian[own, own] += blocks[t]
        return hessian

    def _own_blocks(self) -> Array:
        """E_t, (n_t, 1 + k, 1 + k)."""
        width = self.rows.shape[2]
        blocks = np.zeros((len(self.rows), width, width))
        inner = self.rows[:, :, 1:]
        blocks[:, 1:, 1:] = -np.matmul(inner.transpose(0, 2, 1), inner)
        index = np.arange(1, width)
        blocks[:, index, index] += self.c[:, None]
        return blocks

    def preconditioner(self) -> Array:
        """Inverses of the diagonal blocks of H, made positive definite, (n_t, 1 + k, 1 + k)."""
        weighted = self.root_post[:, :, None] * self.rows
        blocks = self._own_blocks() + np.matmul(weighted.transpose(0, 2, 1), weighted)
        values, vectors = np.linalg.eigh(blocks)
        values = np.maximum(np.abs(values), 1e-8)
        return np.matmul(vectors / values[:, None, :], vectors.transpose(0, 2, 1))


def _compress(rows: Array, pull: Array) -> tuple[Array, Array]:
    """Y_t (n_t, n, k), and a vector of its row space (n_t, k), in the basis of its leading right singular vectors.

    A cluster has few members and they differ in few directions, so the number kept, r, is far below k; in the directions left
    out H is the identity to _NEGLIGIBLE, and Newton's step there is a sweep's.
    """
    n_t, n, k = rows.shape
    if k <= 2:
        return rows, pull
    if k <= _FEW:
        values, right = np.linalg.eigh(np.matmul(rows.transpose(0, 2, 1), rows))
        width = max(int(np.sum(values > _NEGLIGIBLE, axis=1).max()), 1)
        basis = right[:, :, -width:]
        return np.matmul(rows, basis), np.matmul(pull[:, None, :], basis)[:, 0, :]
    parts = []
    for t in range(n_t):
        energy = np.einsum("xk,xk->x", rows[t], rows[t])
        live = np.flatnonzero(energy > 1e-3 * _NEGLIGIBLE / n)
        own = rows[t, live]
        if len(live) <= k:
            values, left = np.linalg.eigh(own @ own.T)
            keep = values > _NEGLIGIBLE
            basis = own.T @ (left[:, keep] / np.sqrt(values[keep]))
        else:
            values, right = np.linalg.eigh(own.T @ own)
            basis = right[:, values > _NEGLIGIBLE]
        parts.append((live, own @ basis, pull[t] @ basis))
    width = max(part.shape[1] for _, part, _ in parts)
    compressed, projected = np.zeros((n_t, n, width)), np.zeros((n_t, width))
    for t, (live, part, own_pull) in enumerate(parts):
        compressed[t, live, : part.shape[1]] = part
        projected[t, : part.shape[1]] = own_pull
    return compressed, projected


def newton_step(problem: Problem, state: Sweep, damping: float) -> Atoms | None:
    """One damped Newton step on weights and means; atoms whose weight would end at or below 0 are dropped."""
    bordered = size_of(state.atoms, problem) > SMALL and problem.n + len(state.atoms) <= _LARGEST_BORDERED
    if bordered and (damping == 0.0 or in_kernel(problem, state.atoms)):
        proposal = stationary_step(problem, state, descending=True, damping=damping)
        if proposal is not None:
            return proposal
    try:
        # a mean far below where a sweep will put it has so large a curvature that squares overflow: no step, but a sweep
        with np.errstate(all="ignore"):
            curvature = Curvature(problem, state)
            if curvature.size <= _DENSE_LIMIT:
                step, damping = _solve_dense(curvature, damping)
            else:
                step = _solve_cg(curvature, damping, relative=min(0.1, state.residual))
    except np.linalg.LinAlgError:
        return None
    if step is None or not np.isfinite(step).all():
        return None
    atoms = state.atoms
    root_w = np.sqrt(atoms.weights)
    longest = np.max(np.sqrt(np.sum(step[:, 1:] ** 2, axis=1)) / root_w)
    shrink = min(1.0, 1.0 / longest) if longest > 0.0 else 1.0
    weights = atoms.weights + shrink * root_w * step[:, 0]
    means = atoms.means
    if not problem.distortion.fixed_atoms:
        means = means + shrink * _mean_step(problem, state, step, curvature, damping)
    keep = weights > 1e-3 * np.minimum(atoms.weights, 1e-9)
    return Atoms(weights, means, atoms.face).pick(keep).normalised() if keep.any() else None


def _solve_dense(curvature: Curvature, damping: float) -> tuple[Array | None, float]:
    """Newton's direction with the least damping, from the given one up, that makes the system positive definite."""
    hessian = curvature.dense()
    if not np.isfinite(hessian).all():
        return None, damping
    for _ in range(8):
        try:
            shifted = hessian.copy()
            shifted[np.diag_indices(len(shifted))] += damping + 1e-15
            factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
            step = -cho_solve(factor, curvature.gradient.ravel(), check_finite=False)
            return step.reshape(curvature.gradient.shape), damping
        except LinAlgError:
            damping = 10.0 * damping if damping else 1e-6
    return None, damping


def _solve_cg(curvature: Curvature, damping: float, relative: float, max_iter: int = 200) -> Array:
    """Newton's direction by preconditioned conjugate gradients, cut short at negative curvature (Steihaug 1983)."""
    inverse = curvature.preconditioner()
    x = np.zeros_like(curvature.gradient)
    r = -curvature.gradient
    z = np.matmul(inverse, r[:, :, None])[:, :, 0]
    p, rz = z, float(np.sum(r * z))
    goal = relative * np.sqrt(np.sum(r * r))
    with np.errstate(all="ignore"):  # where an eigenvalue is next to 0 the directions may outgrow all numbers
        for _ in range(max_iter):
            hp = curvature.apply(p) + damping * p
            bend = float(np.sum(p * hp))
            ahead = x + (rz / bend if bend > 1e-14 * float(np.sum(p * p)) else np.nan) * p
            if not np.isfinite(ahead).all():
                return x if x.any() else r  # negative curvature at once: the step of a plain sweep
            x, r = ahead, r - rz / bend * hp
            if np.sqrt(np.sum(r * r)) <= goal:
                break
            z = np.matmul(inverse, r[:, :, None])[:, :, 0]
            rz, old = float(np.sum(r * z)), rz
            p = z + (rz / old) * p
    return x


def _mean_step(problem: Problem, state: Sweep, step: Array, curvature: Curvature, damping: float) -> Array:
    """dM_t (n_t, k) from the scaled step, as a combination of U[x] - M_t: R_t need not be invertible.

    The block of the system for zeta_t reads ``(c_t + damping) zeta_t = -gradient + Y_t^T (Y_t zeta_t) - (B^T B step)_t``,
    and each term on the right is a combination of the vectors ``R_t^T (U[x] - M_t)``.
    """
    inner, total = curvature.along(step)
    root_w = np.sqrt(state.atoms.weights)[:, None]
    weight = curvature.q + np.sqrt(curvature.q) * (inner - curvature.root_post * total) / root_w
    weight /= (state.c + damping)[:, None]
    return weight @ problem.U - weight.sum(axis=1, keepdims=True) * state.atoms.means


def stability_numbers(problem: Problem, state: Sweep) -> Array:
    """``beta lambda_max`` of each atom, (n_t,), its members about their own mean; 0 where nothing can move, or no member is left."""
    numbers = np.zeros(len(state.atoms))
    if not problem.distortion.fixed_atoms:
        kept = state.new.weights > 0.0
        pairs = state.posterior[kept] * problem.px
        atoms = state.new if kept.all() else state.new.pick(kept)  # of the very object V is known
        numbers[kept] = state.beta * problem.stability(atoms, pairs / pairs.sum(axis=1, keepdims=True))
    return numbers


def slowest_rate(problem: Problem, state: Sweep) -> float:
    """Rho = 1 - lambda_min(H), the linear rate of plain sweeps here (>= 1: not a strict minimum); inf above NEWTON_LIMIT.

    Along what is `seen` of the atoms, and in the metric of the means after the sweep: then no entry of an IB decoder has a rate
    above ``beta max p(y|x)``, however far it is from where it belongs.
    """
    if size_of(state.atoms, problem) > NEWTON_LIMIT:
        return np.inf
    kept = state.new.weights > 0.0
    atoms = problem.seen(state.new.pick(kept))
    curvature = Curvature(problem, state._replace(atoms=atoms, posterior=state.posterior[kept], c=state.c[kept]))
    if curvature.size > _DENSE_SPECTRUM:
        shape = curvature.gradient.shape
        jacobian = LinearOperator(
            (curvature.size, curvature.size), lambda v: v.ravel() - curvature.apply(v.reshape(shape)).ravel(), dtype=np.float64
        )
        start = np.random.default_rng(0).standard_normal(curvature.size)
        with contextlib.suppress(ArpackNoConvergence):
            return float(eigsh(jacobian, k=1, which="LA", v0=start, tol=1e-9, maxiter=50, return_eigenvectors=False)[0])
    values = eigh(curvature.dense(), eigvals_only=True, subset_by_index=[0, 0], check_finite=False)
    return float(1.0 - values[0])
