"""Many solutions of one problem, each with its own beta, as one flat list of atoms; and the distances between these."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.loading import compiled
from dualib.engine.problem import Ints, Problem

# squared natural distance within which atoms are merged: always, where that is as low, and on the way from a rough start
EQUAL, SAME, COARSE = 1e-12, 1e-5, 0.1

_LARGE = 200_000  # numbers of an array from which on sums over atoms are taken solution by solution
_LEVEL = 1e-12  # of c, that is rounding
TWIN, NEARLY = 1e-6, 1e-3  # of a decoder, off the face of another of the same solution: next to nothing; of one that is stuck


class Batch:
    """The atoms of S solutions, sorted by the solution that owns them; every solution has at least one.

    Attributes
    ----------
    beta : (S,)
    weights : (m,)
        p(t), positive, summing to 1 in each solution.
    means : (m, k)
        The mean features M[t].
    owner, face : (m,) int
        The solution, and the number of the face in `Problem.faces` (0 where there are none).
    ends : (S + 1,) int, start : (S,) int
        The atoms of solution s are ``ends[s]`` to ``ends[s + 1]``; `start` are the first of them.
    b : (m,)
        The beta of each atom.
    """

    def __init__(self, beta: Array, weights: Array, means: Array, owner: Ints, face: Ints) -> None:
        self.beta, self.weights, self.means, self.owner, self.face = beta, weights, means, owner, face
        self.ends: Ints = np.zeros(len(beta) + 1, dtype=np.int64)
        np.cumsum(np.bincount(owner, minlength=len(beta)), out=self.ends[1:])
        self.start, self.b = self.ends[:-1], beta[owner]

    @property
    def counts(self) -> Ints:
        """The number of atoms of each solution, (S,)."""
        return np.diff(self.ends)

    def total(self, rows: Array) -> Array:
        """Sums over the atoms of each solution."""
        return self._reduced(np.add, rows)

    def highest(self, values: Array) -> Array:
        """The largest value among the atoms of each solution."""
        return self._reduced(np.maximum, values)

    def _reduced(self, of_two: np.ufunc, rows: Array) -> Array:
        """Over the atoms of each solution; `reduceat` goes down the columns, and through a large array so 20 times as slowly."""
        if rows.size < _LARGE:
            return np.asarray(of_two.reduceat(rows, self.start, axis=0))
        result = np.empty((len(self.beta), *rows.shape[1:]))
        for s in range(len(result)):
            of_two.reduce(rows[self.ends[s] : self.ends[s + 1]], axis=0, out=result[s, ...])
        return result

    def scale(self, rows: Array, factors: Array) -> None:
        """Multiply the rows of atoms (m, n) by those of their solutions (S, n), in place."""
        if rows.size < _LARGE:
            rows *= factors[self.owner]
            return
        for s, factor in enumerate(factors):
            rows[self.ends[s] : self.ends[s + 1]] *= factor

    def pick(self, which: Mask) -> tuple[Batch, Mask]:
        """The solutions of a mask (S,), and the mask of their atoms."""
        rows = which[self.owner]
        if which.all():
            return self, rows
        owner = (np.cumsum(which) - 1)[self.owner[rows]]
        return Batch(self.beta[which], self.weights[rows], self.means[rows], owner, self.face[rows]), rows

    def copied(self, which: Sequence[int] | Ints) -> tuple[Batch, Ints]:
        """Solutions by number, repeatedly perhaps, and the rows of their atoms."""
        which = np.asarray(which, dtype=np.int64)
        rows = np.concatenate([np.arange(self.ends[i], self.ends[i + 1]) for i in which])
        owner = np.repeat(np.arange(len(which)), self.counts[which])
        return Batch(self.beta[which], self.weights[rows], self.means[rows], owner, self.face[rows]), rows

    def one(self, s: int | np.integer) -> Batch:
        """One solution, whose arrays are parts of these: not to be written into."""
        own = slice(self.ends[s], self.ends[s + 1])
        owner = np.zeros(own.stop - own.start, dtype=np.int64)
        return Batch(self.beta[s : s + 1], self.weights[own], self.means[own], owner, self.face[own])

    def keep(self, rows: Mask) -> Batch:
        """The atoms of a mask, weights normalised."""
        if rows.all():
            return self.normalised()
        return Batch(self.beta, self.weights[rows], self.means[rows], self.owner[rows], self.face[rows]).normalised()

    def moved(self, weights: Array, means: Array) -> Batch:
        """The same atoms with other weights, which are normalised, and means."""
        new = copy.copy(self)
        new.weights, new.means = weights / self.total(weights)[self.owner], means
        return new

    def normalised(self) -> Batch:
        """The same with weights that sum to 1."""
        return self.moved(self.weights, self.means)

    def joined(self, weights: Array, means: Array, owner: Ints, face: Ints) -> Batch:
        """With more atoms."""
        return by_owner(
            self.beta,
            np.append(self.weights, weights),
            np.concatenate([self.means, means]),
            np.append(self.owner, owner),
            np.append(self.face, face),
        )


def moved(batch: Batch, beta: float | Array) -> Batch:
    """The same atoms at other betas (S,), or of one solution at another one."""
    return Batch(np.atleast_1d(beta), batch.weights, batch.means, batch.owner, batch.face)


def by_owner(beta: Array, weights: Array, means: Array, owner: Ints, face: Ints) -> Batch:
    """A batch of atoms in any order."""
    order = np.argsort(owner, kind="stable")
    return Batch(beta, weights[order], means[order], owner[order], face[order])


def in_order(parts: Sequence[tuple[Ints, Batch]]) -> Batch:
    """One batch of pairs (numbers, batch), by number."""
    rank = np.argsort(np.argsort(np.concatenate([numbers for numbers, _ in parts])))
    shift = np.cumsum([0] + [len(numbers) for numbers, _ in parts])
    owner = rank[np.concatenate([batch.owner + s for (_, batch), s in zip(parts, shift, strict=False)])]
    names = ("beta", "weights", "means", "face")
    beta, weights, means, face = (np.concatenate([getattr(batch, name) for _, batch in parts]) for name in names)
    return by_owner(beta[np.argsort(rank)], weights, means, owner, face)


def nearest(
    problem: Problem, batch: Batch, V: Array, owner: Ints, means: Array, point_V: Array, face: Ints
) -> tuple[Array, Ints]:
    """Of points the least squared natural distance ``beta <M' - M, V' - V>`` to an atom of their solution, and that atom.

    It is about ``beta <dM, J dM>``; infinite between different faces.
    """
    return compiled().nearest(batch.beta, batch.ends, batch.means, V, batch.face, owner, means, point_V, face, False)


def nearest_other(batch: Batch, V: Array) -> tuple[Array, Ints]:
    """The same from each atom to the others of its solution; inf where there are none on its face."""
    atoms = (batch.means, V, batch.face)
    return compiled().nearest(batch.beta, batch.ends, *atoms, batch.owner, *atoms, True)


def first_alike(
    problem: Problem, beta: Array, owner: Ints, means: Array, face: Ints, radius: float | Array, V: Array | None = None
) -> Ints:
    """Of each point the first of its solution within a squared natural distance (of each solution) that is such a first one.

    With their links V (p, k), where these are known.
    """
    V = problem.link(means, face)[0] if V is None else V
    return compiled().first_alike(beta, owner, means, V, face, np.broadcast_to(radius, beta.shape).astype(np.float64))


def distinct(
    problem: Problem, beta: Array, owner: Ints, means: Array, face: Ints, radius: float, V: Array | None = None
) -> Mask:
    """Which points, sorted by solution, are the first ones of their kind; with their links V (p, k), where these are known."""
    return first_alike(problem, beta, owner, means, face, radius, V) == np.arange(len(means))


def merged(problem: Problem, batch: Batch, radius: float | Array) -> Batch:
    """Atoms within a squared natural distance of an earlier one of their solution, on the same face, become one with it."""
    if problem.fixed:
        return batch
    into = first_alike(problem, batch.beta, batch.owner, batch.means, batch.face, radius)
    if (into == np.arange(len(into))).all():
        return batch
    order = np.argsort(into, kind="stable")
    begin = np.flatnonzero(np.diff(into[order], prepend=-1))
    weights = np.add.reduceat(batch.weights[order], begin)
    means = np.add.reduceat((batch.weights[:, None] * batch.means)[order], begin, axis=0) / weights[:, None]
    first = into[order][begin]
    return Batch(batch.beta, weights, means, batch.owner[first], batch.face[first])


@np.errstate(invalid="ignore")  # of what lies off a face
def across_faces(
    problem: Problem, batch: Batch, owner: Ints, means: Array, face: Ints, radius: Array, among: Mask | None = None
) -> Ints:
    """Of points (p, k) the atom of their solution (`among` some) that they are, but for the face; -1 where there is none.

    What one has off the other's face is nothing, by numbers, and on the common one they are within a squared natural distance (p,).
    """
    found = np.full(len(owner), -1)
    if problem.faces is None or len(np.union1d(batch.face, face)) <= 1:
        return found
    own, decoders = problem.decoder(batch.means, batch.face), problem.decoder(means, face)
    V, links = problem.link(batch.means, batch.face)[0], problem.link(means, face)[0]
    of_atoms, of_points = problem.faces.masks[batch.face], problem.faces.masks[face]
    for p, s in enumerate(owner):
        rows = np.arange(batch.ends[s], batch.ends[s + 1])
        rows = rows[(batch.face[rows] != face[p]) & (True if among is None else among[rows])]
        common = of_atoms[rows] & of_points[p]
        off = np.maximum((decoders[p] * ~of_atoms[rows]).sum(axis=1), (own[rows] * ~of_points[p]).sum(axis=1))
        moves = np.where(common, (batch.means[rows] - means[p]) * (V[rows] - links[p]), 0.0).sum(axis=1)
        same = rows[(off < TWIN) & (batch.beta[s] * moves < radius[p])]
        found[p] = same[0] if len(same) else -1
    return found


def without_twins(problem: Problem, batch: Batch, c: Array, radius: Array, off: float = TWIN) -> Batch:
    """Atoms of one decoder, within a squared natural distance (S,), whose faces differ, become one.

    They may have a mass `off` on what is not their common face. That of the larger c (m,) stays; of the same to rounding that on the
    face on which more is at a finite distance: the larger one for the IB, the smaller one for the dual IB.
    """
    faces = problem.faces
    if faces is None or (batch.face == batch.face[batch.start][batch.owner]).all():
        return batch
    weights, means, face = batch.weights.copy(), batch.means, batch.face
    decoders, V, keep = problem.decoder(means, face), problem.link(means, face)[0], np.ones(len(face), dtype=bool)
    masks = faces.masks[face]
    rank = masks.sum(axis=1) * (1.0 if faces.cover else -1.0)
    for s in range(len(batch.beta)):
        own = slice(batch.ends[s], batch.ends[s + 1])
        lies = decoders[own] @ masks[own].T.astype(np.float64) > 1.0 - off
        for pair in np.argwhere(np.triu(lies & lies.T & (face[own, None] != face[None, own]), 1)) + own.start:
            common = masks[pair[0]] & masks[pair[1]]
            distance = batch.beta[s] * ((means[pair[0]] - means[pair[1]]) * (V[pair[0]] - V[pair[1]]))[common].sum()
            if distance < radius[s] and keep[pair].all():
                by = rank if abs(c[pair[0]] - c[pair[1]]) < _LEVEL else c
                stays, goes = pair if by[pair[0]] > by[pair[1]] else pair[::-1]
                weights[stays] += weights[goes]
                keep[goes] = False
    return batch if keep.all() else Batch(batch.beta, weights[keep], means[keep], batch.owner[keep], face[keep])
