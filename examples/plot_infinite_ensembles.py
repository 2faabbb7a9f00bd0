"""Ensembles of infinitely wide networks
=====================================

When to stop, what the bounds enclose, and what compresses with time and more data.

Every curve is a closed form or a bound: no network is trained. The data are a smooth function of points on a sphere, with noise.
Upper left, losses in time for three numbers of training points, the circles where to stop. Upper right, the bounds of I(X;Z|D) and
how far apart they are. Below, how the informations at the time of early stopping, and
at the end, go with the number of points.
"""

import os

import matplotlib.pyplot as plt
import numpy as np

from dualib import networks

QUICK = bool(os.environ.get("DUALIB_QUICK_EXAMPLES"))  # the test suite asks for a small size
SIZES = (10, 40) if QUICK else (8, 16, 32, 64, 128, 256)
N_TEST, DIMENSION, NOISE = (40 if QUICK else 200), 4, 0.5
TIMES = np.geomspace(0.1, 1e5, 12 if QUICK else 61)
COLOURS = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, len(SIZES)))
rng = np.random.default_rng(0)


def sample(n):
    """Points on a sphere, and a smooth function of them with noise."""
    x = rng.standard_normal((n, DIMENSION))
    x *= np.sqrt(DIMENSION) / np.linalg.norm(x, axis=1, keepdims=True)
    return x, np.sin(2.0 * x[:, 0]) + 0.5 * x[:, 1] + NOISE * rng.standard_normal(n)


x_test, y_test = sample(N_TEST)
ensemble = networks.InfiniteEnsemble(depth=2, activation="erf", sigma_w=1.3, sigma_b=0.2)
tables = {n: ensemble.information(*sample(n), x_test, y_test, TIMES) for n in SIZES}

print(f"{ensemble}, {N_TEST} test points; nats")
print(
    f"{'points':>7}{'stop at':>10}{'test loss':>11}{'at the end':>12}{'I(X;Z|D) at least':>19}{'at most':>9}{'I(Z;D|X) at most':>18}"
)
stops = {}
for n, table in tables.items():
    stops[n] = int(np.argmin(table.test_loss))
    i = stops[n]
    print(
        f"{n:7d}{table.time[i]:10.3g}{table.test_loss[i]:11.4f}{table.test_loss[-1]:12.4f}"
        f"{table.mi_xz_lower[i]:19.3f}{table.mi_xz_upper[i]:9.3f}{table.mi_zd_given_x[i]:18.3f}"
    )

figure, axes = plt.subplots(2, 2, figsize=(12.0, 8.4), layout="constrained")
for n, colour in zip(SIZES, COLOURS, strict=True):
    table, i = tables[n], stops[n]
    axes[0, 0].plot(table.time, table.test_loss, color=colour, lw=1.6, label=f"{n} points: test")
    axes[0, 0].plot(table.time, table.train_loss, color=colour, lw=0.9, ls="--")
    axes[0, 0].plot(table.time[i], table.test_loss[i], "o", color=colour, mfc="white", ms=7)
    axes[0, 1].fill_between(table.time, table.mi_xz_lower, table.mi_xz_upper, color=colour, alpha=0.5, lw=0)
    axes[0, 1].plot(table.time, table.mi_xz_lower, color=colour, lw=1.0)
axes[0, 0].plot([], [], "--", color="0.4", label="training (of the mean)")
axes[0, 0].plot([], [], "o", color="0.4", mfc="white", label="least test loss: where to stop")
axes[0, 0].set(
    xscale="log", xlabel=r"time of training $\tau$", ylabel=r"loss $\frac{1}{2}$ mean $|\mu - y|^2$", title="Early stopping"
)
axes[0, 0].set_ylim(-0.05, 0.95)
axes[0, 0].legend(fontsize=7, frameon=False, ncols=2, loc="upper left")
axes[0, 1].axhline(np.log(N_TEST), color="0.5", ls=":", lw=1.0)
axes[0, 1].annotate(
    "log of the test points: the lower bound ends here",
    (TIMES[0], np.log(N_TEST)),
    xytext=(0, 3),
    textcoords="offset points",
    fontsize=8,
)
axes[0, 1].set(xscale="log", ylim=(-0.1, np.log(N_TEST) + 0.5), xlabel=r"time of training $\tau$", ylabel="I(X;Z|D)  [nats]")
axes[0, 1].set_title("What a prediction says of its input: the width of the bounds")

largest = tables[SIZES[-1]]
largest.plot_information(ax=axes[1, 0])
axes[1, 0].axvline(largest.time[stops[SIZES[-1]]], color="0.5", ls=":", lw=1.0)
axes[1, 0].set_title(f"{SIZES[-1]} points: all informations in time (dotted: where to stop)")

ax = axes[1, 1]
for name, label, colour in (
    ("mi_zd_given_x", "I(Z;D|X), at most", "#D55E00"),
    ("mi_theta_d", r"I($\theta$;D), at most", "#009E73"),
):
    ax.plot(
        SIZES,
        [getattr(tables[n], name)[stops[n]] / n for n in SIZES],
        "o-",
        color=colour,
        label=f"{label}, per point: stopped",
    )
    ax.plot(
        SIZES, [getattr(tables[n], name)[-1] / n for n in SIZES], "s:", color=colour, mfc="white", label="the same, at the end"
    )
ax.plot(SIZES, [tables[n].test_loss[stops[n]] for n in SIZES], "d-", color="#0072B2", label="test loss: stopped")
ax.plot(SIZES, [tables[n].test_loss[-1] for n in SIZES], "d:", color="#0072B2", mfc="white", label="the same, at the end")
ax.set(
    xscale="log", yscale="log", xlabel="training points", ylabel="nats per point; loss", title="Compression and generalisation"
)
ax.set_ylim(top=1e7)
ax.legend(fontsize=7, frameon=False, ncols=2, loc="upper center")
figure.savefig("infinite-ensembles.png", dpi=110)
