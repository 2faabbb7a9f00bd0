"""Pictures of trees and of many clusters: what is drawn where, that legends cover no data, and bounds that hold."""

import itertools
import math

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from scipy.cluster.hierarchy import dendrogram

import dualib
from dualib import Curve, Event, JointDistribution, plotting
from dualib.plotting import tree as drawing
from dualib.plotting.hierarchy import dendrogram_lines, relevance_bounds

RNG = np.random.default_rng(8)


@pytest.fixture(scope="module")
def toy():
    return dualib.anneal(dualib.datasets.toy(), "ib", np.geomspace(2.0, 64.0, 21))


@pytest.fixture(scope="module")
def crowd():
    """A curve of up to 60 clusters whose events were not located."""
    joint = JointDistribution.from_conditionals(np.random.default_rng(1).dirichlet(np.ones(3), 60))
    return dualib.anneal(joint, "ib", np.geomspace(2.0, 3000.0, 9), events=False)


@pytest.fixture(scope="module")
def small():
    joint = JointDistribution(RNG.dirichlet(0.3 * np.ones(21)).reshape(7, 3))
    return joint, dualib.agglomerate(joint)


@pytest.fixture(autouse=True)
def _no_figures_left():
    plt.close("all")
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def data_of(ax):
    """All points of lines and collections in data coordinates, those of the whole width or height left out."""
    points = [line.get_xydata() for line in ax.get_lines() if line.get_transform() == ax.transData]
    for collection in ax.collections:
        if isinstance(collection, LineCollection):
            points += [np.asarray(segment) for segment in collection.get_segments() if len(segment)]
        elif len(collection.get_offsets()):
            points.append(np.asarray(collection.get_offsets()))
    between = [np.linspace(a, b, 20) for line in points for a, b in itertools.pairwise(line)]
    return np.concatenate(points + between)


