"""Training on torch: a twin in NumPy of the first steps, seeds, resumption to the bit, and what is refused. Needs torch."""

import importlib.util
import sys

import numpy as np
import pytest

from dualib import networks

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = np.array([[(i >> k) & 1 for k in range(6)] for i in range(64)], float)
    p = 1.0 / (1.0 + np.exp(-2.0 * (x @ rng.normal(size=6) - 0.5)))
    return x, np.stack([1 - p, p], axis=1), (p > 0.5).astype(int)


def naive_adam(recording, seed, data, order, epochs, batch, rate):
    """One network of two layers, one batch at a time, by gradients written out."""
    x, py_x, _ = data
    w1, b1, w2, b2 = (
        layer[seed, 0].astype(np.float64)
        for layer in (recording.weights[0], recording.biases[0], recording.weights[1], recording.biases[1])
    )
    parameters = [w1, b1, w2, b2]
    first, second = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    step = 0
    for epoch in range(1, epochs + 1):
        shuffled = order[np.random.default_rng([int(recording.seeds[seed]), epoch]).permutation(len(order))]
        for begin in range(0, len(order), batch):
            rows = shuffled[begin : begin + batch]
            hidden = np.tanh(x[rows] @ w1 + b1)
            z = hidden @ w2 + b2
            p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            error = (p - py_x[rows]) / len(rows)
            back = (error @ w2.T) * (1 - hidden**2)
            step += 1
            gradients = [x[rows].T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
            for parameter, gradient, m, v in zip(parameters, gradients, first, second, strict=True):
                m += 0.1 * (gradient - m)
                v += 0.001 * (gradient**2 - v)
                parameter -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return parameters


@needs_torch
def test_training_is_that_of_a_twin_in_numpy(data):
    x, py_x, _ = data
    recording = networks.train(
        x, py_x, widths=(5,), record=[0, 3], random_state=[4, 11], learning_rate=0.01, batch_size=20, progress=False
    )
    for seed in range(2):
        order = np.random.default_rng([int(recording.seeds[seed]), 0]).permutation(64)[:51]
        expected = naive_adam(recording, seed, data, order, 3, 20, 0.01)
        found = [recording.weights[0], recording.biases[0], recording.weights[1], recording.biases[1]]
        for array, twin in zip(found, expected, strict=True):
            np.testing.assert_allclose(array[seed, 1], twin, atol=2e-5)
        p = recording.activations(seed, 1)["output"]
        losses, errors = -np.sum(py_x * np.log(p), axis=1), p.argmax(axis=1) != py_x.argmax(axis=1)
        chosen = np.isin(np.arange(64), order)
        assert recording.train_loss[seed, 1] == pytest.approx(losses[chosen].mean(), abs=1e-6)
        assert recording.test_loss[seed, 1] == pytest.approx(losses[~chosen].mean(), abs=1e-6)
        assert recording.train_error[seed, 1] == pytest.approx(errors[chosen].mean())
        assert recording.test_error[seed, 1] == pytest.approx(errors[~chosen].mean())


@needs_torch
def test_initial_weights_are_cut_normals_in_proportion_to_the_fan_in(data):
    x, _, y = data
    recording = networks.train(x, y, widths=(400, 300), record=[0], progress=False)
    for weights, biases, fan_in in zip(recording.weights, recording.biases, (6, 400, 300), strict=True):
        scaled = weights * np.sqrt(fan_in)
        assert np.abs(scaled).max() <= 2.0 + 1e-6 and not biases.any()
        assert scaled.std() == pytest.approx(0.8796, abs=4 * 0.8796 / np.sqrt(2 * scaled.size))  # of a normal cut at two


@needs_torch
def test_one_seed_alone_is_that_seed_among_others_and_learns(data):
    x, _, y = data
    options = {"widths": (8,), "record": [0, 40], "learning_rate": 0.02, "batch_size": 16, "progress": False}
    several = networks.train(x, y, random_state=[1, 2, 3], **options)
    alone = networks.train(x, y, random_state=2, **options)
    np.testing.assert_allclose(alone.weights[0][0, 1], several.weights[0][1, 1], atol=1e-4)
    again = networks.train(x, y, random_state=2, **options)
    np.testing.assert_array_equal(alone.weights[0], again.weights[0])
    assert several.weights[0][0, 0].tolist() != several.weights[0][1, 0].tolist()
    assert (several.train_error[:, 1] < 0.1).all() and (several.train_loss[:, 1] < several.train_loss[:, 0]).all()
    rectified = networks.train(x, y, activation="relu", **options)
    assert rectified.activations(0, 0)["layer 1 (8)"].min() == 0.0 and rectified.train_loss[0, 1] < rectified.train_loss[0, 0]


@needs_torch
def test_an_interrupted_training_ends_with_the_same_bits(data, tmp_path, monkeypatch):
    from dualib.networks import training

    x, py_x, _ = data
    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)
    options = {"widths": (6, 4), "record": [0, 1, 3, 6, 9], "random_state": [0, 1], "batch_size": 10}
    whole = networks.train(x, py_x, progress=False, **options)

    def interrupted(done, total):
        assert total == 5
        if done == 3:
            raise KeyboardInterrupt

    path = tmp_path / "c.npz"
    with pytest.raises(KeyboardInterrupt):
        networks.train(x, py_x, checkpoint=path, progress=interrupted, **options)
    calls = []
    resumed = networks.train(x, py_x, checkpoint=path, progress=lambda *done: calls.append(done), **options)
    assert calls == [(i, 5) for i in range(1, 6)]
    for name in ("train_loss", "test_error"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    for a, b in zip((*resumed.weights, *resumed.biases), (*whole.weights, *whole.biases), strict=True):
        np.testing.assert_array_equal(a, b)
    shorter = networks.train(x, py_x, checkpoint=path, progress=False, **{**options, "record": [0, 1, 3]})
    np.testing.assert_array_equal(shorter.weights[0], whole.weights[0][:, :3])
    with pytest.raises(ValueError, match="belongs to a training with other arguments"):
        networks.train(x, py_x, checkpoint=path, progress=False, **{**options, "batch_size": 11})
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"checkpoint .* cannot be read"):
        networks.train(x, py_x, checkpoint=path, progress=False, **options)


