"""Every merge of the five-point toy
=================================

The five-point toy with every merge of IB and dual IB located, and what an annealer that only follows would see instead.

First picture: the two trees side by side, and below them the stability number of every cluster; one cluster divides where its
number reaches 1, but a cluster born at a distance, as each of these is, announces itself in no number.
Second picture: both planes, and on another problem the optimum against a follower that starts from one cluster. The follower stays
trivial until the textbook critical beta, long after the onset; coming back down it follows the cluster to the onset, where it dies.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib

NAMES = {"ib": "IB", "dualib": "dual IB"}

joint = dualib.datasets.toy()
curves = {name: dualib.anneal(joint, name, beta_min=2.0, beta_max=64.0) for name in NAMES}

figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharex="col", layout="constrained")
for column, (name, title) in enumerate(NAMES.items()):
    curve = curves[name]
    curve.plot_bifurcations(ax=axes[0, column], y_index=1)
    axes[0, column].set(title=f"{title}: five clusters down to one", xlabel="")
    curve.plot_stability(ax=axes[1, column])
figure.savefig("bifurcations.png", dpi=110)

for name, title in NAMES.items():
    print(f"{title}: textbook critical beta {dualib.local_critical_beta(joint, name):.6f}, onset {curves[name].onset:.6f}")
    for event in curves[name].events:
        print(f"  beta = {event.beta:.10f}  {event.kind:10s} {event.before} to {event.after} clusters")

other = dualib.datasets.case_a()
onset, critical = dualib.onset(other, "ib"), dualib.local_critical_beta(other, "ib")
betas = np.linspace(0.9 * onset, 1.15 * critical, 60)
best = dualib.anneal(other, "ib", betas)
upward = dualib.follow(dualib.solve(other, betas[0], "ib"), betas)
downward = dualib.follow(dualib.solve(other, betas[-1], "ib"), betas[::-1])

figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
dualib.plotting.plot_information_plane({title: curves[name] for name, title in NAMES.items()}, ax=axes[0])
curves["dualib"].plot_rate_distortion(ax=axes[1])
ax = axes[2]
ax.plot(best.beta, best.relevance, color="#0072B2", lw=4, label="certified optimum")
ax.plot(upward.beta, upward.relevance, color="#D55E00", ls="--", lw=1.8, label="followed upward")
ax.plot(downward.beta, downward.relevance, color="k", ls=":", lw=1.8, label="followed downward")
for beta, words in ((onset, "onset"), (critical, "textbook\ncritical beta")):
    ax.axvline(beta, color="0.5", lw=0.8)
    ax.annotate(words, (beta, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -4), textcoords="offset points", va="top")
ax.set(xlabel=r"$\beta$", ylabel="relevance  I(T;Y)  [nats]", title="Case A: what a follower misses")
ax.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.25))
figure.savefig("hysteresis.png", dpi=110)
print(f"Case A: a follower from below is up to {np.max(upward.objective - best.objective):.2e} nats above the optimum,")
print(f"which its own certificate says: largest gap {upward.gap.max():.2e} nats.")
