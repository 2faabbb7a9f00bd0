"""One sweep of all solutions of a batch: two matrix products and one pass of exp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch
from dualib.engine.loading import compiled
from dualib.engine.problem import Ints, Jacobian, Problem, inner

_FAINT = 1e-300  # weights and sums that are divided by are at least this
_AT_ONCE = 1_000_000  # terms of points that are looked at together
_SAFE = 1e100  # Z relative to what it was, within which the exponentials neither overflow nor vanish


class Sweep:
    """One evaluation of all solutions of a batch, and where a Blahut-Arimoto step would lead.

    Attributes
    ----------
    V : (m, k)
        The links of the atoms.
    posterior : (m, n)
        p(t|x); exactly 0 at an infinite distance.
    log_z : (S, n), objective : (S,)
        log Z(x), offsets a(x) left out, and G in nats; inf where some source is infinitely far from every atom.
    c : (m,)
        The gradient function at the atoms, 1 at a stationary point: the new weight over the old.
    new_weights : (m,), new_means : (m, k)
        The atoms after the sweep.
    force : (m, 1 + k)
        Minus the gradient, in the relative weight and the mean of each atom: ``(c - 1, c (new_mean - mean))``.
    jacobian : Jacobian
    residual : (S,)
        Max over the atoms of ``|c - 1|`` and of the natural length ``sqrt(beta <dM, J dM>)`` of the mean's move; inf where the
        objective is.
    """

    posterior: Array
    log_z: Array
    _OF_SOLUTIONS = ("log_z", "objective", "residual")

    def __init__(self, problem: Problem, batch: Batch, near: Sweep | None = None) -> None:
        self.V, offset = problem.link(batch.means, batch.face)
        with np.errstate(all="ignore"):
            shift = np.log(batch.weights) - batch.b * offset
            self._exponentials(problem, batch, shift, near)
            self._sums(problem, batch)

    def _exponentials(self, problem: Problem, batch: Batch, shift: Array, near: Sweep | None) -> None:
        """Posterior and log Z; relative to the log Z of a sweep near by, where there is one, else to the largest term."""
        terms = problem.exponents(batch.b, self.V, batch.face)
        if near is None:
            terms += shift[:, None]
            shift, reference = np.zeros_like(shift), batch.highest(terms)
        else:
            reference = near.log_z
        z = np.empty((len(batch.beta), problem.n))
        compiled().posteriors(batch.ends, batch.owner, terms, shift, reference, z)
        if near is not None and not ((z > 1.0 / _SAFE) & (z < _SAFE)).all():
            self._exponentials(problem, batch, shift, None)
            return
        self.posterior, self.log_z = terms, np.log(z) + reference

    def _sums(self, problem: Problem, batch: Batch) -> None:
        self.objective: Array = batch.beta * problem.constant - problem.expectation(self.log_z)
        self.objective[~np.isfinite(self.objective)] = np.inf
        sums = problem.moments(self.posterior)
        self.jacobian: Jacobian = problem.jacobian(batch.means, batch.face)
        (self.new_weights, self.c), self.residual = np.empty((2, len(sums))), np.empty(len(batch.beta))
        self.new_means, self.force = np.empty_like(batch.means), np.empty_like(sums)
        where = (batch.ends, batch.beta, batch.weights, batch.means, sums, *self.jacobian, problem.fixed)
        compiled().forces(*where, self.new_weights, self.c, self.new_means, self.force, self.residual)
        self.residual[~np.isfinite(self.objective) | np.isnan(self.residual)] = np.inf

    def pick(self, which: Mask, rows: npt.NDArray) -> Sweep:
        """Of the solutions of a mask (S,), whose atoms are `rows`."""
        if which.all():
            return self
        new = object.__new__(Sweep)
        solutions = np.flatnonzero(which)
        for name, value in vars(self).items():
            part = solutions if name in self._OF_SOLUTIONS else rows
            setattr(new, name, value.pick(part) if isinstance(value, Jacobian) else value[part])
        return new

    def one(self, s: int, own: slice) -> Sweep:
        """Of solution s alone, whose atoms are `own`."""
        new = object.__new__(Sweep)
        for name, value in vars(self).items():
            if isinstance(value, Jacobian):
                setattr(new, name, Jacobian(*(part[own].copy() for part in value)))
            else:
                setattr(new, name, value[slice(s, s + 1) if name in self._OF_SOLUTIONS else own].copy())
        return new

    def replace(self, which: Mask, rows: npt.NDArray, other: Sweep) -> None:
        """Put another sweep, of as many atoms, in the place of some solutions."""
        for name, value in vars(self).items():
            part, new = which if name in self._OF_SOLUTIONS else rows, getattr(other, name)
            for whole, some in zip(value, new, strict=True) if isinstance(value, Jacobian) else ((value, new),):
                if len(whole):
                    whole[part] = some


def residuals(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """The residual by what a sweep truly moves, ``sqrt(beta <dM, dV>)``, (S,): the same at rest, and what is told of any state."""
    V = problem.link(sweep.new_means, batch.face)[0]
    length = batch.b * np.maximum(inner(sweep.new_means - batch.means, V - sweep.V), 0.0)
    found = batch.highest(np.maximum(np.abs(sweep.c - 1.0), np.sqrt(length)))
    return np.where(np.isfinite(sweep.objective) & ~np.isnan(found), found, np.inf)


def dual(batch: Batch, jacobian: Jacobian, step: Array) -> Array:
    """``(a, beta J m)`` of steps (a, m), a = dw / w and m = dM; the inner product of two steps is ``sum w <step, dual step'>``."""
    return np.hstack([step[:, :1], batch.b[:, None] * jacobian.times(step[:, 1:])])


def log_c(
    problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints
) -> tuple[Array, Array, Array, Array]:
    """The gradient function at points: log c (p,), V, where an ascent step leads, and the terms ``exp(-beta d) / Z`` (p, n).

    log c is NaN outside the domain of the link, and -inf where every source is infinitely far.
    """
    V, offset = problem.link(means, face)
    b = beta[owner]
    terms = problem.exponents(b, V, face)
    with np.errstate(all="ignore"):
        compiled().exponentials(owner, terms, -b * offset, log_z)
        sums, outside = problem.moments(terms), problem.outside(means, V)
        if outside.any():
            sums[outside] = np.nan
        new = sums[:, 1:] / sums[:, :1]
        return np.log(sums[:, 0]), V, new, terms


def ascent(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints) -> tuple[Array, Array, Array]:
    """The same without the terms, of some points at a time: log c (p,), V, and where an ascent step leads."""
    most = max(1, _AT_ONCE // problem.n)
    if len(means) <= most:
        return log_c(problem, beta, log_z, means, face, owner)[:3]
    value, V, new = np.empty(len(means)), np.empty_like(means), np.empty_like(means)
    for first in range(0, len(means), most):
        part = slice(first, first + most)
        value[part], V[part], new[part], _ = log_c(problem, beta, log_z, means[part], face[part], owner[part])
    return value, V, new


def second_moment(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints) -> Array:
    """``sum_x p(x) exp(-2 beta d(x, s)) / Z(x)^2`` at points, (p,): how c changes where one of them takes weight."""
    most, result = max(1, _AT_ONCE // problem.n), np.empty(len(means))
    for first in range(0, len(means), most):
        part = slice(first, first + most)
        terms = log_c(problem, beta, log_z, means[part], face[part], owner[part])[3]
        terms *= terms
        result[part] = problem.expectation(terms)
    return result
