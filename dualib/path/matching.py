"""Which atoms of neighbouring solutions belong together: what has no partner has been born or has died in between."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Mask
from dualib.engine.batch import Batch, across_faces, nearest
from dualib.engine.problem import Problem
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
