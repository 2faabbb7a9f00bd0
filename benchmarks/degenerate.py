"""Twelve degeneracies by 8 betas by 20 seeds by both problems: finite answers within their bounds, or typed errors.

    OPENBLAS_NUM_THREADS=1 python benchmarks/degenerate.py

Each problem is solved at each beta; every number of the solution must be finite, distributions must sum to 1, information must lie
within its bounds, and no warning may be given but the ConvergenceWarning. A ValueError counts as an answer where it names what
cannot be done. Prints the counts, and each fault with what brings it back.
"""

import argparse
import collections
import time
import warnings

import numpy as np

import dualib
from dualib import JointDistribution

BETAS = (1e-2, 0.3, 1.0, 1.7, 5.0, 30.0, 1e3, 1e4)
SEEDS = 20


def table(rng, n_x=5, n_y=4, concentration=0.5):
    """p(x,y) of random conditionals and a random p(x)."""
    return rng.dirichlet(np.full(n_x, 2.0))[:, None] * rng.dirichlet(np.full(n_y, concentration), n_x)


def zero_cell(rng):
    """One cell is 0."""
    pxy = table(rng)
    pxy[rng.integers(5), rng.integers(4)] = 0.0
    return JointDistribution(pxy / pxy.sum()), {}


def zero_row(rng):
    """One x never happens."""
    pxy = table(rng)
    pxy[rng.integers(5)] = 0.0
    return JointDistribution(pxy / pxy.sum()), {}


def zero_column(rng):
    """One y never happens."""
    pxy = table(rng)
    pxy[:, rng.integers(4)] = 0.0
    return JointDistribution(pxy / pxy.sum()), {}


def identity(rng):
    """Y is X."""
    return JointDistribution(np.diag(rng.dirichlet(np.full(4, 2.0)))), {}


def duplicates(rng):
    """All rows of p(y|x) but one are equal, to rounding or exactly."""
    py_x = np.tile(rng.dirichlet(np.ones(4)), (5, 1))
    py_x[0] = rng.dirichlet(np.ones(4))
    py_x[3] = np.nextafter(py_x[3], 1.0)
    return JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), rng.dirichlet(np.ones(5))), {}


def independent(rng):
    """Nothing can be learned."""
    return JointDistribution(np.outer(rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4)))), {}


def one_x(rng):
    """A single x."""
    return JointDistribution(rng.dirichlet(np.ones(6))[None, :]), {}


def one_y(rng):
    """A single y."""
    return JointDistribution(rng.dirichlet(np.ones(6))[:, None]), {}


def one_cluster(rng):
    """At most one cluster is allowed; for the dual IB this may be infeasible."""
    pxy = table(rng) * (rng.random((5, 4)) < 0.8)
    pxy[0] += 0.1
    return JointDistribution(pxy / pxy.sum()), {"n_clusters": 1}


def more_clusters_than_x(rng):
    """Ten clusters are allowed for five x."""
    return JointDistribution(table(rng)), {"n_clusters": 10}


def subnormal(rng):
    """Probabilities down to the least positive number, in rows and in cells."""
    pxy = table(rng)
    pxy[0] *= 1e-310
    pxy[1, 0] = 5e-324
    pxy[2] = [5e-324, 0.0, 1e-200, 0.1]
    return JointDistribution(pxy / pxy.sum()), {}


def huge(rng):
    """Counts of 1e300 beside counts of 1."""
    counts = rng.integers(1, 9, (5, 4)) * 1e300
    counts[1, 2], counts[3] = 1.0, 1.0
    return JointDistribution.from_counts(counts), {}


PROBLEMS = {
    "zero cell": zero_cell,
    "zero row": zero_row,
    "zero column": zero_column,
    "identity": identity,
    "duplicate rows": duplicates,
    "independent": independent,
    "1 x n": one_x,
    "n x 1": one_y,
    "one cluster": one_cluster,
    "more clusters than x": more_clusters_than_x,
    "subnormal": subnormal,
    "counts of 1e300": huge,
}


def unsound(solution):
    """What is wrong with the numbers of a solution; None where nothing is."""
    for name in ("objective", "rate", "relevance", "expected_distortion", "decoder_information", "residual"):
        if not np.isfinite(getattr(solution, name)):
            return f"{name} is {getattr(solution, name)}"
    if np.isnan(solution.gap) or np.isnan(solution.error_bound):
        return f"gap is {solution.gap}, error_bound {solution.error_bound}"
    for name in ("encoder", "decoder", "weights", "means", "stability"):
        if not np.isfinite(getattr(solution, name)).all():
            return f"{name} is not finite"
    for name in ("encoder", "decoder"):
        array = getattr(solution, name)
        if (array < 0.0).any() or not np.allclose(array.sum(axis=1), 1.0, atol=1e-9):
            return f"{name} is no distribution"
    bound = min(solution.rate, solution.joint.mutual_information) + 1e-8
    if not -1e-12 <= solution.relevance <= bound:
        return f"relevance {solution.relevance} is not in 0..{bound}"
    return None


def fault(name, kind, beta, seed):
    """What goes wrong with one problem; None where nothing does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", dualib.ConvergenceWarning)
            joint, options = PROBLEMS[name](np.random.default_rng([seed, len(name)]))
            return unsound(dualib.solve(joint, beta, kind, **options))
    except ValueError as error:
        return None if "feasible" in str(error) or "clustering" in str(error) else f"ValueError: {error}"
    except Exception as error:  # anything else is a fault, whatever it is
        return f"{type(error).__name__}: {error}"


def main():
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    began, faults, count = time.perf_counter(), collections.Counter(), 0
    for name in PROBLEMS:
        for kind in ("ib", "dualib"):
            for beta in BETAS:
                for seed in range(arguments.seeds):
                    count += 1
                    found = fault(name, kind, beta, seed)
                    if found is not None:
                        faults[name] += 1
                        print(f"{name}, {kind}, beta {beta:g}, seed {seed}: {found}")
        print(f"{name:<22} {faults[name]} faults, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{count} solves, {faults.total()} faults")
    return int(faults.total() > 0)


if __name__ == "__main__":
    raise SystemExit(main())
