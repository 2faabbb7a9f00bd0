"""The information plane: measures against independent ones, the certified bound, many layers, epochs and seeds, and pictures."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import dualib
from dualib import networks
from dualib.networks.bound import Bound


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def small():
    """256 inputs of eight bits, a stochastic rule, and a random layer of three units."""
    rng = np.random.default_rng(0)
    x = (np.arange(256)[:, None] >> np.arange(8)) & 1
    p = 1.0 / (1.0 + np.exp(-1.5 * (x @ rng.choice([-1.0, 1.0], 8) + 0.3)))
    return x.astype(float), np.stack([1.0 - p, p], axis=1), np.tanh(x @ rng.normal(size=(8, 3)))


def test_binned_layers_are_entropies_of_their_symbols(small):
    _, py_x, layer = small
    plane = networks.information_plane({"a": layer, "b": layer[:, :1]}, py_x, bins=8)
    assert plane.layer == ("a", "b") and plane.model == "8 bins on [-1, 1]"
    for row, activations in enumerate((layer, layer[:, :1])):
        symbols = networks.binned(activations, 8)
        encoder = np.eye(symbols.max() + 1)[symbols]
        joint = encoder.T @ py_x / 256
        assert plane.rate[row] == pytest.approx(dualib.information.entropy(joint.sum(axis=1)), abs=1e-12)
        assert plane.relevance[row] == pytest.approx(dualib.information.mutual_information(joint), abs=1e-12)


def test_labels_and_one_hot_rows_are_the_same(small):
    _, _, layer = small
    y = (np.arange(256) % 3).astype(int)
    one = networks.information_plane([layer], y)
    for other in (np.eye(3)[y], np.array(["a", "b", "c"])[y]):
        plane = networks.information_plane([layer], other)
        assert plane.layer == ("layer 1",)
        np.testing.assert_array_equal(plane.relevance, one.relevance)
        np.testing.assert_array_equal(plane.gap, one.gap)


def test_the_bound_of_a_function_of_x_is_the_smaller_of_rate_and_entropy():
    X, y = networks.datasets.bits()
    bound = Bound.of(np.eye(2)[y])
    most = dualib.information.entropy([2118 / 4096, 1978 / 4096])
    rates = np.concatenate([np.linspace(0.0, 2.0, 101), [np.log(4096)]])
    np.testing.assert_allclose(bound.relevance(rates), np.minimum(rates, most), atol=1e-12)
    plane = networks.information_plane({"x": X, "first bit": X[:, :1]}, y)
    np.testing.assert_allclose(plane.gap, np.minimum(plane.rate, most) - plane.relevance, atol=1e-12)
    assert plane.saturated.tolist() == [True, False]


def test_no_encoder_lies_above_the_bound_and_the_curve_touches_it(small):
    """The curve itself, a finer curve of the unmerged joint, and random encoders, soft and hard."""
    _, py_x, _ = small
    bound = Bound.of(py_x)
    assert bound.joint.n_x < 256  # equal conditionals are one class
    assert {solution.certificate for solution in bound.curve} == {"rigorous"}
    np.testing.assert_allclose(bound.relevance(bound.curve.rate), bound.curve.relevance, atol=1e-9)
    joint = dualib.JointDistribution.from_conditionals(py_x)
    finer = dualib.anneal(joint, "ib", np.geomspace(1.3, 40.0, 12), events=False)
    room = bound.relevance(finer.rate) - finer.relevance
    assert (room > -1e-9).all() and (room < 2e-3).all()
    rng = np.random.default_rng(1)
    for sharpness in (1.0, 30.0):
        encoder = rng.dirichlet(np.ones(6) / sharpness, 256)
        weights = encoder.mean(axis=0)
        rate = np.mean(np.sum(encoder * np.log(np.maximum(encoder, 1e-300) / weights), axis=1))
        relevance = dualib.information.mutual_information(encoder.T @ py_x / 256)
        assert relevance <= bound.relevance(np.array([rate]))[0] + 1e-12


def test_no_binned_layer_of_the_soft_bits_is_above_the_certified_curve():
    """Random nets of the shapes in question, by several bins; an optimal encoder touches the curve (gap 0)."""
    X, py_x = networks.datasets.soft_bits()
    rng = np.random.default_rng(0)
    layers, value = {}, X
    for units in (10, 7, 5, 4, 3):
        value = np.tanh(value @ rng.normal(size=(value.shape[1], units)) * 1.5 / np.sqrt(value.shape[1]))
        layers[f"{units} units"] = value
    layers["the rule"] = np.tanh(0.3 * np.log(py_x[:, 1:] / py_x[:, :1]))
    curve = None
    for bins in (2, 5, 30):
        plane = networks.information_plane(layers, py_x, bins=bins, curve=curve)
        curve = plane.curve
        assert plane.gap.min() > -1e-12
    rule = networks.information_plane({"rule": layers["the rule"]}, py_x, bins=3, curve=curve)
    assert rule.gap[0] < 0.02  # two symbols by the sign of the logit: next to what one nat can keep


def test_estimators_with_noise_agree_where_the_information_is_small(small):
    """KDE encloses; one draw per input and neighbours estimate: all under the same noise."""
    _, py_x, layer = small
    noise = 0.3
    kde = networks.information_plane([layer], py_x, "kde", noise=noise)
    nce = networks.information_plane([layer], py_x, "info_nce", noise=noise)
    ksg = networks.information_plane([layer], py_x, "ksg", noise=noise, repeats=12)
    lower, upper = kde.rate_bounds[0]
    assert kde.rate[0] == upper and lower < nce.rate[0] < upper
    assert networks.kde_bounds(layer, noise) == pytest.approx((lower, upper), abs=1e-12)
    assert kde.relevance_bounds[0, 0] <= nce.relevance[0] <= kde.relevance_bounds[0, 1]
    assert ksg.rate[0] == pytest.approx(nce.rate[0], abs=0.15)
    assert ksg.relevance[0] == pytest.approx(nce.relevance[0], abs=0.1)
    for plane in (kde, nce, ksg):
        assert plane.gap is None and "noise variance 0.3" in plane.model
        assert plane.relevance[0] < Bound.of(py_x).relevance(plane.rate)[0] + 0.1


def test_one_draw_per_input_is_unbiased(small):
    """Against quadrature in one dimension: rate and relevance of layer plus noise, the mean over seeds."""
    _, py_x, layer = small
    t, noise = layer[:, 0], 0.05
    grid = np.linspace(-4, 4, 8001)
    by_x = np.exp(-0.5 * (grid[:, None] - t) ** 2 / noise) / np.sqrt(2 * np.pi * noise)
    step = grid[1] - grid[0]
    given_y = by_x @ (py_x / py_x.sum(axis=0))
    py = py_x.mean(axis=0)
    p = given_y @ py
    rate = -np.sum(p * np.log(p)) * step - 0.5 * np.log(2 * np.pi * np.e * noise)
    relevance = np.sum(py * given_y * np.log(given_y / p[:, None])) * step
    planes = [networks.information_plane([t], py_x, "info_nce", noise=noise, random_state=seed) for seed in range(60)]
    for name, truth in (("rate", rate), ("relevance", relevance)):
        values = np.array([getattr(plane, name)[0] for plane in planes])
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(60))


def test_with_little_noise_every_estimator_saturates(small):
    x, py_x, _ = small
    most = np.log(256)
    information = dualib.JointDistribution.from_conditionals(py_x).mutual_information
    for estimator, tolerance in (("kde", 1e-6), ("info_nce", 1e-6), ("ksg", 0.15)):
        plane = networks.information_plane({"x": x}, py_x, estimator, noise=1e-4)
        assert plane.saturated.all()
        assert plane.rate[0] == pytest.approx(most, abs=tolerance)
        assert plane.relevance[0] == pytest.approx(information, abs=0.02 if estimator != "ksg" else 0.15)


def test_layers_epochs_and_seeds_in_order(small):
    pandas = pytest.importorskip("pandas")
    _, py_x, layer = small
    stack = np.stack([[layer * scale, layer[::-1] * scale, layer**2 * scale] for scale in (1.0, 0.5)])
    calls = []
    plane = networks.information_plane(
        {"a": stack, "b": stack[..., :1]}, py_x, epochs=[1, 10, 100], seeds=[7, 8], progress=lambda *done: calls.append(done)
    )
    frame = plane.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["layer", "epoch", "seed", "rate", "relevance", "gap", "saturated"]
    assert frame.seed.tolist() == [7] * 6 + [8] * 6 and frame.epoch.tolist() == [1, 1, 10, 10, 100, 100] * 2
    assert calls[-1] == (6, 6)
    chosen = frame[(frame.layer == "a") & (frame.epoch == 10) & (frame.seed == 8)]
    assert chosen.rate.item() == networks.information_plane([stack[1, 1]], py_x).rate[0]
    single = networks.information_plane({"a": stack[0]}, py_x)
    assert single.epoch.tolist() == [0, 1, 2] and single.seed.tolist() == [0] * 3
    noisy = networks.information_plane([layer], py_x, "kde", noise=0.1).to_dataframe()
    assert noisy.gap.tolist() == [None]
    assert {"rate_lower", "rate_upper", "relevance_lower", "relevance_upper"} <= set(noisy.columns)


def test_activations_beyond_the_bins_are_said(small):
    _, py_x, layer = small
    with pytest.warns(dualib.DualibWarning, match="up to 5[0-9]% of the activations of 'wide' lie beyond the limits"):
        networks.information_plane({"wide": np.linspace(-4.5, 0, 256) * 0.5, "a": layer}, py_x)
    networks.information_plane({"wide": np.linspace(-2, 2, 256)}, py_x, limits=(-2, 2))


def test_pictures_show_every_point_the_bound_and_the_model(small):
    x, py_x, layer = small
    stack = np.stack([[layer, layer * 0.6], [layer[::-1], layer * 0.3]])
    inputs = np.broadcast_to(0.9 * x, (2, 2, *x.shape))
    plane = networks.information_plane({"input": inputs, "hidden": stack}, py_x, bins=6, epochs=[0, 50])
    ax = plane.plot()
    assert ax.get_title() == "6 bins on [-1, 1]" and ax.get_xlabel() == "rate  I(X;T)  [bits]"
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections])
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(plane.rate / np.log(2)))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"input", "hidden", "certified IB curve: no representation lies above"} <= set(labels)
    hollow = [c for c in ax.collections if len(c.get_facecolors()) == 0 and len(c.get_offsets())]
    assert sum(len(c.get_offsets()) for c in hollow) == plane.saturated.sum() > 0
    bound = next(line for line in ax.lines if line.get_color() == "#222222" and len(line.get_xdata()) > 100)
    assert np.interp(1.0, bound.get_xdata(), bound.get_ydata()) == pytest.approx(
        plane.bound.relevance(np.array([np.log(2)]))[0] / np.log(2), abs=1e-4
    )
    panels = plane.plot_layers(unit="nats")
    assert [ax.get_title() for ax in panels] == ["input", "hidden"]
    assert "2 seeds, a line each" in panels[0].figure.get_suptitle()
    gaps = plane.plot_gap(unit="nats")
    means = [line for line in gaps.lines if to_rgba(line.get_color())[3] == 1.0 and line.get_linewidth() == 2.0]
    np.testing.assert_allclose(means[1].get_ydata(), plane.gap[1::2].reshape(2, 2).mean(axis=0))
    other = dualib.anneal(dualib.JointDistribution.from_conditionals(py_x), "ib", [2.0, 4.0], events=False)
    assert plane.plot(other) is not None
    kde = networks.information_plane([layer], py_x, "kde", noise=0.1)
    assert "estimates, which may lie above the curve" in kde.plot().get_title()
    assert repr(plane).startswith("InformationPlane(6 bins on [-1, 1]): 2 layers, 2 epochs, 2 seeds, 256 inputs")


def test_what_a_plane_refuses(small):
    _, py_x, layer = small
    plane = networks.information_plane([layer], py_x, "kde", noise=1.0)
    toy = dualib.anneal(dualib.datasets.toy(), "ib", [4.0, 8.0], events=False)
    dual = dualib.anneal(dualib.datasets.toy(), "dualib", [4.0, 8.0], events=False)
    for error, call, message in (
        (ValueError, lambda: networks.information_plane([layer]), "y must be given"),
        (
            ValueError,
            lambda: networks.information_plane([layer], py_x[:5]),
            "y must have one entry or row for each input, 256",
        ),
        (ValueError, lambda: networks.information_plane([layer], np.full(256, 0.5)), "y must be labels"),
        (ValueError, lambda: networks.information_plane([layer], py_x, "kde"), "estimator 'kde' needs noise"),
        (ValueError, lambda: networks.information_plane([layer], py_x, "kde", noise=-1.0), "noise must be finite and > 0"),
        (ValueError, lambda: networks.information_plane([layer], py_x, "mine"), "estimator must be one of"),
        (ValueError, lambda: networks.information_plane([layer], py_x, "ksg", noise=1.0, repeats=4), "repeats must be"),
        (TypeError, lambda: networks.information_plane([layer], py_x, noise=1.0), "noise"),
        (ValueError, lambda: networks.information_plane({}, py_x), "layers must hold at least one array"),
        (TypeError, lambda: networks.information_plane(3, py_x), "layers must be a mapping"),
        (ValueError, lambda: networks.information_plane([layer, layer[:5]], py_x), "layers must agree"),
        (ValueError, lambda: networks.information_plane([layer[None, None, None]], py_x), "must have shape \\(n, units\\)"),
        (ValueError, lambda: networks.information_plane([layer * np.nan], py_x), "layer 1 must be finite"),
        (ValueError, lambda: networks.information_plane([layer], py_x, epochs=[1, 2]), "epochs must be 1 whole numbers"),
        (ValueError, lambda: plane.plot_gap(), "of binned layers only"),
        (TypeError, lambda: plane.plot("ib"), "curve must be a Curve"),
        (ValueError, lambda: plane.plot(toy), "curve must be of the same p\\(x, y\\)"),
        (ValueError, lambda: plane.plot(dual), "curve must be of the distortion 'ib'"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_recording_is_read_back_and_its_layers_follow_from_its_weights(small, tmp_path):
    x, py_x, _ = small
    rng = np.random.default_rng(0)
    weights = tuple(rng.normal(size=(2, 3, a, b)).astype(np.float32) for a, b in ((8, 4), (4, 2)))
    biases = tuple(rng.normal(size=(2, 3, b)).astype(np.float32) for b in (4, 2))
    history = {name: rng.random((2, 3)) for name in ("train_loss", "test_loss", "train_error", "test_error")}
    recording = networks.Recording(x, py_x, "tanh", np.array([0, 1, 5]), np.array([3, 9]), weights, biases, **history)
    assert recording.layers == ("layer 1 (4)", "output")
    found = recording.activations(1, 2)
    hidden = np.tanh(x @ weights[0][1, 2] + biases[0][1, 2])
    logits = hidden @ weights[1][1, 2] + biases[1][1, 2]
    np.testing.assert_allclose(found["layer 1 (4)"], hidden, atol=1e-12)
    np.testing.assert_allclose(found["output"], np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-12)
    path = tmp_path / "r.npz"
    recording.save(path)
    again = networks.Recording.load(path)
    for name in ("X", "py_x", "epochs", "seeds", *history):
        np.testing.assert_array_equal(getattr(again, name), getattr(recording, name))
    assert again.activation == "tanh" and all(np.array_equal(a, b) for a, b in zip(again.weights, weights, strict=True))
    plane = networks.information_plane(recording, epochs=[5], seeds=[9])
    assert plane.epoch.tolist() == [5, 5] and plane.seed.tolist() == [9, 9]
    assert plane.rate[0] == networks.information_plane([hidden], py_x).rate[0]
    with pytest.raises(ValueError, match="epochs: 7 was not recorded; recorded are \\[0, 1, 5\\]"):
        networks.information_plane(recording, epochs=[7])
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is no recording that can be read"):
        networks.Recording.load(path)
