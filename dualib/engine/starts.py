"""Where the search for points of c > 1 starts, for all solutions of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, distinct, nearest, nearest_other
from dualib.engine.initial import softened
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.sparse import SparseProblem
from dualib.engine.sweep import Sweep, ascent, heights

_TEMPERED, _ALIKE = 6, 0.1  # ascent steps at half the beta; squared natural distance within which their ends are one
# of the power method; stability number from which on an atom gets starts beside it, and from which on that is computed exactly
_POWER_STEPS, _TILT, _EXACT = 6, 0.6, 0.85
_FEW_FEATURES = 200  # up to which least stable directions are computed exactly
_ASIDE = (0.03, 0.1, 0.3, 0.6, 1.0)  # natural distances of these starts: clusters are born at any of them
_SOFTENED = 0.02  # part of everything in a source that is softened, onto the largest face
# of the starts of a large problem, the best in the end: that many times the sources are so many numbers, within bounds
_NUMBERS, _FEWEST_STARTS, _MOST_STARTS = 150_000, 64, 512
_LARGEST_SUBSET = 1000  # sources
_HALF = 0.5  # part of everything in a source that is softened more
_TOO_NEAR = 1e-2  # squared natural distance from an atom at which one of these starts is dropped
_HALVINGS = 3  # ascent steps after each of which half of these starts are left, at most
_SUBSETS_PER_SOURCE, _FEWEST_SUBSETS = 0.5, 16
_NEIGHBOURS, _FEWEST_PAIRS, _PAIRS_OF = 8, 8, 2  # of a source, whose pairs are looked at; pairs kept: so many, or a part of n
_LEAST_GAIN = 1e-13  # of c off a face
# of a mean: an atom that has come to a smaller face than its own by sweeps is looked at as on it, too
_NOTHING = (1e-30, 1e-10)
_MOST_OFF_FACES = 200  # points beside atoms, off their faces
_AT_ONCE = 500_000  # numbers of atoms and sources together
_LEAST = 1e-300


class Points(NamedTuple):
    """Points of the simplex over Y: means (p, k), faces (p,), and the solutions they belong to (p,)."""

    means: Array
    face: Ints
    owner: Ints

    def pick(self, rows: npt.NDArray) -> Points:
        """Those of a mask or an index."""
        return Points(self.means[rows], self.face[rows], self.owner[rows])


def stacked(parts: Iterable[Points]) -> Points:
    """All points, sorted by their solution."""
    all_ = Points(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return all_.pick(np.argsort(all_.owner, kind="stable"))


def for_each(problem: Problem, means: Array, face: Ints, count: int) -> Points:
    """The same points for each of `count` solutions."""
    return Points(np.tile(means, (count, 1)), np.tile(face, count), np.repeat(np.arange(count), len(means)))


def members_of(problem: Problem, sweep: Sweep) -> Array:
    """p(x|t), (m, n); p(x) for a cluster that no source goes to, as somebody's encoder may have at its own decoder."""
    pairs = sweep.posterior * problem.px
    total = pairs.sum(axis=1, keepdims=True)
    alone = total[:, 0] == 0.0
    pairs[alone], total[alone] = problem.px, 1.0
    pairs /= total
    return pairs


def columns(problem: Problem, count: int) -> Points:
    """All reproductions of a rate-distortion matrix, equal ones once, for each solution."""
    distinct = np.unique(problem.column_of)
    return for_each(problem, np.eye(problem.k)[distinct], np.zeros(len(distinct), dtype=np.int64), count)


def starting_points(
    problem: Problem, batch: Batch, sweep: Sweep, beside: Points, rng: np.random.Generator, effort: float
) -> tuple[Points, Points | None]:
    """All starts, and those among them just off the faces of atoms, which no radius may hide; of a large problem some.

    Every source, and where they go at half the beta; the middles of neighbouring atoms, and those of pairs of sources where c is
    largest; the centroid of everything. Where p(y|x) has zeros also what lies on other faces, which no ascent leads to.
    """
    if isinstance(problem, SparseProblem):
        points = sampled_points(problem, batch, sweep, beside, rng, effort)
        if not problem.has_zeros:
            return points, None
        small = off_small_entries(problem, batch, sweep)
        return stacked([points, small]), small
    S = len(batch.beta)
    sources = for_each(problem, *problem.features(), S)
    means, face, _ = problem.centroids(problem.px[None, :])
    parts = [sources, _tempered(problem, batch, sweep, sources), _middles(problem, batch, sweep), beside]
    parts.append(for_each(problem, means, face, S))
    if problem.n > 2:
        parts.append(_pairs(problem, batch, sweep, rng, effort))
    off = None
    if problem.faces is not None:
        parts.append(_on_other_faces(problem, S, rng, effort))
        off = off_their_faces(problem, batch, sweep)
        if off is not None:
            parts.append(off)
    return stacked(parts), off


