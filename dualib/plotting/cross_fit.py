"""The picture of a `CrossFit`: relevance, in the sample and out of it, and held-out log loss, against beta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dualib.plotting.marks import log_axis
from dualib.plotting.tree import GREY, INK, PALETTE, several_axes
from dualib.results.common import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dualib.predict.cross_fit_result import CrossFit


def plot_cross_fit(result: CrossFit, axes: Any = None) -> np.ndarray[Any, Any]:
    """In-sample and cross-fitted relevance, and held-out log loss, with one standard error where there is one, against beta.

    The span of the shuffled onsets is shaded: noise begins to learn there. The beta of least log loss is ringed.

    Parameters
    ----------
    result : CrossFit
    axes : sequence of two Axes, optional
        By default those of a new figure.

    Returns
    -------
    ndarray of Axes, shape (2,)

    Raises
    ------
    ValueError
        A wrong number of axes.
    """
    axes = several_axes(axes, 2, figsize=(10.0, 4.2))
    _draw_relevance(axes[0], result)
    _draw_loss(axes[1], result)
    low, high = result.beta[0], result.beta[-1]
    for ax in axes:
        if len(result.beta) > 1:
            log_axis(ax, low / (high / low) ** 0.03, high * (high / low) ** 0.03)
        ax.set_xlabel("beta")
        ax.grid(color=GREY, alpha=0.25)
    return axes


def _draw_relevance(ax: Axes, result: CrossFit) -> None:
    beta = result.beta
    total = result.solutions[0].joint.mutual_information
    ax.axhline(total, color=GREY, ls=":", lw=1.0)
    ax.annotate(
        "I(X;Y), plug-in", (0.02, total), (0, -3), ax.get_yaxis_transform(), "offset points", color=GREY, fontsize=8, va="top"
    )
    ax.plot(beta, result.relevance, color=PALETTE[1], marker="o", ms=3.5, lw=1.4, label="in the sample (plug-in)")
    style: dict[str, Any] = {"color": PALETTE[0], "marker": "s", "ms": 3.5, "lw": 1.4, "capsize": 2}
    ax.errorbar(beta, result.cross_fitted_relevance, result.cross_fitted_se, **style, label="cross-fitted")
    null = result.null_onsets[np.isfinite(result.null_onsets) & (result.null_onsets > 0.0)]
    if len(null):
        ax.axvspan(null.min(), null.max(), color=PALETTE[4], alpha=0.25, lw=0.0, label="onsets with y shuffled")
    if beta[0] <= result.onset <= beta[-1]:
        ax.axvline(result.onset, color=INK, lw=1.0, ls="--", label="onset")
    ax.set(ylabel="relevance  I(T;Y)  [nats]", title="in the sample, and out of it")
    ax.legend(fontsize=8, framealpha=0.85, loc="best")


def _draw_loss(ax: Axes, result: CrossFit) -> None:
    error = result.log_loss_se
    finite = np.isfinite(result.log_loss)
    style: dict[str, Any] = {"color": PALETTE[2], "marker": "o", "ms": 3.5, "lw": 1.4, "capsize": 2}
    ax.errorbar(result.beta[finite], result.log_loss[finite], None if error is None else error[finite], **style)
    least = result.log_loss[result.beta == result.best_beta]
    if np.isfinite(least).all():
        ax.plot([result.best_beta], least, "o", ms=12, mfc="none", color=PALETTE[2])
    title = f"least at beta = {result.best_beta:.3g}, {counted(result.best.n_clusters, 'cluster')}"
    ax.set(ylabel="held-out log loss  [nats per observation]", title=title)
