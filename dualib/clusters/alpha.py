"""Clusters at alpha below 1: the generalised Information Bottleneck of Strouse and Schwab (2017), for every distortion.

    min  H(T) - alpha H(T|X) + beta E d,      0 <= alpha <= 1,

is no convex problem over measures, for H(T) is concave in the encoder. A sweep (encoder, weights, centroids) lowers it:

    p(t|x)  prop. to  w_t^(1/alpha) exp(-beta d(x, r_t) / alpha),      at alpha = 0 a 1 at  argmin_t  beta d(x, r_t) - log w_t,

with the value ``beta sum_x p(x) a(x) - sum_x p(x) alpha log sum_t exp(terms / alpha)`` at any weights and decoders. A cluster does
not divide here but at a cost, and two of one decoder are better one: mergers that lower the objective are made as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dualib.clusters.merging import merged_soft
from dualib.distortions.interface import Array
from dualib.engine.batch import SAME, Batch, merged, moved
from dualib.engine.initial import feasible
from dualib.engine.problem import Problem, inner
from dualib.results.alone import chosen

_FAINT, _MAIN = 1e-14, 0.1  # weight of a cluster that is left out, unless it has that part of some source
_TRIED = 4  # sweeps between two steps that go on where the last ones led to
_LEAST = 1e-300
_ROUNDING = 1e-13  # part of 1 + |value| by which a value may rise
GLANCE, _FOLLOWED = 10, 4  # sweeps after which starts are compared, and how many are followed to their ends


class State(NamedTuple):
    """Clusters at an alpha.

    Attributes
    ----------
    batch : Batch
        One solution: weights and decoders.
    posterior : (m, n)
        The encoder that they make.
    value : float
        The objective, which the next sweep is not above.
    residual : float
        How far that sweep would move, as of `Sweep`.
    new : Batch
        Where it leads.
    taken : int
        Sweeps.
    """

    batch: Batch
    posterior: Array
    value: float
    residual: float
    new: Batch
    taken: int


def swept(problem: Problem, batch: Batch, alpha: float, taken: int = 0) -> State:
    """One sweep."""
    with np.errstate(all="ignore"):
        V, b = problem.link(batch.means, batch.face)
        terms = problem.terms(batch.b, V, b, batch.face) + np.log(batch.weights)[:, None]
        posterior, log_z = chosen(terms, alpha)
        value = float(batch.beta[0]) * problem.constant - float(problem.px @ log_z)
        if not np.isfinite(value):
            return State(batch, posterior, np.inf, np.inf, batch, taken)
        sums = problem.moments(posterior)
        weights, means = sums[:, 0], batch.means
        if not problem.fixed:
            means = np.where(sums[:, :1] > _LEAST, sums[:, 1:] / np.maximum(sums[:, :1], _LEAST), means)
        length = batch.b * np.maximum(inner(means - batch.means, problem.link(means, batch.face)[0] - V), 0.0)
        residual = float(np.max(np.maximum(np.abs(weights / batch.weights - 1.0), np.sqrt(length))))
    keep = (weights > _FAINT) | (posterior.max(axis=1) > _MAIN)
    new = Batch(batch.beta, np.maximum(weights, _LEAST), means, batch.owner, batch.face).keep(keep)
    return State(batch, posterior, value, np.inf if np.isnan(residual) else residual, new, taken + 1)


def at_rest(problem: Problem, batch: Batch, alpha: float, goal: float, most: int) -> State:
    """Sweeps to a residual, or so many of them; every few a longer step, where that leads lower (Varadhan and Roland 2008)."""
    state = swept(problem, merged(problem, batch, SAME), alpha)
    before: list[State] = []
    while state.residual > goal and state.taken < most and np.isfinite(state.value):
        before = [*before[-1:], state]
        state = swept(problem, state.new, alpha, state.taken)
        if len(before) == 2 and state.taken % _TRIED == 0 and alpha > 0.0:
            longer = _extrapolated(problem, *(one.batch for one in (*before, state)))
            if longer is not None:
                trial = swept(problem, longer, alpha, state.taken)
                if trial.value <= state.value + _ROUNDING * (1.0 + abs(state.value)):
                    state = trial
    while len(state.new.weights) < len(state.batch.weights):  # a cluster has just lost its weight
        state = swept(problem, state.new, alpha, state.taken)
    return state


def _extrapolated(problem: Problem, first: Batch, second: Batch, third: Batch) -> Batch | None:
    """Where sweeps that shrink at one rate would end; None where that is no state of the problem."""
    if not len(first.weights) == len(second.weights) == len(third.weights):
        return None
    logs = [np.column_stack([np.log(one.weights), one.means]) for one in (first, second, third)]
    step, turn = logs[1] - logs[0], logs[2] - 2.0 * logs[1] + logs[0]
    size = float(np.sum(turn * turn))
    if not size > 0.0:
        return None
    length = max(1.0, np.sqrt(float(np.sum(step * step)) / size))
    point = logs[0] + 2.0 * length * step + length**2 * turn
    weights = np.exp(point[:, 0] - point[:, 0].max())
    means = third.means if problem.fixed else problem.corrected(np.ascontiguousarray(point[:, 1:]))
    if problem.outside(means, problem.link(means, third.face)[0]).any():
        return None
    return Batch(third.beta, np.maximum(weights / weights.sum(), _LEAST), means, third.owner, third.face)


def best_state(
    problem: Problem, beta: float, alpha: float, n_clusters: int | None, starts: Sequence[Batch], goal: float, most: int
) -> State:
    """The lowest end of sweeps and mergers from `starts`, one solution each, of which one is feasible.

    Raises
    ------
    ValueError
        None is.
    """
    fine = [start for start in (moved(start, beta) for start in starts) if feasible(problem, start).all()]
    if not fine:
        raise ValueError("n_clusters: no feasible clustering was found: some x is infinitely far from every cluster")
    glanced = sorted((at_rest(problem, start, alpha, goal, GLANCE) for start in fine), key=lambda state: state.value)
    ends: list[State] = []
    for one in glanced[:_FOLLOWED]:
        state = one._replace(taken=0)
        while True:
            state = at_rest(problem, state.new, alpha, goal, most)
            fewer = _merged(problem, state, alpha, n_clusters)
            if fewer is None:
                break
            state = state._replace(new=fewer)
        ends.append(state)
    best = min(ends, key=lambda state: state.value)
    return best._replace(taken=sum(state.taken for state in (*glanced, *ends)))


def _merged(problem: Problem, state: State, alpha: float, n_clusters: int | None) -> Batch | None:
    """The clusters merged as long as that lowers the objective, and down to the cap; None where nothing is to be merged."""
    count = len(state.batch.weights)
    if problem.fixed:
        return _without_one(problem, state, alpha)
    most = count if n_clusters is None else n_clusters
    fewer = merged_soft(problem, state.batch.beta, state.posterior, 1, alpha=alpha, most=most)
    if len(fewer.weights) == count:
        return None
    return fewer if swept(problem, fewer, alpha).value < state.value - _ROUNDING * (1.0 + abs(state.value)) else None


def _without_one(problem: Problem, state: State, alpha: float) -> Batch | None:
    """The columns without the one that costs more than it brings; None where there is none."""
    count, least = len(state.batch.weights), state.value - _ROUNDING * (1.0 + abs(state.value))
    if count == 1:
        return None
    trials = [at_rest(problem, state.batch.keep(np.arange(count) != t), alpha, 0.0, GLANCE) for t in range(count)]
    best = min(trials, key=lambda trial: trial.value)
    return best.new if best.value < least else None
