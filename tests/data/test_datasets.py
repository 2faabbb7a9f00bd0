"""Datasets: shapes, sums, and their definitions."""

import inspect

import numpy as np
import pytest
from scipy import spatial, stats

import dualib
from dualib import datasets

JOINTS = {
    "letters": (lambda: datasets.load_letters(), (27, 27)),
    "smoothed letters": (lambda: datasets.load_letters(smoothing=0.5), (27, 27)),
    "contexts": (lambda: datasets.load_contexts().train, (542, 27)),
    "test contexts": (lambda: datasets.load_contexts().test, (542, 27)),
    "toy": (lambda: datasets.toy(), (5, 2)),
    "binary symmetric": (lambda: datasets.binary_symmetric(0.1), (2, 2)),
    "erasure": (lambda: datasets.erasure(0.3), (2, 3)),
    "symmetric": (lambda: datasets.symmetric(4, 0.6), (4, 4)),
    "deterministic": (lambda: datasets.deterministic([0, 2, 2, 1, 0]), (5, 3)),
    "bernoulli": (lambda: datasets.bernoulli(0.3), (2, 2)),
    "gaussian": (lambda: datasets.gaussian(9, 0.8), (9, 9)),
    "case a": (lambda: datasets.case_a(), (5, 2)),
    "colour solid": (lambda: datasets.colour_solid().joint, (330, 330)),
    "three by three": (lambda: datasets.three_by_three(), (3, 3)),
}


