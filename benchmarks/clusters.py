"""K hard clusters by every tool that makes them, judged by one judge; and what is promised of capped solutions, on many tables.

    OPENBLAS_NUM_THREADS=1 python benchmarks/clusters.py --peers ~/peers            # every table and contender: half an hour
    OPENBLAS_NUM_THREADS=1 python benchmarks/clusters.py --peers ~/peers --quick    # a sixth of the tables: minutes
    OPENBLAS_NUM_THREADS=1 python benchmarks/clusters.py --check                    # the promises, 1,000 tables; --quick: 100

The tables: 40 of documents by words (12 to 2,000 documents, up to 5,000 words, 3 to 20 topics, a third of each document's words
found in no other), eight of them into three clusters, the letters of English, spike words, digits, and three channels with Gaussian
noise. The contenders: dualib.quantize, sib-clustering, scikit-learn's KMeans on the rows p(y|x), embo at alpha = 0, dit's sequential
and agglomerative modes; each runs in an environment of its own in the folder of peers, made with venv and pip where it is absent.
Seconds are CPU seconds of one thread, for each table the least of three runs.

The judge computes I(T;Y) of the labels from the table. The promises that --check counts: the lower bound is below what anyone
found; relevance <= relevance_bound; no objective is above that of forty lines of NumPy (`tests/baseline.py`), at any beta and
alpha; the objective falls with alpha and with K; along beta a capped curve never raises E d.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import baseline
import numpy as np
from capped import documents as mixed_documents
from capped import spike_words
from clusters_worker import CONTENDERS
from partitions import hard_objective, partitions
from scipy import sparse

import dualib

EQUAL = 1e-9  # nats, within which two results are the same
DOCUMENTS = 40
QUICK = 6  # of these every sixth


def documents(number: int) -> tuple[np.ndarray, int]:
    """Counts of words, and the number of topics: tables grow with their number."""
    rng = np.random.default_rng([7, number])
    n = round(np.geomspace(12, 2000, DOCUMENTS)[number])
    words = round(np.geomspace(40, 3300, DOCUMENTS)[number])
    topics = round(np.linspace(3, 20, DOCUMENTS)[number])
    topics = min(topics, n // 3)
    of_topic = rng.dirichlet(np.full(words, 0.1), topics)
    own = 1 + words // (2 * n)  # words of one document alone
    counts = np.zeros((n, words + own * n))
    for i in range(n):
        length = int(rng.integers(40, 160))
        mix = 0.7 * of_topic[i % topics] + 0.3 * of_topic[rng.integers(topics)]
        counts[i, :words] = rng.multinomial(length, mix)
        counts[i, words + own * i : words + own * (i + 1)] = rng.multinomial(length // 2, np.full(own, 1.0 / own))
    return counts[:, counts.sum(axis=0) > 0.0], topics


def gaussian_channel(outputs: int, variance: float) -> np.ndarray:
    """Inputs -1 and 1, outputs weighted by density between the 1e-12 quantiles of the outer tails."""
    end = 1.0 + 7.0344869100478 * np.sqrt(variance)
    z = np.linspace(-end, end, outputs)
    return np.exp(-((z[:, None] - np.array([-1.0, 1.0])) ** 2) / (2.0 * variance))


def digits() -> np.ndarray:
    """The first 300 images of scikit-learn's digits, 64 pixels."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data[:300])


def cases(*, quick: bool) -> list[tuple[str, sparse.csr_array, int]]:
    """Group, p(x, y) and K of every case."""
    found: list[tuple[str, np.ndarray, int]] = []
    for number in range(0, DOCUMENTS, QUICK if quick else 1):
        found.append(("documents", *documents(number)))
    found += [("documents, few clusters", documents(number)[0], 3) for number in range(6, 25, 6 if quick else 3)]
    found += [("documents, few clusters", mixed_documents(30, 60, 5, 0), 3)]
    letters = dualib.datasets.load_letters()
    found += [("letters 27 x 27", letters.pxy, k) for k in (3, 5, 8)]
    found += [("spike words 256 x 256", spike_words(256, 8, 2), k) for k in ((8,) if quick else (4, 8, 16))]
    found += [("digits 300 x 64", digits(), 10)]
    channels = ((200, 0.1, 8), (500, 0.3, 16), (1000, 1.0, 4))
    found += [("Gaussian channels", gaussian_channel(n, variance), k) for n, variance, k in channels]
    return [(group, _normalised(table), k) for group, table, k in found]


def _normalised(table: np.ndarray) -> sparse.csr_array:
    table = np.asarray(table, dtype=np.float64)
    table = table[table.sum(axis=1) > 0.0][:, table.sum(axis=0) > 0.0]
    return sparse.csr_array(table / table.sum())


