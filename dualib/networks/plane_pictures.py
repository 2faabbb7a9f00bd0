"""Pictures of an information plane: layers beside the certified curve, with the model of bins or noise in every title."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib.plotting.tree import GREY, INK, PALETTE, new_axes
from dualib.results.units import unit_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dualib.networks.bound import Bound
    from dualib.networks.plane import InformationPlane

_MARKERS = "osD^vP*X"
_COLOURS = "viridis"
_NOT_CERTAIN = "estimates, which may lie above the curve"


def plot_plane(plane: InformationPlane, bound: Bound, ax: Axes | None, unit: str) -> Axes:
    """`InformationPlane.plot`."""
    factor = unit_factor(unit)
    ax = new_axes((7.4, 4.8)) if ax is None else ax
    _draw_bound(ax, plane, bound, factor, unit)
    for number, name in enumerate(dict.fromkeys(plane.layer)):
        rows = np.array(plane.layer) == name
        points = _draw_points(ax, plane, rows, factor, marker=_MARKERS[number % len(_MARKERS)], label=name)
    if len(set(plane.epoch.tolist())) > 1:
        ax.figure.colorbar(points, ax=ax, label="epoch")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=4, fontsize=7, frameon=False)  # points are everywhere
    ax.set_title(_title(plane), fontsize=10)
    return ax


def plot_layers(plane: InformationPlane, bound: Bound, unit: str) -> npt.NDArray[Any]:
    """`InformationPlane.plot_layers`."""
    import matplotlib.pyplot as plt

    factor = unit_factor(unit)
    names = list(dict.fromkeys(plane.layer))
    n_columns = min(3, len(names))
    n_rows = -(-len(names) // n_columns)
    size = (4.2 * n_columns, 3.4 * n_rows + 0.4)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained")
    for ax, name in zip(axes.ravel(), names, strict=False):
        _draw_bound(ax, plane, bound, factor, unit)
        for seed in np.unique(plane.seed):
            rows = (np.array(plane.layer) == name) & (plane.seed == seed)
            ax.plot(factor * plane.rate[rows], factor * plane.relevance[rows], color=GREY, lw=0.5, alpha=0.6, zorder=1.5)
            points = _draw_points(ax, plane, rows, factor, marker="o", label="_")
        ax.set_title(name, fontsize=10)
        ax.label_outer()
    for ax in axes.ravel()[len(names) :]:
        ax.axis("off")
    if len(set(plane.epoch.tolist())) > 1:
        figure.colorbar(points, ax=axes, label="epoch", shrink=0.8)
    axes[0, 0].legend(loc="lower center", fontsize=7, frameon=False)
    seeds = len(set(plane.seed.tolist()))
    figure.suptitle(f"{_title(plane)}; {seeds} seed{'s' * (seeds > 1)}, a line each", fontsize=11)
    return np.array(list(axes.ravel()[: len(names)]))


def plot_gap(plane: InformationPlane, ax: Axes | None, unit: str) -> Axes:
    """`InformationPlane.plot_gap`."""
    factor = unit_factor(unit)
    ax = new_axes((6.8, 4.4)) if ax is None else ax
    epochs, seeds = np.unique(plane.epoch), np.unique(plane.seed)
    for number, name in enumerate(dict.fromkeys(plane.layer)):
        colour = PALETTE[number % len(PALETTE)]
        rows = np.array(plane.layer) == name
        assert plane.gap is not None  # for mypy: asked before
        lines = factor * plane.gap[rows].reshape(len(seeds), len(epochs))
        ax.plot(_drawn(epochs), lines.T, color=colour, lw=0.5, alpha=0.5)
        ax.plot(_drawn(epochs), lines.mean(axis=0), color=colour, lw=2.0, label=name)
    ax.set_xscale("log")
    ax.set_ylim(bottom=0.0)
    ax.set(xlabel="epoch", ylabel=f"relevance short of the certified curve  [{unit}]")
    ax.set_title(f"{_title(plane)}; mean and each of {len(seeds)} seed{'s' * (len(seeds) > 1)}", fontsize=10)
    ax.legend(fontsize=8, frameon=False)
    return ax


def _draw_points(
    ax: Axes, plane: InformationPlane, rows: npt.NDArray[np.bool_], factor: float, marker: str, label: str
) -> Any:
    """Coloured by epoch, on a logarithmic scale; a saturated one is hollow."""
    from matplotlib.colors import LogNorm

    colours = _drawn(plane.epoch)
    norm = LogNorm(colours.min(), max(colours.max(), colours.min() + 1))
    x, y = factor * plane.rate, factor * plane.relevance
    full, hollow = rows & ~plane.saturated, rows & plane.saturated
    style: dict[str, Any] = {"marker": marker, "s": 16, "cmap": _COLOURS, "norm": norm, "zorder": 2, "linewidths": 0.8}
    drawn = ax.scatter(x[full], y[full], c=colours[full], **style)
    if hollow.any():
        outline = ax.scatter(x[hollow], y[hollow], c=colours[hollow], **style)
        outline.set_facecolor("none")
        outline.set_edgecolor(drawn.cmap(norm(colours[hollow])))
    if label != "_":
        ax.plot([], [], marker, color=INK, ms=4, ls="", label=label)
    return drawn


def _draw_bound(ax: Axes, plane: InformationPlane, bound: Bound, factor: float, unit: str) -> None:
    """The certified curve up to log n, and log n, where every input has a symbol of its own."""
    most = float(np.log(plane.n))
    rates = np.concatenate(
        [np.linspace(0.0, min(most, 2.0), 400), np.linspace(min(most, 2.0), max(most, float(plane.rate.max())), 50)]
    )
    label = "certified IB curve: no representation lies above"
    if plane.gap is None:
        label = "certified IB curve"
    ax.plot(factor * rates, factor * bound.relevance(rates), color=INK, lw=1.6, label=label, zorder=1)
    ax.axvline(factor * most, color=GREY, ls=":", lw=1.0, label="log n: saturated (hollow), says nothing", zorder=0.5)
    ax.set(xlabel=f"rate  I(X;T)  [{unit}]", ylabel=f"relevance  I(T;Y)  [{unit}]")
    top = factor * max(bound.joint.mutual_information, float(plane.relevance.max()))
    ax.set(xlim=(-0.02 * factor * most, 1.04 * factor * max(most, float(plane.rate.max()))), ylim=(-0.03 * top, 1.06 * top))


def _title(plane: InformationPlane) -> str:
    return plane.model if plane.gap is not None else f"{plane.model}: {_NOT_CERTAIN}"


def _drawn(epochs: Any) -> npt.NDArray[np.float64]:
    """Epochs for a logarithmic axis, on which the start, epoch 0, is at one half."""
    return np.where(np.asarray(epochs) == 0, 0.5, epochs).astype(np.float64)
