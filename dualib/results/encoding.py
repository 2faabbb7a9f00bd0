"""Encoding of sources, seen in training or not, and prediction of y for them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import as_probability_rows, as_sparse_probability_rows, is_sparse, validate_choice
from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Distortion
from dualib.encoders import indicators
from dualib.engine.problem import reached
from dualib.memory import check_fits
from dualib.smoothed import Smoothed

if TYPE_CHECKING:
    from dualib.results.common import Assignment, DecoderKind
    from dualib.results.solution import Solution

_ROWS_AT_ONCE = 1024  # of a sparse table


def encode(solution: Solution, py_x: npt.ArrayLike | Smoothed, *, assignment: Assignment = "soft") -> Array:
    """``p(t|x) = w_t exp(-beta d(x, r_t)) / Z(x)`` of any sources, from their conditionals; at beta = inf 1 at the least d.

    At alpha below 1 this is to the power 1 / alpha, at alpha = 0 a 1 at the largest.

    Parameters
    ----------
    solution : Solution
    py_x : array_like, scipy.sparse matrix or `dualib.smoothed.Smoothed`, shape (m, n_y)
        Conditionals p(y|x), rows summing to 1. A row of zeros has no conditional: smooth or estimate it first.
    assignment : "soft" or "map"
        p(t|x) itself, or 1 at the likeliest cluster of each x (the first of equals) and 0 elsewhere.

    Returns
    -------
    ndarray, shape (m, n_t)

    Raises
    ------
    ValueError
        A wrong width, a row that is no distribution, or a row infinitely far from every cluster (its zeros forbid all of
        them): smooth it. Another `assignment`.
    """
    if math.isinf(solution.beta):  # hard clusters: the nearest one, whatever their weights
        even = np.full(solution.n_clusters, 1.0 / solution.n_clusters)
        return as_map(encode(dataclasses.replace(solution, beta=1.0, weights=even), py_x, assignment=assignment))
    validate_choice("assignment", assignment, ("soft", "map"))
    if isinstance(py_x, Smoothed):
        parts = (py_x[first : first + _ROWS_AT_ONCE].toarray() for first in range(0, py_x.shape[0], _ROWS_AT_ONCE))
        return np.concatenate([encode(solution, part, assignment=assignment) for part in parts])
    power = 1.0 / solution.alpha if solution.alpha > 0.0 else 1.0
    known = (solution.distortion, solution.beta, solution.weights, solution.means, solution.decoder)
    if is_sparse(py_x):
        encoder = _encode_sparse(*known, as_sparse_probability_rows("py_x", py_x, solution.joint.n_y), power)
    else:
        encoder = encode_rows(*known, as_probability_rows("py_x", py_x, solution.joint.n_y), power)
    return as_map(encoder) if assignment == "map" or solution.alpha == 0.0 else encoder


def predict_proba(
    solution: Solution,
    py_x: npt.ArrayLike | None = None,
    *,
    decoder: DecoderKind = "problem",
    assignment: Assignment = "soft",
) -> Array:
    """``p(y|x) = sum_t p(t|x) p(y|t)`` of any sources: the prediction through the clusters.

    Parameters
    ----------
    solution : Solution
    py_x : array_like, shape (m, n_y), optional
        Conditionals of the sources, rows summing to 1; None: those of training, by their encoder.
    decoder : "problem" or "bayes"
        p(y|t) that the distortion makes (for the dual IB the geometric mean of the members), or that of the true joint
        distribution (`bayes_decoder`). They are the same for the IB.
    assignment : "soft" or "map"
        Weigh the clusters by p(t|x), or take the likeliest cluster of each x.

    Returns
    -------
    ndarray, shape (m, n_y)
        Rows sum to 1.

    Raises
    ------
    ValueError
        As `encode`; another `decoder`.
    """
    validate_choice("decoder", decoder, ("problem", "bayes"))
    validate_choice("assignment", assignment, ("soft", "map"))
    if py_x is not None:
        encoder = encode(solution, py_x, assignment=assignment)
    else:
        encoder = as_map(solution.encoder) if assignment == "map" else solution.encoder
    prediction = encoder @ (solution.decoder if decoder == "problem" else bayes_decoder(solution))
    return np.asarray(prediction / prediction.sum(axis=1, keepdims=True))


def bayes_decoder(solution: Solution) -> Array:
    """``p(y|t) = sum_x p(x) p(t|x) p(y|x) / p(t)`` of the true joint distribution, (n_t, n_y): Bayes' rule.

    Of the IB it is the decoder itself; a cluster that no source is in (weight 0) keeps the decoder of the problem, or p(y) where
    that is no distribution over y.
    """
    joint = solution.joint
    pairs = np.asarray(joint.py_x.T @ (joint.px[:, None] * solution.encoder)).T
    weights = pairs.sum(axis=1, keepdims=True)
    spare = solution.decoder if solution.decoder.shape == pairs.shape else np.broadcast_to(joint.py, pairs.shape)
    return np.where(weights > 0.0, pairs / np.where(weights > 0.0, weights, 1.0), spare)


def encode_rows(
    distortion: Distortion, beta: float, weights: Array, means: Array, decoder: Array, rows: Array, power: float = 1.0
) -> Array:
    """p(t|x), (m, n_t), of conditionals `rows` (m, n_y), already checked, through given clusters, ``w exp(-beta d)`` to a power.

    Raises
    ------
    ValueError
        A row infinitely far from every cluster.
    """
    features, _ = distortion.lift(rows)
    faces = () if distortion.support is None else (decoder > 0.0,)
    with np.errstate(all="ignore"):
        V, b = distortion.link(means, *faces)
        terms = beta * (features @ V.T - b)
    if faces:
        terms[~reached(*faces, rows > 0.0, cover=distortion.support == "cover").T] = -np.inf
    return _normalised(terms, weights, power)


def _encode_sparse(
    distortion: Distortion, beta: float, weights: Array, means: Array, decoder: Array, rows: Any, power: float
) -> Array:
    """The same of CSR rows, which stay sparse for the IB, whose features they are."""
    if type(distortion) is not IB:
        check_fits(rows.shape[0], rows.shape[1], "the dense form of py_x")
        return encode_rows(distortion, beta, weights, means, decoder, rows.toarray(), power)
    V = np.ascontiguousarray(distortion.link(means, decoder > 0.0)[0].T)
    closed = np.ascontiguousarray((decoder <= 0.0).T, dtype=np.float64) if not decoder.all() else None
    terms = np.empty((rows.shape[0], len(weights)))
    for first in range(0, len(terms), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        near = beta * np.asarray(some @ V)
        if closed is not None:
            near[np.asarray((some != 0.0).astype(np.float64) @ closed) > 0.0] = -np.inf
        terms[first : first + _ROWS_AT_ONCE] = near
    return _normalised(terms, weights, power)


def _normalised(terms: Array, weights: Array, power: float) -> Array:
    """p(t|x) of ``-beta d`` (m, n_t), but for what depends on x alone."""
    with np.errstate(divide="ignore"):
        terms += np.log(weights)
    terms *= power
    top = terms.max(axis=1)
    if not np.isfinite(top).all():
        row = int(np.flatnonzero(~np.isfinite(top))[0])
        raise ValueError(f"py_x: row {row} is infinitely far from every cluster, for its zeros exclude all; smooth it first")
    encoder = np.exp(terms - top[:, None])
    return np.asarray(encoder / encoder.sum(axis=1, keepdims=True))


def as_map(encoder: Array) -> Array:
    """The hard assignment: 1 at the largest p(t|x) of each row, the first of equals."""
    return indicators(np.argmax(encoder, axis=1), encoder.shape[1])
