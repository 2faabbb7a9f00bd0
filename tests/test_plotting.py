"""Pictures: what is drawn where, on whose axes, with which words."""

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
from dualib.plotting.marks import MARKERS
from dualib.plotting.tree import INK, PALETTE

BETAS = np.geomspace(2.0, 64.0, 21)


def toy():
    x = np.linspace(-1.0, 0.6, 5)
    py_x = np.exp(-np.outer(x, [-1.0, 1.0]))
    return JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), x_labels=list("abcde"))


@pytest.fixture(scope="module")
def ib():
    return dualib.anneal(toy(), "ib", BETAS)


@pytest.fixture(scope="module")
def dual():
    return dualib.anneal(toy(), "dualib", BETAS)


@pytest.fixture(autouse=True)
def _no_figures_left():
    plt.close("all")
    yield
    for number in plt.get_fignums():  # whatever was drawn must also render without a warning
        plt.figure(number).canvas.draw()
    plt.close("all")


def lines_by_label(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


DIAGONAL = "I(T;Y) = I(X;T)"


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# --- information plane ------------------------------------------------------------------------------------------------


def test_both_curves_lie_on_one_plane_with_units(ib, dual):
    ax = plotting.plot_information_plane([ib, dual])
    lines = lines_by_label(ax)
    assert set(lines) == {"IB", "dual IB", DIAGONAL}
    for label, curve in (("IB", ib), ("dual IB", dual)):
        np.testing.assert_array_equal(lines[label].get_xydata(), np.column_stack([curve.rate, curve.relevance]))
    assert ax.get_xlabel() == "rate  I(X;T)  [nats]" and ax.get_ylabel() == "relevance  I(T;Y)  [nats]"
    assert {"IB", "dual IB"} <= set(legend_texts(ax))
    assert to_hex(lines["IB"].get_color()) != to_hex(lines["dual IB"].get_color())
    assert ax.get_xlim()[1] >= max(ib.rate.max(), dual.rate.max())


def test_bits(ib):
    ax = plotting.plot_information_plane(ib, unit="bits")
    np.testing.assert_allclose(lines_by_label(ax)["IB"].get_xdata(), ib.rate / np.log(2))
    assert "[bits]" in ax.get_xlabel() and "[bits]" in ax.get_ylabel()
    assert any(f"{ib.joint.mutual_information / np.log(2):.4g} bits" in text.get_text() for text in ax.texts)


def test_the_bounds(ib):
    ax = plotting.plot_information_plane(ib, mark_events=False)
    data = [line.get_xydata() for line in ax.get_lines()]
    assert any(np.allclose(xy[:, 1], ib.joint.mutual_information) for xy in data)
    assert any(len(xy) == 2 and np.allclose(xy[:, 0], xy[:, 1]) and xy[1, 0] > 0 for xy in data)
    assert ax.get_ylim()[1] > ib.joint.mutual_information
    plain = plotting.plot_information_plane(ib, show_bound=False, mark_events=False)
    assert len(plain.get_lines()) == 1 and not plain.texts


def test_labels_of_ones_own_and_curves_of_one_name(ib, dual):
    assert set(lines_by_label(plotting.plot_information_plane({"here": ib, "there": dual}))) == {"here", "there", DIAGONAL}
    assert set(lines_by_label(plotting.plot_information_plane([ib, ib[5:]]))) == {"IB", "IB #2", DIAGONAL}


def test_a_jump_is_a_dashed_segment_and_not_part_of_the_line(ib):
    k = 8
    beta = float(np.sqrt(ib.beta[k] * ib.beta[k + 1]))
    jump = Event("jump", beta, (ib.beta[k], ib.beta[k + 1]), 2, 4)
    ax = plotting.plot_information_plane(Curve(ib.solutions, [jump]), show_bound=False)
    smooth = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    dashed = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert [len(line.get_xdata()) for line in smooth] == [k + 1, len(ib) - k - 1]
    np.testing.assert_array_equal(dashed[0].get_xdata(), ib.rate[k : k + 2])
    assert len(dashed) == 1 and "jump" in legend_texts(ax)


def test_a_jump_at_a_grid_point_is_on_the_side_that_moves(ib):
    k = int(np.argmax(np.diff(ib.rate)))
    for beta in (ib.beta[k], ib.beta[k + 1]):
        jump = Event("jump", beta, (0.9 * beta, 1.1 * beta), 1, 2)
        ax = plotting.plot_information_plane(Curve(ib.solutions, [jump]), show_bound=False)
        dashed = next(line for line in ax.get_lines() if line.get_linestyle() == "--")
        np.testing.assert_array_equal(dashed.get_xdata(), ib.rate[k : k + 2])


def test_events_are_marked_by_kind_and_can_be_left_out(ib):
    events = [
        Event(kind, float(beta), (beta / 1.1, beta * 1.1), 1, 2)
        for kind, beta in (("split", ib.beta[4]), ("appearance", ib.beta[10]))
    ]
    curve = Curve(ib.solutions, events)
    ax = plotting.plot_information_plane(curve, show_bound=False)
    marks = {line.get_marker(): line for line in ax.get_lines() if line.get_marker() != "None"}
    assert marks["D"].get_xdata()[0] == pytest.approx(ib.rate[4])
    assert marks["o"].get_ydata()[0] == pytest.approx(ib.relevance[10])
    assert {"split", "appearance"} <= set(legend_texts(ax))
    assert len(plotting.plot_information_plane(curve, show_bound=False, mark_events=False).get_lines()) == 1


def test_a_located_jump_ends_where_its_two_sides_are():
    """The erasure channel jumps from nothing to everything: the dashed segment is the whole curve."""
    joint, beta = dualib.datasets.erasure(0.3), 1.0 / 0.7
    nothing, everything = (dualib.solve(joint, beta, init=encoder, certify=False) for encoder in (np.ones((2, 1)), np.eye(2)))
    jump = Event("jump", beta, (beta, beta), 1, 2, located=True, below=nothing, above=everything)
    curve = Curve([dualib.solve(joint, 1.0), dualib.solve(joint, 3.0)], [jump])
    ax = plotting.plot_information_plane(curve, show_bound=False)
    (dashed,) = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed.get_xydata(), np.log(2.0) * np.array([[0.0, 0.0], [1.0, 0.7]]), atol=1e-9)
    ax = plotting.plot_rate_distortion(curve)
    (dashed,) = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed.get_xydata(), np.log(2.0) * np.array([[0.7, 0.0], [0.0, 1.0]]), atol=1e-9)


