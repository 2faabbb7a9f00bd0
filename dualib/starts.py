"""Where the search for points of c > 1 starts."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from scipy.special import expit

from dualib.ascent import log_c
from dualib.distortions import Array, Mask
from dualib.newton_kernels import ARITHMETIC
from dualib.problem import Atoms, Problem, distance_matrix, first_of_alike, join, natural_distance
from dualib.start_kernels import ALIKE, FEW, STAYS, TEMPER, TEMPERED_STEPS, TOO_FAR, pairs_drawn, starts_known

_ALL_SOURCES = 4  # times the effort: a quarter of it still starts from all
_BETWEEN_PER_ATOM = 2.0
_PAIRS_PER_SOURCE, _SUBSETS_PER_SOURCE = 1.0, 0.5
_PAIRS_LOOKED_AT = (
    4000  # at whose centroids c is computed, to start from the best of them; an eighth by a quarter of the effort
)
_BLOCK = 512  # of them at a time, which stay in the cache
_LEAST_GAIN = 1e-13  # of c off a face
# of a decoder: an atom that has come to such a face by sweeps is on it, though its own face is larger; both are looked at
_NOTHING = (1e-30, 1e-10)
_MOST_OFF_FACES = 200  # points beside atoms, off their faces


def starting_points(
    problem: Problem, beta: float, log_a: Array, atoms: Atoms, posterior: Array, rng: np.random.Generator, effort: float = 1.0
) -> Atoms:
    """The points from which the search starts, their number growing with n.

    Every source (by less effort than a quarter, some drawn at random) and the centroids of neighbouring atoms, which between them
    find nearly all there is to find; where the sources lead at a smaller beta; every atom; centroids of pairs of sources and of
    everything. Where p(y|x) has zeros also centroids of random subsets, and the sources softened by a little of everything: these
    lie on larger faces.
    """
    if problem.known is not None and problem.support is None:
        means = known_starts(problem, beta, log_a, atoms, posterior, rng, effort)
        return Atoms(np.zeros(len(means)), means, None)
    n = problem.n
    chosen, n_between, pairs, n_pairs = _drawn(n, len(atoms), rng, effort)
    members, neighbours = members_of(problem, posterior), _neighbours(problem, beta, atoms, n_between)
    sources = np.eye(n)[chosen]
    rows = [sources, problem.px[None, :], members, 0.5 * (members[neighbours[0]] + members[neighbours[1]])]
    if problem.support is not None:
        rows += [0.98 * sources + 0.02 * problem.px, _subsets(problem, rng, effort)]
    points = problem.atoms_from_members(np.concatenate(rows))
    points = join(points, _tempered(problem, beta, log_a, problem.atoms_from_members(sources)))
    return join(points, _best_pairs(problem, beta, log_a, *pairs, n_pairs)) if n > 1 else points


def known_starts(
    problem: Problem, beta: float, log_a: Array, atoms: Atoms, posterior: Array, rng: np.random.Generator, effort: float
) -> Array:
    """The means (m, k) of the same, by `dualib.start_kernels`, where no zero of p(y|x) matters."""
    chosen, n_between, pairs, n_pairs = _drawn(problem.n, len(atoms.weights), rng, effort)
    arrays = (
        problem.px,
        problem.U,
        problem.UT,
        log_a,
        chosen,
        problem.for_kernels(atoms)[1],
        problem.link(atoms)[0],
        posterior,
    )
    means: Array = starts_known(problem.known, beta, *arrays, n_between, *pairs, n_pairs)
    return means


def _drawn(
    n: int, n_t: int, rng: np.random.Generator, effort: float
) -> tuple[np.ndarray, int, tuple[np.ndarray, np.ndarray], int]:
    """Sources to start from; how many pairs of neighbouring atoms; pairs of sources to look at, and how many of these."""
    n_sources = min(n, max(int(_ALL_SOURCES * effort * n), FEW))
    chosen = _all_sources(n) if n_sources == n else np.sort(rng.choice(n, n_sources, replace=False))
    n_looked_at, n_pairs = _numbers_of_pairs(n, effort)
    pairs = _pairs_looked_at(n, rng, n_looked_at)
    return chosen, int(max(effort * _BETWEEN_PER_ATOM * n_t, FEW)), pairs, n_pairs


def starts_of_walk(n: int, n_betas: int, rng: np.random.Generator, effort: float) -> tuple[Any, ...]:
    """The same for `dualib.walk_kernels.walked_known`, from all sources: `sources` there, a row of random numbers for each beta."""
    n_looked_at, n_pairs = _numbers_of_pairs(n, effort)
    few = n * (n - 1) // 2 <= n_looked_at
    pairs = _all_pairs(n) if few else (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    draws = np.empty((1, 0)) if few else rng.random((n_betas, n_looked_at))
    return (_all_sources(n), *pairs, draws, effort * _BETWEEN_PER_ATOM, n_pairs)


def _numbers_of_pairs(n: int, effort: float) -> tuple[int, int]:
    """How many pairs of sources are looked at, drawn at random where there are more, and how many of them count."""
    part = effort * math.sqrt(effort)  # a whole search can afford many pairs, one of the many along a path cannot
    return max(int(part * _PAIRS_LOOKED_AT), 1), max(int(part * _PAIRS_PER_SOURCE * n), FEW)


@functools.lru_cache(maxsize=16)
def _all_sources(n: int) -> np.ndarray:
    return np.arange(n)


def _subsets(problem: Problem, rng: np.random.Generator, effort: float) -> Array:
    """Members (m, n) of random subsets of the sources."""
    n_subsets = int(effort * max(_SUBSETS_PER_SOURCE * problem.n, FEW))
    subset = (rng.random((n_subsets, problem.n)) < rng.uniform(0.05, 0.8, (n_subsets, 1))) * problem.px
    subset = subset[subset.sum(axis=1) > 0.0]
    return np.asarray(subset / subset.sum(axis=1, keepdims=True))


def _tempered(problem: Problem, beta: float, log_a: Array, starts: Atoms) -> Atoms:
    """Where ascent steps at a smaller beta lead from the sources: to clusters of several sources, far from each of them."""
    points = starts
    for step in range(TEMPERED_STEPS):
        before, points = points, problem.atoms_from_members(log_c(problem, TEMPER * beta, log_a, points)[1])
        if step == 0 and len(points) == len(starts):  # those that stay where they are
            points = points.pick(natural_distance(problem, beta, before, points) > STAYS)
        if step == TEMPERED_STEPS // 2 - 1:  # most have met by then, if they will
            points = first_of_alike(problem, beta, points, starts.pick(np.arange(0)), ALIKE)
        if not len(points):
            return points
    return first_of_alike(problem, beta, points, starts, ALIKE)


def _neighbours(problem: Problem, beta: float, atoms: Atoms, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The closest pairs of atoms, between which clusters are born: the indices of both."""
    first, second = np.triu_indices(len(atoms), 1)
    apart = distance_matrix(problem, beta, atoms, atoms)[first, second]
    if len(apart) > wanted:
        closest = np.sort(np.argpartition(apart, wanted)[:wanted])
        first, second, apart = first[closest], second[closest], apart[closest]
    near = apart < TOO_FAR
    return first[near], second[near]


