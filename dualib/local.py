"""Local optimisation on a given set of atoms: Newton's method on (w, M) jointly, and guarded Anderson acceleration.

Where the kernels know the distortion, no zero matters and the problem is no toy, a descent by conjugate gradients comes first
(`dualib.descent_kernels`); what does not settle by it, and all else, is for the steps here.

Every accepted state is the result of a plain sweep, so its means are true means of its encoder, and the objective never
rises: an accelerated proposal is followed by a sweep and dropped if the objective is higher than before.

Newton's method works on the symmetric form of the linearised sweep. With S = L / Z, p(t|x) = w_t S, q = p(x) S and the
factor R_t R_t^T = J(M_t), scale the unknowns as ``omega_t = dw_t / sqrt(w_t)`` and ``zeta_t = sqrt(beta w_t) R_t^T dM_t``.
Then the Hessian of the objective at a stationary point is

    H = B^T B + blockdiag( 0, c_t - Y_t^T Y_t ),   B[x, t] = sqrt(p(t|x)) [ sqrt(q), Y_t ],   Y_t = sqrt(beta q) (U - M_t) R_t

a sweep is the step -gradient, its Jacobian is I - H (self-adjoint in these variables), so that the linear rate of
Blahut-Arimoto is ``rho = 1 - lambda_min(H)``, and Newton's step is ``-H^-1 gradient``.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from dualib.anderson import Anderson
from dualib.distortions import Array, Mask
from dualib.problem import Atoms, Problem, Sweep, descend, distance_matrix, sweep
from dualib.stationary import in_kernel, stationary_step

NEWTON_LIMIT = 20_000  # unknowns n_t (k + 1) up to which Newton's method is used
MANY = 4_000  # ... from which on sweeps, accelerated, are to come near a solution first
_NEAR = 0.05  # residual at which Newton's method then takes over
_SOME, _LEAST_FALL = 20, 0.7  # ... or where so many sweeps do not lower it to this part
_DENSE_LIMIT = 160  # ... by a dense factorisation; above it by conjugate gradients
_SMALL = 40  # ... from which on the system of `dualib.stationary` is the faster one: undamped, or in a kernel
_LARGEST_BORDERED = 1_500  # ... up to this size
_DENSE_SPECTRUM = 400  # unknowns up to which the spectrum of the Hessian is computed whole; above it by Lanczos
_FEW = 24  # features up to which all clusters are compressed at once
_NEGLIGIBLE = 1e-7  # part of the Hessian, beside 1, that Newton's method may leave out
_RISE = 1e-13  # the objective may rise by this much, relative to 1 + |G|: rounding
_MERGE = 1e-9  # squared natural distance below which two atoms are one
_DESCENT, _DESCENTS = 150, 4  # sweeps and products of one descent, and how many are tried
_PATIENCE = 30
_GLANCE = 5  # steps after which a hasty polish judges
_AT_REST = 1e-5  # residual below which it goes on to the end
_CRAWL = 1e-5  # a fall of the objective, relative to 1 + |G|, that is not worth so many steps


@dataclass(frozen=True)
class Local:
    """A local solution: the last sweep, the sweeps spent, and 1 - lambda_min(H) where it was computed (else inf)."""

    state: Sweep
    n_iter: int
    rho: float


def polish(problem: Problem, beta: float, atoms: Atoms, *, tol: float, max_iter: int, hasty: bool = False) -> Local:
    """Lower the objective to a stationary point, residual <= tol, or stop after max_iter sweeps or where nothing moves.

    With `hasty` it stops already where it crawls: past a saddle a new atom leads away much faster than Newton's method.
    """
    state = sweep(problem, beta, tidy(problem, beta, atoms))
    damping, n_iter = 0.0, 1
    # where zeros matter c is not smooth: steps judged two by two, as below, keep more clusters that are needed
    if problem.known is not None and problem.support is None and size_of(state.atoms, problem) > _SMALL:
        state, n_iter, settled = _descended(problem, state, tol, max_iter)
        if settled or hasty:
            return Local(state, n_iter, np.inf)
    history = Anderson()
    trail: deque[tuple[float, float]] = deque(maxlen=_PATIENCE)
    while state.residual > tol and n_iter < max_iter and not _stalled(trail, state, tol):
        if hasty and _crawls(trail, state):
            break
        trail.append((state.objective, state.residual))
        proposal, by_newton = None, n_iter >= 3 and _worth_newton(size_of(state.atoms, problem), state, trail)
        if by_newton:
            proposal = newton_step(problem, state, damping)
        elif size_of(state.atoms, problem) > min(MANY, NEWTON_LIMIT):
            proposal = history.propose(state)
        accepted = None
        if proposal is not None:
            accepted = _guarded(problem, beta, state, proposal)
            n_iter += 2
        if accepted is not None:
            slow = accepted.residual > 0.1 * state.residual
            damping = damping * 0.1 if slow and damping > 1e-7 else 0.0
        elif proposal is not None:
            damping = min(damping * 10.0 if damping else 1e-3, 1.0) if by_newton else damping
            history.clear()
        if accepted is None:
            accepted = sweep(problem, beta, tidy(problem, beta, state.new, merge=n_iter % 10 == 0))
            n_iter += 1
        state = accepted
    if not hasty and state.residual > tol:
        state, n_iter = _swept(problem, state, tol, n_iter, max_iter)
    return Local(state, n_iter, np.inf)


def _descended(problem: Problem, state: Sweep, tol: float, max_iter: int) -> tuple[Sweep, int, bool]:
    """A descent by conjugate gradients for as long as that is likely to end; also what it took, and whether it settled."""
    n_iter = 1
    for _ in range(_DESCENTS):
        if state.residual <= tol:
            return state, n_iter, True
        if n_iter >= max_iter:
            break
        most = min(_DESCENT, max_iter - n_iter)
        settled, atoms, taken = descend(problem, state.beta, state.atoms, goal=tol, most=most)
        n_iter += taken
        tidied = tidy(problem, state.beta, atoms)
        state = sweep(problem, state.beta, tidied)
        if settled and len(tidied) == len(atoms):
            return state, n_iter, True
    return state, n_iter, False


def _worth_newton(size: int, state: Sweep, trail: deque[tuple[float, float]]) -> bool:
    """Whether a step of Newton's method is: on large problems it takes as long as a hundred sweeps, and far from rest may fail."""
    if size > NEWTON_LIMIT or not state.residual < 1.0:
        return False
    sweeps_pay = len(trail) < _SOME or state.residual < _LEAST_FALL * trail[-_SOME][1]
    return size <= MANY or state.residual < _NEAR or not sweeps_pay


