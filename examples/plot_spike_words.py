"""Spike words
===========

Which words of a population of neurons say the same about the stimulus? Five model neurons, eight directions of motion, 500
trials.

In a window each neuron fires or not, so that a trial is a word of five bits. Many of the 32 words are rare, their
p(stimulus|word) is mostly noise, and the counts hold more information than the neurons do. The Information Bottleneck joins
words that tell the same; what the clusters are worth is measured on other trials than those that chose them, less the bias
(t - 1)(y - 1) / (2 N) of that measurement.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib
from dualib.information import mutual_information, mutual_information_miller_madow

N_DIRECTIONS, TRIALS = 8, 500
rng = np.random.default_rng(4)
directions = 2.0 * np.pi * np.arange(N_DIRECTIONS) / N_DIRECTIONS
preferred = 2.0 * np.pi * np.arange(5) / 5
p_fire = 0.04 + 0.75 * np.exp(2.0 * (np.cos(directions[:, None] - preferred) - 1.0))  # (direction, neuron)
bits = (np.arange(32)[:, None] >> np.arange(5)) & 1
truth = np.prod(np.where(bits[None], p_fire[:, None], 1.0 - p_fire[:, None]), axis=2).T / N_DIRECTIONS  # p(word, direction)
words = np.array(["".join(map(str, row)) for row in bits])

both = [rng.multinomial(TRIALS, truth.ravel()).reshape(truth.shape) for _ in range(2)]
train, test = both
seen = train.sum(axis=1) > 0
joint = dualib.JointDistribution.from_counts(train[seen], x_labels=words[seen])
print(f"{seen.sum()} of 32 words seen; I(word; direction) {mutual_information(truth):.4f} nats in truth,")
print(f"plug-in {joint.mutual_information:.4f}, Miller-Madow {mutual_information_miller_madow(train):.4f}")

curve = dualib.anneal(joint, "ib", np.geomspace(1.3, 40.0, 30), events=False)
held_out = [
    mutual_information(solution.encoder.T @ test[seen]) - (solution.n_clusters - 1) * (N_DIRECTIONS - 1) / (2 * TRIALS)
    for solution in curve
]
true = [mutual_information(solution.encoder.T @ truth[seen]) for solution in curve]

figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", width_ratios=[1, 1.25])
for values, label, style in (
    (curve.relevance, "on the trials that chose the clusters", "-"),
    (held_out, "on as many other trials, less its own bias", "--"),
    (true, "in truth", ":"),
):
    axes[0].plot(curve.rate, values, style, lw=2, label=label)
axes[0].set(xlabel="rate  I(word; T)  [nats]", ylabel="I(T; direction)  [nats]", title="What the clusters are worth")
axes[0].legend(frameon=False, fontsize=9, loc="lower right")

solution = min(curve, key=lambda solution: abs(solution.n_clusters - 9))
order = np.argsort(np.angle(solution.decoder @ np.exp(1j * directions)))
image = axes[1].imshow(solution.decoder[order], cmap="viridis", aspect="auto")
names = [" ".join(solution.members()[t][:4]) or "(likeliest of none)" for t in order]
axes[1].set_yticks(range(len(names)), names, fontsize=7, family="monospace")
axes[1].set_xticks(range(N_DIRECTIONS), [f"{np.degrees(a):.0f}" for a in directions])
axes[1].set(
    xlabel="direction [degrees]",
    ylabel="words that are mostly in the cluster",
    title=f"{solution.n_clusters} clusters, beta = {solution.beta:.2g}",
)
figure.colorbar(image, ax=axes[1], label="p(direction | cluster)")
figure.savefig("spike-words.png", dpi=110)
print(f"beta = {solution.beta:.3g}: {solution.n_clusters} clusters keep {solution.relevance:.4f} nats, gap {solution.gap:.0e}")
