"""One sweep of the dualExpIB against one of the plain dual IB, on the same joint, at the same clusters.

    OPENBLAS_NUM_THREADS=1 python benchmarks/exponential.py

Prints milliseconds per sweep, the best of several runs of consecutive sweeps as the solver makes them, and their ratio.
"""

import time

import numpy as np

import dualib
from dualib.engine.descent import swept
from dualib.engine.initial import identity
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

SIZES = (
    (200, 200, 2000, 5),
    (500, 500, 2000, 5),
    (500, 100, 2000, 5),
    (1000, 1000, 2000, 5),
    (2000, 500, 2000, 5),
    (500, 500, 2000, 50),
)
BETA = 3.0


def seconds_per_sweep(problem, n_t, n_sweeps=3, n_runs=5):
    start = identity(problem, [BETA])
    start = start.keep(np.arange(len(start.weights)) < n_t)
    best, objective = np.inf, np.nan
    for _ in range(n_runs):
        batch, sweep = start, Sweep(problem, start)
        began = time.perf_counter()
        for _ in range(n_sweeps):
            batch = swept(batch, sweep)
            sweep = Sweep(problem, batch)
        best = min(best, (time.perf_counter() - began) / n_sweeps)
        objective = float(sweep.objective[0])
    return best, objective


def main():
    print(f"{'n_x':>6}{'n_t':>6}{'n_y':>6}{'d':>4}{'dual IB':>12}{'dualExpIB':>12}{'ratio':>8}{'objectives differ by':>24}")
    for n_x, n_t, n_y, d in SIZES:
        rng = np.random.default_rng(0)
        family = dualib.ExponentialFamily(rng.normal(size=(n_x, d)), rng.normal(size=(d, n_y)) / np.sqrt(d))
        joint = family.joint()
        plain, first = seconds_per_sweep(Problem(joint, dualib.DualIB()), n_t)
        family_only, second = seconds_per_sweep(Problem(joint, family), n_t)
        times = f"{1e3 * plain:9.1f} ms{1e3 * family_only:9.2f} ms"
        print(f"{n_x:6}{n_t:6}{n_y:6}{d:4}{times}{plain / family_only:8.1f}{abs(first - second):24.1e}")


if __name__ == "__main__":
    main()
