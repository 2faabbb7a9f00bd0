"""What a sweep of `dualib.sharded` costs: by nonzero, against sizes, on two workers beside one, and when a worker is killed.

    OPENBLAS_NUM_THREADS=1 python benchmarks/sharded.py                     # in this process: cost and exponents, a minute
    OPENBLAS_NUM_THREADS=1 python benchmarks/sharded.py --workers           # on dask clusters of one and two workers
    OPENBLAS_NUM_THREADS=1 python benchmarks/sharded.py --workers --nonzeros 1e8 --n-x 1e6 --n-y 1e5

Random tables, the columns as frequent as words (Zipf). Seconds of a sweep in this process are of CPU, the least of several; those on
clusters are on the wall, the median, for there the network and the scheduler count (extra `dask`). The peak memory of a worker is
what it had beyond that of an idle one, beside the bytes of the shards that it holds. That both clusters, and the one in which a
worker died, give the bits of this process is checked on the way.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import sparse

import dualib
from dualib.sharded import ShardedJoint, ShardedSolution, solve
from dualib.sharded.shards import shard_of
from dualib.sharded.solution import exponents_of
from dualib.sharded.steps import swept

BETA, SWEEPS = 5.0, 8
BASE = {"n_x": 100_000, "n_y": 10_000, "clusters": 20, "nonzeros": 5_000_000}
RANGES = {
    "nonzeros": (1_250_000, 2_500_000, 5_000_000, 10_000_000),
    "clusters": (5, 10, 20, 40, 80),
    "n_x": (12_500, 50_000, 200_000, 800_000),
    "n_y": (2_500, 10_000, 40_000, 160_000),
}
MIB = 2.0**20


def rows(n_x: int, n_y: int, nonzeros: int, seed: int) -> Any:
    """CSR counts of about so many nonzeros, the columns drawn by Zipf's law."""
    rng = np.random.default_rng([n_x, n_y, seed])
    columns = np.minimum(np.exp(rng.random(nonzeros) * np.log(n_y + 1.0)).astype(np.int64) - 1, n_y - 1)
    return sparse.coo_array((np.ones(nonzeros), (rng.integers(n_x, size=nonzeros), columns)), shape=(n_x, n_y)).tocsr()


def clusters(n_y: int, k: int) -> tuple[Any, Any]:
    """Weights and decoder to begin with."""
    return np.full(k, 1.0 / k), np.random.default_rng(0).dirichlet(np.full(n_y, 0.5) + 0.5, k)


def seconds_of_sweep(n_x: int, n_y: int, clusters_: int, nonzeros: int) -> tuple[float, int]:
    """Least CPU seconds of a sweep of one shard, and its nonzeros."""
    shard = shard_of("table", rows(n_x, n_y, nonzeros, 0), is_exact=True)
    weights, decoder = clusters(n_y, clusters_)
    exponents, total, least = exponents_of(BETA, weights, np.ascontiguousarray(decoder.T)), float(shard.mass.sum()), np.inf
    for _ in range(4):
        start = time.process_time()
        swept(shard, exponents, total)
        least = min(least, time.process_time() - start)
    return least, len(shard.data)


def table_of_costs() -> None:
    """Vary one size at a time, and fit."""
    print("one sweep in one process; what is not varied:", ", ".join(f"{name} {value}" for name, value in BASE.items()))
    for name, values in RANGES.items():
        sizes, times = [], []
        for value in values:
            sizes_of = {**BASE, name: value}
            seconds, nonzeros = seconds_of_sweep(sizes_of["n_x"], sizes_of["n_y"], sizes_of["clusters"], sizes_of["nonzeros"])
            sizes.append(nonzeros if name == "nonzeros" else value)
            times.append(seconds)
            each = 1e9 * seconds / nonzeros
            of_cluster = f"{each / sizes_of['clusters']:7.2f} ns a nonzero and cluster"
            print(f"  {name:10}{sizes[-1]:>10}{seconds:9.3f} s{each:8.1f} ns a nonzero{of_cluster}")
        print(f"  {'':10}exponent {np.polyfit(np.log(sizes), np.log(times), 1)[0]:.2f}", flush=True)


