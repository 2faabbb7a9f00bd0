"""`ShardedSolution`: the clusters of a sharded table, and what they say of each shard."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np

from dualib.distortions.interface import Array
from dualib.distortions.rows import TINY
from dualib.results.status import Status
from dualib.sharded.joint import ShardedJoint, of_shard
from dualib.sharded.steps import Exponents, encoded, likeliest


@dataclass(frozen=True, eq=False, repr=False)
class ShardedSolution:
    """Clusters of a sharded table at one beta, of which nothing is certified.

    Attributes
    ----------
    joint : ShardedJoint
    beta : float
    weights : ndarray (n_t,)
        p(t).
    decoder : ndarray (n_t, n_y)
        p(y|t). With the weights it is all that there is of a solution: the encoder follows from it.
    objective, rate, relevance, expected_distortion : float
        I(X;T) + beta E d, I(X;T), I(T;Y) and E d = E KL(p(y|x) || p(y|t)), nats, of the encoder that `encoder` gives.
    relevance_bound : float
        The most that so many clusters can keep, min(log n_t, I(X;Y)), nats.
    gap : float
        inf: no bound on the distance to the optimum.
    certificate : None
    status : Status
        ``NOT_CERTIFIED`` where the residual is within `tol`, else ``MAX_ITER``.
    residual : float
        How far one more sweep would move, as of `dualib.Solution`.
    n_iter : int
        Sweeps.

    Examples
    --------
    >>> import dualib
    >>> letters = dualib.datasets.load_letters()
    >>> joint = dualib.sharded.ShardedJoint([lambda: letters.pxy[:13], lambda: letters.pxy[13:]])
    >>> solution = dualib.sharded.solve(joint, 10.0, 3)
    >>> solution.encoder(1).shape, solution.labels().shape, solution.relevance < solution.relevance_bound
    ((14, 3), (27,), True)
    """

    joint: ShardedJoint
    beta: float
    weights: Array
    decoder: Array
    objective: float
    rate: float
    relevance: float
    status: Status
    residual: float
    n_iter: int

    gap = math.inf
    certificate = None

    @property
    def n_clusters(self) -> int:
        """Their number; clusters whose decoders coincide are not joined."""
        return len(self.weights)

    @property
    def expected_distortion(self) -> float:
        """I(X;Y) - I(T;Y), nats."""
        return self.joint.mutual_information - self.relevance

    @property
    def relevance_bound(self) -> float:
        """See the class."""
        return min(math.log(self.n_clusters), self.joint.mutual_information)

    def encoder(self, shard: int) -> Array:
        """p(t|x) of the x of one shard, in the order of its rows, (m, n_t); computed where the shard is and sent here.

        An x without counts has the clusters that p(y) would have.

        Raises
        ------
        IndexError
            No such shard.
        """
        return np.asarray(of_shard(self.joint, shard, encoded, self._exponents(), self.joint.py))

    def labels(self, shard: int | None = None) -> np.ndarray:
        """The likeliest cluster of each x of one shard (m,), or of all x, (n_x,)."""
        if shard is not None:
            return np.asarray(of_shard(self.joint, shard, likeliest, self._exponents(), self.joint.py))
        return np.concatenate(self.joint.pool.each(likeliest, self._exponents(), self.joint.py))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write beta, weights and decoder as arrays of an .npz file: all that `solve` needs as `init` to go on from here."""
        with open(path, "wb") as file:
            np.savez(file, beta=self.beta, weights=self.weights, decoder=self.decoder)

    def _exponents(self) -> Exponents:
        return exponents_of(self.beta, self.weights, np.ascontiguousarray(self.decoder.T))

    def __repr__(self) -> str:
        return (
            f"ShardedSolution(beta = {self.beta:g}, {self.n_clusters} clusters of {self.joint.n_x} x: "
            f"rate {self.rate:.6g}, relevance {self.relevance:.6g} of {self.joint.mutual_information:.6g} nats; "
            f"{self.status.name} after {self.n_iter} sweeps, residual {self.residual:.1e})"
        )


def exponents_of(beta: float, weights: Array, means: Array) -> Exponents:
    """Clusters of weights (k,) and means (n_y, k) as a sweep needs them; a cluster without weight is out."""
    with np.errstate(divide="ignore"):
        shift = np.log(weights)
    return Exponents(shift, beta * np.log(np.maximum(means, TINY)))
