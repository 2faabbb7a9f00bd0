"""A letter that vanishes and returns
==================================

Berger's example: along a rate-distortion curve the number of letters in use can fall as more rate is spent.

Three x with probabilities 0.45, 0.1 and 0.45, reproduced as 1, 2 or 3 at the distortion ``|i - j|``. As beta rises the one
middle letter is joined by both others at once, then dropped, and much later it is back. Every change is located as the root
of a branch, and each side of it is certified: for a distortion matrix the certificate is a proof.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib

joint = dualib.JointDistribution(np.diag([0.45, 0.1, 0.45]))  # y = x
distortion = dualib.RateDistortion(np.abs(np.subtract.outer(np.arange(3), np.arange(3))))
curve = dualib.anneal(joint, distortion, np.geomspace(0.15, 4.0, 80))

for event in curve.events:
    print(f"{event.kind:10s} at beta = {event.beta:.10f}: {event.before} to {event.after} letters")
print(f"largest gap {curve.gap.max():.0e} nats, {', '.join({s.certificate for s in curve})}")

sides = [side for event in curve.events for side in (event.below, event.above)]
solutions = sorted([*curve, *sides], key=lambda solution: solution.beta)
betas = [solution.beta for solution in solutions]
weights = np.zeros((len(solutions), 3))
for row, solution in zip(weights, solutions, strict=True):
    row[solution.decoder.argmax(axis=1)] = solution.weights

figure, ax = plt.subplots(figsize=(7.4, 4.4), layout="constrained")
for letter, (style, colour) in enumerate((("-", "#0072B2"), ("-", "#D55E00"), ("--", "#009E73"))):
    ax.semilogx(betas, weights[:, letter], style, color=colour, lw=2.2, label=f"letter {letter + 1}")
for event in curve.events:
    ax.axvline(event.beta, color="0.6", lw=0.8)
    ax.annotate(f"{event.beta:.4f}", (event.beta, 0.93), rotation=90, ha="right", va="top", fontsize=8, color="0.35")
ax.set(xlabel="beta", ylabel="probability of the letter", title="The middle letter vanishes and returns")
ax.set_xticks([0.2, 0.5, 1, 2, 4], ["0.2", "0.5", "1", "2", "4"])
ax.minorticks_off()
ax.legend(frameon=False, loc="center", bbox_to_anchor=(0.5, 0.75))
figure.savefig("vanishing-letter.png", dpi=110)