def members_of(problem: Problem, posterior: Array) -> Array:
    """p(x|t), (n_t, n); p(x) for a cluster that no source goes to, as somebody's encoder may have at its own decoder."""
    pairs = posterior * problem.px
    total = pairs.sum(axis=1, keepdims=True)
    return np.divide(pairs, total, out=np.tile(problem.px, (len(pairs), 1)), where=total > 0.0)


@functools.lru_cache(maxsize=16)
def _all_pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(n, 1)
    return first, second


def _pairs_looked_at(n: int, rng: np.random.Generator, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of sources, drawn at random where there are more than `most`: the indices of both."""
    if n * (n - 1) // 2 <= most:
        return _all_pairs(n)
    first, second = pairs_drawn(n, rng.random(most))  # evenly spread, none twice
    return first, second


def _best_pairs(problem: Problem, beta: float, log_a: Array, first: np.ndarray, second: np.ndarray, n_pairs: int) -> Atoms:
    """The centroids of the pairs of sources at which c is largest."""
    share = expit(log_a[first] - log_a[second])
    found, values = [], []
    for begin in range(0, len(first), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        members = np.zeros((len(first[block]), problem.n))
        rows = np.arange(len(members))
        members[rows, first[block]] = share[block]
        members[rows, second[block]] = 1.0 - share[block]
        found.append(problem.atoms_from_members(members))
        values.append(log_c(problem, beta, log_a, found[-1])[0])
    points = functools.reduce(join, found)
    if len(points) <= n_pairs:
        return points
    return points.pick(np.argpartition(-np.concatenate(values), n_pairs)[:n_pairs])


def off_their_faces(problem: Problem, beta: float, log_a: Array, atoms: Atoms, members: Array) -> Atoms | None:
    """IB: beside each atom, the maximum of c just off its face towards each source that the face leaves out.

    At ``(1 - h) M_t + h p_x``, a mass ``e = h pi`` off the face, c is about ``(1 - e)^beta + A e^(beta pi)``, pi being the mass
    of p_x off the face. Where beta pi < 1 the second term rises with infinite slope, so the maximum is never on the face, but
    it may be at an e of 1e-8, where ascent steps from afar take long to come.
    """
    if problem.known != ARITHMETIC or atoms.face is None:
        return None
    found = [_off_faces(problem, beta, log_a, atoms, members, atoms.face & (atoms.means > nothing)) for nothing in _NOTHING]
    return functools.reduce(join, found)


def _off_faces(problem: Problem, beta: float, log_a: Array, atoms: Atoms, members: Array, face: Mask) -> Atoms:
    """The same, each atom being taken to lie on a face (n_t, n_y)."""
    t, x = np.nonzero(~problem.allowed(face))
    off = np.where(face[t], 0.0, problem.py_x[x])
    pi = off.sum(axis=1)
    with np.errstate(all="ignore"):
        on = np.where(face[t], problem.py_x[x] * np.log(atoms.means[t]), 0.0)
        on = np.where(problem.py_x[x] > 0.0, on, 0.0).sum(axis=1)
        inner = np.where(off > 0.0, off * np.log(off / pi[:, None]), 0.0).sum(axis=1)
        log_height = log_a[x] + beta * (on + inner)
        log_mass = (log_height + np.log(pi)) / (1.0 - beta * pi)
        gain = np.exp(log_height + beta * pi * log_mass) * (1.0 - beta * pi)
        keep = np.flatnonzero((beta * pi < 1.0) & (gain > _LEAST_GAIN) & (log_mass < np.log(0.5 * pi)))
    keep = keep[np.argsort(-gain[keep], kind="stable")[:_MOST_OFF_FACES]]
    rows = members[t[keep]]
    share = np.exp(log_mass[keep]) / pi[keep]
    rows *= 1.0 - share[:, None]
    rows[np.arange(len(keep)), x[keep]] += share
    return problem.atoms_from_members(rows, np.zeros(len(rows)))