def _swept(problem: Problem, state: Sweep, tol: float, n_iter: int, max_iter: int) -> tuple[Sweep, int]:
    """Plain sweeps as long as they pay: they bring home means of 1e-16, whose effect on the objective Newton's steps do not see."""
    while state.residual > tol and n_iter < max_iter:
        following = sweep(problem, state.beta, state.new)
        n_iter += 1
        if not following.residual < 0.7 * state.residual:
            break
        state = following
    return state, n_iter


def _stalled(trail: deque[tuple[float, float]], state: Sweep, tol: float) -> bool:
    """Whether neither objective nor residual has moved over the last steps: a flat valley, whose worth the search will judge."""
    if len(trail) < _PATIENCE:
        return False
    objective, residual = trail[0]
    return objective - state.objective < tol * (1.0 + abs(objective)) and state.residual > 0.5 * residual


def _crawls(trail: deque[tuple[float, float]], state: Sweep) -> bool:
    """Whether the last few steps have hardly lowered the objective, and are still far from rest."""
    if len(trail) < _GLANCE or state.residual < _AT_REST:
        return False
    objective, residual = trail[-_GLANCE]
    return objective - state.objective < _CRAWL * (1.0 + abs(objective)) and state.residual > 0.5 * residual


def _guarded(problem: Problem, beta: float, state: Sweep, proposal: Atoms) -> Sweep | None:
    """The sweep after the proposal, or None where the objective would rise."""
    trial = sweep(problem, beta, proposal)
    if not np.isfinite(trial.objective) or not np.isfinite(trial.new.means).all():
        return None
    result = sweep(problem, beta, tidy(problem, beta, trial.new, merge=True))
    return result if result.objective <= state.objective + _RISE * (1.0 + abs(state.objective)) else None


def tidy(problem: Problem, beta: float, atoms: Atoms, *, merge: bool = True, floor: float = 1e-14) -> Atoms:
    """Drop atoms without weight and merge equal ones; the weights are normalised."""
    atoms = atoms.pick(_needed(problem, atoms, atoms.weights > floor * atoms.weights.max()))
    if merge and len(atoms) > 1 and not problem.distortion.fixed_atoms:
        atoms = merge_atoms(problem, beta, atoms, _MERGE)
    return atoms.normalised()


def _needed(problem: Problem, atoms: Atoms, heavy: Mask) -> Mask:
    """The heavy atoms, and where none of these is at a finite distance from some x, however rare, the heaviest one that is."""
    if problem.support is None or atoms.face is None or heavy.all():
        return heavy
    allowed = problem.allowed(atoms.face)
    alone = ~allowed[heavy].any(axis=0)
    if alone.any():
        heavy = heavy.copy()
        heavy[np.argmax(np.where(allowed[:, alone], atoms.weights[:, None], -1.0), axis=0)] = True
    return heavy


