"""From the engine's batches to public solutions: sources put back, quantities computed, for many solutions at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.optimum import Optimum
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.rounding import rounding
from dualib.engine.stability import error_bound, linear_rate, stability
from dualib.engine.sweep import Sweep, residuals
from dualib.joint import JointDistribution
from dualib.results.solution import Solution, fresh_solution, most_relevance, not_below
from dualib.results.status import Status
from dualib.threads import one_blas_thread

_AT_ONCE = 2_000_000  # numbers of the encoders put together at once
_FEW_AT_ONCE = 300_000  # numbers of their parts


class Judged(NamedTuple):
    """What is known of the solutions of a batch: gaps (inf: none), kinds of certificates, sweeps taken, (S,) each."""

    gap: Array
    certificate: Sequence[Any]
    taken: Ints


def judged(found: Optimum) -> Judged:
    """Of certified optima."""
    return Judged(found.gap, found.kind.tolist(), found.taken)


def status_of(residual: float, gap: float, tol: float, *, certified: bool = True, capped: bool = False) -> Status:
    """What the residual and the gap that it states say of a solution; `capped`: by a cap on the clusters, which may cost some."""
    if residual > max(tol, 1e-11):
        return Status.MAX_ITER
    if capped:
        return Status.CAPPED
    if not certified:
        return Status.NOT_CERTIFIED
    return Status.CONVERGED if gap <= tol else Status.GAP_OPEN


def solutions_of(
    problem: Problem,
    batch: Batch,
    sweep: Sweep,
    known: Judged,
    tol: float,
    *,
    certified: bool = True,
    capped: bool = False,
    beside: Mapping[str, Any] | None = None,
) -> list[Solution]:
    """The public solutions of a batch: encoder of every x, its marginal and its centroids, clusters by falling weight.

    With further fields, `beside`, the same of all.
    """
    rows = max(1, _AT_ONCE // max(problem.joint.n_x, problem.joint.n_y))
    found: list[Solution] = []
    first = 0
    while first < len(batch.beta):  # as many as make up that many numbers, and at least one
        last = max(first + 1, int(np.searchsorted(batch.ends, batch.ends[first] + rows, side="right")) - 1)
        which = np.zeros(len(batch.beta), dtype=bool)
        which[first:last] = True
        part, atoms = batch.pick(which)
        some = Judged(known.gap[first:last], known.certificate[first:last], known.taken[first:last])
        judge = functools.partial(status_of, tol=tol, certified=certified, capped=capped)
        found += _assembled(problem, part, sweep.pick(which, atoms), some, judge, beside or {})
        first = last
    return found


def _assembled(
    problem: Problem,
    batch: Batch,
    sweep: Sweep,
    known: Judged,
    judge: Callable[[float, float], Status],
    beside: Mapping[str, Any],
) -> list[Solution]:
    joint = problem.joint
    encoders = _full_encoders(problem, batch, sweep)  # in the order of the batch, and to be normalised
    totals = batch.total(encoders)
    weights, rates, tables = _sums(joint, encoders, totals, batch.owner)
    rates = batch.total(rates)
    order = np.lexsort((-weights, batch.owner))
    weights, means, face = weights[order], sweep.new_means[order], batch.face[order]
    decoders = problem.decoder(means, face)
    expected, moved = expected_distortions(problem, batch, sweep), residuals(problem, batch, sweep)
    relevances = _informations(batch, tables)
    claimed = _informations(batch, weights[:, None] * decoders)
    rounded = rounding(problem, batch, sweep)
    for array in (weights, means, decoders):
        array.setflags(write=False)  # each solution has its part of them
    found = []
    for s, beta in enumerate(batch.beta.tolist()):
        own = slice(batch.ends[s], batch.ends[s + 1])
        encoder = _transposed(encoders, totals[s], order[own])
        rate, distortion, residual = max(0.0, float(rates[s])), float(expected[s]), float(moved[s])
        objective = rate + beta * distortion
        apart = float(objective - sweep.objective[s])  # two roundings of the same number, but for an encoder put back together
        gap = max(float(known.gap[s]) + max(0.0, apart - 2.0 * float(rounded[s])), float(rounded[s]))
        fields = {
            "joint": joint,
            "distortion": problem.distortion,
            "beta": beta,
            "encoder": encoder,
            "weights": weights[own],
            "means": means[own],
            "decoder": decoders[own],
            "objective": objective,
            "rate": rate,
            "relevance": float(relevances[s]),
            "expected_distortion": distortion,
            "decoder_information": float(claimed[s]),
            "gap": gap,
            "certificate": known.certificate[s],
            "status": judge(residual, gap),
            "n_iter": int(known.taken[s]),
            "residual": residual,
            "cap_cost": None if known.certificate[s] is None else 0.0,
            "relevance_bound": _relevance_bound(problem, beta, objective - gap, len(encoder[0])),
        }
        fields.update(beside)
        fields["relevance_bound"] = not_below(fields["relevance_bound"], fields["relevance"])
        found.append(fresh_solution(fields, _Later(problem, batch, s, order[own] - batch.ends[s]).fields()))
    return found


def _relevance_bound(problem: Problem, beta: float, bound: float, n_clusters: int) -> float:
    """The most that so many clusters can keep, by a lower bound of F(beta): of the IB they lose ``(F - log K) / beta`` at least."""
    lost = (bound - math.log(n_clusters)) / beta if type(problem.distortion) is IB else 0.0
    return most_relevance(problem.joint, n_clusters, lost)


def _sums(joint: JointDistribution, encoders: Array, totals: Array, owner: Ints) -> tuple[Array, Array, Array]:
    """p(t) (m,), ``sum_x p(x) p(t|x) log( p(t|x) / p(t) )`` (m,), and p(t, y) (m, n_y) of the clusters of a batch.

    Their encoders are normalised some at a time: they may be as large as the memory allows twice. Sums over x are not by BLAS, which
    rounds by its number of threads.
    """
    parts, some = [], max(1, _FEW_AT_ONCE // joint.n_x)
    for first in range(0, len(encoders), some):
        part = slice(first, first + some)
        rows = encoders[part] / totals[owner[part]]
        weights = np.einsum("tx,x->t", rows, joint.px)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(rows > 0.0, np.log(rows) - np.log(weights)[:, None], 0.0)
        table = (joint.pxy.T @ np.ascontiguousarray(rows.T)).T if joint.is_sparse else rows @ joint.pxy
        parts.append((weights, np.einsum("tx,x->t", rows * ratio, joint.px), table))
    weights, rates, tables = map(np.concatenate, zip(*parts, strict=True))
    return weights, rates, tables


def _transposed(encoders: Array, total: Array, which: Ints) -> Array:
    """The encoder (n_x, n_t) of some clusters, all of one solution; read-only."""
    encoder, some = np.empty((encoders.shape[1], len(which))), max(1, _FEW_AT_ONCE // len(which))
    for first in range(0, len(encoder), some):
        part = slice(first, first + some)
        encoder[part] = (encoders[which, part] / total[part]).T
    encoder.setflags(write=False)
    return encoder


def expected_distortions(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """E d (S,), of clusters at the weights and centroids of their sources: d is linear in the features, whose means tell all."""
    features = (sweep.posterior @ problem.pxU1)[:, 1:] if problem.fixed else sweep.new_weights[:, None] * sweep.new_means
    V, b = problem.link(sweep.new_means, batch.face)
    return problem.constant + batch.total(sweep.new_weights * b - inner(features, V))


def _informations(batch: Batch, tables: Array) -> Array:
    """The mutual information (S,) of the tables p(t, y) of all solutions, rows one after the other."""
    total = batch.total(tables.sum(axis=1))
    rows, columns = tables.sum(axis=1, keepdims=True), batch.total(tables)[batch.owner]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(tables) - np.log(rows) - np.log(columns)
        terms = np.where(tables > 0.0, tables * logs, 0.0).sum(axis=1)
    return np.maximum(batch.total(terms) / total + np.log(total), 0.0)


def _full_encoders(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """p(t|x) (m, n_x), but for the normalisation, of every original source: the posterior itself where these are all.

    One of probability 0 is encoded by its conditional. Where no cluster is at a finite distance from such a source its column is
    p(t), the answer that claims nothing about it.
    """
    live = problem.row_of >= 0
    if live.all() and len(live) == problem.n:
        return sweep.posterior
    encoders = np.tile(batch.weights[:, None], len(live))
    encoders[:, live] = sweep.posterior[:, problem.row_of[live]]
    dead = np.flatnonzero(~live)
    if len(dead):
        with np.errstate(all="ignore"):
            b = problem.link(batch.means, batch.face)[1]
            terms = problem.terms_of(batch.b, sweep.V, b, batch.face, dead) + np.log(batch.weights)[:, None]
            top = batch.highest(terms)
            near = np.isfinite(top)[batch.owner]
            encoders[:, dead] = np.where(near, np.exp(terms - top[batch.owner]), encoders[:, dead])
    return encoders


class _Later:
    """What is dear, and seldom asked for, of a solution: computed from its state in a batch when it is."""

    def __init__(self, problem: Problem, batch: Batch, s: int, order: npt.NDArray[np.intp]) -> None:
        self.problem, self._batch, self._s, self._order = problem, batch, s, order

    def fields(self) -> dict[str, Callable[[], Any]]:
        """The functions that compute them, by the names of the fields."""
        return {"error_bound": self._error_bound, "rho": lambda: self._rho, "stability": self._stability}

    def _state(self) -> tuple[Problem, Batch, Sweep]:  # made each time: it may be as large as the solution
        one = self._batch.one(self._s)
        return self.problem, one, Sweep(self.problem, one)

    @functools.cached_property
    @one_blas_thread
    def _rho(self) -> float:
        return linear_rate(*self._state())

    @one_blas_thread
    def _error_bound(self) -> float:
        return error_bound(float(residuals(*self._state())[0]), self._rho)

    @one_blas_thread
    def _stability(self) -> Array:
        return stability(*self._state())[self._order]
