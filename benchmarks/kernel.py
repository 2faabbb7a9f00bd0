"""The time of one sweep beside its floor: two matrix products and one pass of exp, of the same shapes.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kernel.py
    OPENBLAS_NUM_THREADS=1 python benchmarks/kernel.py --profile   # where the rest of the sweep goes

The two are measured by turns, in CPU time, and the least of each counts. The products are NumPy's with `out=`, the exp is
`numpy.exp` with `out=`: nothing is allocated in the floor. The chain of sweeps is real: each starts where the last one ended.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.batch import Batch
from dualib.engine.descent import swept
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

# n_x, n_y, n_t, solutions in the batch
SHAPES = ((200, 50, 20, 1), (200, 50, 20, 20), (1000, 100, 50, 1), (20, 10, 5, 1), (20, 10, 5, 50))
BETA = 5.0


def chain(n_x: int, n_y: int, n_t: int, count: int, kind: str) -> Callable[[], None]:
    """A function that makes the next sweep of so many solutions of a problem."""
    rng = np.random.default_rng([n_x, n_y, n_t])
    joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x))
    problem = Problem(joint, as_distortion(kind))
    members = rng.dirichlet(np.ones(n_x), n_t * count)
    means, face, _ = problem.centroids(members)
    batch = Batch(np.full(count, BETA), np.full(len(means), 1.0 / n_t), means, np.repeat(np.arange(count), n_t), face)

    def step() -> None:
        nonlocal batch
        batch = swept(batch, Sweep(problem, batch))

    return step


def floor(n_x: int, n_y: int, n_t: int) -> Callable[[], None]:
    """A function that makes the two products and the exp."""
    rng = np.random.default_rng(0)
    features, decoder = rng.random((n_x, n_y)), rng.random((n_t, n_y))
    features_t = np.ascontiguousarray(features.T)
    terms, pairs, means = np.empty((n_t, n_x)), -rng.random((n_t, n_x)), np.empty((n_t, n_y))

    def step() -> None:
        np.matmul(decoder, features_t, out=terms)
        np.exp(pairs, out=terms)
        np.matmul(terms, features, out=means)

    return step


def seconds(step: Callable[[], None], count: int) -> float:
    """CPU seconds of one call, over a run of them."""
    start = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - start) / count


def compare(first: Callable[[], None], second: Callable[[], None], runs: int, length: float = 0.01) -> tuple[float, float]:
    """The least seconds of each, measured by turns in runs of about `length` seconds."""
    counts = [max(1, int(length / max(min(seconds(step, 3) for _ in range(3)), 1e-7))) for step in (first, second)]
    pairs = [(seconds(first, counts[0]), seconds(second, counts[1])) for _ in range(runs)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def profile(step: Callable[[], None], count: int = 2000) -> None:
    """Print where the time of the sweeps goes."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(count):
        step()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(10)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="of each, by turns (default 60)")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(f"{'n_x':>6}{'n_y':>6}{'n_t':>6}{'solutions':>10}  {'':8}{'sweep, us':>10}{'floor, us':>10}{'ratio':>8}")
    for n_x, n_y, n_t, count in SHAPES:
        for kind in ("ib", "dualib"):
            step = chain(n_x, n_y, n_t, count, kind)
            own, least = compare(step, floor(n_x, n_y, n_t * count), options.runs)
            print(
                f"{n_x:6}{n_y:6}{n_t:6}{count:10}  {kind:8}{1e6 * own:10.1f}{1e6 * least:10.1f}{own / least:8.2f}",
                flush=True,
            )
            if options.profile:
                profile(step)


if __name__ == "__main__":
    main()