def merge_atoms(problem: Problem, beta: float, atoms: Atoms, radius: float) -> Atoms:
    """Merge atoms whose squared natural distance is below `radius` into their weighted mean, heaviest first."""
    close = distance_matrix(problem, beta, atoms, atoms) < radius
    np.fill_diagonal(close, False)
    if not close.any():
        return atoms
    owner = np.arange(len(atoms))
    free = np.ones(len(atoms), dtype=bool)
    for t in np.argsort(-atoms.weights, kind="stable"):
        if free[t]:
            members = close[t] & free
            owner[members] = t
            free[members] = False
            free[t] = False
    heads, index = np.unique(owner, return_inverse=True)
    weights = np.asarray(np.bincount(index, atoms.weights), dtype=np.float64)
    means = np.zeros((len(heads), atoms.means.shape[1]))
    np.add.at(means, index, atoms.weights[:, None] * atoms.means)
    return Atoms(weights, means / weights[:, None], None if atoms.face is None else atoms.face[heads])


def coalesce(problem: Problem, state: Sweep, radius: float = 1.0) -> Atoms:
    """Merge neighbours that one stable atom would replace: closest pairs first, squared natural distance below `radius`.

    Two atoms around one optimal atom approach each other only sublinearly, by sweeps and by Newton alike, for the Hessian
    tends to a singular one. Pooling their members tells at once: where the pooled atom is stable, one atom is enough there. The
    objective may rise a little; the search that follows puts back what was merged wrongly.
    """
    atoms = state.new
    if len(atoms) < 2 or problem.distortion.fixed_atoms:
        return atoms
    distance = distance_matrix(problem, state.beta, atoms, atoms)
    np.fill_diagonal(distance, np.inf)
    if not distance.min() < radius:
        return atoms
    pairs = state.posterior * problem.px
    means, face = atoms.means.copy(), atoms.face
    alive = np.ones(len(atoms), dtype=bool)
    while True:
        i, j = np.unravel_index(np.argmin(distance), distance.shape)
        if not distance[i, j] < radius:
            break
        pooled = pairs[i] + pairs[j]
        weight = pooled.sum()
        merged = Atoms(np.ones(1), (pooled @ problem.U)[None, :] / weight, None if face is None else face[[i]])
        if state.beta * problem.stability(merged, pooled[None, :] / weight)[0] >= 1.0:
            distance[i, j] = distance[j, i] = np.inf
            continue
        pairs[i], means[i], alive[j] = pooled, merged.means[0], False
        distance[j], distance[:, j] = np.inf, np.inf
        row = distance_matrix(problem, state.beta, merged, Atoms(atoms.weights, means, face))[0]
        row[~alive] = np.inf
        row[i] = np.inf
        distance[i], distance[:, i] = row, row
    return Atoms(pairs.sum(axis=1), means, face).pick(alive).normalised()


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
    bordered = size_of(state.atoms, problem) > _SMALL and problem.n + len(state.atoms) <= _LARGEST_BORDERED
    if bordered and (damping == 0.0 or in_kernel(problem, state.atoms)):
        proposal = stationary_step(problem, state, descending=True, damping=damping)
        if proposal is not None:
            return proposal
    curvature = Curvature(problem, state)
    if curvature.size <= _DENSE_LIMIT:
        step, damping = _solve_dense(curvature, damping)
    else:
        step = _solve_cg(curvature, damping, relative=min(0.1, state.residual))
    if step is None:
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
    for _ in range(8):
        try:
            shifted = hessian.copy()
            shifted[np.diag_indices(len(shifted))] += damping + 1e-15
            factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
            return -cho_solve(factor, curvature.gradient.ravel()).reshape(curvature.gradient.shape), damping
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
    for _ in range(max_iter):
        hp = curvature.apply(p) + damping * p
        bend = float(np.sum(p * hp))
        if bend <= 1e-14 * float(np.sum(p * p)):
            return x if x.any() else r  # negative curvature at once: the step of a plain sweep
        alpha = rz / bend
        x = x + alpha * p
        r = r - alpha * hp
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


def slowest_rate(problem: Problem, state: Sweep) -> float:
    """Rho = 1 - lambda_min(H), the linear rate of plain sweeps here (>= 1: not a strict minimum); inf above NEWTON_LIMIT."""
    if size_of(state.atoms, problem) > NEWTON_LIMIT:
        return np.inf
    curvature = Curvature(problem, state)
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