@pytest.mark.parametrize("name", JOINTS)
def test_shape_and_sums(name):
    make, shape = JOINTS[name]
    joint = make()
    assert (joint.n_x, joint.n_y) == joint.pxy.shape == shape
    assert joint.pxy.sum() == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(joint.py_x.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(joint.px[:, None] * joint.py_x, joint.pxy, rtol=1e-13)
    assert joint == make()  # the same at every call


def test_every_public_name_is_tested():
    made = {name for make, _ in JOINTS.values() for name in datasets.__all__ if f"datasets.{name}(" in inspect.getsource(make)}
    assert made | {"ColourSolid", "Contexts"} == set(datasets.__all__)


def test_toy():
    joint = datasets.toy()
    for x, row in zip((-1.0, -0.6, -0.2, 0.2, 0.6), joint.py_x, strict=True):
        np.testing.assert_allclose(row, np.exp([x, -x]) / (2 * np.cosh(x)), rtol=1e-14)
    np.testing.assert_array_equal(joint.px, np.full(5, 0.2))
    assert joint.mutual_information == pytest.approx(0.1225974513, abs=6e-11)
    assert joint.x_labels == ("-1", "-0.6", "-0.2", "0.2", "0.6")
    assert joint.y_labels == ("-1", "1")


@pytest.mark.parametrize("e", [0.01, 0.3, 0.5, 0.8])
def test_channels(e):
    flip = datasets.binary_symmetric(e)
    np.testing.assert_allclose(flip.pxy, 0.5 * np.array([[1 - e, e], [e, 1 - e]]), rtol=1e-14)
    assert flip.mutual_information == pytest.approx(np.log(2) - stats.entropy([e, 1 - e]), abs=1e-14)
    erased = datasets.erasure(e)
    np.testing.assert_allclose(erased.pxy, 0.5 * np.array([[1 - e, 0, e], [0, 1 - e, e]]), rtol=1e-14)
    assert erased.mutual_information == pytest.approx((1 - e) * np.log(2), rel=1e-13)
    assert erased.y_labels == ("0", "1", "erased")


@pytest.mark.parametrize(("n", "a"), [(2, 0.1), (3, 0.6), (7, 0.99)])
def test_symmetric(n, a):
    joint = datasets.symmetric(n, a)
    for x in range(n):
        for y in range(n):
            assert joint.py_x[x, y] == pytest.approx(a * (x == y) + (1 - a) / n, rel=1e-14)
    np.testing.assert_allclose(joint.px, 1 / n, rtol=1e-15)
    e = (1 - a) / 2
    if n == 2:
        assert joint == datasets.binary_symmetric(e)


def test_deterministic():
    joint = datasets.deterministic([0, 2, 2, 1, 0])
    np.testing.assert_array_equal(joint.py_x, [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert joint.mutual_information == pytest.approx(stats.entropy([2, 1, 2]), rel=1e-14)


def test_bernoulli():
    joint = datasets.bernoulli(0.3)
    np.testing.assert_allclose(joint.pxy, [[0.7, 0.0], [0.0, 0.3]], rtol=1e-14)


@pytest.mark.parametrize("rho", [0.2, 0.8])
def test_gaussian_is_the_normal_density_on_the_grid(rho):
    joint = datasets.gaussian(41, rho, width=6.0)
    grid = np.linspace(-6.0, 6.0, 41)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    density = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).pdf(np.dstack([x, y]))
    inner = np.abs(grid) <= 3.0  # at the rim each row is normalised on the grid alone
    np.testing.assert_allclose(joint.pxy[inner], (density / density.sum())[inner], rtol=1e-6, atol=1e-12)
    assert joint.mutual_information == pytest.approx(-0.5 * np.log(1 - rho**2), abs=1e-5)
    assert joint.px @ grid**2 == pytest.approx(1.0, abs=1e-6)
    assert grid @ joint.pxy @ grid == pytest.approx(rho, abs=1e-6)


def test_case_a():
    joint = datasets.case_a()
    np.testing.assert_allclose(joint.px, [0.18321651, 0.2454824, 0.119972, 0.3446932, 0.1066359], atol=6e-9)
    expected = [0.99960832, 0.96903915, 0.55746323, 0.89896739, 0.17068078]
    np.testing.assert_allclose(joint.py_x[:, 0], expected, atol=6e-9)


def test_three_by_three():
    joint = datasets.three_by_three()
    np.testing.assert_allclose(joint.py_x, [[0.90, 0.025, 0.075], [0.08, 0.82, 0.10], [0.40, 0.05, 0.55]], rtol=1e-14)
    np.testing.assert_allclose(joint.px, 1 / 3, rtol=1e-15)
    assert joint.mutual_information == pytest.approx(0.4541057321, abs=6e-11)


@pytest.mark.parametrize("width", [8.0, 20])
def test_a_colour_means_those_around_it(width):
    solid = datasets.colour_solid(width)
    density = stats.norm(scale=width).pdf(spatial.distance.cdist(solid.points, solid.points))
    np.testing.assert_allclose(solid.joint.py_x, density / density.sum(axis=1, keepdims=True), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(solid.joint.px, 1 / 330, rtol=1e-14)
    assert solid.joint.x_labels == solid.joint.y_labels and len(set(solid.joint.x_labels)) == 330
    greys = solid.hues == -1
    assert greys.sum() == 10 and not solid.points[greys, 1:].any()
    assert np.bincount(solid.hues[~greys]).tolist() == [8] * 40
    around = solid.points[~greys].reshape(8, 40, 3)  # hues in equal angles, red first
    np.testing.assert_allclose(np.arctan2(around[3, 10, 2], around[3, 10, 1]), np.pi / 2)
    assert not solid.points.flags.writeable


@pytest.mark.parametrize("width", [0.0, -1.0, np.inf, np.nan, "8", True])
def test_widths_that_are_none(width):
    for make in (datasets.colour_solid, lambda w: datasets.gaussian(9, 0.5, w)):
        with pytest.raises(ValueError, match="width must be a positive number"):
            make(width)


def test_letters_are_english():
    """A closed chain of letters: both margins are equal, and the well known facts of the language hold."""
    joint = datasets.load_letters()
    assert joint.x_labels == joint.y_labels == ("_", *"abcdefghijklmnopqrstuvwxyz")
    np.testing.assert_allclose(joint.px, joint.py, rtol=1e-12)
    ranked = [joint.x_labels[i] for i in np.argsort(-joint.px)]
    assert ranked[:3] == ["_", "e", "t"]
    label = joint.x_labels.index
    assert joint.py_x[label("q"), label("u")] > 0.95
    assert joint.py_x[label("t")].argmax() == label("h")
    assert (joint.pxy == 0.0).any()
    assert not (datasets.load_letters(smoothing=0.5).pxy == 0.0).any()


def test_contexts_are_two_halves_of_one_text():
    contexts = datasets.load_contexts()
    for counts in (contexts.train_counts, contexts.test_counts):
        assert counts.shape == (542, 27)
        assert counts.dtype == np.int64
        assert (counts >= 0).all()
        assert not counts.flags.writeable
    assert contexts.train_counts.sum() == contexts.test_counts.sum() > 10**6
    assert all(len(label) == 2 for label in contexts.x_labels)
    assert len(set(contexts.x_labels)) == 542
    # the last letter of a context and what follows it is a pair of letters: nearly those of the other dataset
    letters = datasets.load_letters()
    pairs = np.zeros((27, 27))
    for label, row in zip(contexts.x_labels, contexts.train_counts + contexts.test_counts, strict=True):
        pairs[letters.x_labels.index(label[1])] += row
    np.testing.assert_allclose(pairs / pairs.sum(), letters.pxy, atol=1e-6)
    assert dualib.information.mutual_information(contexts.train_counts) == pytest.approx(contexts.train.mutual_information)
    train, test = contexts.train_counts, contexts.test_counts
    assert np.corrcoef(train.ravel(), test.ravel())[0, 1] > 0.95
