"""Cost of a sweep and of a certified solve against n_x, n_y, n_t and nonzeros, with fitted exponents, and peak memory.

    OPENBLAS_NUM_THREADS=1 python benchmarks/scale.py                    # both tables, a few minutes
    OPENBLAS_NUM_THREADS=1 python benchmarks/scale.py --table sweep
    python benchmarks/scale.py --large                                   # sparse: 200,000 x 2,000, 5 million nonzeros, 50 clusters
    python benchmarks/scale.py --large --solve 5                         # ... and a solve at beta = 5
    python benchmarks/scale.py --text book.txt --words 5000              # word by next word of a text of yours (plain text, UTF-8)
    OPENBLAS_NUM_THREADS=1 python benchmarks/scale.py --topics           # 18,000 documents of 10,000 words into 20 hard clusters
    OPENBLAS_NUM_THREADS=1 python benchmarks/scale.py --topics --peers PEERS    # ... and by sib-clustering, in PEERS/sib-clustering

Each measurement is a process of its own, so that its peak memory (`resource.getrusage`) is its own. Memory is what the process
had at its peak beyond what it had once dualib was imported and compiled, as a multiple of the input (dense: p(x,y); sparse: the
CSR arrays) plus the encoder (n_x, n_t). With --large and --text the process reads the counts from a file that another one wrote, so
that its peak counts the caller's own counts, validation, p(x,y), p(y|x) and the solve, but not how the counts came about.
The exponent is the slope of log seconds against the log of the size.

With --topics the documents have planted topics, of which the purity of the clusters tells: the part of the documents that belong to
the most frequent topic of their cluster. Tables in shards, on many workers: `sharded.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

if "--large" not in sys.argv and "--text" not in sys.argv:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from documents import planted
from scipy import sparse

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.batch import Batch
from dualib.engine.choice import problem_of
from dualib.engine.initial import drawn
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

BETA = 5.0  # of the sweeps
ABOVE_ONSET = 3.0  # the beta of the solves, over that at which learning begins (BETA, where that is 0)
SWEEP = {"n_x": 4000, "n_y": 200, "n_t": 20, "density": 1.0}
SWEEPS = {
    "n_x": (1000, 2000, 4000, 8000, 16000),
    "n_y": (50, 100, 200, 400, 800),
    "n_t": (5, 10, 20, 40, 80),
    "density": (0.01, 0.03, 0.1, 0.3),
}
SOLVE = {"n_x": 60, "n_y": 10, "n_t": 0, "density": 1.0}
SOLVES = {"n_x": (15, 30, 60, 120, 240), "n_y": (5, 10, 20, 40, 80), "density": (0.3, 0.5, 0.7, 0.9)}
MIB = 2.0**20
TIME = 1800  # seconds for one measurement


def random_joint(n_x: int, n_y: int, density: float) -> dualib.JointDistribution:
    """Rows uniform on the simplex; with a density below 1 a sparse table, cells Gamma(1), one at least in each row and column."""
    rng = np.random.default_rng([n_x, n_y])
    if density == 1.0:
        return dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x))
    return dualib.JointDistribution.from_counts(random_counts(n_x, n_y, int(density * n_x * n_y)))


def random_counts(n_x: int, n_y: int, nonzeros: int) -> Any:
    """CSR counts (n_x, n_y) of about so many nonzeros."""
    rng = np.random.default_rng([n_x, n_y])
    count = max(nonzeros, n_x, n_y)
    rows, columns = rng.integers(n_x, size=count), rng.integers(n_y, size=count)
    rows[:n_x], columns[:n_y] = np.arange(n_x), np.arange(n_y)
    return sparse.coo_array((rng.standard_gamma(1.0, count), (rows, columns)), shape=(n_x, n_y)).tocsr()


def word_pairs(path: Path, words: int) -> Any:
    """CSR counts of word by next word, over the most frequent words of a text; the others are passed over."""
    found = re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?", path.read_text(encoding="utf-8").lower())
    kept = [word for word, _ in Counter(found).most_common(words)]
    number = {word: i for i, word in enumerate(kept)}
    pairs = Counter((number[a], number[b]) for a, b in itertools.pairwise(found) if a in number and b in number)
    index = np.array(list(pairs), dtype=int)
    counts = sparse.coo_array((np.array(list(pairs.values()), dtype=float), index.T), shape=(len(kept), len(kept)))
    csr = counts.tocsr()
    return csr[np.flatnonzero(csr.sum(axis=1))][:, np.flatnonzero(csr.sum(axis=0))]


def size_of(joint: dualib.JointDistribution) -> int:
    """Bytes of p(x, y) as it is kept."""
    if joint.is_sparse:
        return joint.pxy.data.nbytes + joint.pxy.indices.nbytes + joint.pxy.indptr.nbytes
    return joint.pxy.nbytes


def peak() -> int:
    """Bytes that this process had at its peak so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def time_sweeps(joint: dualib.JointDistribution, kind: str, n_t: int) -> dict[str, float]:
    """Seconds of one sweep, least of several runs, from soft random clusters; and those of the preparation.

    CPU seconds where there is one thread, else on the wall.
    """
    clock = time.process_time if os.environ.get("OPENBLAS_NUM_THREADS") == "1" else time.perf_counter
    start = clock()
    problem = problem_of(joint, as_distortion(kind))
    prepared = clock() - start
    rng = np.random.default_rng(0)
    batch = _soft_clusters(problem, n_t, rng)
    best, spent, count = np.inf, 0.0, 0
    while count < 3 or spent < 1.0:
        start = clock()
        sweep = Sweep(problem, batch)
        batch = Batch(batch.beta, sweep.new_weights, sweep.new_means, batch.owner, batch.face)
        seconds = clock() - start
        best, spent, count = min(best, seconds), spent + seconds, count + 1
    return {"seconds": best, "prepared": prepared}


