"""Which atoms of neighbouring solutions belong together: what has no partner has been born or has died in between."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import TWIN, Batch, nearest
from dualib.engine.problem import Ints, Problem
from dualib.path.branch import radius


def unmatched(problem: Problem, batch: Batch) -> tuple[Mask, Mask]:
    """Which atoms (m,) have no partner in the next solution, and in the one before; none where there is no such solution.

    Partners are nearest to each other, and no farther apart than atoms move between the two betas.
    """
    S, V = len(batch.beta), problem.link(batch.means, batch.face)[0]
    radii = radius(np.diff(np.log(batch.beta)))
    mates = []
    for way in (1, -1):
        rows = np.flatnonzero((batch.owner + way >= 0) & (batch.owner + way < S))
        owner = batch.owner[rows] + way
        mate = np.full(len(batch.weights), -1)
        distance, which = nearest(problem, batch, V, owner, batch.means[rows], V[rows], batch.face[rows])
        mate[rows] = np.where(distance < radii[np.minimum(owner, owner - way)], which, -1)
        mates.append(mate)
    own = np.arange(len(batch.weights))
    up, down = ((mine < 0) | (other[mine] != own) for mine, other in (mates, mates[::-1]))
    up, down = up & (batch.owner < S - 1), down & (batch.owner > 0)
    if problem.faces is not None and up.any():
        first = np.flatnonzero(up)
        points = batch.owner[first] + 1, batch.means[first], batch.face[first]
        second = across_faces(problem, batch, *points, radii[batch.owner[first]], down)
        up[first[second >= 0]] = down[second[second >= 0]] = False
    return up, down


@np.errstate(invalid="ignore")  # of what lies off a face
def across_faces(
    problem: Problem, batch: Batch, owner: Ints, means: Array, face: Ints, radius: Array, among: Mask | None = None
) -> Ints:
    """Of points (p, k) the atom of their solution that they are on another face, `among` some; -1 where there is none.

    What one has off the other's face is nothing, by numbers, and on the common one they are within a squared natural distance (p,).
    """
    found = np.full(len(owner), -1)
    if problem.faces is None:
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
