"""Which atoms of neighbouring solutions belong together: what has no partner has been born or has died in between."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import TWIN, Batch, nearest
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
    for first, second in _across_faces(problem, batch, radii, up, down):
        up[first] = down[second] = False
    return up, down


@np.errstate(invalid="ignore")  # of what lies off a face
def _across_faces(problem: Problem, batch: Batch, radii: Array, up: Mask, down: Mask) -> list[tuple[int, int]]:
    """Pairs of atoms without a partner that are one on two faces: what one has off the other's is nothing, by numbers."""
    if problem.faces is None or not up.any():
        return []
    decoders, masks = problem.decoder(batch.means, batch.face), problem.faces.masks[batch.face]
    V, found = problem.link(batch.means, batch.face)[0], []
    for first in np.flatnonzero(up):
        others = np.flatnonzero(down & (batch.owner == batch.owner[first] + 1) & (batch.face != batch.face[first]))
        common = masks[first] & masks[others]
        off = np.maximum((decoders[first] * ~masks[others]).sum(axis=1), (decoders[others] * ~masks[first]).sum(axis=1))
        moves = np.where(common, (batch.means[others] - batch.means[first]) * (V[others] - V[first]), 0.0).sum(axis=1)
        near = (off < TWIN) & (batch.b[others] * moves < radii[batch.owner[first]])
        found += [(int(first), int(second)) for second in others[near][:1]]
    return found