def information(table: sparse.csr_array, labels: np.ndarray) -> float:
    """I(T;Y) of hard clusters, nats: the judge."""
    size = int(labels.max()) + 1
    rows = sparse.csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(size, len(labels)))
    pty = (rows @ table).toarray()
    pt, py = pty.sum(axis=1), pty.sum(axis=0)
    return float(sum(baseline.xlogx(p).sum() for p in (pty,)) - baseline.xlogx(pt).sum() - baseline.xlogx(py).sum())


# ---- contenders --------------------------------------------------------------------------------------------------------


def environment(folder: Path, package: str, version: str | None) -> Path:
    """The Python of a peer's own environment, made with venv and pip where it is absent."""
    python = folder / package / "bin" / "python"
    if not python.exists():
        wanted = package if version is None else f"{package}=={version}"
        subprocess.run([sys.executable, "-m", "venv", folder / package], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
    return python


def answers(contender: str, peers: Path, tables: list[tuple[sparse.csr_array, int]]) -> list[dict[str, np.ndarray] | None]:
    """What a contender makes of each table, None where that was too large for it."""
    package, version, _, _ = CONTENDERS[contender]
    python = Path(sys.executable) if package is None else environment(peers, package, version)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (table, k) in enumerate(tables):
            parts = {"data": table.data, "indices": table.indices, "indptr": table.indptr}
            np.savez(folder / f"case-{number:04d}.npz", shape=table.shape, k=k, **parts)
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [str(python), str(Path(__file__).with_name("clusters_worker.py")), contender, name]
        subprocess.run(command, check=True, env=clean)
        found: list[dict[str, np.ndarray] | None] = []
        for number in range(len(tables)):
            path = folder / f"answer-{number:04d}.npz"
            if path.exists():
                with np.load(path) as arrays:
                    found.append(dict(arrays))
            else:
                found.append(None)
    return found


def compare(peers: Path, *, quick: bool) -> None:
    """The tables of all contenders, as Markdown: by how much they lag behind the best, seconds, and who is above whom."""
    all_cases = cases(quick=quick)
    results = {}
    for contender in CONTENDERS:
        print(f"{contender} ...", file=sys.stderr, flush=True)
        results[contender] = answers(contender, peers, [(table, k) for _, table, k in all_cases])
    kept = {
        contender: np.array([_kept(table, answer) for (_, table, _), answer in zip(all_cases, found, strict=True)])
        for contender, found in results.items()
    }
    seconds = {
        contender: np.array([np.nan if answer is None else float(answer["seconds"]) for answer in found])
        for contender, found in results.items()
    }
    own, groups = kept["dualib"], [group for group, _, _ in all_cases]
    heads = [
        "tables",
        "contender",
        "done",
        "above dualib",
        "below",
        "most above, nats",
        "most below, nats",
        "CPU s",
        "dualib's",
    ]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for group in dict.fromkeys(groups):
        of_group = np.array([g == group for g in groups])
        for contender in CONTENDERS:
            done = of_group & ~np.isnan(kept[contender])
            apart = kept[contender][done] - own[done]
            if not done.any():
                continue
            print(
                f"| {group} | {contender} | {done.sum()} of {of_group.sum()} | {(apart > EQUAL).sum()} | {(apart < -EQUAL).sum()} | "
                f"{max(0.0, apart.max()):.1e} | {max(0.0, -apart.min()):.1e} | {seconds[contender][done].sum():.3f} | "
                f"{seconds['dualib'][done].sum():.3f} |"
            )


def _kept(table: sparse.csr_array, answer: dict[str, np.ndarray] | None) -> float:
    if answer is None:
        return np.nan
    return float(answer["information"]) if "information" in answer else information(table, answer["labels"])


# ---- promises ----------------------------------------------------------------------------------------------------------


def small_problem(number: int) -> tuple[dualib.JointDistribution, int, float, str]:
    """A table of 4 to 8 x and 2 to 5 y, some with zeros, with a cap, a beta and a distortion."""
    rng = np.random.default_rng([11, number])
    n_x, n_y = int(rng.integers(4, 9)), int(rng.integers(2, 6))
    py_x = rng.dirichlet(np.full(n_y, rng.choice([0.3, 1.0, 3.0])), n_x)
    kind = ("ib", "dualib")[number % 2]
    if kind == "ib" and number % 3 == 0:
        py_x = np.where(rng.random(py_x.shape) < 0.3, 0.0, py_x) + 1e-300
        py_x[py_x.sum(axis=1) < 1e-9, 0] = 1.0
        py_x = np.where(py_x > 1e-200, py_x, 0.0)
    py_x = np.maximum(py_x, 1e-12 * (kind == "dualib"))
    px = rng.dirichlet(np.full(n_x, 3.0))
    joint = dualib.JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), px)
    return joint, int(rng.integers(2, n_x)), float(np.exp(rng.uniform(0.0, np.log(100.0)))), kind


