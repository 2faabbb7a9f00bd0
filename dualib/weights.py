"""The convex problem of the weights alone, at fixed points."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from dualib.distortions import Array, Mask
from dualib.problem import Atoms, Problem

_SLIGHT, _REVIVALS = 1e-9, 3
_FAINT = 1e-100
_LEAST = 1e-300  # Z of a rare x, whose only cluster within reach may lose its weight: the inverse must not overflow


def reweight(
    problem: Problem,
    beta: float,
    atoms: Atoms,
    *,
    warm: int = 30,
    newton: int = 6,
    tol: float = 1e-9,
    free: Mask | None = None,
) -> Atoms:
    """Minimise the objective over the weights alone, the points fixed: a convex problem.

    A few plain (EM) steps, then Newton steps on the simplex: for ``h(w) = -sum_x p log (L w)_x + (sum w)^2 / 2``, whose
    minimum over w >= 0 has sum 1, the quadratic model at w is ``|sqrt(p) (S w' - 2)|^2 / 2 + (sum w')^2 / 2`` with S = L / Z:
    a non-negative least-squares problem (Wang 2007), with a line search. Atoms of weight 0 are dropped. Newton steps change the
    weights of the `free` atoms only, by default of all.
    """
    terms = problem.log_terms(atoms, beta)
    top = terms.max(axis=0)
    likelihood = np.exp(terms - top)
    w = np.maximum(atoms.weights, 0.1 / len(atoms))
    w = w / w.sum()
    for _ in range(warm):
        w = w * (likelihood @ (problem.px / (w @ likelihood)))
    keep = _kept(terms, w)
    likelihood = np.exp(terms[keep] - terms[keep].max(axis=0))  # anew: a rare x may have lost the atom that was its nearest
    atoms, w = atoms.pick(keep), np.maximum(w[keep], _FAINT)  # that nearest atom may have had no weight left at all
    free = np.ones(len(w), dtype=bool) if free is None else free[keep]
    w /= w.sum()
    root = np.sqrt(problem.px)
    value = -problem.px @ np.log(w @ likelihood)
    for _ in range(newton):
        s = likelihood / (w @ likelihood)
        c = s @ problem.px
        if c.max() < 1.0 + tol and np.abs(c - 1.0)[w > 0.0].max() < tol:
            break
        target = _simplex_newton(s, root, w, free)
        if target is None:
            break
        w, value, moved = _line_search(problem.px, likelihood, w, target, value)
        if not moved:
            break
    w = _revived(problem.px, likelihood, w, tol)
    keep = w > 0.0
    return Atoms(w, atoms.means, atoms.face).pick(keep).normalised()


def _revived(px: Array, likelihood: Array, w: Array, tol: float) -> Array:
    """The weights, those at 0 (or next to it) with c > 1 brought back by EM steps.

    To a Newton step the cluster of a rare x alone is worth next to nothing, so it may be dropped with others; and from a weight far
    below the best one Newton's steps only double it, where an EM step, which multiplies it by c, is there at once.
    """
    for _ in range(_REVIVALS):
        c = likelihood @ (px / (w @ likelihood))
        lost = (w < _SLIGHT) & (c > 1.0 + tol)
        if not lost.any() or not np.isfinite(c).all():
            break
        w = np.where(lost, np.maximum(w, _SLIGHT * _SLIGHT), w)
        w = w * (likelihood @ (px / (w @ likelihood)))
    return w


def _kept(terms: Array, w: Array) -> Mask:
    """The atoms with weight, and where none of these is at a finite distance from some x, however rare, its nearest."""
    keep = np.asarray(w > 1e-12)
    alone = np.isneginf(terms[keep].max(axis=0))
    keep[terms[:, alone].argmax(axis=0)] = True
    return keep


def _simplex_newton(s: Array, root: Array, w: Array, free: Mask) -> Array | None:
    """Newton's weights; those not free keep their ratios, as of one atom."""
    others = np.where(free, 0.0, w)
    columns, sums = np.concatenate([s[free], [others @ s]]), np.append(np.ones(int(free.sum())), others.sum())
    if free.all():
        columns, sums = s, np.ones(len(s))
    try:
        found, _ = nnls(np.concatenate([(columns * root).T, sums[None, :]]), np.concatenate([2.0 * root, [0.0]]))
    except RuntimeError:  # its iteration cap: the EM steps made stand, and the caller's polish goes on from them
        return None
    target = found if free.all() else others * found[-1]
    target[free] = found[: len(s[free])]
    total = target.sum()
    return target / total if total > 0.0 and np.isfinite(total) else None


def _line_search(px: Array, likelihood: Array, w: Array, target: Array, value: float) -> tuple[Array, float, bool]:
    for step in (1.0, 0.5, 0.25, 0.1, 0.03, 0.01):
        trial = (1.0 - step) * w + step * target
        z = trial @ likelihood
        if (z > _LEAST).all():
            new = -px @ np.log(z)
            if new < value:
                return trial, float(new), True
    return w, value, False


def fewest_atoms(problem: Problem, atoms: Atoms, beta: float, *, keep_rate: bool = False) -> Atoms:
    """The same optimum on at most n atoms (n + 1 with `keep_rate`), by Caratheodory's theorem.

    All weights with the same ``L w = Z`` have the same objective; non-negative least squares finds a basic one among them. On a
    straight piece of the curve such weights differ in rate, which `keep_rate` holds fixed by one more equation.
    """
    limit = problem.n + (1 if keep_rate else 0)
    if len(atoms) <= limit:
        return atoms
    terms = problem.log_terms(atoms, beta)
    top = terms.max(axis=0)
    likelihood = np.exp(terms - top)
    s = likelihood / (atoms.weights @ likelihood)
    system, right = s.T, np.ones(problem.n)
    if keep_rate:
        cost = np.where(s > 0.0, s * np.where(np.isfinite(terms), terms, 0.0), 0.0) @ problem.px
        scale = max(float(np.max(np.abs(cost))), 1e-300)
        system = np.concatenate([system, cost[None, :] / scale])
        right = np.append(right, atoms.weights @ cost / scale)
    try:
        weights, misfit = nnls(system, right)
    except RuntimeError:
        return atoms
    keep = weights > 1e-14 * weights.max(initial=0.0)
    return Atoms(weights, atoms.means, atoms.face).pick(keep).normalised() if misfit < 1e-9 and keep.any() else atoms
