"""Unseen images through a fitted family
=====================================

Scikit-learn's digits, x an image described by its 64 pixels, y the digit that it shows.

Every image is a source of its own, seen once or never, so that counts alone say nothing of a new one: the plug-in is the prior.
The maximum-entropy family of the pixels gives p(y|x) of any image; dualExpIB and the IB cluster the training images by it, and
unseen images are encoded by the same family. Needs scikit-learn.

.. image:: ../images/digits.png
"""

# sphinx_gallery_thumbnail_path = "images/digits.png"
import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import dualib

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
images, digits = load_digits(return_X_y=True)
images = images / 16.0
order = np.random.default_rng(0).permutation(len(images))
known, unseen = order[: len(images) // 2], order[len(images) // 2 :]

# Held-out scores: one row of counts per image, all zero in the part that it does not belong to.
counts = np.eye(10, dtype=int)[digits]
train, test = np.zeros_like(counts), np.zeros_like(counts)
train[known], test[unseen] = counts[known], counts[unseen]
comparison = dualib.compare_predictions(
    train,
    test,
    features=images,
    methods=("ib-exp", "dualib-exp", "plug-in", "maxent"),
    betas=[2, 8] if QUICK else [0.1, 0.3, 0.6, 0.9, 1.0, 1.1, 1.3, 2, 4, 8],
    l2=0.1 if QUICK else [0.1, 0.3, 1.0],
    n_train=[100] if QUICK else [100, 300, 800],
    n_splits=2 if QUICK else 4,
    n_clusters=40,
)
print(comparison)


def print_differences(title, rows):
    print(f"\n{title}")
    for row in rows:
        where = f"rate {row['rate']:.2f}  " if "rate" in row else ""
        difference = f"{row['log_loss']:+.4f} +- {row['log_loss_se']:.4f}"
        print(f"  {row['n_train']:>4}  {where}{row['method']:<11}{difference}  {row['verdict']}")


print_differences("log loss less that of the family without clusters, at the chosen beta", comparison.against("maxent"))
equal = [row for row in comparison.against("ib-exp", at="rate") if row["method"] == "dualib-exp"]
print_differences("log loss of dualExpIB less that of the IB of the same family, at equal rate", equal)

# One solution, by hand: the family fitted to the known images, its conditionals clustered, new images encoded.
family = dualib.ExponentialFamily.fit(images[known], np.arange(len(known)), digits[known], l2=0.3)
solution = dualib.solve(family.joint(), 2.0, family, tol=1e-6)
encoder = solution.encode(family.conditionals(images[unseen]))
accuracy = np.mean(solution.predict_proba(family.conditionals(images[unseen])).argmax(axis=1) == digits[unseen])
print(f"\nbeta = 2: {solution.n_clusters} clusters, rate {solution.rate:.3f} nats, gap {solution.gap:.1e}")
print(f"unseen images named right through their clusters: {accuracy:.1%}")

figure = plt.figure(figsize=(13.0, 5.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.0, 1.0])
axes = left.subplots(1, 2)
for ax, score in zip(axes, ("log_loss", "accuracy"), strict=True):
    for method, label, colour in (("ib-exp", "IB of the family", "#0072B2"), ("dualib-exp", "dualExpIB", "#D55E00")):
        rows = [r for r in comparison.summary("beta") if r["method"] == method and r["n_train"] == comparison.sizes[-1]]
        rows.sort(key=lambda row: row["rate"])
        ax.errorbar(
            [r["rate"] for r in rows],
            [r[score] for r in rows],
            [r[f"{score}_se"] for r in rows],
            marker="o",
            ms=4,
            color=colour,
            capsize=2,
            label=label,
        )
    (whole,) = (r for r in comparison.summary() if r["method"] == "maxent" and r["n_train"] == comparison.sizes[-1])
    ax.axhline(whole[score], color="0.4", ls="--", label="the family, no clusters")
    ax.set(xlabel="rate  I(X;T)  [nats]", ylabel=f"unseen images: {score.replace('_', ' ')}")
axes[0].set_yscale("log")
axes[0].legend(fontsize=8)
left.suptitle(f"held-out scores, {comparison.sizes[-1]} images known")

members = encoder.T @ images[unseen] / np.maximum(encoder.sum(axis=0), 1e-300)[:, None]
right.suptitle(f"unseen images, averaged by p(t|x): {solution.n_clusters} clusters at beta = 2")
panels = right.subplots(3, int(np.ceil(solution.n_clusters / 3)), squeeze=False).ravel()
for ax in panels:
    ax.axis("off")
for ax, t in zip(panels, np.argsort(solution.decoder.argmax(axis=1), kind="stable"), strict=False):
    ax.imshow(members[t].reshape(8, 8), cmap="viridis", vmin=0.0, vmax=1.0)
    likely = solution.decoder[t].argmax()
    ax.set_title(f"{likely}: {solution.decoder[t, likely]:.0%}", fontsize=9)
figure.savefig("digits.png", dpi=110)
