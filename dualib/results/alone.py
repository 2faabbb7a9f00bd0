"""The public solution of one state that is no sweep of the engine: hard clusters, and those at alpha below 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from dualib.distortions.interface import Array
from dualib.encoders import indicators
from dualib.engine.batch import Batch
from dualib.engine.problem import Ints, Problem
from dualib.engine.stability import stability
from dualib.information.entropies import entropy_of, mutual_information_of
from dualib.results.solution import Solution, most_relevance, not_below
from dualib.results.status import Status

_DIGITS = 12  # of weights that are compared: the rest is rounding
_FEW = 4  # clusters at a time
_EPS = float(np.finfo(float).eps)


def solution_alone(
    problem: Problem,
    posterior: Array,
    means: Array,
    face: Ints,
    *,
    beta: float,
    alpha: float,
    bound: float,
    certificate: Any,
    status: Callable[[float], Status],
    n_iter: int = 0,
    residual: float = 0.0,
    beside: Mapping[str, Any] | None = None,
) -> Solution:
    """The solution with the encoder `posterior` (m, n) of the reduced sources, clusters by falling weight.

    Parameters
    ----------
    problem : Problem
    posterior : (m, n)
        Each cluster has some weight.
    means, face : (m, k), (m,)
        The centroids of `posterior`, or columns of a matrix.
    beta, alpha : float
        beta = inf for hard clusters whose objective is E d.
    bound : float
        A lower bound of the objective; -inf where none is known.
    certificate : str or None
    status : callable
        Of the gap.
    n_iter, residual : int, float
    beside : mapping, optional
        Further fields.
    """
    order = by_falling_weight(posterior @ problem.px)
    if (order != np.arange(len(order))).any():  # a copy may be large
        posterior, means, face = posterior[order], means[order], face[order]
    V, b = problem.link(means, face)
    expected, sizes = _expected(problem, posterior, V, b)
    encoder = _encoder(problem, posterior, V, b, face, beta, alpha)
    hard = alpha == 0.0 or math.isinf(beta)
    stability_of: Any = _hard_stability(problem, posterior)
    if not hard:
        stability_of = _stability(problem, posterior, means, face, beta / alpha)  # a function: dear, and seldom asked for
    del posterior, V
    joint = problem.joint
    relevance = _information(np.asarray((joint.pxy.T @ encoder).T))
    weights, decoder = encoder.T @ joint.px, problem.decoder(means, face)
    rate = entropy_of(weights) if hard else _rate(encoder, joint.px, weights)
    complexity = (1.0 - alpha) * entropy_of(weights) + alpha * rate
    objective = expected if math.isinf(beta) else complexity + beta * expected
    beside = dict(beside or {})
    beside["relevance_bound"] = not_below(beside.get("relevance_bound", most_relevance(joint, len(weights))), relevance)
    for array in (encoder, weights, decoder):  # the solution keeps these, not copies
        array.flags.writeable = False
    gap = max(objective - bound, _EPS * float(sizes) * (1.0 if math.isinf(beta) else beta))  # at least its own rounding
    return Solution(
        joint=joint,
        distortion=problem.distortion,
        beta=beta,
        alpha=alpha,
        encoder=encoder,
        weights=weights,
        means=means,
        decoder=decoder,
        objective=objective,
        rate=rate,
        relevance=relevance,
        expected_distortion=expected,
        decoder_information=mutual_information_of(decoder, weights / weights.sum()),
        gap=gap,
        certificate=certificate,
        status=status(gap),
        n_iter=n_iter,
        residual=residual,
        error_bound=0.0 if hard else math.inf,
        rho=0.0 if hard else math.inf,
        stability=stability_of,
        **beside,
    )


def hard_posterior(labels: Ints, size: int) -> Array:
    """The encoder (size, n) of hard clusters, transposed from one that a solution can keep without a copy."""
    encoder = indicators(labels, size)
    encoder.flags.writeable = False
    return encoder.T


def _expected(problem: Problem, posterior: Array, V: Array, b: Array) -> tuple[float, float]:
    """E d, and the sum of the sizes of its terms; a few clusters at a time, as the arrays may be large."""
    expected, sizes = problem.constant, float(np.abs(problem.px * problem.a).sum())
    for first in range(0, len(posterior), _FEW):
        some = slice(first, first + _FEW)
        pairs = posterior[some] * problem.px
        products = problem.sums(pairs)
        products *= V[some]
        offsets = pairs.sum(axis=1) * b[some]
        expected += float(offsets.sum() - products.sum())
        sizes += float(np.abs(offsets).sum() + np.abs(products).sum())
    return (0.0 if -_EPS * sizes < expected < 0.0 else expected), sizes


def by_falling_weight(weights: Array) -> Ints:
    """The order of clusters, of equal weights the first; to rounding."""
    return np.argsort(-np.round(weights, _DIGITS), kind="stable")


def _information(table: Array) -> float:
    """Of a table that sums to 1 but for rounding; it is overwritten."""
    table /= table.sum()
    return mutual_information_of(table)


def _encoder(problem: Problem, posterior: Array, V: Array, b: Array, face: Ints, beta: float, alpha: float) -> Array:
    """p(t|x) (n_x, m) of all sources; one of probability 0 is encoded by its conditional."""
    live = problem.row_of >= 0
    dead = np.flatnonzero(~live)
    if posterior.flags.f_contiguous and np.array_equal(problem.row_of, np.arange(problem.n)):
        return posterior.T
    encoder = np.empty((len(live), len(posterior)))
    for t, row in enumerate(posterior):  # no copy of all
        encoder[live, t] = row[problem.row_of[live]]
    if len(dead):
        if math.isinf(beta):
            terms = problem.terms_of(np.ones(len(b)), V, b, face, dead)
        else:
            weights = posterior @ problem.px
            terms = problem.terms_of(np.full(len(b), beta), V, b, face, dead) + np.log(weights)[:, None]
        encoder[dead] = chosen(terms, 0.0 if math.isinf(beta) else alpha)[0].T
    return encoder


def chosen(terms: Array, alpha: float) -> tuple[Array, Array]:
    """p(t|x) (m, n) prop. to ``exp(terms / alpha)``, at alpha = 0 the first of the largest, and ``alpha log sum_t`` of that, (n,).

    A column that is -inf throughout goes to the first cluster.
    """
    top = terms.max(axis=0)
    if alpha == 0.0:
        hard = np.zeros_like(terms)
        hard[np.argmax(terms, axis=0), np.arange(terms.shape[1])] = 1.0
        return hard, top
    finite = np.isfinite(top)
    shares = np.exp((terms - np.where(finite, top, 0.0)) / alpha)
    shares[0, ~finite] = 1.0
    total = shares.sum(axis=0)
    return shares / total, top + alpha * np.log(total)


def _rate(encoder: Array, px: Array, weights: Array) -> float:
    ratio = np.divide(encoder, weights, out=np.ones_like(encoder), where=encoder > 0.0)
    return max(0.0, float(np.einsum("xt,x->", encoder * np.log(ratio), px)))


def _hard_stability(problem: Problem, posterior: Array) -> Array:
    """Infinity for clusters of several x that differ, which any beta large enough would divide; 0 for others."""
    if problem.fixed:
        return np.zeros(len(posterior))
    return np.where(posterior.sum(axis=1) > 1.0, math.inf, 0.0)


def _stability(problem: Problem, posterior: Array, means: Array, face: Ints, beta: float) -> Callable[[], Array]:
    weights = posterior @ problem.px
    batch = Batch(np.array([beta]), weights, means, np.zeros(len(weights), dtype=np.int64), face)
    state: Any = SimpleNamespace(new_weights=weights, new_means=means, posterior=posterior)
    return lambda: stability(problem, batch, state)
