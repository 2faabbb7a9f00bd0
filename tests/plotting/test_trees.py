"""Pictures of clusters: the tree over beta and the map of an encoder."""

import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

import dualib
from dualib import Curve, Event, JointDistribution, plotting
from dualib.distortions.matrices import RateDistortion
from dualib.plotting import tree
from dualib.plotting.tree import INK, PALETTE
from plotting.conftest import toy


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def strokes(ax):
    """Points, widths and colours of the solid strokes of the tree."""
    collection = next(c for c in ax.collections if isinstance(c, LineCollection))
    return collection.get_segments(), collection.get_linewidths(), collection.get_colors()


def test_every_cluster_is_on_the_tree_and_every_piece_joins(ib):
    ax = plotting.plot_bifurcations(Curve(ib.solutions), y_index=1)
    points = np.concatenate(strokes(ax)[0])
    for solution in ib:
        drawn = points[points[:, 0] == solution.beta, 1]
        assert all(np.min(np.abs(drawn - value)) < 1e-12 for value in solution.decoder[:, 1])
    first = ib.beta[0]
    starts = [segment[0] for segment in strokes(ax)[0] if segment[0][0] > first]
    ends = {tuple(point) for segment in strokes(ax)[0] for point in segment[1:]}
    assert starts and all(tuple(start) in ends for start in starts)
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "beta" and ax.get_ylabel() == "decoder  p(y = 1 | t)"


def test_lines_go_on_with_the_same_cluster(ib):
    segments = strokes(plotting.plot_bifurcations(ib, y_index=1))[0]
    pieces = [piece for segment in segments for piece in itertools.pairwise(segment)]
    for below, above in itertools.pairwise(ib):
        if below.n_clusters != above.n_clusters:
            continue
        drawn = sorted((start[1], end[1]) for start, end in pieces if start[0] == below.beta)
        # y has two values, so the clusters lie in a row, and none overtakes another
        wanted = np.column_stack([np.sort(below.decoder[:, 1]), np.sort(above.decoder[:, 1])])
        np.testing.assert_allclose(drawn, wanted, rtol=0, atol=1e-12)


def test_widths_are_in_proportion_to_weights(ib):
    segments, widths, _ = strokes(plotting.plot_bifurcations(ib, y_index=1))
    trunk = max(widths)
    assert trunk == pytest.approx(tree.FULL_WIDTH)  # below the onset one cluster holds everything
    last = [(seg[-1][1], width) for seg, width in zip(segments, widths, strict=True) if seg[-1][0] == ib.beta[-1]]
    solution = ib[-1]
    for value, width in last:
        t = int(np.argmin(np.abs(solution.decoder[:, 1] - value)))
        assert width == pytest.approx(max(tree.LEAST_WIDTH, trunk * solution.weights[t]), abs=0.06)
    assert len(last) == solution.n_clusters


def test_a_cluster_born_apart_is_tied_by_a_dotted_line(ib):
    step = int(np.flatnonzero(np.diff(ib.n_clusters) == 1)[0])
    interval = (ib.beta[step], ib.beta[step + 1])
    for kind, ties in (("appearance", 1), ("split", 0)):
        event = Event(kind, float(np.sqrt(np.prod(interval))), interval, 1, 2)
        ax = plotting.plot_bifurcations(Curve(ib.solutions, [event]))
        assert len([c for c in ax.collections if isinstance(c, LineCollection)][1].get_segments()) == ties
        assert any(np.allclose(line.get_xdata(), event.beta) for line in ax.get_lines())
        assert kind in legend_texts(ax)


def test_branches_have_their_own_colours_and_the_trunk_ink(ib):
    segments, _, colours = strokes(plotting.plot_bifurcations(ib))
    at_end = [to_hex(c) for seg, c in zip(segments, colours, strict=True) if seg[-1][0] == ib.beta[-1]]
    at_start = [to_hex(c) for seg, c in zip(segments, colours, strict=True) if seg[0][0] == ib.beta[0]]
    assert len(set(at_end)) == ib.n_clusters[-1] and set(at_end) <= {c.lower() for c in PALETTE}
    assert at_start == [INK]


