"""One sweep of all solutions of a batch: two matrix products and one pass of exp."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch
from dualib.engine.loading import compiled
from dualib.engine.problem import Ints, Jacobian, Problem, inner

_FAINT = 1e-300  # weights and sums that are divided by are at least this
_AT_ONCE = 1_000_000  # terms of points that are looked at together
_HUGE = 1e300  # terms from here on would overflow
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
        compiled().exponentials(batch.owner, terms, shift, reference)
        z = batch.total(terms)
        if near is not None and not (z.min() > 1.0 / _SAFE and z.max() < _SAFE):
            self._exponentials(problem, batch, shift, None)
            return
        batch.scale(terms, 1.0 / z)
        self.posterior, self.log_z = terms, np.log(z) + reference

    def _sums(self, problem: Problem, batch: Batch) -> None:
        self.objective: Array = batch.beta * problem.constant - problem.expectation(self.log_z)
        self.objective[~np.isfinite(self.objective)] = np.inf
        sums = problem.moments(self.posterior)
        self.new_weights = sums[:, 0]
        self.new_means = batch.means
        if not problem.fixed:
            gone = self.new_weights < _FAINT
            self.new_means = sums[:, 1:] / np.maximum(sums[:, :1], _FAINT)
            self.new_means[gone] = batch.means[gone]
        self.c = self.new_weights / batch.weights
        self.force = np.hstack([(self.c - 1.0)[:, None], self.c[:, None] * (self.new_means - batch.means)])
        self.jacobian: Jacobian = problem.jacobian(batch.means, batch.face)
        move = self.new_means - batch.means
        length = batch.b * np.maximum(inner(move, self.jacobian.times(move)), 0.0)
        self.residual: Array = batch.highest(np.maximum(np.abs(self.c - 1.0), np.sqrt(length)))
        self.residual[~np.isfinite(self.objective) | np.isnan(self.residual)] = np.inf

    def pick(self, which: Mask, rows: npt.NDArray) -> Sweep:
        """Of the solutions of a mask (S,), whose atoms are `rows`."""
        if which.all():
            return copy.copy(self)
        new = object.__new__(Sweep)
        for name, value in vars(self).items():
            part = which if name in self._OF_SOLUTIONS else rows
            setattr(new, name, value.pick(part) if isinstance(value, Jacobian) else value[part])
        return new

    def replace(self, which: Mask, rows: npt.NDArray, other: Sweep) -> None:
        """Put another sweep, of as many atoms, in the place of some solutions."""
        if which.all():
            vars(self).update(vars(other))
            return
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

    log c is NaN outside the domain of the link, and -inf where every source is infinitely far. The terms of a point at which they
    overflow, far from the optimum at a large beta, are relative to the largest of them.
    """
    V, terms, largest = _terms(problem, beta, log_z, means, face, owner)
    with np.errstate(all="ignore"):
        sums = problem.moments(terms)
        sums[problem.outside(means, V)] = np.nan
        new = sums[:, 1:] / sums[:, :1]
        return np.log(sums[:, 0]) + largest, V, new, terms


def _terms(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints) -> tuple[Array, Array, Array]:
    """V of points, their terms (p, n), and the logarithm (p,) of what these are relative to."""
    V, offset = problem.link(means, face)
    shift = -beta[owner] * offset
    terms = problem.exponents(beta[owner], V, face)
    with np.errstate(all="ignore"):
        compiled().exponentials(owner, terms, shift, log_z)
        largest = np.zeros(len(means))
        if not terms.max(initial=0.0) < _HUGE:
            rows = np.flatnonzero(~(terms.max(axis=1) < _HUGE))
            above = problem.exponents(beta[owner[rows]], V[rows], face[rows]) + shift[rows, None] - log_z[owner[rows]]
            largest[rows] = above.max(axis=1)
            terms[rows] = np.exp(above - largest[rows, None])
    return V, terms, largest


def heights(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints) -> Array:
    """Log c alone at points inside the domain of the link, (p,): half of what an ascent step costs."""
    most, value = max(1, _AT_ONCE // problem.n), np.empty(len(means))
    for first in range(0, len(means), most):
        part = slice(first, first + most)
        _, terms, largest = _terms(problem, beta, log_z, means[part], face[part], owner[part])
        with np.errstate(divide="ignore"):
            value[part] = np.log(problem.expectation(terms)) + largest
    return value


def ascent(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints) -> tuple[Array, Array, Array]:
    """The same without the terms, of some points at a time: log c (p,), V, and where an ascent step leads."""
    most = max(1, _AT_ONCE // problem.n)
    value, V, new = np.empty(len(means)), np.empty_like(means), np.empty_like(means)
    for first in range(0, len(means), most):
        part = slice(first, first + most)
        value[part], V[part], new[part], _ = log_c(problem, beta, log_z, means[part], face[part], owner[part])
    return value, V, new


def second_moment(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, owner: Ints) -> Array:
    """``sum_x p(x) exp(-2 beta d(x, s)) / Z(x)^2`` at points, (p,), over c^2: how c changes where one of them takes weight."""
    most, result = max(1, _AT_ONCE // problem.n), np.empty(len(means))
    for first in range(0, len(means), most):
        part = slice(first, first + most)
        terms = log_c(problem, beta, log_z, means[part], face[part], owner[part])[3]
        terms /= problem.expectation(terms)[:, None]
        terms *= terms
        result[part] = problem.expectation(terms)
    return result