# --- rate and distortion ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_rate_against_distortion_each_in_its_unit(ib, dual, unit):
    factor = 1.0 if unit == "nats" else 1.0 / np.log(2.0)
    ax = plotting.plot_rate_distortion([ib, dual], unit=unit)
    for label, curve in (("IB", ib), ("dual IB", dual)):
        drawn = lines_by_label(ax)[label].get_xydata()
        np.testing.assert_allclose(drawn, factor * np.column_stack([curve.expected_distortion, curve.rate]), rtol=1e-14)
        step = np.diff(drawn, axis=0)
        moved = step[:, 0] < -1e-6
        slope = step[moved, 1] / step[moved, 0]  # between -beta of the two ends of each piece
        assert np.all(slope <= -0.999 * curve.beta[:-1][moved]) and np.all(slope >= -1.001 * curve.beta[1:][moved])
    assert f"[{unit}]" in ax.get_xlabel() and f"[{unit}]" in ax.get_ylabel()
    assert ax.get_xlim()[0] == 0.0 and ax.get_ylim()[0] == 0.0
    assert {"IB", "dual IB"} <= set(legend_texts(ax))


def test_a_distortion_that_is_no_information_has_no_unit():
    curve = dualib.anneal(toy(), RateDistortion(1.0 - np.eye(5)), [1.0, 2.0, 4.0])
    ax = plotting.plot_rate_distortion(curve, unit="bits", mark_events=False)
    (line,) = lines_by_label(ax).values()
    np.testing.assert_allclose(line.get_xdata(), curve.expected_distortion, rtol=1e-14)
    np.testing.assert_allclose(line.get_ydata(), curve.rate / np.log(2.0), rtol=1e-14)
    assert "[" not in ax.get_xlabel() and "[bits]" in ax.get_ylabel()
    assert len(ax.get_lines()) == 1


# --- stability --------------------------------------------------------------------------------------------------------


def test_every_cluster_has_its_stability_number_at_its_beta(ib):
    ax = plotting.plot_stability(ib)
    (points,) = ax.collections
    offsets = np.asarray(points.get_offsets())
    sides = [event.below for event in ib.events if event.below is not None]
    assert sides  # where a cluster splits, its number is 1 on the side below
    wanted = [(s.beta, number) for s in [*ib, *sides] for number in s.stability]
    np.testing.assert_allclose(sorted(map(tuple, offsets)), sorted(wanted), rtol=1e-12)
    assert any(np.all(np.asarray(line.get_ydata()) == 1.0) for line in ax.get_lines())
    marked = {line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() in MARKERS.values()}
    assert marked == {event.beta for event in ib.events}
    assert ax.get_ylim()[1] >= offsets[:, 1].max() and ax.get_xscale() == "log"


def test_stability_without_events_and_of_one_beta(ib):
    ax = plotting.plot_stability(ib, mark_events=False)
    assert len(ax.get_lines()) == 1 and legend_texts(ax) == ["clusters, area by p(t)", "1: splits here"]
    one = plotting.plot_stability(ib[-1:])
    assert len(one.collections[0].get_offsets()) == ib[-1].n_clusters
    low, high = one.get_xlim()
    assert low <= ib.beta[-1] < high


# --- what is no curve -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [[], {}, [3], 5])
def test_what_is_no_curve_is_refused(bad):
    with pytest.raises(TypeError, match="curve"):
        plotting.plot_information_plane(bad)


# --- bifurcations -----------------------------------------------------------------------------------------------------


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


# --- clusters ---------------------------------------------------------------------------------------------------------


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


# --- axes in, axes out ------------------------------------------------------------------------------------------------


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
