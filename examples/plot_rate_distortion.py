"""Plain rate-distortion
=====================

Plain rate-distortion is the same solver with fixed reproduction points: Bernoulli(p) with Hamming distortion.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib
from dualib import closed_forms

p = 0.3
joint = dualib.datasets.bernoulli(p)
curve = dualib.anneal(joint, dualib.RateDistortion([[0, 1], [1, 0]]), np.geomspace(0.5, 8.0, 40))
exact = [closed_forms.bernoulli_hamming(p, beta) for beta in curve.beta]
error = np.max(np.abs(curve.objective - [point.objective for point in exact]))
print(f"onset {curve.onset:.12f}, exact {closed_forms.bernoulli_hamming_onset(p):.12f}")
print(f"largest error of the objective {error:.1e} nats; certificates: {', '.join(sorted({s.certificate for s in curve}))}")

d = np.linspace(1e-6, p, 300)
h = -p * np.log(p) - (1 - p) * np.log(1 - p)
figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
ax.plot(d, h + d * np.log(d) + (1 - d) * np.log(1 - d), color="#0072B2", label="R(D) = h(p) - h(D)")
ax.plot(curve.expected_distortion, curve.rate, "o", color="#D55E00", markersize=4, label="dualib, one point per beta")
ax.set(xlabel="expected distortion D (bit errors per symbol)", ylabel="rate I(X;T) [nats]", title=f"Bernoulli({p}), Hamming")
ax.legend()
figure.savefig("rate-distortion.png", dpi=110)