def test_leaves_are_named_by_their_members(ib):
    ax = plotting.plot_bifurcations(ib)
    shown = " ".join(text.get_text() for text in ax.texts).replace(",", " ").split()
    assert sorted(shown) == list("abcde")
    assert not plotting.plot_bifurcations(ib, label_clusters=False).texts


@pytest.mark.parametrize("bad", [-1, 2, 0.5, True, "a"])
def test_y_index_is_checked(ib, bad):
    with pytest.raises(ValueError, match="y_index"):
        plotting.plot_bifurcations(ib, y_index=bad)


def test_the_default_y_varies_most():
    pxy = np.array([[0.3, 0.01, 0.02], [0.01, 0.3, 0.03], [0.02, 0.28, 0.03]])
    curve = dualib.anneal(JointDistribution(pxy / pxy.sum(), y_labels=["u", "$v", "w"]), "ib", [2.0, 8.0, 32.0])
    assert "p(y = u | t)" in plotting.plot_bifurcations(curve).get_ylabel()
    axes = plotting.plot_bifurcation_grid(curve, columns=2)
    assert axes.shape == (2, 2) and [ax.get_visible() for ax in axes.flat] == [True, True, True, False]
    assert {ax.get_ylabel().split()[-3] for ax in axes.flat[:3]} == {"u", r"\$v", "w"}
    assert plotting.plot_bifurcation_grid(curve, [2]).shape == (1, 1)
    with pytest.raises(ValueError, match="y_indices"):
        plotting.plot_bifurcation_grid(curve, [])


def test_one_beta_alone_can_be_drawn(ib):
    one = ib[7:8]
    for ax in (one.plot_information_plane(), one.plot_bifurcations(), one.plot_clusters()):
        ax.figure.canvas.draw()
        assert ax.has_data()


def test_texts_are_pushed_apart_and_no_further():
    at = np.array([0.0, 0.001, 0.5, 0.502, 0.504, 0.9])
    places = tree.spread(at, 0.05)
    assert np.all(np.diff(places) >= 0.05 - 1e-12) and places[0] >= 0.0
    np.testing.assert_allclose(places[2:5], [0.452, 0.502, 0.552])
    assert places[-1] == 0.9
    crowded = tree.spread(np.ones(4), 0.25)
    np.testing.assert_allclose(crowded, [0.25, 0.5, 0.75, 1.0])


def test_the_map_is_the_encoder_sorted_by_cluster(ib):
    solution = ib[12]
    ax = plotting.plot_clusters(solution)
    picture = np.asarray(ax.get_images()[0].get_array())
    rows = ["abcde".index(tick.get_text()) for tick in ax.get_yticklabels()]
    assert sorted(rows) == list(range(5))
    columns = [int(np.flatnonzero((solution.encoder[rows] == column[:, None]).all(axis=0))[0]) for column in picture.T]
    assert sorted(columns) == list(range(solution.n_clusters))
    home = np.argmax(picture, axis=1)
    assert np.all(np.diff(home) >= 0)
    shown = [float(tick.get_text()) for tick in ax.get_xticklabels()]
    np.testing.assert_allclose(shown, solution.weights[columns], atol=0.00501)
    assert "p(t)" in ax.get_xlabel() and f"beta = {solution.beta:.4g}" in ax.get_title()


def test_of_a_curve_the_nearest_beta(ib):
    assert f"{ib.beta[3]:.4g}" in ib.plot_clusters(beta=1.001 * ib.beta[3]).get_title()
    assert f"{ib[-1].beta:.4g}" in plotting.plot_clusters(ib[-1], colorbar=False).get_title()
    with pytest.raises(ValueError, match="beta"):
        plotting.plot_clusters(ib[0], beta=2.0)
    with pytest.raises(TypeError, match="result"):
        plotting.plot_clusters(ib.beta)


