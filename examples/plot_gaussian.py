"""Gaussian variables
==================

For jointly Gaussian X and Y both problems are solved in closed form (Chechik, Globerson, Tishby and Weiss 2005), and the
dual IB at beta is the IB at beta + 1. A grid of 20 x 20 points comes close.

The points are certified optima of the grid, the lines the closed forms; the onsets are ``1 / rho^2`` and ``(1 - rho^2) /
rho^2``.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib
from dualib import closed_forms

RHO = 0.8
joint = dualib.datasets.gaussian(20, RHO)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for kind, name, colour, betas in (
    ("ib", "IB", "#0072B2", np.geomspace(1.3, 5.0, 7)),
    ("dualib", "dual IB", "#D55E00", np.geomspace(0.4, 4.0, 7)),
):
    solutions = [dualib.solve(joint, beta, kind, tol=1e-7) for beta in betas]
    fine = np.geomspace(betas[0], betas[-1], 300)
    exact = [closed_forms.gaussian_ib(RHO, beta, kind) for beta in fine]
    rates, relevances = [point.rate for point in exact], [point.relevance for point in exact]
    dots = {"color": colour, "ms": 4, "mec": "w"}
    axes[0].plot(rates, relevances, color=colour, lw=4 if kind == "ib" else 1.6, label=f"{name}, exact")
    axes[0].plot([s.rate for s in solutions], [s.relevance for s in solutions], "o", label=f"{name}, on a grid", **dots)
    axes[1].semilogx(fine, rates, color=colour)
    axes[1].semilogx(betas, [s.rate for s in solutions], "o", label=name, **dots)
    errors = [abs(s.rate - closed_forms.gaussian_ib(RHO, s.beta, kind).rate) for s in solutions]
    print(f"{name}: onset {dualib.onset(joint, kind):.4f}, largest difference of the rate {max(errors):.4f} nats")
axes[0].set(xlabel="rate  I(X;T)  [nats]", ylabel="relevance  I(T;Y)  [nats]", title="One curve for both")
axes[1].set(xlabel="beta", ylabel="rate  I(X;T)  [nats]", title="The dual IB at beta is the IB at beta + 1")
axes[1].set_xticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
axes[1].minorticks_off()
for ax in axes:
    ax.legend(frameon=False)
figure.savefig("gaussian.png", dpi=110)
