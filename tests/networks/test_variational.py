"""Variational bottlenecks: the loss and the informations by hand in NumPy, trunks, targets, scikit-learn's checks. Needs torch."""

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import dualib  # noqa: E402
from dualib import networks  # noqa: E402
from dualib.networks.variational_nets import Nets, Settings  # noqa: E402
from dualib.networks.variational_targets import target_of  # noqa: E402

KINDS = (networks.VariationalDualIB, networks.ConditionalEntropyBottleneck, networks.VariationalIB)
FAST = {"learning_rate": 3e-3, "epochs": 60, "batch_size": 80, "latent_dim": 2, "random_state": 0}


@pytest.fixture(scope="module")
def blobs():
    """Three Gaussian classes in the plane, which overlap a little."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    centres = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])
    return centres[y] + 0.6 * rng.standard_normal((240, 2)), np.array(["b", "c", "a"])[y]


def softplus(values):
    return np.log1p(np.exp(values))


def dense(values, layer):
    bias = 0.0 if layer.bias is None else layer.bias.detach().numpy()
    return values @ layer.weight.detach().numpy().T + bias


@pytest.mark.parametrize(
    ("beta", "gamma", "of_label"), [(0.0, 1.5, True), (2.0, 0.0, True), (3.0, 0.0, False), (0.7, 0.4, True)]
)
def test_the_loss_by_hand(beta, gamma, of_label):
    """Every term in NumPy, from the weights of the nets and the z that torch draws."""
    torch.manual_seed(0)
    settings = Settings(beta, gamma, of_label, 2, 1, 8, 1e-3, ())
    x = torch.randn(6, 4)
    nets = Nets(torch.nn.Linear(4, 5), x, 3, settings)
    codes = torch.tensor([0, 1, 2, 0, 1, 2])
    target = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    torch.manual_seed(1)
    loss = float(nets.loss(x, codes, torch.as_tensor(np.log(target), dtype=torch.float32)).detach())
    torch.manual_seed(1)
    draw = torch.empty(6, 2).normal_().numpy()
    raw = dense(dense(x.numpy(), nets.trunk), nets.encoder)
    mean, scale = raw[:, :2], 1e-3 + softplus(raw[:, 2:])
    z = mean + scale * draw
    if of_label:
        hidden = np.maximum(dense(np.eye(3)[codes], nets.of_label[0]), 0.0)
        assert hidden.shape[1] == 500
        prior = dense(hidden, nets.of_label[2])
        log_prior = norm.logpdf(z, prior[:, :2], 1e-2 + softplus(prior[:, 2:])).sum(axis=1)
    else:
        log_prior = norm.logpdf(z).sum(axis=1)
    assert nets.decoder[0].weight.shape == (1000, 2) and nets.decoder[1].bias is None
    logits = dense(dense(z, nets.decoder[0]), nets.decoder[1])
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rate = np.mean(norm.logpdf(z, mean, scale).sum(axis=1) - log_prior)
    cross_entropy = -np.mean(log_p[np.arange(6), codes])
    divergence = np.mean(np.sum(np.exp(log_p) * (log_p - np.log(target)), axis=1))
    assert loss == pytest.approx(rate + beta * cross_entropy + gamma * divergence, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bottleneck_learns_and_keeps_its_promises(kind, blobs):
    X, y = blobs
    calls = []
    model = kind(**FAST, progress=lambda *done: calls.append(done)).fit(X[:160], y[:160])
    assert calls[-1] == (60, 60) and model.loss_.shape == (60,) and model.loss_[-1] < model.loss_[0]
    p = model.predict_proba(X[160:])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(X[160:]), model.classes_[p.argmax(axis=1)])
    found = model.information(X[160:], y[160:])
    assert found.error == pytest.approx(np.mean(model.predict(X[160:]) != y[160:])) and found.error < 0.15
    codes = np.searchsorted(model.classes_, y[160:])
    assert found.cross_entropy == pytest.approx(-np.mean(np.log(p[np.arange(80), codes])))
    assert found.mi_xz_lower <= found.mi_xz_upper and found.residual_lower <= found.residual_upper
    assert found.mi_xz_lower <= np.log(80) and found.mi_zy_decoder <= dualib.information.entropy(np.bincount(codes) / 80)
    assert found.rate_bounds == ("I(X;Z)" if kind is networks.VariationalIB else "I(X;Z|Y)")
    least = found.mi_xz_lower if kind is networks.VariationalIB else found.residual_lower
    assert found.rate > least - 0.05  # an upper bound of what has this lower bound, but for the sampling
    again = clone(model).set_params(progress=False).fit(X[:160], y[:160])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_informations_by_hand(blobs):
    """One draw: the densities, their bounds and those within each label, from means and standard deviations alone."""
    X, y = blobs
    model = networks.ConditionalEntropyBottleneck(**FAST).fit(X, y)
    mean, scale = model.encode(X[:50])
    assert scale.min() > 1e-3
    found = model.information(X[:50], y[:50], n_draws=1, random_state=5)
    z = mean + scale * np.random.default_rng(5).standard_normal(mean.shape)
    s = norm.logpdf(z[:, None], mean[None], scale[None]).sum(axis=2)
    assert (found.mi_xz_lower, found.mi_xz_upper) == pytest.approx(networks.info_nce(s))
    parts = [(np.sum(y[:50] == c), networks.info_nce(s[np.ix_(y[:50] == c, y[:50] == c)])) for c in "abc"]
    assert found.residual_upper == pytest.approx(sum(n * bounds.upper for n, bounds in parts) / 50)
    assert found.residual_lower == pytest.approx(sum(n * bounds.lower for n, bounds in parts) / 50)
    assert found.mi_zy_lower == pytest.approx(found.mi_xz_lower - found.residual_upper)
    assert found.mi_zy_upper == pytest.approx(found.mi_xz_upper - found.residual_lower)
    more = model.information(X[:50], y[:50], n_draws=64)
    assert more.mi_xz_lower == pytest.approx(found.mi_xz_lower, abs=0.2)


def test_any_module_is_a_trunk_and_is_left_alone(blobs):
    """Convolutions on images, with a normalisation of batches: copied, trained, and of any shape of X."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    images = 0.3 * rng.standard_normal((60, 1, 6, 6))
    images[y == 1, 0, 2:4, 2:4] += 1.5
    trunk = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU())
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    model = networks.VariationalIB(beta=20.0, trunk=trunk, **FAST).fit(images, y)
    assert np.mean(model.predict(images) == y) > 0.9
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    assert not torch.equal(model.nets_.trunk[0].weight, trunk[0].weight)
    np.testing.assert_allclose(
        model.predict_proba(images[:1]), model.predict_proba(images)[:1], atol=1e-6
    )  # no batch statistics


