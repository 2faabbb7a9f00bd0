"""The pictures of results. Matplotlib is imported when one is drawn."""

from dualib.plotting.bifurcations import plot_bifurcation_grid, plot_bifurcations, plot_clusters_vs_beta, plot_stability
from dualib.plotting.cluster_map import plot_clusters, plot_clusters_grid
from dualib.plotting.hierarchy import plot_dendrogram, plot_relevance
from dualib.plotting.plane import plot_information_plane, plot_rate_distortion

__all__ = [
    "plot_bifurcation_grid",
    "plot_bifurcations",
    "plot_clusters",
    "plot_clusters_grid",
    "plot_clusters_vs_beta",
    "plot_dendrogram",
    "plot_information_plane",
    "plot_rate_distortion",
    "plot_relevance",
    "plot_stability",
]
