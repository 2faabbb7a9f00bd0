"""Pictures of infinite ensembles: losses and informations against time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dualib.plotting.tree import GREY, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dualib.networks.ensemble_table import EnsembleTable

_LOSSES = {
    "train_loss": ("training, of the mean", GREY),
    "test_loss": ("test, of the mean", PALETTE[0]),
    "gibbs_loss": ("test log loss, one network (Gibbs)", PALETTE[1]),
    "bayes_loss": ("test log loss, all together (Bayes)", PALETTE[2]),
}


def plot_losses(table: EnsembleTable, ax: Axes | None = None) -> Axes:
    """`EnsembleTable.plot_losses`."""
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    shown = _shown(table)
    for name, (label, colour) in _LOSSES.items():
        values = getattr(table, name)
        ax.plot(table.time[shown], values[shown], color=colour, lw=1.6, label=label)
        if name != "train_loss":
            best = int(np.argmin(values))
            ax.plot(table.time[best], values[best], "o", color=colour, ms=6, mfc="white", zorder=3)
    ax.plot([], [], "o", color=GREY, mfc="white", label="least: where to stop")
    return _finished(ax, "loss  [half squares; nats per test point]")


def plot_information(table: EnsembleTable, ax: Axes | None = None) -> Axes:
    """`EnsembleTable.plot_information`."""
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    shown = _shown(table)
    time = table.time[shown]
    ax.fill_between(
        time,
        table.mi_xz_lower[shown],
        table.mi_xz_upper[shown],
        color=PALETTE[0],
        alpha=0.35,
        lw=0,
        label="I(X;Z|D), between its bounds",
    )
    ax.plot(time, table.mi_xz_lower[shown], color=PALETTE[0], lw=1.0)
    ax.plot(time, table.mi_zd_given_x[shown], color=PALETTE[1], lw=1.6, label="I(Z;D|X), at most")
    ax.plot(time, table.mi_theta_d[shown], color=PALETTE[2], lw=1.6, label=r"I($\theta$;D), at most")
    ax.set_yscale("log")
    return _finished(ax, "information  [nats]")


def _shown(table: EnsembleTable) -> Any:
    """Times that a logarithmic axis has."""
    return (table.time > 0.0) & np.isfinite(table.time)


def _finished(ax: Axes, ylabel: str) -> Axes:
    ax.set_xscale("log")
    ax.set(xlabel=r"time of training $\tau$", ylabel=ylabel)
    ax.legend(fontsize=8, frameon=False)
    return ax
