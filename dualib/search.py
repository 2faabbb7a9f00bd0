"""The search for points where c(s) exceeds 1.

``c(s) = sum_x p(x) exp(-beta d(x, s)) / Z(x)`` is the gradient function of the objective over measures on the simplex
(Lindsay 1983): a point with c > 1 is a cluster that would lower the objective, and ``log max c`` is the duality gap.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from dualib import kernels
from dualib.distortions import Array, Mask
from dualib.newton_kernels import ARITHMETIC
from dualib.problem import Atoms, Problem, distance_matrix, join, natural_distance
from dualib.search_kernels import AHEAD, FASTEST, LEAP, LONGEST, ascend_known, log_c_known, rise_known
from dualib.start_kernels import ALIKE, STAYS, TEMPER, TEMPERED_STEPS, starts_known

_ALL_SOURCES = 4  # times the effort: a quarter of it still starts from all, and from all faces
_BETWEEN_PER_ATOM, _TOO_FAR = 2.0, 64.0  # ... and squared natural distance of a pair between which none is born
_PAIRS_PER_SOURCE, _SUBSETS_PER_SOURCE = 0.5, 0.5
_FEW = 16
_FACES_PER_SOURCE = 12
_OF_OTHERS = (0.2, 1e-3)  # part of all sources that share a face, beside one of them
_PAIRS_LOOKED_AT = 2000  # at whose centroids c is computed, to start from the best of them
_BLOCK = 512  # of them at a time, which stay in the cache
_LEAST_GAIN = 1e-13  # of c off a face
# of a decoder: an atom that has come to such a face by sweeps is on it, though its own face is larger; both are looked at
_NOTHING = (1e-30, 1e-10)
_MOST_OFF_FACES = 200  # points beside atoms, off their faces
_CLIMBS = 6  # rounds of ascent
_NEWTON_STEPS = (1, 1, 2, 3, 5, 8, 12, 16)  # then, by rounds; what has not come to rest by then tells nothing of its maximum
_MOST_FINISHED = 256  # points after the first of these rounds, the best ones
_COARSE, _FINE = 1e-4, 1e-8  # squared natural distance within which points on the way up, and maxima, are one
_BASIN = 0.1  # squared natural distance at which a stable, stationary atom swallows a candidate, by (1 - its stability)^2
_STABLE = 0.3  # stability numbers that matter: below it they only make that radius smaller
_NEAR = 1e-3  # ... at most, where p(y|x) has zeros


@dataclass(frozen=True)
class Maxima:
    """Points found by the search (weights all 0) and the value log c at each, best first."""

    points: Atoms
    log_c: Array

    @property
    def best(self) -> float:
        """The largest log c found; -inf where no point was kept."""
        return float(self.log_c[0]) if len(self.log_c) else -np.inf


def starting_points(
    problem: Problem, beta: float, log_a: Array, atoms: Atoms, posterior: Array, rng: np.random.Generator, effort: float = 1.0
) -> Atoms:
    """The points from which the search starts, their number growing with n.

    Every source (by less effort than a quarter, some drawn at random) and the centroids of neighbouring atoms, which between them
    find nearly all there is to find; where the sources lead at a smaller beta; every atom; centroids of pairs of sources and of
    everything. Where p(y|x) has zeros also centroids of random subsets, and the sources softened by a little of everything: these
    lie on larger faces.
    """
    n = problem.n
    n_sources = min(n, max(int(_ALL_SOURCES * effort * n), _FEW))
    chosen = np.arange(n) if n_sources == n else np.sort(rng.choice(n, n_sources, replace=False))
    members = _members(problem, posterior)
    neighbours, pairs = _neighbours(problem, beta, atoms, effort), _pairs_looked_at(n, rng, effort)
    n_pairs = int(effort * max(_PAIRS_PER_SOURCE * n, _FEW))
    if problem.known is not None and problem.support is None:
        arrays = (problem.px, problem.U, problem.UT, log_a, chosen, members @ problem.U, *neighbours, *pairs)
        means = starts_known(problem.known, beta, *arrays, n_pairs)
        return Atoms(np.zeros(len(means)), means, None)
    sources = np.eye(n)[chosen]
    rows = [sources, problem.px[None, :], members, 0.5 * (members[neighbours[0]] + members[neighbours[1]])]
    if problem.support is not None:
        rows += [0.98 * sources + 0.02 * problem.px, _subsets(problem, rng, effort)]
    points = problem.atoms_from_members(np.concatenate(rows))
    points = join(points, _tempered(problem, beta, log_a, problem.atoms_from_members(sources)))
    return join(points, _best_pairs(problem, beta, log_a, *pairs, n_pairs)) if n > 1 else points


def _subsets(problem: Problem, rng: np.random.Generator, effort: float) -> Array:
    """Members (m, n) of random subsets of the sources."""
    n_subsets = int(effort * max(_SUBSETS_PER_SOURCE * problem.n, _FEW))
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
        if not len(points):
            return points
    close = distance_matrix(problem, beta, points, join(starts, points)) < ALIKE
    return points.pick(np.asarray(~np.tril(close, len(starts) - 1).any(axis=1)))


def _neighbours(problem: Problem, beta: float, atoms: Atoms, effort: float) -> tuple[np.ndarray, np.ndarray]:
    """The closest pairs of atoms, between which clusters are born: the indices of both."""
    first, second = np.triu_indices(len(atoms), 1)
    apart = distance_matrix(problem, beta, atoms, atoms)[first, second]
    wanted = int(max(effort * _BETWEEN_PER_ATOM * len(atoms), _FEW))
    if len(apart) > wanted:
        closest = np.sort(np.argpartition(apart, wanted)[:wanted])
        first, second, apart = first[closest], second[closest], apart[closest]
    near = apart < _TOO_FAR
    return first[near], second[near]


def _members(problem: Problem, posterior: Array) -> Array:
    """p(x|t), (n_t, n); p(x) for a cluster that no source goes to, as somebody's encoder may have at its own decoder."""
    pairs = posterior * problem.px
    total = pairs.sum(axis=1, keepdims=True)
    return np.divide(pairs, total, out=np.tile(problem.px, (len(pairs), 1)), where=total > 0.0)