def test_fitting_leaves_the_users_random_numbers_alone(blobs):
    X, y = blobs
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    networks.VariationalIB(beta=5.0, **{**FAST, "epochs": 30}).fit(X, y)
    assert torch.equal(torch.rand(1), expected)


def test_targets_are_positive_rows_that_sum_to_one():
    rng = np.random.default_rng(0)
    X, codes = rng.standard_normal((30, 2)), np.arange(30) % 3
    batch = np.array([0, 1, 2, 5])
    smoothed = target_of("smoothing", 0.02, X, codes, 3, rng)(batch)
    np.testing.assert_allclose(smoothed[0], [1 - 0.02 * 2 / 3, 0.02 / 3, 0.02 / 3])
    confusion = target_of([[8, 2, 0], [0, 5, 5], [1, 0, 0]], 0.0, X, codes, 3, rng)(batch)
    np.testing.assert_allclose(confusion, [[0.8, 0.2, 0], [0, 0.5, 0.5], [1, 0, 0], [1, 0, 0]], atol=3e-7)
    noisy = target_of("noise", 0.1, X, codes, 3, rng)
    assert not np.array_equal(noisy(batch), noisy(batch))
    classifier = LogisticRegression().fit(X, codes)
    of_model = target_of(classifier, 0.0, X, codes, 3, rng)(batch)
    np.testing.assert_allclose(of_model, classifier.predict_proba(X)[batch], atol=1e-6)
    nearest = target_of("confusion", 0.0, X, codes, 3, rng)(batch)
    squares = np.sum((X[:, None] - X) ** 2, axis=2) + np.diag(np.full(30, np.inf))
    counts = np.zeros((3, 3))
    np.add.at(counts, (codes, codes[squares.argmin(axis=1)]), 1)
    np.testing.assert_allclose(nearest, (counts / counts.sum(axis=1, keepdims=True))[codes[batch]], atol=3e-7)
    for rows in (smoothed, confusion, noisy(batch), of_model, nearest):
        assert rows.min() > 0.8e-7
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-15)


def test_a_bottleneck_that_learns_nothing_says_so(blobs):
    X, y = blobs
    with pytest.warns(dualib.DualibWarning, match="VariationalIB learnt nothing: its prediction says nothing"):
        networks.VariationalIB(beta=0.05, **FAST).fit(X, y)


def test_what_the_bottlenecks_refuse(blobs):
    X, y = blobs
    model = networks.VariationalIB(beta=20.0, **{**FAST, "epochs": 40}).fit(X, y)
    for call, message in (
        (lambda: networks.VariationalDualIB(gamma=0.0).fit(X, y), "beta and gamma must not both be 0"),
        (lambda: networks.VariationalDualIB(gamma=-1.0).fit(X, y), "gamma must be finite and > 0"),
        (lambda: networks.ConditionalEntropyBottleneck(beta=0.0).fit(X, y), "beta must be finite and > 0"),
        (lambda: networks.VariationalIB(latent_dim=0).fit(X, y), "latent_dim must be an integer of at least 1"),
        (lambda: networks.VariationalDualIB(target="labels").fit(X, y), "target must be 'confusion', 'smoothing', 'noise'"),
        (lambda: networks.VariationalDualIB(target="smoothing", target_scale=1.0).fit(X, y), "target_scale must be below 1"),
        (lambda: networks.VariationalDualIB(target=np.eye(2)).fit(X, y), "a confusion matrix must have shape \\(3, 3\\)"),
        (lambda: networks.VariationalIB().fit(X, np.zeros(240, int)), "y must hold at least two classes"),
        (lambda: model.information(X, np.full(240, "z")), "y: 'z' is no label of the training"),
        (lambda: model.information(X, y[:3]), "y must have shape \\(240,\\)"),
        (lambda: model.information(X[:1], y[:1]), "X must hold at least two examples"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.filterwarnings("ignore::dualib.DualibWarning")  # random labels, of which there is nothing to be learnt
@parametrize_with_checks(
    [networks.ConditionalEntropyBottleneck(epochs=30, batch_size=512, learning_rate=1e-2, random_state=0)]
)
def test_scikit_learns_own_checks(estimator, check):
    """Of one of the three, which share all that is checked."""
    check(estimator)
