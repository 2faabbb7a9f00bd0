"""The stationarity of solved problems, evaluated in 50 digits by code that shares nothing with the package (tests/reference).

    python benchmarks/residual.py                # 2,000 problems, both distortions by turns: some minutes
    python benchmarks/residual.py -n 100         # a slice

n_x and n_y from 2 to 12, rows of p(y|x) from Dirichlet 0.05 to 5, beta from 1e-2 to 1e4. The residual is the largest of the relative
change of a weight and of the natural length of a decoder's move in one more sweep, from the encoder returned. An encoder in double
precision cannot do better than the rounding of beta d in its exponents, so it is shown relative to 1 + beta as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np
import reference

import dualib


def problem(number: int) -> tuple[dualib.JointDistribution, float, str]:
    """The joint distribution, beta and the distortion's name of a seeded problem."""
    rng = np.random.default_rng([7, number])
    n_x, n_y = (int(n) for n in rng.integers(2, 13, 2))
    py_x = rng.dirichlet(np.full(n_y, np.exp(rng.uniform(np.log(0.05), np.log(5.0)))), n_x)
    beta = float(10.0 ** rng.uniform(-2.0, 4.0))
    return (
        dualib.JointDistribution.from_conditionals(py_x, rng.dirichlet(np.full(n_x, 2.0))),
        beta,
        ("ib", "dualib")[number % 2],
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=2000, help="number of problems")
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    rows = []
    for number in range(options.first, options.first + options.n):
        joint, beta, kind = problem(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dualib.ConvergenceWarning)  # what was missed is in the table
            solution = dualib.solve(joint, beta, kind)
        residual = float(reference.residual(kind, joint.pxy, solution.encoder, beta))
        rows.append((beta, residual, residual / (1.0 + beta), solution.gap))
        if rows[-1][2] > 1e-12:
            print(f"  no. {number}: {kind}, {joint.n_x} x {joint.n_y}, beta {beta:.4g}, residual {residual:.1e}", flush=True)
    beta, residual, relative, gap = np.array(rows).T
    print(f"{len(rows)} problems from no. {options.first}")
    print(f"{'beta':>16s}{'problems':>10s}{'largest residual':>18s}{'over 1 + beta':>15s}")
    for low in range(-2, 4):
        own = (beta >= 10.0**low) & (beta < 10.0 ** (low + 1))
        if own.any():
            print(f"{f'1e{low} to 1e{low + 1}':>16s}{own.sum():10d}{residual[own].max():18.1e}{relative[own].max():15.1e}")
    print(f"residual over 1 + beta above 1e-12: {(relative > 1e-12).sum()}; residual above 1e-12: {(residual > 1e-12).sum()}")
    print(f"gap above 1e-9: {(gap > 1e-9).sum()}, largest {gap.max():.1e}")


if __name__ == "__main__":
    main()