def test_clusters_at_three_betas(ib):
    axes = plotting.plot_clusters_grid(ib, [2.0, 8.0, 64.0])
    assert [ax.get_title() for ax in axes] == ["IB, beta = 2", "IB, beta = 8", "IB, beta = 64"]
    counts = [ax.get_images()[0].get_array().shape[1] for ax in plotting.plot_clusters_grid(ib)]
    assert counts == sorted(counts) and 1 <= len(counts) <= 3
    with pytest.raises(ValueError, match="betas"):
        plotting.plot_clusters_grid(ib, [])


def test_many_states_are_not_named():
    py_x = np.random.default_rng(3).dirichlet(np.ones(4), 70)
    solution = dualib.solve(JointDistribution.from_conditionals(py_x), 2.0)
    ax = plotting.plot_clusters(solution)
    assert len(ax.get_yticks()) == 0 and "70 states" in ax.get_ylabel()


def test_more_clusters_than_can_be_named_have_no_weights_written():
    solution = dualib.solve(JointDistribution(np.eye(45) / 45.0), 10.0)
    ax = plotting.plot_clusters(solution)
    picture = np.asarray(ax.get_images()[0].get_array())
    np.testing.assert_allclose(picture, np.eye(45), atol=1e-9)  # each source in a cluster of its own, in their order
    assert len(ax.get_xticks()) == 0 and len(ax.get_yticks()) == 45


def test_the_local_critical_beta_is_marked_only_where_it_is_on_the_axis():
    rng = np.random.default_rng(0)
    px = rng.dirichlet(3 * np.ones(5))
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(2), 5), px)
    assert dualib.onset(joint, "dualib") < 2.0 < 2.6 < dualib.local_critical_beta(joint, "dualib")
    for last, marked in ((2.0, False), (4.0, True)):
        texts = legend_texts(plotting.plot_bifurcations(dualib.anneal(joint, "dualib", [0.5, 1.0, last])))
        assert "one cluster, not optimal" in texts
        assert any(text.startswith("local critical beta 2.608") for text in texts) == marked


def test_columns_of_a_rate_distortion_matrix():
    curve = dualib.anneal(toy(), RateDistortion(1.0 - np.eye(5)), [1.0, 2.0, 4.0])
    assert "p(column 4 | t)" in plotting.plot_bifurcations(curve, y_index=4).get_ylabel()


@pytest.mark.parametrize(
    "name", ["plot_information_plane", "plot_rate_distortion", "plot_bifurcations", "plot_stability", "plot_clusters"]
)
def test_given_axes_are_used_and_nothing_else_is_touched(ib, name):
    figure, (mine, other) = plt.subplots(1, 2)
    plt.sca(other)
    assert getattr(plotting, name)(ib, ax=mine) is mine
    assert plt.get_fignums() == [figure.number] and plt.gca() is other and not other.has_data()
    assert getattr(ib, name)(ax=mine) is mine
    assert isinstance(getattr(ib, name)(), plt.Axes) and len(plt.get_fignums()) == 2


def test_importing_plotting_does_not_import_matplotlib():
    code = "import sys, dualib.plotting; sys.exit(any(m.split('.')[0] == 'matplotlib' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sparse_joint_is_drawn_like_its_dense_twin():
    from scipy import sparse

    pxy = np.array([[0.3, 0.0, 0.1], [0.0, 0.3, 0.0], [0.05, 0.0, 0.25]])
    pictures = []
    for joint in (JointDistribution(pxy), JointDistribution(sparse.csr_matrix(pxy))):
        ax = plotting.plot_clusters(dualib.solve(joint, 20.0))
        pictures.append(np.round(ax.get_images()[0].get_array(), 6).tolist())
    assert pictures[0] == pictures[1]
