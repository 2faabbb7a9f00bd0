"""Nearly singular problems: smooth p(y|x), whose optimal clusters overlap so far that their places hardly matter.

    OPENBLAS_NUM_THREADS=1 python benchmarks/smooth.py               # a minute of CPU
    OPENBLAS_NUM_THREADS=1 python benchmarks/smooth.py --farther     # colours at 1.5 and 2 times the critical beta, too

The synthetic solid of 330 colours (`datasets.colour_solid`) near its critical beta, where languages are said to be, and Gaussian
grids of 100 x 100, each certified to 1e-6 nats. Prints the number of clusters, the certified gap, the residual, and CPU seconds.
"""

from __future__ import annotations

import argparse
import time

import dualib

TOL = 1e-6
COLOURS, FARTHER = (1.02, 1.04, 1.08, 1.15, 1.3), (1.5, 2.0)
GAUSSIANS = ((0.8, 4.0), (0.8, 10.0), (0.95, 10.0))  # correlation, beta


def row(name: str, joint: dualib.JointDistribution, beta: float, kind: str) -> None:
    """One line of the table."""
    began = time.process_time()
    found = dualib.solve(joint, beta, kind, tol=TOL, random_state=0)
    seconds = time.process_time() - began
    print(f"{name:32s} {beta:8.4f} {found.n_clusters:8d} {found.gap:9.1e} {found.residual:9.1e} {seconds:8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--farther", action="store_true")
    args = parser.parse_args()
    dualib.solve(dualib.datasets.toy(), 5.0)  # compiled, or read
    print(f"{'problem':32s} {'beta':>8s} {'clusters':>8s} {'gap':>9s} {'residual':>9s} {'CPU s':>8s}")
    colours = dualib.datasets.colour_solid().joint
    critical = dualib.onset(colours)
    for ratio in COLOURS + (FARTHER if args.farther else ()):
        row(f"330 colours, {ratio} x critical", colours, ratio * critical, "ib")
    for rho, beta in GAUSSIANS:
        for kind in ("ib", "dualib"):
            row(f"Gaussian grid, rho {rho}, {kind}", dualib.datasets.gaussian(100, rho), beta, kind)


if __name__ == "__main__":
    main()
