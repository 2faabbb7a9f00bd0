"""A channel quantiser
===================

The output of a binary channel with Gaussian noise in a few levels that keep the most about the input.

The inputs -1 and 1 are equally likely, the noise has variance 0.1, and the output is a fine grid of 200 values. With two inputs
the best levels are intervals of the output, and `quantize` finds them exactly (Kurkoski and Yagi 2014).
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

import dualib

variance, outputs = 0.1, 200
scale = np.sqrt(variance)
end = 1.0 + scale * norm.isf(1e-12)
z = np.linspace(-end, end, outputs)
density = norm.pdf(z[:, None], [-1.0, 1.0], scale)
joint = dualib.JointDistribution(density / density.sum(), x_labels=[f"{value:.3f}" for value in z], y_labels=["-1", "1"])

levels = (2, 3, 4, 6, 8, 12, 16)
found = [dualib.quantize(joint, k) for k in levels]
bits = np.array([solution.relevance for solution in found]) / np.log(2.0)
total = joint.mutual_information / np.log(2.0)
for k, kept in zip(levels, bits, strict=True):
    print(f"{k:3d} levels keep {kept:.10f} of {total:.10f} bits")

figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.8), layout="constrained")
labels = found[levels.index(8)].labels
for k, colour in ((0, "C0"), (1, "C3")):
    left.plot(z, density[:, k], colour, label=f"p(output | input {'+-'[1 - k]}1)")
cuts = np.flatnonzero(np.diff(labels))
left.vlines(0.5 * (z[cuts] + z[cuts + 1]), 0.0, 0.7 * density.max(), color="0.6", lw=1, label="borders of 8 levels")
left.set_xlim(-1.6, 1.6)
left.set_xlabel("output")
left.set_ylabel("density")
left.legend(frameon=False, fontsize=8, loc="upper center")
left.set_title("Where the levels are fine: between the inputs", fontsize=10)
right.semilogy(levels, total - bits, "o-", color="C0")
right.set_xlabel("number of levels")
right.set_ylabel("I(X;Y) - I(T;Y), bits")
right.set_title("What quantising loses, the least possible", fontsize=10)
figure.savefig("quantiser.png", dpi=150)
