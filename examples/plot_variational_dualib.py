"""Variational bottlenecks
=======================

On scikit-learn's digits: dual IB, CEB and VIB, five seeds each, every quantity under its own name.

With b(z|y) in the loss, as the dual IB and the CEB have it, the "rate" bounds I(X;Z|Y); with r(z), as the VIB has it, I(X;Z).
Drawn on one axis as if they were one quantity they would seem to violate the data-processing inequality: here each has a
column of its own, beside what the unseen images themselves say of I(X;Z) and I(X;Z|Y), leave-one-out.

Needs torch; five minutes of one core (it learns at twenty times the default rate, for fewer epochs).
"""

import dataclasses
import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from dualib import networks

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
SEEDS = range(2 if QUICK else 5)
SHORT = {"epochs": 30 if QUICK else 80, "learning_rate": 2e-3, "decay_at": (30, 50, 70)}
MODELS = {
    "VdualIB, gamma = 1": lambda seed: networks.VariationalDualIB(gamma=1.0, random_state=seed, **SHORT),
    "CEB, beta = 1": lambda seed: networks.ConditionalEntropyBottleneck(beta=1.0, random_state=seed, **SHORT),
    "VIB, beta = 10": lambda seed: networks.VariationalIB(beta=10.0, random_state=seed, **SHORT),
}
COLOURS = ("#D55E00", "#009E73", "#0072B2")
QUANTITIES = {
    "rate": "rate\nbounds I(X;Z|Y)\nor I(X;Z): see legend",
    "residual": "residual\nI(X;Z|Y)\nleave-one-out",
    "mi_xz": "I(X;Z)\nleave-one-out",
    "mi_zy": "I(Z;Y)\ntheir difference",
}

images, digits = load_digits(return_X_y=True)
known, unseen, y_known, y_unseen = train_test_split(images / 16.0, digits, test_size=360, random_state=0)
if QUICK:
    known, y_known = known[:300], y_known[:300]

rows = {}
for name, model in MODELS.items():
    rows[name] = [model(seed).fit(known, y_known).information(unseen, y_unseen) for seed in SEEDS]
    print(f"\n{name}: {len(SEEDS)} seeds, mean +- standard deviation, nats; the rate bounds {rows[name][0].rate_bounds}")
    for quantity in (field.name for field in dataclasses.fields(rows[name][0]) if field.name != "rate_bounds"):
        values = np.array([getattr(row, quantity) for row in rows[name]])
        print(f"  {quantity:<15} {values.mean():6.3f} +- {values.std(ddof=1):.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(12.0, 4.8), width_ratios=[3.0, 1.0], layout="constrained")
for number, (name, found) in enumerate(rows.items()):
    shift = 0.2 * (number - 1)
    for column, quantity in enumerate(QUANTITIES):
        for seed, row in enumerate(found):
            at = column + shift + 0.025 * (seed - 2)
            if quantity != "rate":  # between two bounds
                ends = [getattr(row, f"{quantity}_lower"), getattr(row, f"{quantity}_upper")]
            else:
                ends = [getattr(row, quantity)] * 2
            left.plot([at, at], ends, color=COLOURS[number], lw=2.5, marker="_", ms=5)
    left.plot([], [], color=COLOURS[number], lw=2.5, label=f"{name}: rate bounds {found[0].rate_bounds}")
    right.plot([number] * len(found), [100.0 * row.error for row in found], "o", color=COLOURS[number], alpha=0.7)
counts = np.bincount(y_unseen) / len(y_unseen)
left.axhline(-counts @ np.log(counts), color="0.5", ls=":", lw=1.0, label="H(Y), above which I(Z;Y) cannot be")
left.set_xticks(range(len(QUANTITIES)), list(QUANTITIES.values()))
left.set(ylabel="information on 360 unseen images  [nats]", title="each quantity under its own name, a mark for each seed")
left.set_ylim(bottom=min(0.0, left.get_ylim()[0]))
left.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.42, 1.0))
right.set_xticks(range(len(rows)), [name.split(",")[0] for name in rows])
right.set(ylabel="unseen images named wrong  [%]", title="prediction at E[z]", xlim=(-0.5, 2.5))
right.set_ylim(bottom=0.0)
figure.savefig("variational-dualib.png", dpi=110)
