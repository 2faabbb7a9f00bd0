"""Batches to start from: the identity, the one cluster, somebody's encoder, random clusterings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualib.distortions.interface import Array
from dualib.encoders import encoder_rows
from dualib.engine.batch import COARSE, Batch, by_owner, in_order, merged
from dualib.engine.problem import Ints, Problem

_FIRST = 32  # sources that become the first clusters of a large problem
_SOFT = 0.5  # part of everything in each of them
_LITTLE = 1e-6  # part of everything in the clusters of an encoder, where all are on the face of everything


def rough(problem: Problem, beta: npt.ArrayLike, rng: np.random.Generator) -> Batch:
    """At each beta the identity, near sources merged; of a large problem a few sources drawn by p(x), and the one cluster."""
    if not problem.is_sparse:
        return merged(problem, identity(problem, beta), COARSE)
    return drawn(problem, beta, min(_FIRST, problem.most_atoms - 1), rng)


def drawn(problem: Problem, beta: npt.ArrayLike, size: int, rng: np.random.Generator) -> Batch:
    """At each beta sources drawn by p(x), softened, and the one cluster of everything; as many atoms as sources at most."""
    everything = problem.sums(problem.px[None, :])
    size = min(size, problem.n - 1)
    sources = rng.choice(problem.n, size, replace=False, p=problem.px) if size else np.zeros(0, dtype=np.int64)
    means = np.concatenate([softened(problem, sources, _SOFT, everything), everything])
    return _everywhere(beta, np.full(size + 1, 1.0 / (size + 1)), means, np.zeros(size + 1, dtype=np.int64))


def softened(problem: Problem, sources: npt.NDArray, share: float, everything: Array) -> Array:
    """Means (m, k) at sources, with a share of everything (1, k)."""
    return (1.0 - share) * problem.features(sources)[0] + share * everything


def identity(problem: Problem, beta: npt.ArrayLike) -> Batch:
    """At each beta one atom per source, at its own conditional (or per column of a rate-distortion matrix): always feasible."""
    if problem.fixed:
        distinct = np.unique(problem.column_of)
        count = len(distinct)
        return _everywhere(beta, np.full(count, 1.0 / count), np.eye(problem.k)[distinct], np.zeros(count, dtype=np.int64))
    return _everywhere(beta, problem.px, *problem.features())


def one_cluster(problem: Problem, beta: npt.ArrayLike) -> Batch | None:
    """At each beta the one cluster of all sources; None where that is infeasible (dual IB, no common support)."""
    if problem.fixed:
        means, face = np.eye(problem.k)[[np.argmax(problem.sums(problem.px[None, :])[0])]], np.zeros(1, dtype=np.int64)
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


def of_encoder(problem: Problem, beta: npt.ArrayLike, encoder: npt.ArrayLike, name: str, little: float = _LITTLE) -> Batch:
    """At each beta the weights and centroids of an encoder (n_x, n_t), or of labels (n_x,); clusters without weight are left out.

    Those of a large problem have a `little` of everything.

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
        if problem.is_sparse and problem.has_zeros:
            means = (1.0 - little) * means + little * problem.sums(problem.px[None, :])
    return _everywhere(beta, weights[live] / weights.sum(), means, face)


def reduced_pairs(problem: Problem, rows: Array) -> Array:
    """p(x, t) of the reduced sources (n, n_t), of an encoder of the original ones (n_x, n_t)."""
    live = problem.row_of >= 0
    pairs = np.zeros((problem.n, rows.shape[1]))
    np.add.at(pairs, problem.row_of[live], problem.joint.px[live, None] * rows[live])
    return pairs


def random_clusters(problem: Problem, beta: float, size: int, count: int, rng: np.random.Generator) -> Batch:
    """`count` solutions at one beta, of `size` atoms each: a random partition of the sources, leaning to sources drawn by p(x).

    Those of a large problem are a few sources drawn by p(x). Those of the dual IB whose members share no support are left out.
    """
    if problem.is_sparse:
        parts = [drawn(problem, beta, min(size, _FIRST, problem.most_atoms - 1), rng) for _ in range(count)]
        return in_order([(np.array([i]), part) for i, part in enumerate(parts)])
    members = [_random_members(problem, size, rng) for _ in range(count)]
    owner: Ints = np.repeat(np.arange(count), [len(part) for part in members])
    if problem.fixed:
        means, face = np.concatenate(members), np.zeros(len(owner), dtype=np.int64)
    else:
        means, face, feasible = problem.centroids(np.concatenate(members))
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
    lost = problem.lost(batch.face)
    if lost is None:
        return np.ones(len(batch.beta), dtype=bool)
    return np.asarray(~np.logical_and.reduceat(lost, batch.start, axis=0).any(axis=1))


def _everywhere(beta: npt.ArrayLike, weights: Array, means: Array, face: Ints) -> Batch:
    """The same atoms at each beta."""
    betas = np.atleast_1d(np.asarray(beta, dtype=np.float64))
    S = len(betas)
    owner = np.repeat(np.arange(S), len(weights))
    return Batch(betas, np.tile(weights, S), np.tile(means, (S, 1)), owner, np.tile(face, S))
