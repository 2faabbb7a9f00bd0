"""Colour naming near the critical beta
====================================

Optimal naming systems of 330 colours, and how far four made-up ones are from them.

How would a language with few colour terms divide the colours, if each term were to lose as little as it can of what is meant? This
is the question of Zaslavsky, Kemp, Regier and Tishby (2018), who find that languages lie close to the IB curve, at betas just above
the critical one. There the optimal terms overlap so far that general methods take hours. Here it is asked of a synthetic solid of
colours (`datasets.colour_solid`), not of a survey's chips: x is the chip named, y the chip meant.

A naming system is an encoder p(term|chip). Its deviation epsilon is how much more accuracy the curve has at its rate, and gNID its
distance from the optimal system at the beta of that part of the curve. A chip is drawn in the mean colour of the terms it may be
called by.
"""

import os

import matplotlib.pyplot as plt
import numpy as np

import dualib
from dualib.information import gnid

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
solid = dualib.datasets.colour_solid()
chips = np.flatnonzero(
    (solid.hues >= 0) & (solid.hues % (5 if QUICK else 1) == 0)
)  # without greys: a grid of hue and lightness
rows = solid.joint.py_x[np.ix_(chips, chips)]
joint = dualib.JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True))
points, shape = solid.points[chips], (8, len(chips) // 8)

critical = dualib.onset(joint)
curve = dualib.anneal(joint, betas=critical * np.array([1.01, 1.03, 1.07, 1.15]), events=False, tol=1e-6)
print(f"critical beta {critical:.4f}")
for beta, rate, relevance, terms, gap in zip(
    curve.beta, curve.rate, curve.relevance, curve.n_clusters, curve.gap, strict=True
):
    print(f"beta {beta:.4f}: {terms:2d} terms, rate {rate:.4f}, accuracy {relevance:.4f} nats, certified to {gap:.0e}")


def nearest(foci):
    """The system in which each chip is called by the nearest of some points of the solid."""
    return np.argmin(np.sum((points[:, None] - np.array(foci)[None]) ** 2, axis=2), axis=1)


systems = {
    "light and dark": (points[:, 0] > 55).astype(int),
    "warm, cool, dark": nearest([[70, 30, 30], [60, -30, -20], [20, 0, 0]]),
    "six terms": nearest([[20, 0, 0], [90, 0, 0], [45, 55, 20], [80, 0, 60], [55, -50, 15], [40, 0, -50]]),
    "six terms at random": np.random.default_rng(0).integers(6, size=len(chips)),
}
found = {name: curve.deviation(system, tol=1e-4) for name, system in systems.items()}
for name, one in found.items():
    distance = gnid(systems[name], one.solution.encoder, joint.px)
    print(f"{name:20s} epsilon {one.epsilon:.3f} nats at beta {one.beta:.3f}, gNID to the optimum there {distance:.2f}")


def srgb(lab):
    """Screen colours of points of the solid, read as CIELAB."""
    y = (lab[:, 0] + 16.0) / 116.0
    xyz = np.stack([y + lab[:, 1] / 500.0, y, y - lab[:, 2] / 200.0], axis=1)
    xyz = np.where(xyz > 6 / 29, xyz**3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29)) * [0.9505, 1.0, 1.089]
    linear = xyz @ np.array([[3.2406, -0.9689, 0.0557], [-1.5372, 1.8758, -0.2040], [-0.4986, 0.0415, 1.0570]])
    return np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2)


def draw(ax, encoder, title):
    """The chips, each in the mean colour of its terms."""
    terms = (encoder.T @ points) / encoder.sum(axis=0)[:, None]
    ax.imshow(srgb(encoder @ terms).reshape(*shape, 3), origin="lower", aspect="auto")
    ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])


figure, axes = plt.subplots(2, 4, figsize=(11, 4.6), layout="constrained")
for ax, solution in zip(axes[0], curve.solutions, strict=True):
    draw(ax, solution.encoder, f"optimal, {solution.beta / critical:.2f} x critical: {solution.n_clusters} terms")
for ax, (name, system) in zip(axes[1], systems.items(), strict=True):
    draw(ax, np.eye(system.max() + 1)[system], f"{name}: {found[name].epsilon:.2f} nats off")
for ax in axes[1]:
    ax.set_xlabel("hue")
for ax in axes[:, 0]:
    ax.set_ylabel("lightness")
figure.savefig("colour-solid.png", dpi=110)
