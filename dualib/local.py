"""Local optimisation on a given set of atoms: Newton's method on (w, M) jointly, and guarded Anderson acceleration.

Where the kernels know the distortion, no zero matters and the problem is no toy, a descent by conjugate gradients comes first
(`dualib.descent_kernels`); what does not settle by it, and all else, is for the steps here.

Every accepted state is the result of a plain sweep, so its means are true means of its encoder, and the objective never
rises: an accelerated proposal is followed by a sweep and dropped if the objective is higher than before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from dualib.anderson import Anderson
from dualib.curvature import NEWTON_LIMIT, SMALL, newton_step, size_of
from dualib.distortions import Mask
from dualib.merge_kernels import coalesced
from dualib.problem import Atoms, Problem, Sweep, descend, distance_matrix, sweep

_MANY = 4_000  # unknowns from which on sweeps, accelerated, are to come near a solution before Newton's method
_NEAR = 0.05  # residual at which Newton's method then takes over
_SOME, _LEAST_FALL = 20, 0.7  # ... or where so many sweeps do not lower it to this part
_RISE = 1e-13  # the objective may rise by this much, relative to 1 + |G|: rounding
_MERGE = 1e-9  # squared natural distance below which two atoms are one
_DESCENT = 300  # sweeps and products of a descent, after which the steps here do better: in a flat valley
_PATIENCE = 30
_GLANCE = 5  # steps after which a hasty polish judges
_AT_REST = 1e-5  # residual below which it goes on to the end
_CRAWL = 1e-5  # a fall of the objective, relative to 1 + |G|, that is not worth so many steps


@dataclass(frozen=True)
class Local:
    """A local solution: the last sweep, and the sweeps spent (or products with the Hessian, each no longer than a sweep)."""

    state: Sweep
    n_iter: int


def polish(problem: Problem, beta: float, atoms: Atoms, *, tol: float, max_iter: int, hasty: bool = False) -> Local:
    """Lower the objective to a stationary point, residual <= tol, or stop after max_iter sweeps or where nothing moves.

    With `hasty` it stops already where it crawls: past a saddle a new atom leads away much faster than Newton's method.
    """
    state = sweep(problem, beta, tidy(problem, beta, atoms))
    damping, n_iter = 0.0, 1
    # where zeros matter c is not smooth: steps judged two by two, as below, keep more clusters that are needed
    if problem.known is not None and problem.support is None and size_of(state.atoms, problem) > SMALL:
        state, n_iter, settled = _descended(problem, state, tol, max_iter)
        if settled or hasty:
            return Local(state, n_iter)
    history = Anderson()
    trail: deque[tuple[float, float]] = deque(maxlen=_PATIENCE)
    while state.residual > tol and n_iter < max_iter and not _stalled(trail, state, tol):
        if hasty and _crawls(trail, state):
            break
        trail.append((state.objective, state.residual))
        proposal, by_newton = None, n_iter >= 3 and _worth_newton(size_of(state.atoms, problem), state, trail)
        if by_newton:
            proposal = newton_step(problem, state, damping)
        elif size_of(state.atoms, problem) > min(_MANY, NEWTON_LIMIT):
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
    return Local(state, n_iter)


def _descended(problem: Problem, state: Sweep, tol: float, max_iter: int) -> tuple[Sweep, int, bool]:
    """A descent by conjugate gradients, for as long as that is likely to end; also what it took, and whether it settled."""
    most = min(_DESCENT, max_iter - 1)
    if state.residual <= tol or most <= 0:
        return state, 1, state.residual <= tol
    descent = descend(problem, state.beta, state.atoms, goal=tol, most=most)
    tidied = tidy(problem, state.beta, descent.state.atoms)
    if len(tidied) == len(descent.state.atoms):
        return descent.state, 1 + descent.taken, descent.settled
    return sweep(problem, state.beta, tidied), 1 + descent.taken, False


def _worth_newton(size: int, state: Sweep, trail: deque[tuple[float, float]]) -> bool:
    """Whether a step of Newton's method is: on large problems it takes as long as a hundred sweeps, and far from rest may fail."""
    if size > NEWTON_LIMIT or not state.residual < 1.0:
        return False
    sweeps_pay = len(trail) < _SOME or state.residual < _LEAST_FALL * trail[-_SOME][1]
    return size <= _MANY or state.residual < _NEAR or not sweeps_pay


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
    atoms = atoms.pick(needed(problem, atoms, atoms.weights > floor * atoms.weights.max()))
    if merge and len(atoms) > 1 and not problem.distortion.fixed_atoms:
        atoms = merge_atoms(problem, beta, atoms, _MERGE)
    return atoms.normalised()


def needed(problem: Problem, atoms: Atoms, heavy: Mask) -> Mask:
    """The heavy atoms, and where none of these is at a finite distance from some x, however rare, the heaviest one that is."""
    if problem.support is None or atoms.face is None or heavy.all():
        return heavy
    allowed = problem.allowed(atoms.face)
    alone = ~allowed[heavy].any(axis=0)
    if alone.any():
        heavy = heavy.copy()
        heavy[np.argmax(np.where(allowed[:, alone], atoms.weights[:, None], -1.0), axis=0)] = True
    return heavy


def merge_atoms(problem: Problem, beta: float, atoms: Atoms, radius: float, *, across_faces: bool = False) -> Atoms:
    """Merge atoms whose squared natural distance is below `radius` into their weighted mean, heaviest first.

    With `across_faces` also those of different faces, whose decoders are one where one of them is 0 on the difference. The face then
    lets in the sources of both: it is the union (IB) or the intersection (dual IB) of theirs.
    """
    compared = Atoms(atoms.weights, atoms.means, None) if across_faces else atoms
    close = distance_matrix(problem, beta, compared, compared) < radius
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
    face = None
    if atoms.face is not None:
        face, together = atoms.face[heads], np.logical_or if problem.distortion.support == "cover" else np.logical_and
        together.at(face, index, atoms.face)
    return Atoms(weights, means / weights[:, None], face)


def coalesce(problem: Problem, state: Sweep, radius: float = 1.0) -> Atoms:
    """Merge neighbours that one stable atom would replace: closest pairs first, squared natural distance below `radius`.

    Two atoms around one optimal atom approach each other only sublinearly, by sweeps and by Newton alike, for the Hessian
    tends to a singular one. Pooling their members tells at once: where the pooled atom is stable, one atom is enough there. The
    objective may rise a little; the search that follows puts back what was merged wrongly.
    """
    atoms = state.new
    if len(atoms) < 2 or problem.distortion.fixed_atoms:
        return atoms
    if problem.known is not None and problem.U.shape[1] <= problem.n:
        _, swept, faces, _ = problem.for_kernels(atoms)
        arrays = (problem.px, problem.U, problem.UT, swept, problem.link(atoms)[0], faces, state.posterior)
        kept, weights, means = coalesced(problem.known, state.beta, *arrays, radius)
        return Atoms(weights, means, None if atoms.face is None else atoms.face[kept])
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
        if problem.exceeds(merged, pooled[None, :] / weight, 1.0 / state.beta)[0]:
            distance[i, j] = distance[j, i] = np.inf
            continue
        pairs[i], means[i], alive[j] = pooled, merged.means[0], False
        distance[j], distance[:, j] = np.inf, np.inf
        row = distance_matrix(problem, state.beta, merged, Atoms(atoms.weights, means, face))[0]
        row[~alive] = np.inf
        row[i] = np.inf
        distance[i], distance[:, i] = row, row
    return Atoms(pairs.sum(axis=1), means, face).pick(alive).normalised()