def check(first: int, count: int) -> None:
    """Count broken promises on so many small tables, from the number `first` on."""
    broken: dict[str, list[int]] = {}  # numbers of tables
    tight = 0

    def expect(promise: str, kept: bool) -> None:
        if not kept:
            broken.setdefault(promise, []).append(number)

    for number in range(first, first + count):
        joint, k, beta, kind = small_problem(number)
        found = dualib.solve(joint, beta, kind, n_clusters=k)
        hard = dualib.solve(joint, beta, kind, n_clusters=k, alpha=0.0)
        between = dualib.solve(joint, beta, kind, n_clusters=k, alpha=0.5, init=hard.encoder)
        again = dualib.solve(joint, beta, kind, n_clusters=k, init=between.encoder)
        more = dualib.solve(joint, beta, kind, n_clusters=k + 1, init=again.encoder)
        all_hard = min(hard_objective(kind, joint.px, joint.py_x, beta, labels) for labels in partitions(joint.n_x, k))
        others = [hard.objective, between.objective, again.objective, all_hard]
        expect("bound", found.lower_bound <= min(others) + EQUAL and hard.lower_bound <= all_hard + EQUAL)
        expect("exhaustive", abs(hard.objective - all_hard) <= EQUAL)
        expect("relevance", all(one.relevance <= one.relevance_bound for one in (found, hard, between, more)))
        expect("falls with alpha", hard.objective + EQUAL >= between.objective >= again.objective - EQUAL)
        expect("falls with K", more.objective <= again.objective + EQUAL)
        if kind == "ib":
            occur = joint.px @ joint.py_x > 0.0  # the baseline knows no y of probability 0
            for alpha, own in ((1.0, found), (0.5, between), (0.0, hard)):
                least = baseline.solve(joint.px, joint.py_x[:, occur], beta, k, seeds=range(3), alpha=alpha)
                expect("baseline", own.objective <= least + EQUAL)
        if number % 10 == 0:
            for alpha in (1.0, 0.3):
                curve = dualib.anneal(joint, kind, np.geomspace(1.0, 100.0, 6), n_clusters=k, alpha=alpha)
                expect("beta", np.diff(curve.expected_distortion).max() <= EQUAL)
        tight += found.gap < 1e-6
    print(
        f"{count} tables; the gap under the cap is below 1e-6 nats on {tight}; broken promises: {broken or 'none of any kind'}"
    )


def against_baseline(*, quick: bool) -> None:
    """The objectives of capped solves beside those of the NumPy baseline, on the tables that it can do."""
    above, below, total = [], 0, 0
    for group, table, k in cases(quick=quick):
        if table.shape[0] > (100 if quick else 300):
            continue
        joint = dualib.JointDistribution(table.toarray())
        for beta, alpha in itertools.product((5.0, 50.0, 1000.0), (1.0, 0.5, 0.0)):
            own = dualib.solve(joint, beta, n_clusters=k, alpha=alpha, certify=False).objective
            apart = own - baseline.solve(joint.px, joint.py_x, beta, k, seeds=range(3), alpha=alpha)
            above += [(apart, group, k, beta, alpha)] if apart > EQUAL else []
            below += apart < -EQUAL
            total += 1
    print(f"{total} capped solves: {len(above)} above the baseline by more than {EQUAL:g} nats, {below} below it")
    for apart, *what in sorted(above, reverse=True)[:10]:
        print(f"  {apart:.1e}", *what)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments: compare with them")
    parser.add_argument("--check", action="store_true", help="count broken promises on small tables")
    parser.add_argument("--baseline", action="store_true", help="compare capped solves with the NumPy baseline")
    parser.add_argument("--quick", action="store_true", help="fewer tables")
    parser.add_argument("--first", type=int, default=0, help="number of the first small table of --check")
    parser.add_argument("--count", type=int, help="how many small tables --check takes (default 1,000, or 100 with --quick)")
    options = parser.parse_args()
    if not (options.peers or options.check or options.baseline):
        parser.error("choose --peers FOLDER, --check or --baseline")
    warnings.simplefilter("error")
    if options.peers:
        compare(options.peers.expanduser(), quick=options.quick)
    if options.check:
        check(options.first, options.count or (100 if options.quick else 1000))
    if options.baseline:
        against_baseline(quick=options.quick)


if __name__ == "__main__":
    main()