def sampled_points(
    problem: Problem, batch: Batch, sweep: Sweep, beside: Points, rng: np.random.Generator, effort: float
) -> Points:
    """Starts of a large problem: where a few ascent steps lead from a bounded number of points, those of largest c.

    From sources of the largest own part of c and sources drawn by p(x), softened twice, and from random subsets; the middles of
    neighbouring atoms; everything.
    """
    n, most = problem.n, int(effort * min(max(_NUMBERS // problem.n, _FEWEST_STARTS), _MOST_STARTS))
    count = min(2 * most, n)
    everything = problem.sums(problem.px[None, :])
    chosen = rng.choice(n, count, replace=False, p=problem.px)
    subsets = problem.sums(_random_subsets(problem, count, rng))
    parts = [
        beside,
        _middles(problem, batch, sweep),
        for_each(problem, everything, np.zeros(1, dtype=np.int64), len(batch.beta)),
    ]
    for s, beta in enumerate(batch.beta):
        own = problem.log_px - sweep.log_z[s] + beta * problem.a
        sources = np.union1d(np.argpartition(-own, count - 1)[:count], chosen)
        means = [softened(problem, sources, share, everything) for share in (_SOFTENED, _HALF)] + [subsets]
        points = for_each(problem, np.concatenate(means), np.zeros(sum(map(len, means)), dtype=np.int64), 1)
        parts.append(_best_risen(problem, batch, sweep, points._replace(owner=points.owner + s), most))
    return stacked(parts)


def _best_risen(problem: Problem, batch: Batch, sweep: Sweep, points: Points, most: int) -> Points:
    """Where a few ascent steps lead from points of one solution, not to its atoms: those of largest c, each once."""
    _, _, new = ascent(problem, batch.beta, sweep.log_z, *points)
    for halving in reversed(range(_HALVINGS)):
        points = points._replace(means=new).pick(np.asarray(np.isfinite(new).all(axis=1)))
        value, V, new = ascent(problem, batch.beta, sweep.log_z, *points)
        distance, _ = nearest(problem, batch, sweep.V, points.owner, points.means, V, points.face)
        order = np.argsort(-value, kind="stable")
        order = order[distance[order] > _TOO_NEAR]
        points, new = points.pick(order), new[order]
        first = np.flatnonzero(distinct(problem, batch.beta, points.owner, points.means, points.face, _ALIKE))[
            : most << halving
        ]
        points, new = points.pick(first), new[first]
    return points._replace(means=new).pick(np.asarray(np.isfinite(new).all(axis=1)))


def off_small_entries(problem: SparseProblem, batch: Batch, sweep: Sweep) -> Points:
    """`off_their_faces` of a large problem: beside atoms whose mean has next to nothing of some y, towards sources that have it."""
    parts = []
    for s, beta in enumerate(batch.beta):
        own, log_a = slice(batch.ends[s], batch.ends[s + 1]), problem.log_px - sweep.log_z[s]
        means, V, most = batch.means[own], sweep.V[own], max(1, _AT_ONCE // problem.n)
        for nothing in _NOTHING:
            found = [
                _gains_off(problem, beta, log_a, means[first : first + most], V[first : first + most], nothing)
                for first in range(0, len(means), most)
            ]
            count = [len(gain) for gain, _, _, _ in found]
            gain, t, x, share = (np.concatenate(columns) for columns in zip(*found, strict=True))
            t = t + np.repeat(most * np.arange(len(found)), count)
            best = np.argsort(-gain, kind="stable")[:_MOST_OFF_FACES]
            t, x, share = t[best], x[best], share[best, None]
            points = (1.0 - share) * means[t] + share * problem.features(x)[0]
            parts.append(Points(points, np.zeros(len(t), dtype=np.int64), np.full(len(t), s)))
    return stacked(parts)


@np.errstate(all="ignore")
def _gains_off(
    problem: SparseProblem, beta: float, log_a: Array, means: Array, V: Array, nothing: float
) -> tuple[Array, Ints, Ints, Array]:
    """What c gains off small entries of atoms towards sources: the largest gains, with their atoms, sources and shares of these."""
    small = means <= nothing
    rows = np.flatnonzero(small.any(axis=1))
    off = small[rows].astype(np.float64)
    pi = problem.products(off)
    height = problem.products(np.where(small[rows], 0.0, V[rows]))  # of log c, at most; in place, as these are large
    height += problem.entropy_products(off)
    log_pi = np.log(pi)
    height -= pi * np.where(pi > 0.0, log_pi, 0.0)
    height *= beta
    height += log_a
    steep = beta * pi
    log_mass = (height + log_pi) / (1.0 - steep)
    gain = np.exp(height + steep * log_mass) * (1.0 - steep)
    row, x = np.nonzero((pi > 0.0) & (steep < 1.0) & (gain > _LEAST_GAIN) & (log_mass < np.log(0.5) + log_pi))
    gain = gain[row, x]
    best = np.argsort(-gain, kind="stable")[:_MOST_OFF_FACES]
    row, x = row[best], x[best]
    return gain[best], rows[row], x, np.exp(log_mass[row, x]) / pi[row, x]


def _random_subsets(problem: Problem, count: int, rng: np.random.Generator) -> Any:
    """Random subsets of two to a thousand sources, weighed by p(x), as the rows of a sparse array (count, n), which sum to 1."""
    sizes = np.minimum(np.geomspace(2, min(_LARGEST_SUBSET, problem.n + 1), count).astype(int), problem.n)
    columns = np.concatenate([rng.choice(problem.n, size, replace=False) for size in sizes])
    rows = np.repeat(np.arange(count), sizes)
    weights = problem.px[columns]
    return sparse.csr_array((weights / np.bincount(rows, weights)[rows], (rows, columns)), shape=(count, problem.n))


def _tempered(problem: Problem, batch: Batch, sweep: Sweep, points: Points) -> Points:
    """Where ascent steps at half the beta lead from the sources: to clusters of several sources, far from each of them."""
    # Z leaves out exp(-beta a), which counts half at half the beta
    log_z = sweep.log_z - 0.5 * batch.beta[:, None] * (problem.a - problem.a.max())
    for step in range(_TEMPERED):
        new = ascent(problem, 0.5 * batch.beta, log_z, *points)[2]
        fine = np.asarray(np.isfinite(new).all(axis=1))
        points = Points(new, points.face, points.owner).pick(fine)
        if step in (2, _TEMPERED - 1):  # most have met by then
            points = points.pick(distinct(problem, batch.beta, points.owner, points.means, points.face, _ALIKE))
    return points


def _middles(problem: Problem, batch: Batch, sweep: Sweep) -> Points:
    """The middles of each atom and its nearest: clusters are born between."""
    means, V = batch.means, sweep.V
    if problem.faces is not None:  # the natural distance says nothing across faces; that of Hellinger does
        means = V = np.sqrt(problem.decoder(batch.means, batch.face))
    alone = Batch(batch.beta, batch.weights, means, batch.owner, np.zeros_like(batch.face))
    distance, mate = nearest_other(alone, V)
    face, empty = problem.joined_faces(batch.face, batch.face[mate])
    middles = Points(0.5 * (batch.means + batch.means[mate]), face, batch.owner)
    between = np.isfinite(distance) & ~empty
    return middles.pick(np.flatnonzero(between))


def _pairs(problem: Problem, batch: Batch, sweep: Sweep, rng: np.random.Generator, effort: float) -> Points:
    """The middles of those pairs of sources at which c is largest: clusters of several are born far from each of them.

    Of the pairs that are neighbours, by Hellinger's distance, and of as many drawn at random.
    """
    n, S = problem.n, len(batch.beta)
    root = np.sqrt(problem.py_x)
    alike = root @ root.T - 2.0 * np.eye(n)
    mates = np.argsort(-alike, axis=1, kind="stable")[:, : min(_NEIGHBOURS, n - 1)]
    drawn = rng.integers(0, n, (int(effort * n * mates.shape[1] / 2), 2))
    first, second = np.concatenate([np.repeat(np.arange(n), mates.shape[1]), drawn[:, 0]]), np.append(mates, drawn[:, 1])
    pairs = np.unique(np.sort(np.stack([first, second], axis=1), axis=1), axis=0)
    members, rows = np.zeros((len(pairs), n)), np.arange(len(pairs))
    members[rows, pairs[:, 0]] = _HALF
    members[rows, pairs[:, 1]] += _HALF
    means, face, feasible = problem.centroids(members)
    if not feasible.any():
        return Points(means, face, face)
    value = heights(problem, batch.beta, sweep.log_z, *for_each(problem, means, face, S)).reshape(S, -1)
    kept = np.argsort(-value, axis=1, kind="stable")[:, : max(_FEWEST_PAIRS, n // _PAIRS_OF)]
    return Points(means[kept.ravel()], face[kept.ravel()], np.repeat(np.arange(S), kept.shape[1]))


def stability_numbers(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Array, Points]:
    """Of each atom beta lambda_max(Cov_t(U) J), from below where it is small; and points beside those that are nearly unstable."""
    main, least = (_extreme_members(problem, sweep, which) for which in (np.argmax, np.argmin))
    weights = np.maximum(sweep.new_weights, _LEAST)[:, None]
    way = problem.features(main)[0] - batch.means + 1e-3 * problem.features(least)[0]
    b = batch.b[:, None]
    for _ in range(_POWER_STEPS):
        ahead = b * sweep.jacobian.times(way)
        ahead /= np.sqrt(np.maximum(inner(ahead, way), _LEAST))[:, None]
        lean = problem.products(ahead)
        lean -= inner(ahead, batch.means)[:, None]
        lean *= sweep.posterior
        sums = problem.moments(lean) / weights
        way = sums[:, 1:] - sums[:, :1] * batch.means
    rate = np.sqrt(np.maximum(inner(b * sweep.jacobian.times(way), way), 0.0))
    tilt = np.flatnonzero(rate > _TILT)
    middle, owner, face = batch.means[tilt], batch.owner[tilt], batch.face[tilt]
    nearly = tilt[rate[tilt] > _EXACT]
    way /= np.maximum(rate, _LEAST)[:, None]
    if not (problem.is_sparse or problem.k > _FEW_FEATURES):
        exact, way[nearly] = _least_stable(problem, batch, sweep, nearly)
        rate[nearly] = np.maximum(exact, rate[nearly])
    way = way[tilt]
    steps = [sign * aside * way for aside in _ASIDE for sign in (1.0, -1.0)]
    sides = [middle + problem.within(middle, step) * step for step in steps]
    return rate, Points(np.concatenate(sides), np.tile(face, len(sides)), np.tile(owner, len(sides)))


def _least_stable(problem: Problem, batch: Batch, sweep: Sweep, atoms: Ints) -> tuple[Array, Array]:
    """The stability numbers of some atoms (p,), exactly, and their least stable directions (p, k) of natural length 1.

    Where a second direction is nearly as bad, powers come near the number, but not near enough to tell whether the atom divides.
    """
    number, way = np.zeros(len(atoms)), np.zeros((len(atoms), problem.k))
    at_once = max(1, _AT_ONCE // (problem.n * problem.k))
    for first in range(0, len(atoms), at_once):
        some = slice(first, first + at_once)
        t = atoms[some]
        pairs = sweep.posterior[t] * problem.px
        share = np.sqrt(pairs / np.maximum(pairs.sum(axis=1, keepdims=True), _LEAST))
        rows = np.where(share[:, :, None] > 0.0, problem.whitened(batch.means[t], batch.face[t]) * share[:, :, None], 0.0)
        rows[~np.isfinite(rows).all(axis=(1, 2))] = 0.0
        values, vectors = np.linalg.eigh(rows.transpose(0, 2, 1) @ rows)
        number[some] = batch.b[t] * values[:, -1]
        lean = (rows @ vectors[:, :, -1:])[:, :, 0] * share
        way[some] = lean @ problem.U - lean.sum(axis=1)[:, None] * batch.means[t]
        way[some] /= (np.sqrt(np.maximum(batch.b[t], _LEAST)) * np.maximum(values[:, -1], _LEAST))[:, None]
    return number, way


def _extreme_members(problem: Problem, sweep: Sweep, which: Callable[..., Any]) -> Ints:
    """The main member of each atom, or the least one, some atoms at a time."""
    posterior, most = sweep.posterior, max(1, _AT_ONCE // problem.n)
    parts = [which(posterior[first : first + most] * problem.px, axis=1) for first in range(0, len(posterior), most)]
    return np.concatenate(parts)


def _on_other_faces(problem: Problem, S: int, rng: np.random.Generator, effort: float) -> Points:
    """Sources softened by everything, and random subsets."""
    n = problem.n
    softened = (1.0 - _SOFTENED) * np.eye(n) + _SOFTENED * problem.px
    count = int(effort * max(_SUBSETS_PER_SOURCE * n, _FEWEST_SUBSETS))
    subsets = (rng.random((count, n)) < rng.uniform(0.05, 0.8, (count, 1))) * problem.px
    subsets = subsets[subsets.sum(axis=1) > 0.0]
    rows = np.concatenate([softened, subsets / subsets.sum(axis=1, keepdims=True)])
    means, face, _ = problem.centroids(rows)
    return for_each(problem, means, face, S)


def off_their_faces(problem: Problem, batch: Batch, sweep: Sweep) -> Points | None:
    """IB: beside each atom, the maximum of c just off its face towards each source that the face leaves out.

    At ``(1 - h) M_t + h p_x``, a mass ``e = h pi`` off the face, c is about ``(1 - e)^beta + A e^(beta pi)``, pi being the mass
    of p_x off the face. Where beta pi < 1 the second term rises with infinite slope, so the maximum is never on the face, but
    it may be at an e of 1e-8, where ascent steps from afar take long to come.
    """
    if type(problem.distortion) is not IB or problem.faces is None:
        return None
    members, masks = members_of(problem, sweep), problem.faces.masks[batch.face]
    parts = []
    for s in range(len(batch.beta)):
        own = slice(batch.ends[s], batch.ends[s + 1])
        for nothing in _NOTHING:
            face = masks[own] & (batch.means[own] > nothing)
            log_a = problem.log_px - sweep.log_z[s]
            rows = _off_faces(problem, batch.beta[s], log_a, batch.means[own], members[own], face)
            means, number, _ = problem.centroids(rows)
            parts.append(Points(means, number, np.full(len(means), s)))
    return stacked(parts)


def _off_faces(problem: Problem, beta: float, log_a: Array, means: Array, members: Array, face: Mask) -> Array:
    """The members (p, n) of the same for one solution, its atoms being taken to lie on faces (n_t, n_y)."""
    assert problem.faces is not None
    t, x = np.nonzero(~problem.faces.reached(face, problem.faces.support))
    off = np.where(face[t], 0.0, problem.py_x[x])
    pi = off.sum(axis=1)
    with np.errstate(all="ignore"):
        on = np.where(face[t], problem.py_x[x] * np.log(means[t]), 0.0)
        on = np.where(problem.py_x[x] > 0.0, on, 0.0).sum(axis=1)
        inside = np.where(off > 0.0, off * np.log(off / pi[:, None]), 0.0).sum(axis=1)
        log_height = log_a[x] + beta * (on + inside)
        log_mass = (log_height + np.log(pi)) / (1.0 - beta * pi)
        gain = np.exp(log_height + beta * pi * log_mass) * (1.0 - beta * pi)
        keep = np.flatnonzero((beta * pi < 1.0) & (gain > _LEAST_GAIN) & (log_mass < np.log(0.5 * pi)))
    keep = keep[np.argsort(-gain[keep], kind="stable")[:_MOST_OFF_FACES]]
    share = np.exp(log_mass[keep]) / pi[keep]
    rows = members[t[keep]] * (1.0 - share[:, None])
    rows[np.arange(len(keep)), x[keep]] += share
    return rows
