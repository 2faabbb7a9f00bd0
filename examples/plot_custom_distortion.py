"""A distortion of one's own
=========================

Four functions of NumPy, and every algorithm of the package works with it.

Here squared distance between conditionals in a metric A, d(x, r) = (p - r)^T A (p - r) / 2, with A telling that neighbouring y
are nearly the same. It is of the form d = a(x) + b(t) - <U[x], V[t]> with U = p(y|x) and V = A M.
"""

import numpy as np

import dualib
from dualib.distortions.check import check_distortion


class MetricDistance(dualib.Distortion):
    """d(x, r) = (p - r)^T A (p - r) / 2 for a symmetric positive definite A (n_y, n_y)."""

    name = "metric"

    def __init__(self, metric):
        self.metric = metric

    def lift(self, py_x):
        return py_x, 0.5 * np.einsum("xy,yz,xz->x", py_x, self.metric, py_x)

    def link(self, means):
        v = means @ self.metric
        return v, 0.5 * np.sum(v * means, axis=1)

    def decoder(self, means):
        return means

    def link_jacobian(self, means):
        return np.tile(self.metric, (len(means), 1, 1))


joint = dualib.datasets.gaussian(12, rho=0.8, width=2.5)
y = np.arange(joint.n_y)
metric = np.exp(-0.5 * ((y[:, None] - y[None, :]) / 2.0) ** 2) + 0.01 * np.eye(joint.n_y)
distortion = MetricDistance(metric)
check_distortion(distortion, joint.py_x)

curves = {
    "metric distance": dualib.anneal(joint, distortion, np.geomspace(1.0, 100.0, 25)),
    "IB": dualib.anneal(joint, "ib", np.geomspace(1.2, 30.0, 35)),
}
ax = dualib.plotting.plot_information_plane(curves)
ax.set_title("What a distortion of one's own keeps of Y, beside the IB's bound")
ax.figure.savefig("custom-distortion.png", dpi=110)

for name, curve in curves.items():
    counts = f"clusters {curve.n_clusters.min()} to {curve.n_clusters.max()}"
    print(f"{name:16s} {len(curve)} betas, largest gap {curve.gap.max():.1e}, {counts}")