def _soft_clusters(problem: Problem, n_t: int, rng: np.random.Generator) -> Batch:
    """Random clusters that every x may join."""
    if problem.is_sparse:
        return drawn(problem, BETA, n_t - 1, rng)
    members = rng.standard_exponential((n_t, problem.n))
    means, face, _ = problem.centroids(members / members.sum(axis=1, keepdims=True))
    return Batch(np.array([BETA]), np.full(n_t, 1.0 / n_t), means, np.zeros(n_t, dtype=np.int64), face)


def time_solve(
    joint: dualib.JointDistribution, kind: str, beta: float, n_clusters: int | None, max_iter: int
) -> dict[str, Any]:
    """CPU seconds of one certified solve, the lesser of two where it is short, and what came out."""
    best = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)  # the table has the gap
        for _ in range(2):
            start = time.process_time()
            solution = dualib.solve(joint, beta, kind, n_clusters=n_clusters, max_iter=max_iter)
            best = min(best, time.process_time() - start)
            if best > 5.0:
                break
    return {
        "seconds": best,
        "gap": solution.gap,
        "n_clusters": solution.n_clusters,
        "certificate": solution.certificate,
        "status": solution.status.name,
        "residual": solution.residual,
        "sweeps": solution.n_iter,
    }


def time_clusters(counts: Any, k: int, topics: Any, way: str) -> dict[str, Any]:
    """Seconds of CPU and on the wall of K hard clusters of counts, and their purity and I(T;Y)."""
    start, on_wall = time.process_time(), time.perf_counter()
    if way == "quantize":
        solution = dualib.quantize(dualib.JointDistribution.from_counts(counts), k, certify=False)
    else:
        solution = dualib.InformationBottleneck(k, certify=False).fit(counts).solution_
    found = {"seconds": time.process_time() - start, "wall": time.perf_counter() - on_wall, "n_clusters": k}
    return {**found, "relevance": solution.relevance, "purity": purity(solution.labels, topics)}


def purity(labels: Any, topics: Any) -> float:
    """The part of the documents that belong to the most frequent topic of their cluster."""
    return sum(np.bincount(topics[labels == t]).max() for t in np.unique(labels)) / len(labels)


