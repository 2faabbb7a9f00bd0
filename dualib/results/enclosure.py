"""Between the points of a curve: certified bounds of the optimal objective at every beta.

F(beta) is the least of functions linear in beta (one per encoder and decoder), so it is concave. The chords of the certified
lower bounds lie below it; each solution's own line, ``rate + beta E d``, lies above it. So does that of the solutions with a cap on
the clusters, or of an alpha below 1, where ``H(T) - alpha H(T|X)`` takes the place of the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dualib.distortions.interface import Array

if TYPE_CHECKING:
    from dualib.distortions.interface import Distortion
    from dualib.joint import JointDistribution
    from dualib.results.solution import Solution


@dataclass(frozen=True)
class Enclosure:
    """Bounds of F from solutions in ascending order of beta, all arrays (n,), nats."""

    beta: Array
    lower: Array
    rate: Array  # H(T) - alpha H(T|X)
    distortion: Array

    @classmethod
    def of(cls, solutions: Sequence[Solution]) -> Enclosure:
        """From solutions in ascending order of beta."""
        names = ("beta", "lower_bound", "complexity", "expected_distortion")
        return cls(*(np.array([getattr(solution, name) for solution in solutions]) for name in names))

    def bounds(self, beta: Array, least_distortion: float = 0.0) -> tuple[Array, Array]:
        """Lower and upper bounds of F at each beta.

        Beyond the ends the lower bound uses F(0) = 0 and that F rises at least by `least_distortion` per unit of beta, the
        expected distortion that no encoder goes below.
        """
        beta = np.asarray(beta, dtype=np.float64)
        upper = np.min(self.rate[:, None] + np.multiply.outer(self.distortion, beta).reshape(len(self.beta), -1), axis=0)
        knots = np.concatenate([[0.0], self.beta])
        lower = np.interp(beta.ravel(), knots, np.concatenate([[0.0], self.lower]))
        beyond = beta.ravel() > self.beta[-1]
        lower[beyond] += least_distortion * (beta.ravel()[beyond] - self.beta[-1])
        return lower.reshape(beta.shape), upper.reshape(beta.shape)

    def widths(self) -> Array:
        """The largest width of the enclosure inside each interval, (n - 1,): where the lines of its two ends cross, or at an end."""
        steps = np.diff(self.beta)
        slope = np.diff(self.lower) / steps
        fall = -np.diff(self.distortion)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(fall > 0.0, np.diff(self.rate) / fall, self.beta[:-1])
        crossing = np.clip(np.nan_to_num(crossing, nan=0.0), self.beta[:-1], self.beta[1:])
        upper = np.minimum(self.rate[:-1] + crossing * self.distortion[:-1], self.rate[1:] + crossing * self.distortion[1:])
        inside = upper - (self.lower[:-1] + slope * (crossing - self.beta[:-1]))
        ends = self.rate + self.beta * self.distortion - self.lower
        return np.maximum.reduce([inside, ends[:-1], ends[1:]])


def least_distortion(joint: JointDistribution, distortion: Distortion) -> float:
    """The expected distortion below which no encoder goes: 0 for a divergence, the nearest column's for a matrix."""
    if not distortion.fixed_atoms:
        return 0.0
    py_x = joint.py_x.toarray() if joint.is_sparse else joint.py_x
    features, offset = distortion.lift(py_x)
    return float(joint.px @ (offset - features.max(axis=1)))
