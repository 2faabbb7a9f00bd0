"""One peer package on one problem; `contenders.py` runs this in the peer's own environment, which need not have dualib.

    python peer_worker.py CONTENDER FOLDER SECONDS

FOLDER holds `input.npz` (pxy, betas in nats, kind). For each beta a file `point-NNN.npz` is written there, with the CPU seconds
that it took and either the encoder p(t|x) or, where the package gives none, its I(X;T) and I(T;Y) in nats. No new beta is begun
after SECONDS; the parent stops what takes much longer than that.
"""

import contextlib
import io
import os
import sys
import time
import warnings
from importlib import metadata

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "DIT_OPT_JOBS"):
    os.environ[_name] = "1"

import numpy as np

LN2 = np.log(2.0)
REPEAT = 3.0  # passes over the betas shorter than this in all are repeated, and the shortest counts
SAMPLES = 10_000  # that stand for p(x, y) where a package takes only samples

TIGHT = {"restarts": 10, "iterations": 10_000, "rtol": 1e-12}


def embo(pxy, kind, restarts=3, iterations=100, rtol=1e-3):
    """Embo: restarts from noise at each beta; defaults as in `InformationBottleneck.IB`. It gives a point, no encoder.

    Its curve has equally spaced betas only, so each beta goes through its own public `beta_iter`, without the process pool
    that its curve starts. It multiplies KL in bits by beta: beta_embo = beta ln 2.
    """
    from embo import InformationBottleneck

    px, py = pxy.sum(axis=1), pxy.sum(axis=0)
    py_x = pxy.T / px

    def solve(beta):
        found = InformationBottleneck.beta_iter(1, beta * LN2, px, py, py_x, px.size, restarts, iterations, rtol)
        return {"point": LN2 * np.array([float(found[0]), float(found[1])])}

    return solve


def reversed_divergence(kind):
    """Arguments that make dit's distortion KL(r || p(.|x)); its decoder stays the arithmetic mean."""
    from dit.divergences.pmf import relative_entropy

    return {} if kind == "ib" else {"divergence": lambda p, r: relative_entropy(r, p)}


def dit_blahut_arimoto(pxy, kind):
    """Dit's Blahut-Arimoto, as `IBCurve(method="ba")` calls it: 250 random restarts at each beta."""
    from dit.rate_distortion.blahut_arimoto import blahut_arimoto_ib

    options = reversed_divergence(kind)
    return lambda beta: {"encoder": blahut_arimoto_ib(pxy, beta, **options)[1].sum(axis=1) / pxy.sum(axis=1)[:, None]}


def dit_optimiser(pxy, kind):
    """Dit's generic optimiser, as `IBCurve(method="sp")` calls it, which is its default."""
    import dit
    from dit.rate_distortion.information_bottleneck import InformationBottleneck, InformationBottleneckDivergence

    joint = dit.Distribution.from_ndarray(pxy)
    options = reversed_divergence(kind)

    def solve(beta):
        bottleneck = (InformationBottleneckDivergence if options else InformationBottleneck)(
            joint, beta, rvs=[[0], [1]], bound=pxy.shape[0], **options
        )
        bottleneck.optimize()
        pairs = bottleneck.construct_joint(bottleneck._optima).sum(axis=(1, 2))
        return {"encoder": pairs / pairs.sum(axis=1, keepdims=True)}

    return solve


def information_bottleneck(pxy, kind):
    """The package information-bottleneck; it takes samples only, so p(x, y) is rounded to SAMPLES of them, each x kept."""
    from src.information_bottleneck import InformationBottleneck

    counts = np.floor(SAMPLES * pxy).astype(int)
    short = SAMPLES - counts.sum()
    counts.flat[np.argsort(counts - SAMPLES * pxy, axis=None, kind="stable")[:short]] += 1
    for x in np.flatnonzero(counts.sum(axis=1) == 0):
        counts[x, np.argmax(pxy[x])] = 1
    x, y = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(pxy.shape))

    def solve(beta):
        bottleneck = InformationBottleneck(beta=beta, random_seed=0)
        bottleneck.fit(x, y)
        return {"encoder": bottleneck.p_z_given_x}

    return solve


# contender: (distribution on PyPI, its version, function, options, kinds)
CONTENDERS = {
    "embo": ("embo", "1.1.0", embo, {}, ("ib",)),
    "embo, tight": ("embo", "1.1.0", embo, TIGHT, ("ib",)),
    "dit, Blahut-Arimoto": ("dit", "2.3", dit_blahut_arimoto, {}, ("ib", "dualib")),
    "dit, optimiser": ("dit", "2.3", dit_optimiser, {}, ("ib", "dualib")),
    "information-bottleneck": ("information-bottleneck", "1.3.0", information_bottleneck, {}, ("ib",)),
}


def main(contender, folder, budget):
    """Solve one beta after the other, each timed alone, imports and preparation left out."""
    package, version, function, options, _ = CONTENDERS[contender]
    if metadata.version(package) != version:
        sys.exit(f"{package} {version} is wanted, this environment has {metadata.version(package)}")
    with np.load(os.path.join(folder, "input.npz")) as arrays:
        pxy, betas, kind = arrays["pxy"], arrays["betas"], str(arrays["kind"])
    np.random.seed(0)  # noqa: NPY002  the packages draw from the global generator
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        solve = function(pxy, kind, **options)
        passes = [run(solve, betas, budget, folder)]
        while sum(passes) < REPEAT:
            passes.append(run(solve, betas, budget, None))
    np.save(os.path.join(folder, "passes.npy"), passes)


def run(solve, betas, budget, folder):
    """CPU seconds of one pass over the betas; its points go into the folder, if one is given."""
    spent = 0.0
    for number, beta in enumerate(betas):
        if spent >= budget:
            break
        start = time.process_time()
        found = solve(float(beta))
        seconds = time.process_time() - start
        spent += seconds
        if folder is not None:
            part = os.path.join(folder, "part.npz")
            np.savez(part, seconds=seconds, **found)
            os.replace(part, os.path.join(folder, f"point-{number:03d}.npz"))
    return spent


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
