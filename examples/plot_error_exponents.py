"""How fast samples of y tell clusters apart
=========================================

Simulated errors against the Chernoff information, IB and dual IB.

Both problems are solved at the same rate. A cluster t is drawn with its weight, then n samples of y from p(y|t); maximum likelihood
(with the prior weights) guesses t. The error falls like exp(-n C), C the least Chernoff information of two clusters, up to a
factor of about 1/sqrt(n). The lines have that slope and that factor; only their height is fitted, to the points with n C above 3.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib
from dualib.exponents import cluster_chernoff, mean_exponent

RATE, TRIALS = 0.6, 400_000
rng = np.random.default_rng(0)
joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.full(6, 0.7), 8))


def measured_error(solution, n):
    """Share of wrong guesses of t from n samples of y, and its standard error."""
    wrong = 0
    drawn = rng.multinomial(TRIALS, solution.weights)
    for t, trials in enumerate(drawn):
        counts = rng.multinomial(n, solution.decoder[t], size=trials)
        scores = counts @ np.log(solution.decoder).T + np.log(solution.weights)
        wrong += np.count_nonzero(np.argmax(scores, axis=1) != t)
    error = wrong / TRIALS
    return error, np.sqrt(error * (1.0 - error) / TRIALS)


figure, ax = plt.subplots(figsize=(7.6, 4.8), layout="constrained")
for name, label, colour, marker in (("ib", "IB", "#0072B2", "o"), ("dualib", "dual IB", "#D55E00", "s")):
    solution = dualib.solve_at(joint, name, rate=RATE)
    chernoff = cluster_chernoff(solution)
    least = chernoff[~np.eye(len(chernoff), dtype=bool)].min()
    sizes = np.unique(np.round(np.linspace(1.0, 6.5, 10) / least).astype(int))
    errors, bars = np.array([measured_error(solution, n) for n in sizes]).T
    ax.errorbar(
        sizes, errors, 2.0 * bars, fmt=marker, color=colour, capsize=3, label=f"{label}: measured, two standard errors"
    )
    # log(sqrt(n) error) is a straight line of slope -C once n C is large
    heights, tail = np.log(errors * np.sqrt(sizes)), sizes * least >= 3.0
    precision = (errors / bars)[tail]
    level = np.average((heights + least * sizes)[tail], weights=precision**2)
    ax.plot(
        sizes, np.exp(level - least * sizes) / np.sqrt(sizes), color=colour, label=f"{label}: slope predicted, C = {least:.4f}"
    )
    slope = -np.polyfit(sizes[tail], heights[tail], 1, w=precision)[0]
    print(
        f"{label:8s} rate {solution.rate:.6f}  relevance {solution.relevance:.6f}  clusters {solution.n_clusters}  "
        f"mean exponent inside {mean_exponent(solution):.6f}  C predicted {least:.5f}, measured {slope:.5f}"
    )
ax.set_yscale("log")
ax.set(xlabel="n, samples of y", ylabel="probability of the wrong cluster", title=f"Telling clusters apart, rate {RATE} nats")
ax.legend()
figure.savefig("error-exponents.png", dpi=110)