@pytest.mark.parametrize("size", [(9.0, 4.6), (3.4, 3.2)])
@pytest.mark.parametrize("name", ["plot_bifurcations", "plot_stability", "plot_clusters_vs_beta"])
@pytest.mark.parametrize("which", ["toy", "crowd"])
def test_no_legend_covers_data(request, which, name, size):
    curve = request.getfixturevalue(which)
    ax = plt.subplots(figsize=size)[1]
    getattr(curve, name)(ax=ax)
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    x, y = ax.transData.transform(data_of(ax)).T
    assert not ((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any()
    low, high = ax.get_ylim()
    assert low <= data_of(ax)[:, 1].min() and data_of(ax)[:, 1].max() < high


@pytest.mark.parametrize("which", ["toy", "crowd"])
def test_a_legend_stays_inside_its_axes_beside_long_names(request, which):
    ax = request.getfixturevalue(which).plot_bifurcations()
    ax.figure.canvas.draw()  # the names take their room only now
    legend, axes = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert axes.x0 <= legend.x0 and legend.x1 <= axes.x1


def test_the_legends_of_trees_in_a_row_are_as_wide_as_the_layout_lets_them(toy):
    figure, axes = plt.subplots(1, 3, figsize=(15.0, 4.8), layout="constrained")
    toy.plot_bifurcations(ax=axes[1])
    figure.canvas.draw()
    legend = axes[1].get_legend()
    assert len({round(text.get_window_extent().x0) for text in legend.get_texts()}) == 2  # columns
    assert legend.get_window_extent().width < axes[1].get_window_extent().width


def test_many_clusters_are_thin_and_as_many_are_named_as_there_is_room_for(crowd):
    assert crowd.n_clusters[-1] > drawing.MANY
    ax = plotting.plot_bifurcations(crowd)
    widths = next(c for c in ax.collections if isinstance(c, LineCollection)).get_linewidths()
    assert min(widths) == drawing.THINNEST < drawing.LEAST_WIDTH
    room = 72.0 * ax.get_window_extent().height / ax.figure.dpi / 8.5
    assert 10 <= len(ax.texts) <= room and all(len(text.get_text()) <= 30 for text in ax.texts)
    places = np.sort([text.xyann[1] for text in ax.texts])
    assert np.diff(places).min() >= 0.99 / room
    heaviest = crowd[-1].labels.tolist().index(int(np.argmax(crowd[-1].weights)))
    shown = " ".join(text.get_text() for text in ax.texts).replace(",", " ").split()
    assert crowd.joint.x_labels[heaviest] in shown


def test_a_cluster_that_no_x_is_mostly_in_has_no_line_to_a_name():
    curve = dualib.anneal(dualib.datasets.load_letters(smoothing=0.5), betas=[5.0, 5.95], events=False)
    assert len(set(curve[-1].labels.tolist())) < curve.n_clusters[-1]
    ax = plotting.plot_bifurcations(curve)
    assert ax.texts and all(text.get_text() for text in ax.texts)


def test_changes_between_points_are_ticks_without_a_kind(crowd):
    assert crowd.events and not any(event.located for event in crowd.events)
    for ax in (crowd.plot_bifurcations(), crowd.plot_stability(), crowd.plot_clusters_vs_beta()):
        ticks = [line for line in ax.get_lines() if line.get_marker() == "|"]
        np.testing.assert_array_equal(ticks[0].get_xdata(), [event.beta for event in crowd.events])
        assert "not located" in legend_texts(ax) and not {"split", "appearance", "jump"} & set(legend_texts(ax))
    assert not {"split", "appearance", "jump", "not located"} & set(legend_texts(crowd.plot_information_plane()))


def test_more_events_than_can_be_told_apart_are_ticks(toy):
    events = [Event("split", beta, (beta, beta), 1, 2, located=True) for beta in np.geomspace(3.0, 60.0, 31)]
    ax = plotting.plot_bifurcations(Curve(toy.solutions, events))
    assert "event" in legend_texts(ax) and "split" not in legend_texts(ax)
    assert "split" in legend_texts(plotting.plot_bifurcations(Curve(toy.solutions, events[:30])))


def test_few_betas_are_points_and_their_events_points_of_the_curve(toy):
    curve = dualib.anneal(dualib.datasets.toy(), "ib", [6.0, 20.0, 50.0])
    ax = plotting.plot_information_plane(curve, show_bound=False)
    line = next(line for line in ax.get_lines() if line.get_label() == "IB")
    assert line.get_linestyle() == "None" and line.get_marker() == "o"
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([curve.rate, curve.relevance]))
    assert all(line.get_linestyle() == "None" for line in ax.get_lines())
    events = [line.get_xydata()[0] for line in ax.get_lines() if line.get_label() != "IB"]
    assert len(events) == len(curve.events) > 0
    for (rate, relevance), event in zip(events, curve.events, strict=True):
        assert relevance == pytest.approx(dualib.solve(curve.joint, event.beta).relevance, abs=1e-6) and rate > 0.0


def test_one_colour_or_a_palette(toy):
    def strokes(**options):
        ax = plotting.plot_bifurcations(toy, **options)
        return {to_hex(c) for c in next(c for c in ax.collections if isinstance(c, LineCollection)).get_colors()}

    assert strokes(color="#aa3311") == {"#aa3311"}
    palette = ["#101010", "#202020", "#303030", "#404040", "#505050"]
    assert {"#101010", "#202020"} <= strokes(color=palette) <= {*palette, drawing.INK}
    ax = plotting.plot_information_plane([toy, toy[5:]], color=["#aa3311", "#11aa33"])
    colours = [to_hex(line.get_color()) for line in ax.get_lines() if line.get_label().startswith("IB")]
    assert colours == ["#aa3311", "#11aa33"]
    assert to_hex(toy.plot_rate_distortion(color="#aa3311").get_lines()[0].get_color()) == "#aa3311"
    assert to_hex(toy.plot_clusters_vs_beta(color="#aa3311").get_lines()[0].get_color()) == "#aa3311"
    assert to_hex(toy.plot_stability(color="#aa3311").collections[0].get_facecolor()[0]) == "#aa3311"
    image = toy[9].plot_clusters(color="#aa3311").get_images()[0]
    assert to_hex(image.cmap(1.0)) == "#aa3311" and to_hex(image.cmap(0.0)) == "#ffffff"


def test_the_number_of_clusters_steps_at_the_events(toy):
    ax = plotting.plot_clusters_vs_beta(toy)
    (line,) = [line for line in ax.get_lines() if line.get_label() == "clusters"]
    assert line.get_drawstyle() == "steps-mid"
    beta, n = line.get_xydata().T
    for event in toy.events:
        below, above = n[beta <= event.beta][-1], n[beta > event.beta][0]
        assert (below, above) == (event.before, event.after)
        assert beta[beta > event.beta][0] < event.beta * (1.0 + 1e-3)
    for b, k in zip(toy.beta, toy.n_clusters, strict=True):
        assert n[beta == b] == k
    effective = next(line for line in ax.get_lines() if line.get_label() == "exp H(T)").get_ydata()
    assert (effective <= n + 1e-9).all() and effective[0] == pytest.approx(1.0)
    assert toy.plot_clusters_vs_beta(ax=ax) is ax


# --- the tree of mergers ----------------------------------------------------------------------------------------------


def test_the_dendrogram_is_that_of_scipy():
    joint = JointDistribution(RNG.dirichlet(0.5 * np.ones(80)).reshape(20, 4))
    linkage = dualib.agglomerate(joint).linkage
    leaves, segments = dendrogram_lines(linkage, 20)
    theirs = dendrogram(linkage, no_plot=True)
    assert leaves.tolist() == theirs["leaves"]
    mine = sorted((tuple(s[:, 0].round(12)), tuple((10.0 * s[:, 1] + 5.0).round(6))) for s in segments)
    others = zip(theirs["dcoord"], theirs["icoord"], strict=True)
    assert mine == sorted((tuple(np.round(d, 12)), tuple(np.round(i, 6))) for d, i in others)


def test_a_chain_of_thousands_is_laid_out():
    n = 5000
    node = np.append(0, np.arange(n, 2 * n - 2))
    linkage = np.column_stack([node, np.arange(1, n), np.arange(1.0, n), np.arange(2.0, n + 1)])
    leaves, segments = dendrogram_lines(linkage, n)
    assert leaves.tolist() == list(range(n)) and np.isfinite(segments).all()


def test_rows_of_the_map_are_the_leaves_and_clusters_have_colours(small):
    tree = small[1]
    left, right = tree.plot(n_clusters=3)
    image = np.asarray(right.get_images()[0].get_array())
    rows = [int(text.get_text()) for text in right.get_yticklabels()]
    assert sorted(rows) == list(range(7)) and rows == dendrogram(tree.linkage, no_plot=True)["leaves"]
    assert image.shape == (7, 3) and (image.sum(axis=1) == 1.0).all()
    assert np.all(np.diff(np.argmax(image, axis=1)) >= 0)  # whole clusters are together, in the order of the leaves
    np.testing.assert_array_equal(np.diff(np.argmax(image, axis=1)) != 0, np.diff(tree.cut(3)[rows]) != 0)
    lines = left.collections[0]
    assert len(lines.get_segments()) == 6 and len({to_hex(c) for c in lines.get_colors()}) >= 2
    assert left.get_xlim()[0] >= tree.linkage[-1, 2] and left.get_xlim()[1] == 0.0
    assert left.get_ylim() == right.get_ylim() == (6.5, -0.5)
    bits = tree.plot(unit="bits", color="#aa3311")[0]
    assert bits.get_xlim()[0] == pytest.approx(left.get_xlim()[0] / np.log(2)) and "[bits]" in bits.get_xlabel()
    assert {to_hex(c) for c in bits.collections[0].get_colors()} == {"#aa3311"}


def test_another_encoder_beside_the_tree_on_axes_of_ones_own(small):
    joint, tree = small
    solution = dualib.solve(joint, 8.0)
    axes = plt.subplots(1, 2)[1]
    left, right = plotting.plot_dendrogram(tree, axes, solution=solution)
    assert left is axes[0] and right is axes[1] and len(plt.get_fignums()) == 1
    image = np.asarray(right.get_images()[0].get_array())
    rows = [int(text.get_text()) for text in right.get_yticklabels()]
    assert sorted(map(tuple, image.T)) == sorted(map(tuple, solution.encoder[rows].T))
    with pytest.raises(ValueError, match="solution must be of the 7 x of the tree, got one of 5"):
        tree.plot(solution=dualib.solve(dualib.datasets.toy(), 8.0))
    with pytest.raises(ValueError, match="axes must be two Axes, got 1"):
        tree.plot(axes[:1])
    with pytest.raises(ValueError, match="n_clusters must be at most"):
        tree.plot(n_clusters=8)


def test_no_clusters_are_above_the_bound_and_it_is_the_curve(small):
    joint, tree = small
    curve = dualib.anneal(joint, "ib", np.geomspace(1.01, 60.0, 40), events=False)
    sizes = np.arange(1, 8)
    bound, _ = relevance_bounds(tree, sizes, curve)
    best = np.array([dualib.quantize(joint, k).relevance for k in sizes])
    soft = [dualib.solve(joint, beta, n_clusters=k, certify=False).relevance for k in (2, 3) for beta in (3.0, 30.0)]
    assert (best <= bound + 1e-9).all() and (tree.relevance <= bound + 1e-9).all()
    assert max(soft[:2]) <= bound[1] + 1e-9 and max(soft[2:]) <= bound[2] + 1e-9
    known, _ = relevance_bounds(tree, sizes, None)
    np.testing.assert_allclose(known, np.minimum(np.log(sizes), joint.mutual_information))
    assert (bound <= known).all()
    for k in (2, 3):
        exact = dualib.solve_at(joint, rate=math.log(k)).relevance
        assert exact - 1e-9 <= bound[k - 1] <= exact + 2e-3


def test_relevance_against_clusters(small):
    joint, tree = small
    curve = dualib.anneal(joint, "ib", [2.0, 4.0, 8.0], events=False)
    solutions = [dualib.quantize(joint, k) for k in (2, 4)]
    ax = tree.plot_relevance(curve=curve, solutions=solutions, unit="bits")
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["agglomerated"].get_ydata(), tree.relevance / np.log(2))
    np.testing.assert_array_equal(lines["solutions"].get_xdata(), [2, 4])
    np.testing.assert_allclose(lines["solutions"].get_ydata(), [s.relevance / np.log(2) for s in solutions])
    assert set(legend_texts(ax)) == {"agglomerated", "at most, certified", "solutions"} and "[bits]" in ax.get_ylabel()
    assert "at most min( log K, I(X;Y) )" in legend_texts(plotting.plot_relevance(tree, ax=plt.subplots()[1]))


@pytest.mark.parametrize("wrong", ["distortion", "joint", "cap", "uncertified"])
def test_a_curve_that_bounds_nothing_is_refused(small, wrong):
    joint, tree = small
    curve = {
        "distortion": lambda: dualib.anneal(joint, "dualib", [2.0], events=False),
        "joint": lambda: dualib.anneal(dualib.datasets.toy(), "ib", [8.0], events=False),
        "cap": lambda: Curve([dualib.solve(joint, 50.0, n_clusters=2)]),
        "uncertified": lambda: Curve([dualib.solve(joint, 8.0, certify=False)]),
    }[wrong]()
    match = {"cap": "without a cap", "uncertified": "must be certified"}.get(wrong, "must be of the IB and of the p\\(x, y\\)")
    with pytest.raises(ValueError, match=match):
        tree.plot_relevance(curve=curve)
