"""The points of a curve on a large sparse problem: each as good as its neighbours' clusters make it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualib.engine.batch import Batch, moved
from dualib.engine.optimum import Optimum, certify
from dualib.engine.sweep import Sweep
from dualib.path.points import Point, Points, exchange
from dualib.results.assembly import Judged, solutions_of
from dualib.results.solution import Solution

_RISE = 1e-12  # of an objective, relative to 1 + |G|: rounding


class LargePoints(Points):
    """Certified solutions by beta of a problem that is kept sparse.

    Parameters
    ----------
    problem : Problem
    tol, max_iter, seed, report, record
        As of `Points`.
    """

    def solve(self, betas: npt.ArrayLike, *, rising: bool = False) -> None:
        """As of `Points`; then no encoder is better at a neighbouring beta than the one there."""
        super().solve(betas, rising=rising)
        exchange(self.betas, self._anew)

    def solutions(self) -> list[Solution]:
        """As of `Points`, one at a time: each has a large encoder."""
        for beta, point in self.found.items():
            if beta not in self._solutions:
                sweep = Sweep(self.problem, point.batch)
                known = Judged(np.array([point.gap]), [point.kind], np.array([point.taken]))
                (self._solutions[beta],) = solutions_of(self.problem, point.batch, sweep, known, self.tol)
        return [self._solutions[beta] for beta in self.betas]

    def _anew(self, of: float, at: float) -> bool:
        """Solve anew at a beta if another one's encoder is better there; whether that led lower."""
        start, lowest = moved(self.found[of].batch, at), self._objective(self.found[at].batch)
        if not self._objective(start) < lowest - _RISE * (1.0 + abs(lowest)):
            return False
        self._chunks += 1
        rng = np.random.default_rng([self._seed, self._chunks])
        found = certify(self.problem, start, tol=self.tol, most=self.max_iter, coarse=False, rng=rng)
        if not found.sweep.objective[0] < lowest:
            return False
        taken = self.found[at].taken + int(found.taken[0])
        self.found[at] = _point(found)._replace(taken=taken)
        return True

    def _objective(self, batch: Batch) -> float:
        return float(Sweep(self.problem, batch).objective[0])


def _point(found: Optimum) -> Point:
    return Point(found.batch, float(found.gap[0]), str(found.kind[0]), int(found.taken[0]))
