"""One contender of `clusters.py` on tables of counts, in its own environment, which need not have dualib.

    python clusters_worker.py CONTENDER FOLDER

FOLDER holds files `case-NNN.npz`: a CSR array of p(x, y) (data, indices, indptr, shape) and the number of clusters `k`. For each a
file `answer-NNN.npz` is written with the CPU seconds and the labels (n_x,) (embo, which gives none: its I(T;Y) in nats), unless the
case is larger than the contender can do in a minute or so.
"""

import os
import sys
import time
import warnings
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "DIT_OPT_JOBS"):
    os.environ[_name] = "1"

import numpy as np
from scipy import sparse

HIGH = 1e4  # beta of contenders that have no hard clusters of a given number but by a cap: the distortion alone counts
SEED = 0
RUNS, LONG = 3, 2.0  # of which the fastest counts; longer ones are done once


def sib(table, k, n_init=10):
    """sib-clustering as its documentation has it, but with the p(x) of the table and one job."""
    from sib import SIB

    return SIB(k, random_state=SEED, n_jobs=1, n_init=n_init, uniform_prior=False).fit(sparse.csr_matrix(table)).labels_


def kmeans(table, k):
    """scikit-learn's KMeans on the rows p(y|x), weighted by p(x)."""
    from sklearn.cluster import KMeans

    px = np.asarray(table.sum(axis=1)).ravel()
    rows = sparse.csr_matrix(sparse.diags_array(1.0 / px) @ table)
    return KMeans(k, n_init=10, random_state=SEED).fit(rows, sample_weight=px * len(px)).labels_


def dit_sequential(table, k):
    """Dit's sequential_ib at a large beta."""
    from dit.rate_distortion.bottleneck_algorithms import sequential_ib

    return sequential_ib(table.toarray(), HIGH, k, random_state=SEED).assignments


def dit_agglomerative(table, k):
    """Dit's agglomerative_ib, its deterministic mode."""
    from dit.rate_distortion.bottleneck_algorithms import agglomerative_ib

    return agglomerative_ib(table.toarray(), HIGH, k).assignments


def embo(table, k):
    """Embo's deterministic bottleneck (alpha = 0) with k states, at a large beta; it tells I(T;Y), no labels."""
    from embo import InformationBottleneck

    pxy = table.toarray()
    px = pxy.sum(axis=1)
    found = InformationBottleneck.beta_iter(0, HIGH, px, pxy.sum(axis=0), pxy.T / px, k, 10, 100)
    return float(found[1]) * np.log(2.0)


def dualib_quantize(table, k):
    """Quantize as it is, without its certificate."""
    import dualib

    joint = dualib.JointDistribution(table)
    return dualib.quantize(joint, k, certify=False).labels


# contender: (distribution on PyPI, its version or None for any, function, most cells n_x n_y k)
CONTENDERS = {
    "dualib": (None, None, dualib_quantize, np.inf),
    "sib": ("sib-clustering", "0.2.7", sib, np.inf),
    "kmeans": ("scikit-learn", None, kmeans, np.inf),
    "embo": ("embo", "1.1.0", embo, 2e6),
    "dit sequential": ("dit", "2.3", dit_sequential, 2_200),
    "dit agglomerative": ("dit", "2.3", dit_agglomerative, 2_000),
}


def main(contender, folder):
    """Solve one case after the other, each timed alone; the first is done once before, for imports and compiling."""
    _, _, function, most = CONTENDERS[contender]
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    np.random.seed(SEED)  # noqa: NPY002  embo draws from the global generator
    warm = False
    for path in sorted(Path(folder).glob("case-*.npz")):
        with np.load(path) as arrays:
            shape, k = tuple(arrays["shape"]), int(arrays["k"])
            table = sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        if shape[0] * shape[1] * k > most:
            continue
        if not warm:
            function(table, k)
            warm = True
        seconds = np.inf
        for _ in range(RUNS):
            start = time.process_time()
            found = function(table, k)
            seconds = min(seconds, time.process_time() - start)
            if seconds > LONG:
                break
        answer = {"information": found} if isinstance(found, float) else {"labels": np.asarray(found)}
        np.savez(path.with_name(path.name.replace("case", "answer")), seconds=seconds, **answer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
