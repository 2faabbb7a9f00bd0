"""Rows of a contingency table that may be merged
==============================================

Which rows may be merged? Those that say the same of the target.

Hair colour and sex of 592 students by the colour of their eyes (Snee 1974). `agglomerate` merges rows so that the least
information about the eyes is lost; `quantize` looks for the best table of K rows, and bounds all of them.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.cluster.hierarchy import dendrogram

import dualib

eyes = ["brown", "blue", "hazel", "green"]
rows = {
    "black, m": (32, 11, 10, 3),
    "black, f": (36, 9, 5, 2),
    "brown, m": (53, 50, 25, 15),
    "brown, f": (66, 34, 29, 14),
    "red, m": (10, 10, 7, 7),
    "red, f": (16, 7, 7, 7),
    "blond, m": (3, 30, 5, 8),
    "blond, f": (4, 64, 5, 8),
}
joint = dualib.JointDistribution.from_counts(list(rows.values()), x_labels=list(rows), y_labels=eyes)
tree = dualib.agglomerate(joint)
numbers = np.arange(1, joint.n_x + 1)
best = [dualib.quantize(joint, int(k)) for k in numbers]
for members in best[2].members():
    print("one row of three:", ", ".join(members))
print(f"I(X;Y) = {joint.mutual_information:.4f} nats; three rows keep {best[2].relevance:.4f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.0), layout="constrained")
dendrogram(tree.linkage, labels=list(joint.x_labels), ax=left, color_threshold=0.0, above_threshold_color="C0")
plt.setp(left.get_xticklabels(), rotation=60, ha="right", rotation_mode="anchor", fontsize=10)
left.set_ylabel("information lost so far, nats")
left.set_title("Rows merged, cheapest first", fontsize=10)
right.plot(numbers, [solution.relevance_bound for solution in best], "C7--", lw=1, label="no K rows keep more")
right.plot(numbers, [solution.relevance for solution in best], "C0o-", label="best K rows found (quantize)")
right.plot(numbers, tree.relevance, "C1x", label="merged step by step (agglomerate)")
right.axhline(joint.mutual_information, color="0.7", lw=1, zorder=0)
right.set_xlabel("rows left, K")
right.set_ylabel("I(T;Y), nats")
right.legend(frameon=False, fontsize=8, loc="lower right")
right.set_title("What K merged rows keep", fontsize=10)
figure.savefig("contingency.png", dpi=150)
