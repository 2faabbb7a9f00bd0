"""Colour naming on a synthetic colour solid
=========================================

How would a language with few colour terms divide the colours, if each term were to lose as little as it can of what is
meant? This is the question of Zaslavsky, Kemp, Regier and Tishby (2018), on a solid made here of 240 chips, not on a
survey's.

A chip is a point on the surface of a colour solid: a hue and a lightness, the solid being widest at some hues. What a
speaker means by a chip is a Gaussian over the chips around it; x is the chip named, y the chip meant. The terms are
soft, and the best that restarts found with so many; where a chip could be called either name it is drawn in the colour between.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import hsv_to_rgb

import dualib

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
HUES, LIGHTNESSES, WIDTH = (12 if QUICK else 30), 8, 0.45
hue, lightness = np.meshgrid(2.0 * np.pi * np.arange(HUES) / HUES, np.linspace(0.1, 0.9, LIGHTNESSES))
chroma = np.sqrt(4.0 * lightness * (1.0 - lightness)) * (1.0 + 0.3 * np.cos(hue - 0.5))
points = np.stack([chroma * np.cos(hue), chroma * np.sin(hue), 2.5 * lightness], axis=-1).reshape(-1, 3)
distance = np.sum((points[:, None] - points[None]) ** 2, axis=2)
meanings = np.exp(-0.5 * distance / WIDTH**2)
joint = dualib.JointDistribution.from_conditionals(meanings / meanings.sum(axis=1, keepdims=True))

saturation = chroma / chroma.max()
colours = hsv_to_rgb(np.stack([hue / (2.0 * np.pi), saturation, 0.25 + 0.75 * lightness], axis=-1)).reshape(-1, 3)
figure, axes = plt.subplots(2, 2, figsize=(10, 5.4), layout="constrained")
for ax, k in zip(axes.flat, (2, 3, 6, 11), strict=True):
    solution = dualib.solve(joint, 8.0, n_clusters=k, n_restarts=3, certify=False)
    terms = (solution.encoder.T @ colours) / solution.encoder.sum(axis=0)[:, None]  # each term's mean colour
    ax.imshow((solution.encoder @ terms).reshape(LIGHTNESSES, HUES, 3), origin="lower", aspect="auto")
    ax.set_title(
        f"{k} terms: {solution.relevance / np.log(2.0):.2f} of {joint.mutual_information / np.log(2.0):.2f} bits", fontsize=10
    )
    ax.set(xticks=[], yticks=[], xlabel="hue", ylabel="lightness")
    print(f"{k:2d} terms: rate {solution.rate:.4f}, accuracy {solution.relevance:.4f} of {joint.mutual_information:.4f} nats")
figure.savefig("colour-solid.png", dpi=110)
