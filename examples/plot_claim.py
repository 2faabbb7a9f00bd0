"""A claim checked in five lines
=============================

"Below the critical beta of the eigenvalue test, nothing can be learned." Here is what the global test says.

The textbook's critical beta is ``1 / lambda_max`` at the one-cluster solution. It is where that solution stops being a local
optimum; it stops being the global one before. Five lines check the claim on a random table: the local test, the certified
onset, a beta between them, the optimum there, and how far the one cluster is from it by its own certificate. The picture
does it for forty tables.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib

joint = dualib.datasets.case_a()
claimed, onset = dualib.local_critical_beta(joint), dualib.onset(joint)
beta = np.sqrt(claimed * onset)
solution = dualib.solve(joint, beta)
trivial = dualib.certify(joint, np.zeros(joint.n_x, dtype=int), beta)
print(f"claimed {claimed:.6f}, certified onset {onset:.6f}; at {beta:.4f} there are {solution.n_clusters} clusters")
print(f"one cluster is {trivial.gap:.6f} nats above the optimum there ({trivial.kind})")

rng = np.random.default_rng(0)
ratios = {"IB": [], "dual IB": []}
for _ in range(40):
    table = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(3), 6), rng.dirichlet(np.ones(6)))
    for values, kind in zip(ratios.values(), ("ib", "dualib"), strict=True):
        values.append(dualib.onset(table, kind) / dualib.local_critical_beta(table, kind))

figure, ax = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
for (name, values), colour in zip(ratios.items(), ("#0072B2", "#D55E00"), strict=True):
    share = np.mean(np.array(values) < 0.999)
    ax.plot(
        np.sort(values), np.arange(1, 41), "o-", ms=3.5, color=colour, label=f"{name}: earlier by over 0.1% in {share:.0%}"
    )
    print(f"{name}: true onset earlier by more than 0.1% in {share:.0%} of 40 tables, least ratio {min(values):.3f}")
ax.axvline(1.0, color="0.5", lw=1.0, ls="--")
ax.set(
    xlabel="true onset / textbook critical beta",
    ylabel="tables with at most this ratio, of 40",
    title="Where learning begins, and where it is said to",
)
ax.legend(frameon=False, loc="upper left")
figure.savefig("claim.png", dpi=110)
