"""The picture of a `Comparison`: score against beta, against rate and against training size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import shown
from dualib.plotting.marks import legend_above
from dualib.plotting.tree import GREY, PALETTE, several_axes
from dualib.predict.scores import SCORES, WITHOUT_CLUSTERS, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {
    **{"ib": "IB", "dualib": "dual IB", "dualib-exp": "dualExpIB", "ib-exp": "IB of the family"},
    **{"plug-in": "plug-in", "maxent": "family, no clusters"},
}
_TITLES = {"log_loss": "held-out log loss  [nats]", "accuracy": "held-out accuracy", "brier": "held-out Brier score"}
_MARKERS = "osD^vP"


def plot_comparison(
    comparison: Comparison, axes: Any = None, *, score: str = "log_loss", n_train: int | None = None
) -> np.ndarray[Any, Any]:
    """Mean score over the splits, with one standard error where there is one, against beta, rate, and training size.

    Parameters
    ----------
    comparison : Comparison
    axes : sequence of three Axes, optional
        By default those of a new figure.
    score : "log_loss", "accuracy" or "brier"
    n_train : int, optional
        The training size of the first two panels, by default the smallest. Methods without clusters are level lines there.

    Returns
    -------
    ndarray of Axes, shape (3,)

    Raises
    ------
    ValueError
        Another score, a size that was not compared, a wrong number of axes.
    """
    if score not in SCORES:
        raise ValueError(f"score must be among {', '.join(SCORES)}, got {shown(score)}")
    size = comparison.sizes[0] if n_train is None else n_train
    if size not in comparison.sizes:
        raise ValueError(f"n_train must be among {', '.join(map(str, comparison.sizes))}, got {shown(n_train)}")
    axes = several_axes(axes, 3, figsize=(12.0, 4.2))
    _draw_paths(axes[:2], comparison, score, size)
    _draw_sizes(axes[2], comparison, score)
    return axes


def _draw_paths(axes: Any, comparison: Comparison, score: str, size: int) -> None:
    """Score against beta and against rate at one training size; the betas of the choice, on average, are ringed."""
    by_beta = [row for row in comparison.summary("beta") if row["n_train"] == size]
    choice = {row["method"]: row for row in comparison.summary() if row["n_train"] == size}
    for number, method in enumerate(comparison.methods):
        style = _style(number)
        rows = [row for row in by_beta if row["method"] == method]
        if method in WITHOUT_CLUSTERS:
            for ax in axes:
                ax.axhline(choice[method][score], color=style["color"], ls="--", label=_NAMES[method])
            continue
        values, errors = _column(rows, score), _errors(rows, score)
        axes[0].errorbar(_column(rows, "beta"), values, errors, **style, label=_NAMES[method])
        order = np.argsort(_column(rows, "rate"), kind="stable")
        axes[1].errorbar(_column(rows, "rate")[order], values[order], errors[order], **style, label=_NAMES[method])
        ring = {"marker": "o", "ms": 12, "mfc": "none", "color": style["color"]}
        axes[0].plot(choice[method]["beta"], rows[_nearest(rows, choice[method]["beta"])][score], **ring)
        axes[1].plot(choice[method]["rate"], choice[method][score], **ring)
    axes[0].set_xscale("log", base=2)
    axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].set(xlabel="beta", ylabel=_TITLES[score], title=f"{size} training symbols (ring: chosen)")
    axes[1].set(xlabel="rate  I(X;T)  [nats]", ylabel=_TITLES[score], title=f"{size} training symbols, by rate")
    legend_above(axes[0], axes[0].get_legend_handles_labels()[0])
    for ax in axes:
        ax.grid(color=GREY, alpha=0.25)


def _draw_sizes(ax: Axes, comparison: Comparison, score: str) -> None:
    """Score at the chosen beta against training size."""
    summary = comparison.summary()
    for number, method in enumerate(comparison.methods):
        rows = sorted((row for row in summary if row["method"] == method), key=lambda row: row["n_train"])
        style = {**_style(number), "ls": "--" if method in WITHOUT_CLUSTERS else "-"}
        ax.errorbar(_column(rows, "n_train"), _column(rows, score), _errors(rows, score), **style, label=_NAMES[method])
    ax.set_xscale("log")
    ax.set_xticks(comparison.sizes, [f"{size:,}" for size in comparison.sizes])
    ax.minorticks_off()
    ax.set(xlabel="training symbols", ylabel=_TITLES[score], title="at the chosen beta")
    ax.grid(color=GREY, alpha=0.25)


def _style(number: int) -> dict[str, Any]:
    marker, colour = _MARKERS[number % len(_MARKERS)], PALETTE[number % len(PALETTE)]
    return {"color": colour, "marker": marker, "ms": 4, "lw": 1.4, "capsize": 2}


def _column(rows: list[dict[str, Any]], name: str) -> np.ndarray[Any, Any]:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _errors(rows: list[dict[str, Any]], score: str) -> np.ndarray[Any, Any]:
    """Standard errors; NaN, for which Matplotlib draws no bar, where there is none."""
    errors = [row[f"{score}_se"] for row in rows]
    return np.array([np.nan if error is None else error for error in errors])


def _nearest(rows: list[dict[str, Any]], beta: float) -> int:
    return int(np.argmin(np.abs(np.log(_column(rows, "beta") / beta))))
