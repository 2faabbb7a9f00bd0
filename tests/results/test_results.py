"""Status, Solution, Event and Curve: immutable, checked, sliceable, picklable, printable, exportable."""

import builtins
import pickle

import numpy as np
import pytest

from dualib import Curve, Event, JointDistribution, Solution, Status, datasets, solve
from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.divergences import Alpha
from dualib.distortions.matrices import RateDistortion

PXY = np.array([[0.20, 0.05, 0.05], [0.02, 0.28, 0.00], [0.05, 0.10, 0.25]])
JOINT = JointDistribution(PXY, x_labels=["a", "b", "c"], y_labels=["u", "v", "w"])


def made(beta=4.0, joint=JOINT, distortion=None, **changes):
    """A two-cluster Solution of the 3 x 3 joint, by hand: x = 0 alone, x = 1 and 2 together."""
    encoder = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    weights = PXY.sum(axis=1) @ encoder
    decoder = (encoder.T @ PXY) / weights[:, None]
    fields = {
        **{"joint": joint, "distortion": distortion or IB(), "beta": beta, "encoder": encoder, "weights": weights},
        **{"means": decoder.copy(), "decoder": decoder, "objective": 1.5, "rate": 0.6, "relevance": 0.2},
        **{"expected_distortion": 0.225, "decoder_information": 0.2, "gap": 0.25, "certificate": "rigorous"},
        **{"status": Status.CONVERGED, "n_iter": 7, "residual": 1e-12, "error_bound": 1e-11, "rho": 0.9},
        "stability": np.array([0.0, 0.8]),
    }
    return Solution(**{**fields, **changes})


def curve_of(*betas, **options):
    return Curve([made(beta, rate=beta / 10) for beta in betas], **options)


@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf, [1.0, 0.0], [[2.0, -np.inf]]])
def test_bounds_are_asked_for_positive_betas(beta):
    with pytest.raises(ValueError, match="beta must be positive and finite, got"):
        curve_of(2.0, 4.0).objective_bounds(beta)


# --- Solution ---------------------------------------------------------------------------------------------------------


def test_derived_quantities():
    solution = made()
    assert (solution.n_x, solution.n_y, solution.n_clusters) == (3, 3, 2)
    assert solution.lower_bound == 1.25
    w = solution.weights
    assert solution.effective_clusters == pytest.approx(np.prod(w**-w))


def test_effective_clusters_of_a_cluster_without_weight():
    assert made(weights=[1.0, 0.0]).effective_clusters == 1.0


def test_arrays_are_private_read_only_float64_copies():
    mine = np.array([[1, 0], [0, 1], [0, 1]])
    solution = made(encoder=np.asfortranarray(mine))
    for name in ("encoder", "weights", "means", "decoder", "stability"):
        array = getattr(solution, name)
        assert array.dtype == np.float64 and array.flags.c_contiguous and not array.flags.writeable
    mine[0, 0] = 5
    assert solution.encoder[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        solution.weights[0] = 0.0
    with pytest.raises(AttributeError):
        solution.beta = 2.0


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"encoder": np.eye(3)}, "encoder"),
        ({"encoder": np.full((3, 2), 0.6)}, "encoder"),
        ({"encoder": np.array([[2.0, -1.0], [0.0, 1.0], [0.0, 1.0]])}, "encoder"),
        ({"weights": np.zeros(0)}, "weights"),
        ({"weights": np.array([0.5, 0.4])}, "weights"),
        ({"decoder": np.full((3, 3), 1 / 3)}, "decoder"),
        ({"decoder": np.full((2, 3), np.nan)}, "decoder"),
        ({"means": np.full((2, 3), np.inf)}, "means"),
        ({"stability": np.zeros(3)}, "stability"),
        ({"stability": np.array([0.0, np.nan])}, "stability"),
        ({"objective": np.nan}, "objective"),
        ({"rate": np.inf}, "rate"),
        ({"gap": np.nan}, "gap"),
        ({"gap": -1e-3}, "gap"),
        ({"beta": 0.0}, "beta"),
        ({"certificate": "sure"}, "certificate"),
    ],
)
def test_a_wrong_field_is_named(changes, name):
    with pytest.raises(ValueError, match=name):
        made(**changes)


