"""Twelve degeneracies by 8 betas by 20 seeds by both problems: finite answers within their bounds, or typed errors.

    OPENBLAS_NUM_THREADS=1 python benchmarks/degenerate.py [--only solves | --only events]

Each problem is solved at each beta; every number of the solution must be finite, distributions must sum to 1, information must lie
within its bounds, and no warning may be given but the ConvergenceWarning. A ValueError counts as an answer where it names what
cannot be done. Prints the counts, and each fault with what brings it back.

Then the events of 100 diagonal, deterministic and block tables by both problems: nothing that a public function returns may hold two
clusters of one decoder, or a cluster without weight, and on either side of an event there must be as many clusters as independent
solves find there. Prints each mismatch.
"""

import argparse
import collections
import time
import warnings

import numpy as np

import dualib
from dualib import JointDistribution

WEIGHTLESS = 1e-14  # rounding of a sum of weights; these tables have no p(x) so small
TWINS = 1e-7  # largest difference of two decoders that are one
ASIDE = 1e-4  # how far from an event, in log beta, it is solved anew: nearer what a cluster is worth is below the tolerance
TABLES = 100
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


def diagonal(rng):
    """Y is X; p(x) uniform for some."""
    n = int(rng.integers(2, 9))
    return JointDistribution(np.diag(np.full(n, 1.0 / n) if rng.random() < 0.3 else rng.dirichlet(np.full(n, 1.0))))


def deterministic(rng):
    """Y is a function of X, several x to a y."""
    n_x = int(rng.integers(3, 10))
    n_y = int(rng.integers(2, min(n_x, 6) + 1))
    pxy = np.zeros((n_x, n_y))
    pxy[np.arange(n_x), [*range(n_y), *rng.integers(0, n_y, n_x - n_y)]] = rng.dirichlet(np.full(n_x, 2.0))
    return JointDistribution(pxy)


def blocks(rng):
    """X and Y both tell which of two to four small tables they are of."""
    count = int(rng.integers(2, 5))
    shares = rng.dirichlet(np.full(count, 3.0))
    return joint_of_blocks(share * table(rng, *rng.integers(1, 4, 2), 1.0) for share in shares)


def joint_of_blocks(parts):
    """The joint distribution of these blocks of p(x,y) on the diagonal."""
    parts = list(parts)
    pxy = np.zeros(np.sum([part.shape for part in parts], axis=0))
    ends = np.cumsum([part.shape for part in parts], axis=0)
    for part, (x, y) in zip(parts, ends, strict=True):
        pxy[x - part.shape[0] : x, y - part.shape[1] : y] = part
    return JointDistribution(pxy / pxy.sum())


EVENT_TABLES = {"diagonal": diagonal, "deterministic": deterministic, "blocks": blocks}


def surplus(solution):
    """The clusters of a solution that are no clusters of their own; None where there are none."""
    decoder, weights = solution.decoder, solution.weights
    if weights.min() < WEIGHTLESS:
        return f"a cluster of weight {weights.min():.1e}"
    apart = np.abs(decoder[:, None] - decoder).max(axis=2) + np.eye(len(decoder))
    return f"{np.sum(apart < TWINS) // 2} pairs of one decoder" if apart.min() < TWINS else None


def doors(joint, kind, curve):
    """The solutions that one can get of a problem, by the way to get them."""
    middle = curve[len(curve) // 2]
    betas = [0.7 * middle.beta, middle.beta, 3.0 * middle.beta]
    yield from (("anneal", solution) for solution in curve)
    for name, options in (("without events", {"events": False}), ("upward", {"events": False, "direction": "up"})):
        yield from ((name, solution) for solution in dualib.anneal(joint, kind, betas, **options))
    yield from (("follow", solution) for solution in dualib.follow(curve[-1], betas[::-1]))
    yield from (("solve", dualib.solve(joint, beta, kind)) for beta in betas)
    yield "from single x", dualib.solve(joint, middle.beta, kind, init=np.eye(joint.n_x), certify=False)
    rates = curve.rate[[0, -1]]
    if rates[1] > rates[0] + 1e-3:
        yield "solve_at", dualib.solve_at(joint, kind, rate=rates.mean())


def mismatches(joint, kind):
    """What the events of a curve say of the clusters beside them that is not so, and surplus clusters anywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        curve = dualib.anneal(joint, kind)
        for name, solution in doors(joint, kind, curve):
            if surplus(solution):
                yield f"{name} at {solution.beta!r}: {surplus(solution)}"
        yield from mismatches_of_events(joint, kind, curve)


def mismatches_of_events(joint, kind, curve):
    """The same of the events alone."""
    betas = np.array([event.beta for event in curve.events])
    counts = [curve.n_clusters[0], *(event.after for event in curve.events)]
    for solution in curve:
        if np.abs(np.log(solution.beta / betas)).min(initial=np.inf) > ASIDE:
            expected = counts[int(np.searchsorted(betas, solution.beta))]
            if solution.n_clusters != expected:
                yield f"point at {solution.beta!r}: {solution.n_clusters} clusters, {expected} by the events"
    for i, event in enumerate(curve.events):
        room = np.abs(np.log(np.delete(betas, i) / event.beta)).min(initial=np.inf)
        sides = ((event.interval[0], -1.0, event.below, event.before), (event.interval[1], 1.0, event.above, event.after))
        for edge, sign, side, count in sides:
            own = dualib.solve(joint, edge * np.exp(sign * min(ASIDE, 0.5 * room)), kind)
            if not side.n_clusters == own.n_clusters == count:
                yield f"{event}: {side.n_clusters} in the solution beside it, {own.n_clusters} by a solve at {own.beta!r}"
            if surplus(side) or surplus(own):
                yield f"{event}: {surplus(side) or surplus(own)}"


def count_faults(seeds):
    """Solve the twelve degeneracies; returns the number of faults."""
    began, faults, count = time.perf_counter(), collections.Counter(), 0
    for name in PROBLEMS:
        for kind in ("ib", "dualib"):
            for beta in BETAS:
                for seed in range(seeds):
                    count += 1
                    found = fault(name, kind, beta, seed)
                    if found is not None:
                        faults[name] += 1
                        print(f"{name}, {kind}, beta {beta:g}, seed {seed}: {found}")
        print(f"{name:<22} {faults[name]} faults, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{count} solves, {faults.total()} faults")
    return faults.total()


def count_mismatches(tables):
    """Look at the events of so many tables; returns the number of mismatches."""
    began, total = time.perf_counter(), 0
    for number in range(tables):
        name = list(EVENT_TABLES)[number % len(EVENT_TABLES)]
        joint = EVENT_TABLES[name](np.random.default_rng(number))
        for kind in ("ib", "dualib"):
            for found in mismatches(joint, kind):
                total += 1
                print(f"{name}, {kind}, table {number}: {found}", flush=True)
    print(f"{tables} tables by both problems, {total} mismatches, {time.perf_counter() - began:.0f} s")
    return total


def main():
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tables", type=int, default=TABLES)
    parser.add_argument("--only", choices=("solves", "events"))
    arguments = parser.parse_args()
    wrong = 0 if arguments.only == "events" else count_faults(arguments.seeds)
    wrong += 0 if arguments.only == "solves" else count_mismatches(arguments.tables)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
