"""Time and peak memory of the estimators on a sparse table of documents by words.

    python benchmarks/documents.py [--documents 18846] [--words 10000] [--nonzeros 1400000] [--clusters 20] [--beta BETA]

Words are drawn by topic. The peak is what `tracemalloc` counts above the table itself while the estimator fits, and again while it
predicts; all arrays of NumPy and SciPy are counted. The limit is three times the table and the encoder.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np
from scipy import sparse

from dualib import InformationBottleneck, compile_kernels


def documents(n_x: int, n_y: int, nonzeros: int, topics: int, seed: int = 0) -> sparse.csr_array:
    """The counts of `planted` alone."""
    return planted(n_x, n_y, nonzeros, topics, seed)[0]


def planted(n_x: int, n_y: int, nonzeros: int, topics: int, seed: int = 0) -> tuple[sparse.csr_array, np.ndarray]:
    """Counts (n_x, n_y) of about so many nonzeros, and topics (n_x,); half of the words of a document are of its topic."""
    rng = np.random.default_rng(seed)
    background = 1.0 / np.arange(1, n_y + 1)  # Zipf
    of_topic = background * rng.gamma(0.1, 10.0, (topics, n_y))
    of_topic = 0.5 * of_topic / of_topic.sum(axis=1, keepdims=True) + 0.5 * background / background.sum()
    ends = np.cumsum(of_topic, axis=1)
    topic = rng.integers(topics, size=n_x)
    length = rng.poisson(1.43 * nonzeros / n_x, n_x) + 1
    rows = np.repeat(np.arange(n_x), length)
    words = np.empty(len(rows), dtype=np.int64)
    draws = rng.random(len(rows))
    for k in range(topics):
        mine = topic[rows] == k
        words[mine] = np.searchsorted(ends[k], draws[mine] * ends[k, -1])
    table = sparse.csr_array((np.ones(len(rows), dtype=np.int64), (rows, words)), shape=(n_x, n_y))
    arrays = table.data, table.indices.astype(np.int32), table.indptr.astype(np.int32)
    return sparse.csr_array(arrays, shape=(n_x, n_y)), topic


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("documents", 18_846), ("words", 10_000), ("nonzeros", 1_400_000), ("clusters", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--beta", type=float, default=None)
    given = parser.parse_args()
    table = documents(given.documents, given.words, given.nonzeros, 20)
    size = table.data.nbytes + table.indices.nbytes + table.indptr.nbytes
    print(f"{table.shape[0]} x {table.shape[1]}, {table.nnz} nonzeros: {size / 2**20:.1f} MiB")
    compile_kernels()
    model = InformationBottleneck(given.clusters, given.beta, certify=False)
    for what, call in (("fit", lambda: model.fit(table)), ("predict", lambda: model.predict(table))):
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        encoder = model.solution_.encoder.nbytes
        print(
            f"{what}: {seconds:.1f} s, peak {peak / 2**20:.1f} MiB, of {(3 * size + encoder) / 2**20:.1f} MiB allowed "
            f"({(peak - encoder) / size:.2f} times the table, and the encoder)"
        )
    print(model.solution_)


if __name__ == "__main__":
    main()