def one(options: dict[str, Any]) -> dict[str, Any]:
    """One measurement, in the process made for it."""
    if options["what"] == "make":
        if options["topics"]:
            counts, of = planted(options["n_x"], options["n_y"], options["nonzeros"], options["n_t"])
            np.save(options["topics"], of)
        elif options["text"]:
            counts = word_pairs(Path(options["text"]), options["words"])
        else:
            counts = random_counts(options["n_x"], options["n_y"], options["nonzeros"])
        sparse.save_npz(options["file"], counts, compressed=False)
        return {}
    dualib.compile_kernels()
    dualib.solve(dualib.datasets.toy(), BETA)  # imports
    before = peak()
    if options["what"] in ("quantize", "estimator"):
        return _clusters(options)
    if options.get("file"):
        joint = dualib.JointDistribution.from_counts(sparse.load_npz(options["file"]))
    else:
        joint = random_joint(options["n_x"], options["n_y"], options["density"])
    built = peak()
    shape: dict[str, Any] = {
        "n_x": joint.n_x,
        "n_y": joint.n_y,
        "nonzeros": int(joint.pxy.nnz if joint.is_sparse else np.count_nonzero(joint.pxy)),
    }
    try:
        if options["what"] == "sweep":
            found = time_sweeps(joint, options["kind"], options["n_t"])
        else:
            beta = options["beta"] or ABOVE_ONSET * dualib.onset(joint, options["kind"]) or BETA
            found = time_solve(joint, options["kind"], beta, options.get("n_t") or None, options.get("max_iter") or 20_000)
    except MemoryError as error:
        return {**shape, "refused": str(error)}
    clusters = found.get("n_clusters", options["n_t"])
    unit = size_of(joint) + 8 * joint.n_x * clusters
    return {
        **shape,
        **found,
        "peak MiB": (peak() - before) / MIB,
        "input MiB": (built - before) / MIB,
        "multiple": (peak() - before) / unit,
    }


def _clusters(options: dict[str, Any]) -> dict[str, Any]:
    """`time_clusters` and its peak, in the process made for it: counts, what is made of them, and the encoder."""
    dualib.InformationBottleneck(2, certify=False).fit(np.eye(3) + 1.0)  # imports scikit-learn
    before = peak()
    counts = sparse.load_npz(options["file"])
    found = time_clusters(counts, options["n_t"], np.load(options["topics"]), options["what"])
    unit = counts.data.nbytes + counts.indices.nbytes + counts.indptr.nbytes + 8 * counts.shape[0] * options["n_t"]
    shape = {"n_x": counts.shape[0], "n_y": counts.shape[1], "nonzeros": int(counts.nnz)}
    return {**shape, **found, "peak MiB": (peak() - before) / MIB, "multiple": (peak() - before) / unit}