def test_status_must_be_a_status():
    with pytest.raises(TypeError, match="status"):
        made(status="converged")


def test_uncertified_is_infinite_never_nan():
    solution = made(gap=np.inf, certificate=None, error_bound=np.inf, rho=np.inf)
    assert solution.lower_bound == -np.inf
    assert "not certified" in repr(solution)


@pytest.mark.parametrize(("status", "converged"), [(Status.CONVERGED, True), (Status.MAX_ITER, False)])
def test_converged_follows_status(status, converged):
    assert made(status=status).converged is converged


@pytest.mark.parametrize("status", Status)
def test_status_is_a_message_for_a_person(status):
    assert len(status.value.split()) > 5


def test_training_prediction_is_encoder_times_decoder():
    solution = made(encoder=np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]))
    wanted = np.einsum("xt,ty->xy", solution.encoder, solution.decoder)
    np.testing.assert_allclose(solution.predict_proba(), wanted, rtol=0, atol=1e-15)


def test_encode_of_the_training_conditionals():
    solution = made()
    pairs = [(p, r, p > 0) for p in JOINT.py_x for r in solution.decoder]
    divergence = np.reshape([np.sum(p[live] * np.log(p[live] / r[live])) for p, r, live in pairs], (3, 2))
    wanted = solution.weights * np.exp(-solution.beta * divergence)
    wanted /= wanted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(solution.encode(JOINT.py_x), wanted, rtol=1e-12)
    np.testing.assert_allclose(solution.predict_proba(JOINT.py_x), wanted @ solution.decoder, rtol=1e-12)


def test_summary_in_bits():
    nats, bits = made().summary(), made().summary("bits")
    for name in ("objective", "rate", "relevance", "decoder_information", "gap", "lower_bound", "expected_distortion"):
        assert bits[name] == pytest.approx(nats[name] / np.log(2))
    for name in ("beta", "n_clusters", "effective_clusters", "certificate", "status", "n_iter", "residual"):
        assert bits[name] == nats[name]
    assert (nats["unit"], bits["unit"]) == ("nats", "bits")
    assert nats["status"] == "CONVERGED" and nats["n_clusters"] == 2


def test_a_distortion_that_is_no_information_keeps_its_unit():
    assert made(distortion=Alpha(0.5)).summary("bits")["expected_distortion"] == 0.225


def test_unknown_unit():
    with pytest.raises(ValueError, match=r"unit .*'hartleys'"):
        made().summary("hartleys")


def test_solution_repr_is_short_and_says_what_matters():
    text = repr(made())
    assert len(text.splitlines()) <= 7 and max(map(len, text.splitlines())) < 100
    for part in ("ib", "beta=4", "2 clusters", "0.6 nats", "0.2 nats", "rigorous", "CONVERGED", "7 sweeps"):
        assert part in text


def test_solution_pickles_and_stays_read_only():
    solution = made()
    copy = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(copy.encoder, solution.encoder)
    assert copy.summary() == solution.summary()
    assert copy.joint == solution.joint and copy.distortion == solution.distortion
    for name in ("encoder", "weights", "means", "decoder", "stability"):
        assert not getattr(copy, name).flags.writeable


# --- Event ------------------------------------------------------------------------------------------------------------


def test_event_takes_its_precision_from_the_interval():
    event = Event("split", beta=2.0, interval=(1.5, 2.5), before=1, after=2)
    assert event.precision == 0.5 and event.multiplicity == 1 and not event.located
    assert Event("jump", beta=2.0, interval=(1.5, 2.5), before=1, after=2, precision=1e-9).precision == 1e-9


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"kind": "birth"}, "kind"),
        ({"interval": (2.1, 3.0)}, "interval"),
        ({"interval": (0.0, 3.0)}, "interval"),
        ({"interval": (1.0, np.inf)}, "interval"),
        ({"beta": np.nan}, "interval"),
    ],
)
def test_a_wrong_event_is_refused(changes, name):
    with pytest.raises(ValueError, match=name):
        Event(**{"kind": "split", "beta": 2.0, "interval": (1.5, 2.5), "before": 1, "after": 2, **changes})


