"""Pictures: what is drawn where, on whose axes, with which words."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib.colors import to_hex

import dualib
from dualib import Curve, Event, plotting
from dualib.distortions.matrices import RateDistortion
from dualib.plotting.marks import MARKERS
from plotting.conftest import toy


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
