"""What distortions of one's own cost beside the IB: curves of 20 betas without events, of equal size, CPU time.

    OPENBLAS_NUM_THREADS=1 python benchmarks/custom.py

`own` is the IB written as a user would, with a Jacobian in full; the least of three runs each.
"""

from __future__ import annotations

import os
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from speed_cases import random_joint

import dualib

SIZES = ((60, 6), (100, 10), (200, 20))
BETAS = np.geomspace(0.5, 100.0, 20)


class Own(dualib.Distortion):
    """KL(p(y|x) || p(y|t)), for tables without zeros."""

    name = "own"

    def lift(self, py_x):
        """U = p(y|x), a = sum_y p log p."""
        return py_x, np.sum(py_x * np.log(py_x), axis=1)

    def link(self, means):
        """V = log M, b = 0."""
        return np.log(means), np.zeros(len(means))

    def decoder(self, means):
        """The means."""
        return means

    def link_jacobian(self, means):
        """diag(1 / M)."""
        return np.apply_along_axis(np.diag, 1, 1.0 / means)


def seconds(joint: dualib.JointDistribution, distortion: str | dualib.Distortion) -> float:
    """CPU seconds of a curve, the least of three."""
    found = []
    for _ in range(3):
        start = time.process_time()
        dualib.anneal(joint, distortion, BETAS, events=False)
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    """Print the table."""
    kinds = {"IB": "ib", "own": Own(), "dual IB": "dualib", "Alpha(0.5)": dualib.Alpha(0.5)}
    kinds["squared Euclidean"] = dualib.Bregman.squared_euclidean()
    print(f"{'n_x x n_y':12s}{'IB, s':>8s}" + "".join(f"{name:>20s}" for name in list(kinds)[1:]) + "   times the IB")
    for n_x, n_y in SIZES:
        joint = random_joint(n_x, n_y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dualib.ConvergenceWarning)
            spent = [seconds(joint, kind) for kind in kinds.values()]
        print(
            f"{f'{n_x} x {n_y}':12s}{spent[0]:8.3f}" + "".join(f"{other / spent[0]:20.1f}" for other in spent[1:]), flush=True
        )


if __name__ == "__main__":
    main()