def _pairs_looked_at(n: int, rng: np.random.Generator, effort: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of sources, many of them drawn at random where n is large: the indices of both."""
    first, second = np.triu_indices(n, 1)
    n_looked_at = max(int(effort * _PAIRS_LOOKED_AT), 1)
    if len(first) <= n_looked_at:
        return first, second
    drawn = rng.choice(len(first), n_looked_at, replace=False)
    return first[drawn], second[drawn]


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


def _on_every_face(problem: Problem, beta: float, log_a: Array, effort: float) -> Atoms | None:
    """The centroids of all sources that share a face, also leaning to each of them, for each face: those at which c is largest.

    On a smaller face more sources are at a finite distance, so c may be larger there, and no ascent leads from a face to another.
    """
    sharing = problem.sharing
    if sharing is None or effort == 0.0:
        return None
    rows = sharing * np.exp(log_a - log_a.max())
    rows = rows[rows.sum(axis=1) > 0.0]
    rows /= rows.sum(axis=1, keepdims=True)
    face, source = np.nonzero(rows)
    face, source = face[:_PAIRS_LOOKED_AT], source[:_PAIRS_LOOKED_AT]
    parts = [rows]
    for share in _OF_OTHERS:
        parts.append(share * rows[face])
        parts[-1][np.arange(len(face)), source] += 1.0 - share
    points = problem.atoms_from_members(np.concatenate(parts))
    kept = int(min(_ALL_SOURCES * effort, 1.0) * max(_FACES_PER_SOURCE * problem.n, 32))
    if len(points) <= kept:
        return points
    return points.pick(np.argpartition(-log_c(problem, beta, log_a, points)[0], kept)[:kept])


def _off_their_faces(problem: Problem, beta: float, log_a: Array, atoms: Atoms, members: Array) -> Atoms | None:
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


def log_c(problem: Problem, beta: float, log_a: Array, points: Atoms) -> tuple[Array, Array]:
    """Log c at each point (m,), and the weights over the sources of its ascent step (m, n)."""
    values = np.empty(len(points))
    if problem.known is not None:
        terms = np.empty((len(points), problem.n))
        _, *arrays = problem.for_kernels(points)
        log_c_known(problem.known, beta, problem.UT, log_a, *arrays, values, terms)
        return values, terms
    terms, work = problem.log_terms(points, beta), np.empty(problem.n)
    kernels.responsibility(terms, log_a, values, work)
    return values, terms


def search(
    problem: Problem,
    beta: float,
    atoms: Atoms,
    posterior: Array,
    log_z: Array,
    rng: np.random.Generator,
    *,
    effort: float = 1.0,
    extra: Atoms | None = None,
) -> Maxima:
    """Local maxima of log c away from the atoms, and the values on the atoms themselves, best first.

    Ascent steps (centroid under the weights of `log_c`, which never lower c) from many starts, extrapolated where that climbs
    further; candidates that come close to an atom, or to a better candidate, are dropped on the way; the rest is finished by
    Newton's method.
    """
    log_a = np.log(problem.px) - log_z
    if problem.distortion.fixed_atoms:
        columns = Atoms(np.zeros(problem.U.shape[1]), np.eye(problem.U.shape[1]), None)
        return by_height(columns, log_c(problem, beta, log_a, columns)[0])
    members = _members(problem, posterior)
    rates = beta * problem.stability(atoms, members, floor=_STABLE / beta)
    points = starting_points(problem, beta, log_a, atoms, posterior, rng, effort)
    off_faces = _off_their_faces(problem, beta, log_a, atoms, members)
    for more in (
        extra,
        _unstable_directions(problem, beta, atoms, members, rates),
        off_faces,
        _on_every_face(problem, beta, log_a, effort),
    ):
        if more is not None and len(more):
            points = join(points, more)
    points = Atoms(np.zeros(len(points)), points.means, points.face)
    stepped = Atoms(atoms.weights, members @ problem.U, atoms.face)
    stationary = natural_distance(problem, beta, atoms, stepped) < 1e-18  # otherwise it is no maximum, and hides none
    radius = np.where(stationary, np.maximum(_BASIN * np.maximum(1.0 - rates, 0.0) ** 2, 1e-7), 1e-14)
    if problem.support is not None:  # where c need not be smooth
        radius = np.minimum(radius, _NEAR)
    if off_faces is not None and len(off_faces):
        radius = np.minimum(radius, 0.1 * distance_matrix(problem, beta, off_faces, atoms).min(axis=0))
    points, heights = _finish(problem, beta, log_a, _climb(problem, beta, log_a, points, atoms, radius), atoms, radius)
    everything = join(Atoms(np.zeros(len(atoms)), atoms.means, atoms.face), points)
    with np.errstate(divide="ignore"):
        own = np.log(posterior @ problem.px / atoms.weights)
    return by_height(everything, np.concatenate([own, heights]))


def _climb(problem: Problem, beta: float, log_a: Array, points: Atoms, atoms: Atoms, radius: Array) -> Atoms:
    """Points some way up log c, best first, without those that come to an atom, or to another point, on the way."""
    if problem.known is not None:
        return _ascended(problem, beta, log_a, points, atoms, radius, leaps=_CLIMBS, steps=0, apart=_COARSE)[0]
    points = _off(problem, beta, points, atoms, radius)
    for round_ in range(_CLIMBS):
        points = _leap_ahead(problem, beta, log_a, points)
        points = _prune(problem, beta, log_a, points, atoms, radius, _COARSE)
        if round_ >= 2 and len(points) <= 8:
            break
    return points


def _ascended(
    problem: Problem,
    beta: float,
    log_a: Array,
    points: Atoms,
    atoms: Atoms,
    radius: Array,
    *,
    leaps: int,
    steps: int,
    apart: float,
) -> tuple[Atoms, Array]:
    """`dualib.search_kernels.ascend_known` on points: those left, and log c there."""
    _, *arrays = problem.for_kernels(points)
    _, atom_means, atom_face, _ = problem.for_kernels(atoms)
    common = (problem.known, beta, problem.U, problem.UT, log_a)
    means, heights, which = ascend_known(
        *common, *arrays, atom_means, problem.link(atoms)[0], atom_face, radius, leaps, steps, apart
    )
    return Atoms(points.weights[which], means, None if points.face is None else points.face[which]), heights


def _leap_ahead(problem: Problem, beta: float, log_a: Array, points: Atoms) -> Atoms:
    """Two ascent steps, then Aitken's extrapolation of their slowest mode where c is higher there."""
    values, members = log_c(problem, beta, log_a, points)
    alive = np.isfinite(values)
    points = points.pick(alive)
    once = Atoms(points.weights, members[alive] @ problem.U, points.face)
    twice = Atoms(points.weights, log_c(problem, beta, log_a, once)[1] @ problem.U, points.face)
    first, second = natural_distance(problem, beta, points, once), natural_distance(problem, beta, once, twice)
    rate = np.minimum(np.sqrt(second / np.maximum(first, 1e-300)), FASTEST)
    ahead = twice.means + (rate / (1.0 - rate))[:, None] * (twice.means - once.means)
    plain = log_c(problem, beta, log_a, twice)[0]
    values, members = log_c(problem, beta, log_a, Atoms(points.weights, ahead, points.face))
    near = (problem.support is not None) | ((rate / (1.0 - rate)) ** 2 * second <= AHEAD)
    climbs = near & (values >= plain)  # False where the extrapolation has left the domain
    return Atoms(points.weights, np.where(climbs[:, None], members @ problem.U, twice.means), points.face)


def by_height(points: Atoms, values: Array) -> Maxima:
    """Points and log c at each, best first."""
    order = np.argsort(-values, kind="stable")
    return Maxima(points.pick(order), values[order])


def _unstable_directions(problem: Problem, beta: float, atoms: Atoms, members: Array, rates: Array) -> Atoms | None:
    """Two starts beside each atom that is unstable, or nearly so, along its softest direction in the members' weights."""
    near = np.flatnonzero(rates > 0.9)
    if not len(near):
        return None
    tilts = softest_tilts(problem, atoms.pick(near), members[near])
    tilted = [members[near] * (1.0 + sign * tilts) for sign in (0.3, -0.3)]
    rows = np.stack(tilted, axis=1).reshape(2 * len(near), -1)[np.repeat(tilts.any(axis=1), 2)]
    return problem.atoms_from_members(rows / rows.sum(axis=1, keepdims=True)) if len(rows) else None


def softest_tilts(problem: Problem, atoms: Atoms, members: Array) -> Array:
    """Relative changes of the members p(x|t) along which each atom splits most easily, (n_t, n), the largest 1."""
    rows = problem.whitened(atoms)
    n, k = rows.shape[1:]
    scaled = rows * np.sqrt(members)[:, :, None]
    if k <= n:
        softest = np.linalg.eigh(np.matmul(scaled.transpose(0, 2, 1), scaled))[1][:, :, -1]
        tilts = np.matmul(rows, softest[:, :, None])[:, :, 0]
    else:
        tilts = np.linalg.eigh(np.matmul(scaled, scaled.transpose(0, 2, 1)))[1][:, :, -1]
        tilts = tilts / np.sqrt(np.maximum(members, 1e-300))
    tilts = np.where(members > 1e-12, tilts, 0.0)
    largest = np.max(np.abs(tilts), axis=1, keepdims=True)
    return np.asarray(np.divide(tilts, largest, out=np.zeros_like(tilts), where=largest > 0.0))


def _prune(problem: Problem, beta: float, log_a: Array, points: Atoms, atoms: Atoms, radius: Array, apart: float) -> Atoms:
    """Drop candidates that lie on an atom, or on a better candidate; the rest sorted by log c."""
    if not len(points):
        return points
    points = _off(problem, beta, points, atoms, radius)
    points = points.pick(np.argsort(-log_c(problem, beta, log_a, points)[0], kind="stable"))
    if len(points) > 2000:
        return points
    close = distance_matrix(problem, beta, points, points) < apart
    return points.pick(np.asarray(~np.tril(close, -1).any(axis=1)))


def _off(problem: Problem, beta: float, points: Atoms, atoms: Atoms, radius: Array) -> Atoms:
    """The points that lie on no atom."""
    return points.pick(np.asarray(~(distance_matrix(problem, beta, points, atoms) < radius).any(axis=1)))


def _finish(problem: Problem, beta: float, log_a: Array, points: Atoms, atoms: Atoms, radius: Array) -> tuple[Atoms, Array]:
    """The best candidates brought to their maxima by guarded Newton steps, without those that fall onto an atom; and log c there."""
    if problem.known is not None:
        options: dict[str, Any] = {"leaps": 0, "apart": _FINE}
        if len(points) > _MOST_FINISHED:
            points, _ = _ascended(problem, beta, log_a, points, atoms, radius, steps=1, **options)
            points = points.pick(np.arange(min(len(points), _MOST_FINISHED)))
        return _ascended(problem, beta, log_a, points, atoms, radius, steps=sum(_NEWTON_STEPS), **options)
    for round_, steps in enumerate(_NEWTON_STEPS):
        if not len(points):
            break
        if round_ > 0:
            points = points.pick(np.arange(min(len(points), _MOST_FINISHED)))
        before, points = points, rise(problem, beta, log_a, points, steps)[0]
        if np.max(natural_distance(problem, beta, before, points)) < 1e-18:
            break
        points = _prune(problem, beta, log_a, points, atoms, radius, _FINE)
    return points, log_c(problem, beta, log_a, points)[0]


def rise(problem: Problem, beta: float, log_a: Array, points: Atoms, steps: int) -> tuple[Atoms, Array]:
    """Points moved up log c by the centroid step, or further: by Newton's step or, where that fails, by longer and longer ones.

    Returns log c there too. No step may leap into another basin.
    """
    if not len(points):
        return points, np.empty(0)
    if problem.known is not None:
        _, *arrays = problem.for_kernels(points)
        means, values = rise_known(problem.known, beta, problem.U, problem.UT, log_a, *arrays, steps)
        return Atoms(points.weights, means, points.face), values
    values, q = log_c(problem, beta, log_a, points)
    factor = np.zeros(len(points))
    for _ in range(steps):
        plain = Atoms(points.weights, q @ problem.U, points.face)
        if np.max(natural_distance(problem, beta, points, plain)) < 1e-24:
            break
        longer = points.means + factor[:, None] * (plain.means - points.means)
        newton = newton_means(problem, beta, points, q, plain.means)
        ahead = Atoms(points.weights, np.where(factor[:, None] > 0.0, longer, newton), points.face)
        # one ascent step brings the points ahead, which may have left the domain, back to true means
        ahead = Atoms(points.weights, log_c(problem, beta, log_a, ahead)[1] @ problem.U, points.face)
        ahead_values, ahead_q = log_c(problem, beta, log_a, ahead)
        plain_values, plain_q = log_c(problem, beta, log_a, plain)
        better = (ahead_values >= plain_values) & (natural_distance(problem, beta, points, ahead) <= LEAP)
        factor = np.where(better, np.minimum(2.0 * factor, LONGEST), np.where(factor == 0.0, 4.0, 0.0))
        q = np.where(better[:, None], ahead_q, plain_q)
        climbed = np.where(better, ahead_values, plain_values)
        points = Atoms(points.weights, np.where(better[:, None], ahead.means, plain.means), points.face)
        if np.max(np.abs(climbed - values)) == 0.0:
            break
        values = climbed
    return points, values


def newton_means(problem: Problem, beta: float, points: Atoms, q: Array, plain: Array) -> Array:
    """Newton's step for the stationary points of log c: (I - beta Cov_q(U) J)^-1 (mean under q - M), point by point."""
    jacobian = problem.jacobian(points)
    centred = problem.U[None, :, :] - points.means[:, None, :]
    covariance = np.matmul((centred * q[:, :, None]).transpose(0, 2, 1), centred)
    system = np.eye(plain.shape[1]) - beta * np.matmul(covariance, jacobian)
    try:
        means = points.means + np.linalg.solve(system, (plain - points.means)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # a singular one among them: this time all take the plain step
        return plain
    usable = np.asarray(np.isfinite(means).all(axis=1))
    return np.where(usable[:, None], means, plain)
