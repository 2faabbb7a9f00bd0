"""Batches to start from: the identity, the one cluster, somebody's encoder, random clusterings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualib.distortions import Array
from dualib.engine.batch import Batch, by_owner
from dualib.engine.problem import Ints, Problem
from dualib.labels import encoder_rows


def identity(problem: Problem, beta: npt.ArrayLike) -> Batch:
    """At each beta one atom per source, at its own conditional (or per column of a rate-distortion matrix): always feasible."""
    if problem.fixed:
        distinct = np.unique(problem.column_of)
        count = len(distinct)
        return _everywhere(beta, np.full(count, 1.0 / count), np.eye(problem.k)[distinct], np.zeros(count, dtype=np.int64))
    return _everywhere(beta, problem.px, problem.U, problem.source_face)


def one_cluster(problem: Problem, beta: npt.ArrayLike) -> Batch | None:
    """At each beta the one cluster of all sources; None where that is infeasible (dual IB, no common support)."""
    if problem.fixed:
        means, face = np.eye(problem.k)[[np.argmax(problem.px @ problem.U)]], np.zeros(1, dtype=np.int64)
    else:
        means, face, feasible = problem.centroids(problem.px[None, :])
        if not feasible.all():
            return None
    return _everywhere(beta, np.ones(1), means, face)


def of_atoms(problem: Problem, beta: npt.ArrayLike, weights: Array, means: Array, decoder: Array) -> Batch:
    """At each beta the clusters of a solution that is known; those without weight are left out."""
    live = weights > 0.0
    weights, means, decoder = weights[live], np.ascontiguousarray(means[live]), decoder[live]
    face = np.zeros(len(weights), dtype=np.int64) if problem.faces is None else problem.faces.numbers(decoder > 0.0)
    return _everywhere(beta, weights / weights.sum(), means, face)


def of_encoder(problem: Problem, beta: npt.ArrayLike, encoder: npt.ArrayLike, name: str) -> Batch:
    """At each beta the weights and centroids of an encoder (n_x, n_t), or of labels (n_x,); clusters without weight are left out.

    Raises
    ------
    ValueError
        A wrong shape, rows that are no distributions, or a cluster whose members share no support (dual IB).
    """
    rows = encoder_rows(encoder, problem.joint.n_x, problem.k if problem.fixed else None, name)
    pairs = reduced_pairs(problem, rows)
    if problem.fixed:
        if rows.shape[1] != problem.k:
            raise ValueError(f"{name} must have one column for each of the {problem.k} reproductions, got {rows.shape}")
        pairs = pairs @ np.eye(problem.k)[problem.column_of]
    weights = pairs.sum(axis=0)
    live = weights > 0.0
    if problem.fixed:
        means, face = np.eye(problem.k)[live], np.zeros(int(live.sum()), dtype=np.int64)
    else:
        means, face, feasible = problem.centroids(np.ascontiguousarray((pairs[:, live] / weights[live]).T))
        if not feasible.all():
            raise ValueError(f"{name}: a cluster joins conditionals without a common support, so its distortion is infinite")
    return _everywhere(beta, weights[live] / weights.sum(), means, face)


def reduced_pairs(problem: Problem, rows: Array) -> Array:
    """p(x, t) of the reduced sources (n, n_t), of an encoder of the original ones (n_x, n_t)."""
    live = problem.row_of >= 0
    pairs = np.zeros((problem.n, rows.shape[1]))
    np.add.at(pairs, problem.row_of[live], problem.joint.px[live, None] * rows[live])
    return pairs


def random_clusters(problem: Problem, beta: float, size: int, count: int, rng: np.random.Generator) -> Batch:
    """`count` solutions at one beta, of `size` atoms each: a random partition of the sources, leaning to sources drawn by p(x).

    Those of the dual IB whose members share no support are left out.
    """
    parts = [_random_members(problem, size, rng) for _ in range(count)]
    owner: Ints = np.repeat(np.arange(count), [len(part) for part in parts])
    if problem.fixed:
        means, face = np.concatenate(parts), np.zeros(len(owner), dtype=np.int64)
    else:
        means, face, feasible = problem.centroids(np.concatenate(parts))
        owner = owner[feasible]
    whole = np.unique(owner, return_inverse=True)[1]
    count = int(whole.max(initial=-1)) + 1
    shares = 1.0 / np.maximum(np.bincount(whole, minlength=count), 1)
    return by_owner(np.full(count, float(beta)), shares[whole], means, whole, face)


def _random_members(problem: Problem, size: int, rng: np.random.Generator) -> Array:
    """Members (size, n), or columns (size, k) of a rate-distortion matrix."""
    if problem.fixed:
        distinct = np.unique(problem.column_of)
        return np.asarray(np.eye(problem.k)[rng.choice(distinct, min(size, len(distinct)), replace=False)])
    chosen = rng.choice(problem.n, size, replace=False, p=problem.px)
    labels = rng.permutation(np.concatenate([np.arange(size), rng.integers(0, size, problem.n - size)]))
    members = np.zeros((size, problem.n))
    members[labels, np.arange(problem.n)] = problem.px
    members /= members.sum(axis=1, keepdims=True)
    members *= 0.5
    members[np.arange(size), chosen] += 0.5
    return members


def feasible(problem: Problem, batch: Batch) -> npt.NDArray[np.bool_]:
    """In which solutions every source is at a finite distance from some atom, (S,)."""
    allowed = problem.allowed(batch.face)
    if allowed is None:
        return np.ones(len(batch.beta), dtype=bool)
    return np.asarray(np.logical_or.reduceat(allowed, batch.start, axis=0).all(axis=1))


def _everywhere(beta: npt.ArrayLike, weights: Array, means: Array, face: Ints) -> Batch:
    """The same atoms at each beta."""
    betas = np.atleast_1d(np.asarray(beta, dtype=np.float64))
    S = len(betas)
    owner = np.repeat(np.arange(S), len(weights))
    return Batch(betas, np.tile(weights, S), np.tile(means, (S, 1)), owner, np.tile(face, S))
