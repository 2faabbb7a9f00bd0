"""The search for points where c(s) exceeds 1.

``c(s) = sum_x p(x) exp(-beta d(x, s)) / Z(x)`` is the gradient function of the objective over measures on the simplex
(Lindsay 1983): a point with c > 1 is a cluster that would lower the objective, and ``log max c`` is the duality gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dualib.ascent import log_c, rise
from dualib.distortions import Array
from dualib.maxima_kernels import (
    BASIN,
    CLIMBS,
    COARSE,
    FINE,
    LEAST_RADIUS,
    MOST_FINISHED,
    NEARLY,
    NEWTON_STEPS,
    NO_RADIUS,
    STABLE,
    STATIONARY,
    TILT,
    maxima_known,
)
from dualib.problem import Atoms, Problem, distance_matrix, identity_atoms, join, natural_distance
from dualib.search_kernels import AHEAD, FASTEST, ascend_known
from dualib.starts import known_starts, members_of, off_their_faces, starting_points

_ROUNDS = (1, 1, 2, 3, 5, 8, 12, 16)  # NEWTON_STEPS, where they are made for all points at once
_NEAR = 1e-3  # squared natural distance at which an atom swallows a candidate, at most, where p(y|x) has zeros


@dataclass(frozen=True)
class Maxima:
    """Points found by the search (weights all 0) and the value log c at each, best first."""

    points: Atoms
    log_c: Array

    @property
    def best(self) -> float:
        """The largest log c found; -inf where no point was kept."""
        return float(self.log_c[0]) if len(self.log_c) else -np.inf


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
    log_a = problem.log_px - log_z
    if problem.distortion.fixed_atoms:
        columns = identity_atoms(problem)
        columns = Atoms(np.zeros(len(columns)), columns.means, None)
        return by_height(columns, log_c(problem, beta, log_a, columns)[0])
    posterior = np.require(posterior, requirements=["C", "W"])
    if problem.known is not None and problem.support is None:
        weights, own, _, _ = problem.for_kernels(atoms)
        arrays = (problem.px, problem.U, problem.UT, log_a, weights, own, problem.link(atoms)[0], posterior)
        starts = known_starts(problem, beta, log_a, atoms, posterior, rng, effort)
        hints = own[:0] if extra is None else problem.for_kernels(extra)[1]
        means, heights = maxima_known(problem.known, beta, *arrays, starts, hints)
        return Maxima(Atoms(np.zeros(len(means)), means, None), heights)
    points = starting_points(problem, beta, log_a, atoms, posterior, rng, effort)
    members = members_of(problem, posterior)
    rates = beta * problem.stability(atoms, members, floor=STABLE / beta)
    off_faces = off_their_faces(problem, beta, log_a, atoms, members)
    for more in (
        extra,
        _unstable_directions(problem, beta, atoms, members, rates),
        off_faces,
    ):
        if more is not None and len(more):
            points = join(points, more)
    points = Atoms(np.zeros(len(points)), points.means, points.face)
    stepped = Atoms(atoms.weights, members @ problem.U, atoms.face)
    stationary = natural_distance(problem, beta, atoms, stepped) < STATIONARY  # otherwise it is no maximum, and hides none
    radius = np.where(stationary, np.maximum(BASIN * np.maximum(1.0 - rates, 0.0) ** 2, LEAST_RADIUS), NO_RADIUS)
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
        return _ascended(problem, beta, log_a, points, atoms, radius, leaps=CLIMBS, steps=0, apart=COARSE)[0]
    points = _off(problem, beta, points, atoms, radius)
    for round_ in range(CLIMBS):
        points = _leap_ahead(problem, beta, log_a, points)
        points = _prune(problem, beta, log_a, points, atoms, radius, COARSE)
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
    common = (problem.known, beta, problem.UT, log_a)
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
    order = (-values).argsort(kind="stable")
    return Maxima(points.pick(order), values[order])


def _unstable_directions(problem: Problem, beta: float, atoms: Atoms, members: Array, rates: Array) -> Atoms | None:
    """Two starts beside each atom that is unstable, or nearly so, along its softest direction in the members' weights."""
    near = np.flatnonzero(rates > NEARLY)
    if not len(near):
        return None
    tilts = softest_tilts(problem, atoms.pick(near), members[near])
    tilted = [members[near] * (1.0 + sign * tilts) for sign in (TILT, -TILT)]
    rows = np.stack(tilted, axis=1).reshape(2 * len(near), -1)[np.repeat(tilts.any(axis=1), 2)]
    return problem.atoms_from_members(rows / rows.sum(axis=1, keepdims=True)) if len(rows) else None


def softest_tilts(problem: Problem, atoms: Atoms, members: Array) -> Array:
    """Relative changes of the members p(x|t) along which each atom splits most easily, (n_t, n), the largest 1."""
    rows = problem.whitened(problem.seen(atoms))
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
        options: dict[str, Any] = {"leaps": 0, "apart": FINE}
        if len(points) > MOST_FINISHED:
            points, _ = _ascended(problem, beta, log_a, points, atoms, radius, steps=1, **options)
            points = points.pick(np.arange(min(len(points), MOST_FINISHED)))
        return _ascended(problem, beta, log_a, points, atoms, radius, steps=NEWTON_STEPS, **options)
    for round_, steps in enumerate(_ROUNDS):
        if not len(points):
            break
        if round_ > 0:
            points = points.pick(np.arange(min(len(points), MOST_FINISHED)))
        before, points = points, rise(problem, beta, log_a, points, steps)[0]
        if np.max(natural_distance(problem, beta, before, points)) < 1e-18:
            break
        points = _prune(problem, beta, log_a, points, atoms, radius, FINE)
    return points, log_c(problem, beta, log_a, points)[0]