def measure(**options: Any) -> dict[str, Any]:
    """`one` in a process of its own; "refused" says why there is no number."""
    command = [sys.executable, __file__, "--one", json.dumps(options)]
    shape = {name: options[name] for name in ("n_x", "n_y")}
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=TIME)
    except subprocess.TimeoutExpired:
        return {**shape, "refused": f"not done after {TIME} s"}
    except subprocess.CalledProcessError as error:  # killed, most likely, for its memory
        return {**shape, "refused": f"the process ended with {error.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def table(what: str, base: dict[str, Any], ranges: dict[str, tuple[float, ...]], kinds: list[str]) -> None:
    """Vary one size at a time, and fit."""
    for kind in kinds:
        rest = ", ".join(f"{name} {value:g}" for name, value in base.items() if value)
        print(f"\n{what}, {kind}; what is not varied: {rest}")
        print(f"{'':10}{'':>10}{'seconds':>11}{'to least':>10}{'peak MiB':>10}{'multiple':>10}{'gap':>10}{'clusters':>10}")
        for name, values in ranges.items():
            if name == "density" and kind == "dualib":  # zeros leave it no soft clusters that every x may join
                continue
            sizes, times = [], []
            for value in values:
                row = measure(what=what, kind=kind, beta=None, **{**base, name: value})
                if "refused" in row:
                    print(f"{name:10}{value:>10}  no result: {row['refused']}", flush=True)
                    continue
                sizes.append(row["nonzeros"] if name == "density" else value)
                times.append(row["seconds"])
                line = f"{'nonzeros' if name == 'density' else name:10}{sizes[-1]:>10}{times[-1]:11.3g}{times[-1] / times[0]:10.3g}"
                line += f"{row['peak MiB']:10.1f}{row['multiple']:10.1f}"
                if what == "solve":
                    line += f"{row['gap']:10.1e}{row['n_clusters']:10}"
                print(line, flush=True)
            if len(times) > 1:
                print(f"{'':10}exponent {np.polyfit(np.log(sizes), np.log(times), 1)[0]:.2f}", flush=True)


def show_one(row: dict[str, Any]) -> None:
    """One measurement in words."""
    print(f"{row['n_x']} x {row['n_y']}", end=": ")
    if "refused" in row:
        print(f"no result: {row['refused']}")
        return
    print(f"{row['nonzeros']} nonzeros", end=", ")
    extra = f"prepared in {row['prepared']:.3g} s" if "prepared" in row else ""
    if "gap" in row:
        extra = f"{row['n_clusters']} clusters, gap {row['gap']:.3g} nats, {row['certificate']}, {row['status']}"
        extra += f", {row['sweeps']} sweeps, residual {row['residual']:.1e}"
    print(
        f"{row['seconds']:.3g} s, {extra}; peak {row['peak MiB']:.0f} MiB, {row['multiple']:.1f} times input and encoder",
        flush=True,
    )


def large(options: argparse.Namespace, file: Path) -> None:
    """A sweep, and a solve where one is asked for, on the counts of a text or on random ones."""
    case: dict[str, Any] = {"kind": "ib", "n_t": options.clusters, "file": str(file), "max_iter": options.max_iter}
    case |= {"n_x": options.n_x, "n_y": options.n_y}
    # a process inherits the peak of the one that starts it, so this one stays small
    sizes = {"words": options.words, "nonzeros": options.nonzeros}
    made = measure(what="make", text=str(options.text or ""), topics="", **sizes, **case)
    if "refused" in made:
        show_one(made)
        return
    for what in ("sweep", "solve") if options.solve is not None else ("sweep",):
        print(f"{what}: ", end="", flush=True)
        show_one(measure(what=what, beta=options.solve, **case))


def hard_clusters(options: argparse.Namespace, folder: Path) -> None:
    """Documents with planted topics, by `quantize` and the estimator, and where there are peers by sib-clustering."""
    files = {"file": str(folder / "counts.npz"), "topics": str(folder / "topics.npy")}
    case: dict[str, Any] = {"n_t": 20, "n_x": 18_000, "n_y": 10_000, **files}
    measure(what="make", text="", nonzeros=1_550_000, **case)
    for what in ("quantize", "estimator"):
        row = measure(what=what, **case)
        if "refused" in row:
            print(f"{what}: no result: {row['refused']}")
            continue
        print(
            f"{what}: {row['n_x']} x {row['n_y']}, {row['nonzeros']} nonzeros, {row['n_clusters']} clusters: {row['seconds']:.1f} s "
            f"of CPU, {row['wall']:.1f} s; peak {row['multiple']:.1f} times input and encoder; purity {row['purity']:.4f}, "
            f"I(T;Y) {row['relevance']:.6f} nats",
            flush=True,
        )
    if options.peers:
        from clusters import answers, information

        counts = sparse.csr_array(sparse.load_npz(files["file"]), dtype=np.float64)
        table = sparse.csr_array(counts / counts.sum())
        (answer,) = answers("sib", options.peers.expanduser(), [(table, case["n_t"])])
        assert answer is not None
        pure, kept = purity(answer["labels"], np.load(files["topics"])), information(table, answer["labels"])
        print(f"sib-clustering: {float(answer['seconds']):.1f} s of CPU; purity {pure:.4f}, I(T;Y) {kept:.6f} nats")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=["sweep", "solve"], help="only this one")
    parser.add_argument("--kinds", nargs="+", choices=["ib", "dualib"], default=["ib", "dualib"])
    parser.add_argument("--large", action="store_true", help="the large sparse case alone")
    parser.add_argument("--text", type=Path, help="a text of yours: word by next word")
    parser.add_argument("--words", type=int, default=5000, help="with --text: how many words (default 5000)")
    parser.add_argument("--topics", action="store_true", help="hard clusters of documents with planted topics alone")
    parser.add_argument("--peers", type=Path, help="with --topics: the folder of the peers' environments")
    parser.add_argument("--clusters", type=int, default=50, help="with --large and --text (default 50)")
    parser.add_argument("--n-x", type=int, default=200_000, help="with --large (default 200,000)")
    parser.add_argument("--n-y", type=int, default=2_000, help="with --large (default 2,000)")
    parser.add_argument("--nonzeros", type=int, default=5_000_000, help="with --large (default 5 million)")
    parser.add_argument("--solve", type=float, metavar="BETA", help="with --large and --text: solve as well")
    parser.add_argument("--max-iter", type=int, default=300, help="with --solve: sweeps at most (default 300)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(json.loads(options.one))))
        return
    if options.large or options.text:
        with tempfile.TemporaryDirectory() as folder:
            large(options, Path(folder) / "counts.npz")
        return
    if options.topics:
        with tempfile.TemporaryDirectory() as folder:
            hard_clusters(options, Path(folder))
        return
    if options.table != "solve":
        table("sweep", SWEEP, SWEEPS, options.kinds)
    if options.table != "sweep":
        table("solve", SOLVE, SOLVES, options.kinds)


if __name__ == "__main__":
    main()