@needs_torch
def test_a_short_training_of_the_soft_bits_stays_below_the_certified_curve():
    """The whole way: recorded, binned, beside the curve of the 64 classes; the relevance of the output rises."""
    X, py_x = networks.datasets.soft_bits()
    recording = networks.train(X, py_x, record=[0, 5, 30], random_state=[0, 1], learning_rate=4e-3, progress=False)
    assert recording.layers == ("layer 1 (10)", "layer 2 (7)", "layer 3 (5)", "layer 4 (4)", "layer 5 (3)", "output")
    plane = networks.information_plane(recording)
    assert len(plane.rate) == 2 * 3 * 6
    assert plane.gap.min() > -1e-12
    output = np.array(plane.layer) == "output"
    assert (plane.relevance[output & (plane.epoch == 30)] > plane.relevance[output & (plane.epoch == 0)] + 0.2).all()
    assert plane.saturated[np.array(plane.layer) == "layer 1 (10)"].all()


@needs_torch
def test_tensors_are_layers(data):
    import torch

    x, py_x, _ = data
    layer = torch.tanh(torch.tensor(x) @ torch.ones(6, 2, dtype=torch.float64, requires_grad=True))
    plane = networks.information_plane({"t": layer}, torch.tensor(py_x))
    assert plane.rate[0] == networks.information_plane({"t": layer.detach().numpy()}, py_x).rate[0]
    assert networks.kde_bounds(layer, 0.1) == networks.kde_bounds(layer.detach().numpy(), 0.1)


@needs_torch
def test_what_training_refuses(data):
    x, _, y = data
    for call, message in (
        (lambda: networks.train(x, y, activation="erf"), "activation must be one of \\['relu', 'tanh'\\]"),
        (lambda: networks.train(x, y, record=0), "record must be an integer of at least 1"),
        (lambda: networks.train(x, y, record=[-1, 2]), "record must be the number of epochs"),
        (lambda: networks.train(x, y, record=[1.5]), "record must be the number of epochs"),
        (lambda: networks.train(x, y, widths=(0,)), "widths must be an integer of at least 1"),
        (lambda: networks.train(x, y, random_state=-1), "random_state must be an integer of at least 0"),
        (lambda: networks.train(x, y[:5]), "y must have one entry or row for each input"),
        (lambda: networks.train(x, y, learning_rate=0.0), "learning_rate must be finite and > 0"),
        (lambda: networks.train(x, y, train_share=1.0), "train_share must be a number strictly between 0 and 1"),
        (lambda: networks.train(x, y, train_share=0.001), "train_share must leave inputs to train on"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@needs_torch
def test_epochs_are_logarithmic_where_only_their_end_is_given():
    from dualib.networks.training import _epochs

    epochs = _epochs(8000)
    assert epochs[0] == 0 and epochs[1] == 1 and epochs[-1] == 8000 and 250 < len(epochs) <= 401
    assert np.max(epochs[200:-1] / epochs[201:]) < 1.0 and np.min(epochs[200:-1] / epochs[201:]) > 0.97
    assert _epochs([5, 2, 5]).tolist() == [2, 5]


def test_without_torch_the_error_says_what_to_install(data, monkeypatch):
    x, _, y = data
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ImportError, match=r'train needs torch: pip install "dualib\[torch\]", after "pip install torch --index-url'
    ):
        networks.train(x, y)
    monkeypatch.delitem(sys.modules, "dualib.networks.variational_nets", raising=False)
    monkeypatch.delitem(sys.modules, "dualib.networks.variational", raising=False)
    with pytest.raises(ImportError, match="the variational bottlenecks need"):
        importlib.import_module("dualib.networks.variational")
