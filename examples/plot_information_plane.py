"""Does a small network compress?
==============================

Its layers on the information plane, beside a curve that is proved.

The network is 12-10-7-5-4-3-2 with tanh, the data are all 4096 patterns of twelve bits: once with labels that are a function of the
pattern, where the IB curve is min(rate, H(Y)), once with a stochastic rule, whose certified curve is solved. Five seeds are trained
for 8000 epochs, by the stochastic rule for 2000. By binning (30 bins, the choice of the first authors and no more) the layers
are representations of x, and none can lie above the curve; with noise and kernel densities the same networks look different.

Needs torch; four minutes of one core for the two trainings, which go on where they were interrupted.
"""

import os

import matplotlib.pyplot as plt
import numpy as np

from dualib import networks

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
SEEDS, STRIDE = (range(2), 8) if QUICK else (range(5), 1)
EPOCHS = np.unique(np.concatenate([[0], np.round(np.geomspace(1, 8000, 400))])).astype(int)  # 8000 as of the first authors
RULES = {
    "a function of the pattern": (*networks.datasets.bits(), 60 if QUICK else 8000),
    "a stochastic rule": (*networks.datasets.soft_bits(), 60 if QUICK else 2000),
}

figure, axes = plt.subplots(2, 2, figsize=(14.0, 10.0), layout="constrained")
for row, (name, (X, y, last)) in zip(axes, RULES.items(), strict=True):
    X, y = X[::STRIDE], y[::STRIDE]
    checkpoint = f"training-{name.split()[1]}.npz"
    recording = networks.train(
        X, y, record=EPOCHS[last >= EPOCHS], random_state=SEEDS, checkpoint=checkpoint, progress=not QUICK
    )
    print(f"\n{name}: {recording}")
    plane = networks.information_plane(recording)
    print(plane)
    print(f"  least distance from the certified curve: {plane.gap.min():.2e} nats")
    for layer in recording.layers:
        chosen = (np.array(plane.layer) == layer) & (plane.epoch == recording.epochs[-1])
        bits = np.stack([plane.rate[chosen], plane.relevance[chosen], plane.gap[chosen]]) / np.log(2.0)
        rate, relevance, gap = (f"{values.mean():.4f} +- {values.std(ddof=1):.4f}" for values in bits)
        print(f"  {layer:<13} rate {rate}, relevance {relevance}, short of the curve by {gap} bits")
    plane.plot(ax=row[0])
    row[0].set_title(f"y {name}: {row[0].get_title()}, {len(SEEDS)} seeds", fontsize=10)
    few = recording.epochs[np.unique(np.linspace(0, len(recording.epochs) - 1, 3 if QUICK else 6).astype(int))]
    noisy = networks.information_plane(recording, estimator="info_nce", noise=0.01, epochs=few, seeds=SEEDS[:2])
    noisy.plot(curve=plane.curve, ax=row[1])
    row[1].set_title(f"the same, {noisy.model}:\nestimates, which may lie above the curve; 2 seeds", fontsize=10)
figure.savefig("information-plane.png", dpi=100)
plane.plot_layers()[0].figure.savefig("information-plane-layers.png", dpi=100)
plane.plot_gap().figure.savefig("information-plane-gap.png", dpi=100)
