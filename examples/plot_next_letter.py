"""Which letter comes next?
========================

Held-out prediction from 500 to 50,000 training symbols, with and without features of the letters.

x is one of 542 pairs of letters of English text, y the letter that follows. The features of a pair say which its letters are, and
whether the first is a vowel, a consonant or a space, together with the last. The plug-in is the smoothed empirical p(y|x); IB and
dual IB cluster it; the family is the maximum-entropy one of the features, dualExpIB and "IB of the family" cluster that.

With ``--splits 10`` it prints the tables of docs/explanation/prediction.md, in a few minutes; two splits say little of the
standard errors.

.. image:: ../images/next-letter.png
"""

# sphinx_gallery_thumbnail_path = "images/next-letter.png"
import argparse
import os

import matplotlib.pyplot as plt
import numpy as np

import dualib

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
METHODS = ("ib", "dualib", "dualib-exp", "ib-exp", "plug-in", "maxent")

parser = argparse.ArgumentParser()
parser.add_argument("--splits", type=int, default=2, help="draws of each training size, at least 2")
splits = parser.parse_args().splits
if splits < 2:
    parser.error(f"--splits must be at least 2, for standard errors, got {splits}")


def letter_features(pairs, letters):
    """One column for each first letter, each last letter, and each last letter with each kind of first letter."""
    kind = {letter: 0 if letter == "_" else 1 if letter in "aeiouy" else 2 for letter in letters}
    n = len(letters)
    features = np.zeros((len(pairs), 5 * n))
    for row, (first, last) in zip(features, pairs, strict=True):
        i, j = letters.index(first), letters.index(last)
        row[[i, n + j, (2 + kind[first]) * n + j]] = 1.0
    return features


contexts = dualib.datasets.load_contexts()
comparison = dualib.compare_predictions(
    contexts.train_counts,
    contexts.test_counts,
    features=letter_features(contexts.x_labels, contexts.y_labels),
    methods=METHODS,
    betas=[4, 12] if QUICK else [3, 4, 6, 8, 12, 20],
    smoothing=0.1 if QUICK else [0.03, 0.07, 0.15, 0.3],
    l2=1.0 if QUICK else [0.3, 1.0, 3.0],
    n_train=[500, 2000] if QUICK else [500, 2000, 8000, 50000],
    n_splits=splits,
)
print(comparison)


def print_differences(title, rows):
    print(f"\n{title}")
    for row in rows:
        where = f"rate {row['rate']:.2f}  " if "rate" in row else ""
        difference = f"{row['log_loss']:+.4f} +- {row['log_loss_se']:.4f}"
        print(f"  {row['n_train']:>6}  {where}{row['method']:<11}{difference}  {row['verdict']}")


print_differences("log loss less that of the plug-in, at the chosen beta", comparison.against("plug-in"))
family = [row for row in comparison.against("maxent") if row["method"].endswith("-exp")]
print_differences("log loss less that of the family without clusters, at the chosen beta", family)
at_rate = [row for row in comparison.against("ib", at="rate") if row["method"] == "dualib"]
print_differences("log loss of the dual IB less that of the IB, at equal rate", at_rate)
at_rate = [row for row in comparison.against("ib-exp", at="rate") if row["method"] == "dualib-exp"]
print_differences("log loss of dualExpIB less that of the IB of the same family, at equal rate", at_rate)

figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.6), layout="constrained")
comparison.plot(axes, n_train=comparison.sizes[1])
figure.suptitle(f"The letter after two letters of English, {splits} splits")
figure.savefig("next-letter.png", dpi=110)
