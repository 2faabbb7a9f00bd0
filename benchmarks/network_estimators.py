"""The bias of the neighbour estimator on Gaussians of known information, against the number of samples.

    python benchmarks/network_estimators.py

Prints a table: dimension, correlation, the truth, and mean +- standard error over seeds for each number of samples, in nats.
"""

import numpy as np

from dualib import networks

SIZES = {100: 40, 400: 20, 1600: 10}  # samples, seeds


def main():
    print("| dimension | correlation | I(X;Y) | " + " | ".join(f"{n} samples" for n in SIZES) + " |")
    print("| --- " * (3 + len(SIZES)) + "|")
    for d, rho in ((1, 0.5), (1, 0.9), (2, 0.6), (5, 0.5), (5, 0.9)):
        truth = -0.5 * d * np.log(1.0 - rho**2)
        cells = []
        for n, n_seeds in SIZES.items():
            values = []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                x = rng.standard_normal((n, d))
                values.append(networks.ksg(x, rho * x + np.sqrt(1.0 - rho**2) * rng.standard_normal((n, d))))
            cells.append(f"{np.mean(values):.3f} +- {np.std(values, ddof=1) / np.sqrt(n_seeds):.3f}")
        print(f"| {d} | {rho} | {truth:.3f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
