"""The exact path on random problems, and what it costs.

    python benchmarks/path.py                 # 100 problems, both distortions: minutes
    python benchmarks/path.py --problems 10   # a slice
    python benchmarks/path.py --cost          # only the time of whole curves, beside that of plain sweeps
    python benchmarks/path.py --grids         # curves of 16 points against those of 40: is an event missed by either?

For each problem (n_x up to 12, n_y 2 to 4) and each of IB and dual IB: `anneal(..., tol_curve=1e-4)`, then at 20 random betas an
independent certified solve, which must lie inside the enclosure of the
objective and have the number of clusters that the events tell.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.descent import swept
from dualib.engine.initial import identity
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

TOL_CURVE = 1e-4
GRIDS = (16, 40)
BETAS = 20


def random_problem(seed: int) -> dualib.JointDistribution:
    """Sizes, concentration and p(x) drawn from the seed."""
    rng = np.random.default_rng(seed)
    n_x, n_y = int(rng.integers(2, 13)), int(rng.integers(2, 5))
    py_x = rng.dirichlet(np.full(n_y, rng.uniform(0.2, 4.0)), n_x)
    return dualib.JointDistribution.from_conditionals(py_x, rng.dirichlet(np.full(n_x, 3.0)))


def examine(seed: int, kind: str) -> dict[str, float]:
    """What must hold on one problem, as numbers."""
    joint = random_problem(seed)
    start = time.perf_counter()
    curve = dualib.anneal(joint, kind, tol_curve=TOL_CURVE)
    seconds = time.perf_counter() - start
    rng = np.random.default_rng(seed + 1_000_000)
    betas = np.exp(rng.uniform(*np.log(curve.beta[[0, -1]]), BETAS))
    lower, upper = curve.objective_bounds(betas)
    edges = np.array([curve.beta[0], *(event.beta for event in curve.events), curve.beta[-1]])
    counts = [curve.n_clusters[0], *(event.after for event in curve.events)]
    outside = miscounted = 0
    for beta, low, high in zip(betas, lower, upper, strict=True):
        own = dualib.solve(joint, beta, kind, random_state=seed)
        outside += not low - 1e-11 <= own.objective <= high + own.gap + 1e-11
        if np.min(np.abs(np.log(edges / beta))) > 1e-4:
            miscounted += own.n_clusters != counts[int(np.searchsorted(edges, beta)) - 1]
    return {
        "gap": float(curve.gap.max()),
        "width": float(np.max(upper - lower)),
        "points": len(curve),
        "events": len(curve.events),
        "not located": sum(not event.located for event in curve.events),
        "outside": outside,
        "miscounted": miscounted,
        "seconds": seconds,
    }


def check(problems: int, first: int) -> None:
    """The table over problems, and every problem on which something does not hold."""
    for kind in ("ib", "dualib"):
        rows = []
        for seed in range(first, first + problems):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dualib.ConvergenceWarning)  # what was not reached is in the table
                rows.append(examine(seed, kind))
            row = rows[-1]
            if row["gap"] > 1e-8 or row["width"] > TOL_CURVE or row["not located"] or row["outside"] or row["miscounted"]:
                print(f"  {kind} seed {seed}: {row}", flush=True)
        table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        print(
            f"{kind}: {problems} problems, {int(table['points'].sum())} points, {int(table['events'].sum())} events, "
            f"{int(table['not located'].sum())} of them not located\n"
            f"  largest gap {table['gap'].max():.1e}, widest enclosure {table['width'].max():.1e} nats\n"
            f"  independent solves: {int(table['outside'].sum())} of {problems * BETAS} outside the enclosure, "
            f"{int(table['miscounted'].sum())} with another number of clusters\n"
            f"  seconds per curve: median {np.median(table['seconds']):.2f}, largest {table['seconds'].max():.2f}",
            flush=True,
        )


def random_table(seed: int) -> dualib.JointDistribution:
    """Up to 13 x 8: conditionals uniform on the simplex, small counts with a half added, or small counts with zeros."""
    rng = np.random.default_rng(seed)
    n_x, n_y = int(rng.integers(3, 14)), int(rng.integers(2, 9))
    if seed % 3 == 0:
        return dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 2.0)))
    counts = rng.integers(0, 6 if seed % 3 == 1 else 5, (n_x, n_y)).astype(float)
    if seed % 3 == 1:
        return dualib.JointDistribution.from_counts(counts + 0.5)
    counts[:, 0] += 1.0
    return dualib.JointDistribution.from_counts(counts[:, counts.any(axis=0)])


def missing(events: list[dualib.Event], others: list[dualib.Event]) -> list[str]:
    """The events that are not among others."""
    return [
        f"{event.beta:.6g} ({event.before} to {event.after})"
        for event in events
        if not any(
            (event.before, event.after) == (other.before, other.after) and abs(event.beta - other.beta) < 1e-7 * event.beta
            for other in others
        )
    ]


def grids(problems: int, first: int) -> None:
    """Events of curves from .5 to 60 on a coarse grid and on a fine one, which must be the same."""
    total, bracketed, differ = 0, 0, 0
    for seed in range(first, first + problems):
        for kind in ("ib", "dualib"):
            coarse, fine = (
                list(dualib.anneal(random_table(seed), kind, np.geomspace(0.5, 60.0, points)).events) for points in GRIDS
            )
            total += len(fine)
            bracketed += sum(not event.located for event in coarse + fine)
            only = missing(coarse, fine), missing(fine, coarse)
            if any(only):
                differ += 1
                print(f"{seed}, {kind}: only on the coarse grid {only[0]}, only on the fine one {only[1]}", flush=True)
    print(f"{total} events of {2 * problems} curves, {bracketed} only bracketed; the grids differ on {differ} curves")


def cost() -> None:
    """The CPU time of whole curves with all events, and in plain sweeps of the identity start; the shortest of three."""
    rng = np.random.default_rng(0)
    large = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(10), 100))
    dualib.anneal(dualib.datasets.toy(), "ib", [2.0, 8.0, 40.0])  # imports
    print(f"{'':24s}{'points':>8s}{'events':>8s}{'seconds':>10s}{'in sweeps':>11s}{'gap':>10s}")
    for name, joint, ends in (("toy", dualib.datasets.toy(), (2.0, 64.0)), ("random 100 x 10", large, (None, 64.0))):
        for kind in ("ib", "dualib"):
            problem = Problem(joint, as_distortion(kind))
            batch = identity(problem, [8.0])
            start = time.process_time()
            for _ in range(200):
                batch = swept(batch, Sweep(problem, batch))
            one = (time.process_time() - start) / 200
            seconds = np.inf
            for _ in range(3):
                start = time.process_time()
                curve = dualib.anneal(joint, kind, beta_min=ends[0], beta_max=ends[1])
                seconds = min(seconds, time.process_time() - start)
            print(
                f"{name + ', ' + kind:24s}{len(curve):8d}{len(curve.events):8d}{seconds:10.3f}{seconds / one:11.0f}"
                f"{curve.gap.max():10.1e}",
                flush=True,
            )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--cost", action="store_true", help="only the cost")
    parser.add_argument("--grids", action="store_true", help="only coarse grids against fine ones")
    options = parser.parse_args()
    if options.grids:
        grids(options.problems, options.first)
        return
    if not options.cost:
        check(options.problems, options.first)
    cost()


if __name__ == "__main__":
    main()