# --- Curve ------------------------------------------------------------------------------------------------------------

EVENTS = (
    Event("split", beta=6.0, interval=(4.0, 8.0), before=2, after=3),
    Event("appearance", beta=3.0, interval=(2.0, 4.0), before=1, after=2),
)


def test_columns_ascend_in_beta_and_agree_with_the_solutions():
    curve = curve_of(8.0, 2.0, 4.0, events=EVENTS, onset=1.5)
    np.testing.assert_array_equal(curve.beta, [2.0, 4.0, 8.0])
    for name in ("rate", "relevance", "objective", "expected_distortion", "decoder_information", "gap", "lower_bound"):
        np.testing.assert_array_equal(getattr(curve, name), [getattr(solution, name) for solution in curve])
    np.testing.assert_array_equal(curve.n_clusters, [2, 2, 2])
    assert curve.n_clusters.dtype.kind == "i"
    assert [event.beta for event in curve.events] == [3.0, 6.0]
    assert curve.onset == 1.5 and len(curve) == 3 and curve[-1].beta == 8.0
    assert curve.joint is JOINT and curve.distortion == IB()


def test_a_slice_is_a_curve_with_the_events_inside():
    curve = curve_of(1.0, 2.0, 4.0, 8.0, events=EVENTS, onset=1.5)
    assert [event.beta for event in curve[:3].events] == [3.0]
    assert [event.beta for event in curve[2:].events] == [6.0]
    assert curve[:2].events == ()
    np.testing.assert_array_equal(curve[::-2].beta, [2.0, 8.0])
    assert curve[1:].onset == 1.5
    with pytest.raises(ValueError, match="no solution"):
        curve[2:2]


def test_an_onset_given_as_a_function_is_computed_once_when_asked_for():
    asked = []

    def onset():
        asked.append(1)
        return 1.5

    curve = curve_of(1.0, 2.0, 4.0, onset=onset)
    part = curve[1:]
    assert not asked and not hasattr(curve, "offset")
    assert part.onset == curve.onset == curve[:2].onset == 1.5 and len(asked) == 1
    assert pickle.loads(pickle.dumps(curve_of(1.0, 2.0, onset=onset))).onset == 1.5


def test_nearest_in_ratio():
    curve = curve_of(1.0, 10.0, 100.0)
    assert curve.nearest(3.0).beta == 1.0 and curve.nearest(3.3).beta == 10.0 and curve.nearest(1e9).beta == 100.0
    for bad in (0.0, -1.0, np.nan, np.inf, True):
        with pytest.raises(ValueError, match="beta"):
            curve.nearest(bad)


def test_a_curve_is_one_problem():
    with pytest.raises(ValueError, match="at least one"):
        Curve([])
    with pytest.raises(ValueError, match=r"2\.0 twice"):
        curve_of(2.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="distortion"):
        Curve([made(1.0), made(2.0, distortion=DualIB())])
    other = JointDistribution(PXY[::-1].copy())
    with pytest.raises(ValueError, match="joint"):
        Curve([made(1.0), made(2.0, joint=other)])


def test_equal_problems_that_are_not_one_object():
    same = JointDistribution(PXY, x_labels=["a", "b", "c"], y_labels=["u", "v", "w"])
    assert len(Curve([made(1.0), made(2.0, joint=same)])) == 2


def test_a_curve_is_immutable():
    curve = curve_of(1.0, 2.0)
    with pytest.raises(AttributeError, match="immutable"):
        curve.beta = np.zeros(2)
    with pytest.raises(AttributeError, match="immutable"):
        del curve.rate
    with pytest.raises(ValueError, match="read-only"):
        curve.rate[0] = 9.0


def test_a_curve_pickles():
    curve = curve_of(1.0, 2.0, 4.0, events=EVENTS[1:], onset=1.5)
    copy = pickle.loads(pickle.dumps(curve))
    np.testing.assert_array_equal(copy.rate, curve.rate)
    assert copy.events == curve.events and copy.onset == curve.onset
    assert not copy.rate.flags.writeable and copy[0].joint is copy[1].joint