# ---- on clusters ---------------------------------------------------------------------------------------------------------


def timed(joint: ShardedJoint, init: Any, kill: Any = None) -> tuple[ShardedSolution, list[float]]:
    """Sweeps, and the seconds on the wall of each but the first; `kill` is called after the third."""
    marks: list[float] = []

    def mark(done: int, total: int) -> None:
        marks.append(time.perf_counter())
        if done == 3 and kill is not None:
            kill()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        solution = solve(joint, BETA, init=init, tol=1e-300, max_iter=SWEEPS, progress=mark)
    return solution, np.diff(marks).tolist()


def peak() -> int:
    """Bytes that a worker had at its peak; of Linux, as `resource` would count the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def handed_on(dask_worker: Any) -> int:
    """Bytes that a worker sent to other workers, and here, so far."""
    return int(dask_worker.transfer_outgoing_bytes_total)


def cpu_seconds() -> float:
    """CPU seconds that a worker took so far."""
    return time.process_time()


def on_cluster(folder: Path, init: Any, n_workers: int, *, killed: bool) -> tuple[ShardedSolution, float]:
    """Sweeps on a cluster of so many workers, with what they cost; in the second of two runs a worker dies."""
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(n_workers=n_workers, processes=True, **options) as cluster, Client(cluster) as client:
        idle = max(client.run(peak).values())
        joint = ShardedJoint(folder, client=client)
        timed(joint, init)  # imports
        before = sum(client.run(handed_on).values())
        cpu = sum(client.run(cpu_seconds).values())
        solution, times = timed(joint, init)
        cpu = (sum(client.run(cpu_seconds).values()) - cpu) / SWEEPS
        sent = sum(client.run(handed_on).values()) - before
        held = 12 * joint.nonzeros / n_workers / MIB
        print(
            f"  {n_workers} worker(s): {statistics.median(times):.3f} s a sweep, {cpu:.3f} s of CPU; peak of a worker "
            f"{(max(client.run(peak).values()) - idle) / MIB:.0f} MiB for {held:.0f} MiB of shards; "
            f"{sent / SWEEPS / MIB:.2f} MiB a sweep handed on by workers",
            flush=True,
        )
        if killed:
            again, harmed = timed(joint, init, lambda: os.kill(min(client.run(os.getpid).values()), signal.SIGKILL))
            assert again.decoder.tobytes() == solution.decoder.tobytes()
            print(f"    a worker killed: that sweep took {max(harmed):.2f} s, and ended with the same bits", flush=True)
    return solution, statistics.median(times)


def workers(options: argparse.Namespace) -> None:
    """One process, one worker, two workers."""
    n_x, n_y, k, count = (int(options.n_x), int(options.n_y), int(options.clusters), int(options.shards))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            part = rows(n_x // count, n_y, int(options.nonzeros) // count, number)
            sparse.save_npz(folder / f"shard-{number:05d}.npz", part, compressed=False)
        init = clusters(n_y, k)
        joint = ShardedJoint(folder)
        print(f"{joint}; {k} clusters, a state of {8 * k * (n_y + 1) / MIB:.2f} MiB")
        start = time.process_time()
        alone, times = timed(joint, init)
        cpu = (time.process_time() - start) / SWEEPS
        print(
            f"  this process: {statistics.median(times):.3f} s a sweep, {1e9 * cpu / joint.nonzeros:.1f} ns of CPU a nonzero"
        )
        del joint
        one, of_one = on_cluster(folder, init, 1, killed=False)
        two, of_two = on_cluster(folder, init, 2, killed=True)
        assert alone.decoder.tobytes() == one.decoder.tobytes() == two.decoder.tobytes()
        print(f"  one worker over two: {of_one / of_two:.2f}; all give the same bits")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", action="store_true", help="on clusters of one and two workers")
    for name, value in BASE.items():
        default = 20_000_000 if name == "nonzeros" else value
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=float, default=default, help=f"with --workers (default {default})"
        )
    parser.add_argument("--shards", type=float, default=16, help="with --workers (default 16)")
    options = parser.parse_args()
    if options.workers:
        workers(options)
    else:
        table_of_costs()


if __name__ == "__main__":
    main()
