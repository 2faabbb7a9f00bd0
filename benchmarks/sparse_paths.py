"""What a large sparse table of documents by words costs, without a dense table: onset, certificates, events, smoothed clusters.

    python benchmarks/sparse_paths.py [--documents 2000] [--words 1500] [--nonzeros 60000] [--topics 10] [--betas 5] [--reach 1.08]
                                      [--only {ib,dualib}]
                                      [--dense-onset]

CPU seconds, one thread. The curve is solved at so many betas from 0.98 to `reach` times the onset, its events after that; the
smoothing is 0.1 in every cell, by which the dual IB has a finite distance between any two documents.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from documents import documents

import dualib

SMOOTHING = 0.1


def timed(what: str, call: Callable[[], Any], tell: Callable[[Any], str]) -> Any:
    """The result of a call, once its time is printed and what is to be told of it."""
    start = time.process_time()
    found = call()
    print(f"{what:<44} {time.process_time() - start:8.1f} s   {tell(found)}", flush=True)
    return found


def of_solution(solution: dualib.Solution) -> str:
    return (
        f"{solution.n_clusters} clusters, gap {solution.gap:.1e} ({solution.certificate}), I(T;Y) = {solution.relevance:.6g}"
    )


def of_events(curve: dualib.Curve) -> str:
    return f"{len(curve.events)} events, {sum(event.located for event in curve.events)} located"


def curve_of(joint: dualib.JointDistribution, kind: str, onset: float, given: argparse.Namespace) -> None:
    """Points, then points and events."""
    betas = onset * np.geomspace(0.98, given.reach, given.betas)
    name = "dual IB" if kind == "dualib" else "IB"
    solutions = timed(
        f"{name}: {given.betas} points to {given.reach} times the onset",
        lambda: dualib.anneal(joint, kind, betas, events=False),
        lambda curve: f"{curve.n_clusters.tolist()} clusters, gaps at most {curve.gap.max():.1e}",
    )
    timed(f"{name}: the same with events", lambda: dualib.anneal(joint, kind, betas), of_events)
    at = solutions.solutions[-1]
    timed(f"{name}: certify", lambda: dualib.certify(joint, at.encoder, at.beta, kind), repr)
    low, high = solutions.solutions[0].rate, at.rate
    timed(f"{name}: solve_at half that rate", lambda: dualib.solve_at(joint, kind, rate=0.5 * (low + high)), of_solution)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("documents", 2_000), ("words", 1_500), ("nonzeros", 60_000), ("topics", 10), ("betas", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--reach", type=float, default=1.08)
    parser.add_argument("--only", choices=["ib", "dualib"])
    parser.add_argument("--dense-onset", action="store_true", help="that of the dense form of the IB, and no more")
    given = parser.parse_args()
    dualib.compile_kernels()
    table = documents(given.documents, given.words, given.nonzeros, given.topics)
    table = table[np.asarray(table.sum(axis=1)).ravel() > 0][:, np.asarray(table.sum(axis=0)).ravel() > 0]
    print(f"{table.shape[0]} documents x {table.shape[1]} words, {table.nnz} nonzeros")
    plain = dualib.JointDistribution.from_counts(table)
    if given.dense_onset:
        for name, joint in (("sparse", plain), ("dense", plain.to_dense())):
            timed(f"IB: onset, {name}", lambda j=joint: dualib.onset(j), lambda beta: f"{beta:.12g}")
        return
    dualib.joint.SMOOTHED_DENSE = 0  # smaller tables are smoothed without a dense one here, too
    smoothed = dualib.JointDistribution.from_counts(table, SMOOTHING)
    for joint, kind in ((plain, "ib"), (smoothed, "dualib")):
        if given.only not in (None, kind):
            continue
        name = "dual IB" if kind == "dualib" else "IB"
        onset = timed(f"{name}: onset", lambda j=joint, k=kind: dualib.onset(j, k), lambda beta: f"{beta:.9g}")
        curve_of(joint, kind, onset, given)
        timed(
            f"{name}: quantize to {given.topics} clusters",
            lambda j=joint, k=kind: dualib.quantize(j, given.topics, k, certify=False),
            lambda found: f"I(T;Y) = {found.relevance:.6g} of I(X;Y) = {found.joint.mutual_information:.6g}",
        )
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