def test_curve_repr_is_short_and_says_what_matters():
    text = repr(curve_of(1.0, 2.0, 8.0, events=EVENTS, onset=1.5))
    assert len(text.splitlines()) <= 7 and max(map(len, text.splitlines())) < 100
    for part in ("ib", "3 x 3", "3 betas from 1 to 8", "onset at beta = 1.5", "1 appearance, 1 split", "3 of 3"):
        assert part in text
    assert "none recorded" in repr(curve_of(1.0))


def test_dataframe():
    pytest.importorskip("pandas")
    curve = curve_of(1.0, 2.0, 4.0)
    frame = curve.to_dataframe("bits")
    np.testing.assert_allclose(frame["rate"], curve.rate / np.log(2))
    np.testing.assert_array_equal(frame["beta"], curve.beta)
    assert list(frame["certificate"]) == ["rigorous"] * 3 and set(frame["unit"]) == {"bits"}


def test_xarray_pads_clusters_with_weight_zero():
    pytest.importorskip("xarray")
    one = {"encoder": np.ones((3, 1)), "weights": [1.0], "means": JOINT.py[None, :], "decoder": JOINT.py[None, :]}
    curve = Curve([made(1.0, stability=[0.5], **one), made(4.0)])
    data = curve.to_xarray("bits")
    assert dict(data.sizes) == {"beta": 2, "x": 3, "t": 2, "y": 3}
    np.testing.assert_array_equal(data["weights"].sel(beta=1.0), [1.0, 0.0])
    np.testing.assert_array_equal(data["encoder"].sel(beta=4.0), made().encoder)
    np.testing.assert_array_equal(data["decoder"].sel(beta=4.0, y="v"), made().decoder[:, 1])
    np.testing.assert_allclose(data["relevance"], curve.relevance / np.log(2))
    assert data["rate"].attrs["unit"] == "bits" and not any(np.isnan(data[name]).any() for name in data)


def test_xarray_of_a_distortion_with_columns_of_its_own():
    pytest.importorskip("xarray")
    joint = JointDistribution.from_conditionals(np.eye(3), [0.2, 0.3, 0.5])
    curve = Curve([solve(joint, beta, RateDistortion(np.arange(12.0).reshape(3, 4) % 5)) for beta in (0.1, 3.0)])
    data = curve.to_xarray("bits")
    assert "unit" not in data["expected_distortion"].attrs and data["rate"].attrs["unit"] == "bits"
    assert data["decoder"].dims == ("beta", "t", "column") and data.sizes["column"] == 4 and "y" not in data.coords
    np.testing.assert_array_equal(data["decoder"][1, : curve[1].n_clusters], curve[1].decoder)
    np.testing.assert_allclose(data["rate"], curve.rate / np.log(2.0), rtol=1e-14)
    np.testing.assert_allclose(data["expected_distortion"], curve.expected_distortion, rtol=1e-14)  # no information: no unit


@pytest.mark.parametrize(("method", "package"), [("to_dataframe", "pandas"), ("to_xarray", "xarray")])
def test_a_missing_extra_is_named(monkeypatch, method, package):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.split(".")[0] == package:
            raise ImportError(f"no {name}")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"dualib\[{package}\]"):
        getattr(curve_of(1.0, 2.0), method)()


def test_the_rate_of_sweeps_is_computed_when_it_is_asked_for():
    """Deferred until then; a copy, a pickle and a file hold the number."""
    solution = solve(datasets.toy(), 8.0)
    assert "rho" not in vars(solution) and "error_bound" not in vars(solution)
    copied = pickle.loads(pickle.dumps(solution))
    assert 0.0 < vars(copied)["rho"] < 1.0
    assert solution.rho == copied.rho and solution.error_bound == copied.error_bound
    assert solution.error_bound == pytest.approx(solution.residual / (1.0 - solution.rho))
    with pytest.raises(AttributeError, match="no attribute 'rhos'"):
        _ = solution.rhos
