"""The encoder as a map: x down, clusters across, members together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import IntArray, shown
from dualib.plotting.tree import GREY, distortion_name, members, new_axes, plain
from dualib.results.curve import Curve
from dualib.results.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_clusters(
    result: Solution | Curve,
    ax: Axes | None = None,
    *,
    beta: float | None = None,
    colorbar: bool = True,
    color: str | None = None,
) -> Axes:
    """The encoder p(t|x) as a map, x down and clusters across, sorted so that the members of a cluster stand together.

    Parameters
    ----------
    result : Solution or Curve
        Of a curve, the solution nearest to `beta`; by default where exp H(T) is about sqrt(n_x).
    ax : Axes, optional
    beta : float, optional
        Only with a Curve.
    colorbar : bool
    color : colour, optional
        Of p(t|x) = 1; 0 is white.

    Returns
    -------
    Axes
        Its ticks name the sources (up to 60 of them) and the weights p(t) of the clusters.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_clusters(curve[-1])
    >>> axes.get_xlabel()
    'cluster t, with p(t)'
    """
    solution = _chosen(result, beta)
    ax = new_axes(_map_size(solution)) if ax is None else ax
    image = _draw_map(ax, solution, color)
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="p(t|x)", shrink=0.6, ticks=[0.0, 0.5, 1.0])
    return ax


def plot_clusters_grid(curve: Curve, betas: Iterable[float] | None = None) -> np.ndarray:
    """`plot_clusters` at several betas side by side in a new figure.

    Parameters
    ----------
    curve : Curve
    betas : iterable of float, optional
        The nearest solutions are drawn; by default three, where exp H(T) is about 3, sqrt(n_x), 2 sqrt(n_x).

    Returns
    -------
    ndarray of Axes, shape (n,)

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> dualib.plotting.plot_clusters_grid(curve, [8, 32]).size
    2
    """
    import matplotlib.pyplot as plt

    root = math.sqrt(curve.joint.n_x)
    if betas is None:
        betas = sorted({_coarse(curve, clusters).beta for clusters in (3.0, root, 2.0 * root)})
    solutions = [curve.nearest(beta) for beta in betas]
    if not solutions:
        raise ValueError("betas must hold at least one beta, got none")
    sizes = [_map_size(solution) for solution in solutions]
    widths = [width for width, _ in sizes]
    figure, axes = plt.subplots(
        *(1, len(solutions)),
        figsize=(sum(widths), max(height for _, height in sizes)),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"width_ratios": widths},
    )
    images = [_draw_map(ax, solution) for ax, solution in zip(axes[0], solutions, strict=True)]
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
    figure.colorbar(images[-1], ax=axes[0, -1], label="p(t|x)", shrink=0.6, ticks=[0.0, 0.5, 1.0])
    return np.asarray(axes[0])


def _coarse(curve: Curve, clusters: float) -> Solution:
    """The solution whose effective number of clusters, exp H(T), is nearest in ratio to `clusters`."""
    effective = np.array([s.effective_clusters for s in curve])
    return curve[int(np.argmin(np.abs(np.log(effective / clusters))))]


def _chosen(result: Solution | Curve, beta: float | None) -> Solution:
    if isinstance(result, Solution):
        if beta is not None:
            raise ValueError(f"beta is for a Curve only; this Solution has beta = {shown(result.beta)}, got {shown(beta)}")
        return result
    if not isinstance(result, Curve):
        raise TypeError(f"result must be a Solution or a Curve, got {type(result).__name__}")
    return _coarse(result, math.sqrt(result.joint.n_x)) if beta is None else result.nearest(beta)


def _map_size(solution: Solution) -> tuple[float, float]:
    return 1.7 + 0.17 * min(max(solution.n_clusters, 3), 40), 1.3 + 0.165 * min(max(solution.n_x, 8), 60)


def shades(color: str | None) -> Any:
    """The colour map from white to a colour."""
    from matplotlib.colors import LinearSegmentedColormap

    return "Blues" if color is None else LinearSegmentedColormap.from_list("shades", ["white", color])


def _draw_map(ax: Axes, solution: Solution, color: str | None = None) -> Any:
    """Clusters in the order of their first principal component, sources under the cluster each mostly belongs to."""
    clusters = _seriate(solution)
    encoder = solution.encoder[:, clusters]
    home = np.argmax(encoder, axis=1)
    order = np.lexsort((-encoder[np.arange(solution.n_x), home], home))
    image = ax.imshow(encoder[order], cmap=shades(color), vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    for row in np.flatnonzero(np.diff(home[order])):
        ax.axhline(row + 0.5, color=GREY, lw=0.6)
    for edge in range(1, solution.n_clusters):
        ax.axvline(edge - 0.5, color=GREY, lw=0.3)
    size = 9.0 if solution.n_x <= 30 else 7.0
    if solution.n_x <= 60:
        ax.set_yticks(range(solution.n_x), [plain(solution.joint.x_labels[x]) for x in order], fontsize=size)
        ax.set_ylabel("x")
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"x  ({solution.n_x} states, sorted by cluster)")
    if solution.n_clusters <= 40:
        weights = [f"{weight:.2f}" if weight >= 0.005 else "<.01" for weight in solution.weights[clusters]]
        ax.set_xticks(range(solution.n_clusters), weights, rotation=90, fontsize=8.0)
    else:
        ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlabel("cluster t, with p(t)")
    ax.set_title(f"{distortion_name(solution)}, beta = {solution.beta:.4g}", fontsize=10)
    return image


def _seriate(solution: Solution) -> IntArray:
    """Order of the clusters along the first principal component of their p(y|t)."""
    conditionals = np.asarray(members(solution) @ solution.joint.py_x)
    centred = np.sqrt(solution.weights)[:, None] * (conditionals - solution.weights @ conditionals)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])  # a sign of its own, so that pictures at two betas agree
    return np.argsort(conditionals @ axis, kind="stable")
