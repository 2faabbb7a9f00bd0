"""Estimates of I(X;Y) from counts beside the truth, and the entropies beside those of other packages.

    python benchmarks/estimates.py            # half a minute; the table of docs/explanation/samples.md
    pip install infomeasure dit && python benchmarks/estimates.py --peers

Means over ten samples of each kind of table, nats. With --peers: Chao-Shen and Miller-Madow of infomeasure, and the second estimate
of dit (Grassberger's sum with psi(N) for log N), on random counts; exit code 1 where one differs by more than 1e-9. (The NSB
estimate of infomeasure 0.6.3 integrates the concentration from 0 to log K only; the tests compare with mpmath's integrals.)
"""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np
from scipy.special import digamma

from dualib import information

ESTIMATORS = ("miller_madow", "grassberger", "chao_shen", "nsb", "shuffled")
SAMPLES = 10


def tables(rng: np.random.Generator) -> list[tuple[str, np.ndarray, int]]:
    """Joint distributions and sample sizes."""

    def dirichlet(size: int, concentration: float = 1.0, rows: int | None = None) -> np.ndarray:
        return rng.dirichlet(np.full(size, concentration), rows)

    def clustered(n_x: int, n_y: int, concentration: float, clusters: int) -> np.ndarray:
        return dirichlet(n_x)[:, None] * dirichlet(n_y, concentration, clusters)[rng.integers(clusters, size=n_x)]

    return [
        ("5 x 2, N = 100", clustered(5, 2, 1.0, 5), 100),
        ("27 x 27, N = 2,000", clustered(27, 27, 0.3, 27), 2000),
        ("120 x 8, 6 clusters, N = 3,000", clustered(120, 8, 1.0, 6), 3000),
        ("120 x 8, independent, N = 3,000", np.outer(dirichlet(120), dirichlet(8)), 3000),
        ("300 x 300, 10 clusters, N = 30,000", clustered(300, 300, 0.1, 10), 30_000),
        ("300 x 300, 10 clusters, N = 3,000", clustered(300, 300, 0.1, 10), 3000),
        ("300 x 300, independent, N = 3,000", np.outer(dirichlet(300), dirichlet(300)), 3000),
        ("100 x 100, y = x, N = 300", np.eye(100) / 100, 300),
    ]


def compare() -> None:
    """Print the truth, the plug-in value and the estimates of each kind of table."""
    rng = np.random.default_rng(0)
    print(f"{'table':36}{'true':>8}{'plug-in':>9}" + "".join(f"{name:>13}" for name in ESTIMATORS))
    for name, p, total in tables(rng):
        samples = [rng.multinomial(total, p.ravel()).reshape(p.shape) for _ in range(SAMPLES)]
        means = [np.mean([information.mutual_information(counts) for counts in samples])]
        for estimator in ESTIMATORS:
            call = getattr(information, f"mutual_information_{estimator}")
            options = {"n_shuffles": 5} if estimator == "shuffled" else {}
            means.append(np.mean([call(counts, **options) for counts in samples]))
        row = f"{means[0]:>9.3f}" + "".join(f"{value:>13.3f}" for value in means[1:])
        print(f"{name:36}{information.mutual_information(p):>8.3f}{row}")


def compare_peers() -> float:
    """The largest difference of an entropy from that of another package on 200 random samples."""
    import infomeasure
    from dit.inference import entropy_2

    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(200):
        counts = rng.poisson(rng.gamma(0.5, 4.0, rng.integers(2, 40)))
        if counts.sum() < 2 or np.count_nonzero(counts) < 2:
            continue
        samples = np.repeat(np.arange(len(counts)), counts)
        total = len(samples)
        for name in ("chao_shen", "miller_madow"):
            peer = float(infomeasure.entropy(samples, approach=name))
            worst = max(worst, abs(getattr(information, f"entropy_{name}")(counts) - peer))
        peer = float(entropy_2(samples.tolist())) * np.log(2.0) - digamma(total) + np.log(total)
        worst = max(worst, abs(information.entropy_grassberger(counts) - peer))
    return worst


def main() -> int:
    """Run the comparison asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="compare with infomeasure and dit instead")
    if not parser.parse_args().peers:
        compare()
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worst = compare_peers()
    print(f"largest difference from infomeasure and dit: {worst:.1e} nats")
    return int(worst > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
