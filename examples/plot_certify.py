"""How good is this answer?
========================

Certify the encoders that other methods return, and plot their distance to the optimum.

Three ways to cluster the letters of English for the IB: hard k-means on the conditionals, random restarts of textbook
Blahut-Arimoto sweeps with the same number of clusters, and `dualib.solve`.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.cluster.vq import kmeans2

import dualib

joint = dualib.datasets.load_letters(smoothing=0.5)
betas = np.geomspace(2.5, 20.0, 8)
rng = np.random.default_rng(0)


def textbook_restart(beta, n_clusters, sweeps=300):
    """Plain sweeps from a random encoder."""
    encoder = rng.dirichlet(np.ones(n_clusters), joint.n_x)
    for _ in range(sweeps):
        weights = joint.px @ encoder
        decoder = (joint.px[:, None] * encoder).T @ joint.py_x / weights[:, None]
        distance = np.sum(joint.py_x[:, None] * np.log(joint.py_x[:, None] / decoder[None]), axis=2)
        terms = weights * np.exp(-beta * (distance - distance.min(axis=1, keepdims=True)))
        encoder = terms / terms.sum(axis=1, keepdims=True)
    return encoder


gaps = {"k-means": [], "best of 3 restarts": [], "dualib.solve": []}
for beta in betas:
    solution = dualib.solve(joint, beta)
    k = solution.n_clusters
    _, labels = kmeans2(joint.py_x, k, minit="++", seed=1)
    gaps["k-means"].append(dualib.certify(joint, np.eye(k)[labels], beta).gap)
    judged = [dualib.certify(joint, textbook_restart(beta, k), beta).gap for _ in range(3)]
    gaps["best of 3 restarts"].append(min(judged))
    gaps["dualib.solve"].append(solution.gap)

figure, ax = plt.subplots(figsize=(6.8, 4.6), layout="constrained")
for (name, values), colour, marker in zip(gaps.items(), ("#D55E00", "#0072B2", "#009E73"), "s^o", strict=True):
    ax.loglog(betas, np.maximum(values, 1e-16), marker + "-", color=colour, label=name)
    print(f"{name:20s}" + "".join(f"{value:10.1e}" for value in values))
ax.axhline(1e-9, color="0.5", linestyle=":", linewidth=1)
ax.annotate("tol", (betas[0], 1.3e-9), color="0.4")
ax.set(xlabel="beta", ylabel="gap to the global optimum [nats]", title="IB on English letters: who is how far from the best?")
ax.set_xticks([2.5, 5, 10, 20], ["2.5", "5", "10", "20"])
ax.minorticks_off()
ax.legend()
figure.savefig("certify.png", dpi=110)
