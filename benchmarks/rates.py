"""`rho` of 100 count tables with zeros, against the rate at which plain sweeps in NumPy lose the error of a perturbed encoder.

    OPENBLAS_NUM_THREADS=1 python benchmarks/rates.py              # some minutes: where rho is 0.9999 there are 1e5 sweeps
    OPENBLAS_NUM_THREADS=1 python benchmarks/rates.py --first 3 --count 1

Counts are Poisson of a gamma rate (shape 1/2, scale 2), 10 to 60 x by 3 to 12 y; IB and dual IB by turns, beta from 1.1 times the
onset to 50. The solution's encoder is mixed with a random one and swept until it rests; its error is the total variation to where
it came to rest, averaged over p(x). The rate observed is the mean factor of one sweep while the error falls to 1e-11, from 1e-9,
where the slowest direction is left alone, and from 1e-4. Where few sweeps make that fall, what is left of the error is enlarged to
1e-4 and swept, forty times, and the last fall from 1e-4 counts for both. Exit code 1 where rho is more than 10% from either, unless
both are below 0.01 (the error is gone in one to three sweeps), where it is no number below 1, or where a cluster's stability number
is above 1 + 1e-6.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np
from sweeps import Sweeps, observed_rate

import dualib

FAST = 0.01  # two rates below this are one


def problem(seed: int) -> tuple[dualib.JointDistribution, str, float]:
    """The joint distribution, the distortion's name and the beta of a seed."""
    rng = np.random.default_rng(seed)
    n_x, n_y = int(rng.integers(10, 61)), int(rng.integers(3, 13))
    counts = rng.poisson(rng.gamma(0.5, 2.0, (n_x, n_y)))
    joint, kind = dualib.JointDistribution.from_counts(counts[counts.sum(axis=1) > 0]), ("ib", "dualib")[seed % 2]
    least = max(1.1 * dualib.onset(joint, kind), 0.5)
    return joint, kind, float(np.exp(rng.uniform(np.log(least), np.log(50.0))))


def main() -> int:
    """Measure, print, and say whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="how many tables")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    args = parser.parse_args()
    rows = []
    print("seed problem  x   y  beta     clusters  stability  rho         observed    from 1e-4")
    for seed in range(args.first, args.first + args.count):
        joint, kind, beta = problem(seed)
        solution = dualib.solve(joint, beta, kind)
        sweeps = Sweeps(joint, kind, beta, solution.decoder > 0.0)
        whole, observed = observed_rate(sweeps, solution.encoder[sweeps.live], np.random.default_rng(seed))
        rows.append((seed, solution.rho, observed, whole, solution.stability.max()))
        print(
            f"{seed:4d} {kind:7s} {joint.n_x:3d} {joint.n_y:3d}  {beta:7.4f}  {solution.n_clusters:8d}  {rows[-1][4]:9.6f}  "
            f"{solution.rho:.8f}  {observed:.8f}  {whole:.8f}",
            flush=True,
        )
    return report(np.array(rows))


def report(rows: np.ndarray) -> int:
    """Print the worst disagreements; 1 where one is above 10%."""
    seeds, rho, observed, whole, numbers = rows.T
    for name, rate in (("1e-9", observed), ("1e-4", whole)):
        off, slow = np.where(np.maximum(rho, rate) < FAST, 0.0, np.abs(rho / rate - 1.0)), (1.0 - rho) / (1.0 - rate)
        print(
            f"error from {name} to 1e-11: rho is off by {np.median(off):.1e} in the median, {np.quantile(off, 0.9):.1e} in one of "
            f"ten, at most {off.max():.1e} (seed {seeds[off.argmax()]:.0f}); 1 - rho is {slow.min():.3f} to {slow.max():.3f} of it"
        )
    print(f"largest rho {rho.max():.8f}, largest stability number {numbers.max():.8f}, of {len(rows)} tables")
    sound = (rho < 1.0) & (numbers <= 1.0 + 1e-6)
    for rate in (observed, whole):
        sound &= (np.abs(rho / rate - 1.0) <= 0.1) | (np.maximum(rho, rate) < FAST)
    print("all agree" if sound.all() else f"DISAGREE: seeds {seeds[~sound].astype(int).tolist()}")
    return int(not sound.all())


if __name__ == "__main__":
    sys.exit(main())
