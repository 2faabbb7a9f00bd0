"""How efficient are naming systems?
=================================

Deviation from the IB curve, and the distance between systems (gNID).

Thirty colours on a line, each meant as a bump around itself; the prior is the one that attains the capacity of this channel. A
naming system is an encoder from colours to words: hard labels, or soft ones. Its deviation from optimality is how much more
relevance the curve has at its rate (Zaslavsky, Kemp, Regier and Tishby 2018).
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib
from dualib import information

colours = np.arange(30)
meanings = np.exp(-0.5 * ((colours[:, None] - colours[None, :]) / 3.0) ** 2)
meanings /= meanings.sum(axis=1, keepdims=True)
capacity, prior, gap = information.channel_capacity(meanings)
print(f"capacity {capacity:.4f} nats (within {gap:.0e}), {np.count_nonzero(prior)} of 30 colours in use")
prior = 0.5 * prior + 0.5 / 30  # so that every colour is talked about
joint = dualib.JointDistribution.from_conditionals(meanings, prior)
curve = dualib.anneal(joint, "ib", betas=np.geomspace(1.1, 8.0, 30), events=False)

rng = np.random.default_rng(0)
systems = {
    "three even words": colours * 3 // 30,
    "three uneven words": np.digitize(colours, [4, 24]),
    "five even words": colours * 5 // 30,
    "soft edges": (lambda s: s / s.sum(axis=1, keepdims=True))(np.exp(-0.02 * (colours[:, None] - [5, 15, 25]) ** 2)),
    "words at random": rng.integers(5, size=30),
}
figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
ax.plot(curve.rate, curve.relevance, color="0.5", label="IB curve: no system is above")
marks = zip("os^Dv", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), strict=True)
for (name, system), (marker, colour) in zip(systems.items(), marks, strict=True):
    found = curve.deviation(system, tol=1e-6)
    nearest = information.gnid(system, found.solution.encoder, prior)
    relevance = joint.mutual_information - found.expected_distortion
    print(f"{name:19s} epsilon {found.epsilon:.4f} nats at beta {found.beta:.3f}, gNID to the optimum there {nearest:.3f}")
    ax.plot(found.rate, relevance, marker, color=colour, ms=7, label=f"{name}: {found.epsilon:.3f} nats")
ax.set(xlabel="complexity  I(X;T)  [nats]", ylabel="accuracy  I(T;Y)  [nats]", title="Naming systems and their deviation")
ax.legend(fontsize=8)
figure.savefig("naming.png", dpi=110)
