"""JointDistribution: four constructors, dense and sparse, states without probability, immutability, bad input."""

import copy
import pickle

import mpmath
import naive
import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution

PXY = np.array([[0.1, 0.0, 0.2], [0.0, 0.0, 0.0], [0.05, 0.4, 0.05], [0.2, 0.0, 0.0]])
FORMATS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "coo_matrix": sparse.coo_matrix,
    "lil_matrix": sparse.lil_matrix,
    "dok_matrix": sparse.dok_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "coo_array": sparse.coo_array,
    "bsr_array": sparse.bsr_array,
    "dia_array": sparse.dia_array,
}


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def information_by_mpmath(pxy):
    """I(X;Y) in 50 digits."""
    with mpmath.workdps(50):
        table = [[mpmath.mpf(float(p)) for p in row] for row in pxy]
        total = mpmath.fsum(mpmath.fsum(row) for row in table)
        px = [mpmath.fsum(row) / total for row in table]
        py = [mpmath.fsum(column) / total for column in zip(*table, strict=True)]
        cells = [(p / total, a * b) for row, a in zip(table, px, strict=True) for p, b in zip(row, py, strict=True) if p > 0]
        return float(mpmath.fsum(p * mpmath.log(p / q) for p, q in cells))


def test_marginals_and_conditionals_of_the_definition():
    joint = JointDistribution(PXY)
    assert (joint.n_x, joint.n_y, joint.is_sparse) == (4, 3, False)
    np.testing.assert_allclose(joint.pxy, PXY, rtol=1e-14)
    np.testing.assert_allclose(joint.px, [0.3, 0.0, 0.5, 0.2], rtol=1e-14)
    np.testing.assert_allclose(joint.py, [0.35, 0.4, 0.25], rtol=1e-14)
    np.testing.assert_allclose(joint.py_x[[0, 2, 3]], [[1 / 3, 0, 2 / 3], [0.1, 0.8, 0.1], [1, 0, 0]], rtol=1e-14)
    assert joint.x_labels == ("0", "1", "2", "3")
    assert joint.y_labels == ("0", "1", "2")


@pytest.mark.parametrize("name", FORMATS)
def test_sparse_and_dense_agree(name):
    joint, reference = JointDistribution(FORMATS[name](PXY)), JointDistribution(PXY)
    assert joint.is_sparse
    for attribute in ("pxy", "px", "py", "py_x"):
        np.testing.assert_allclose(dense(getattr(joint, attribute)), getattr(reference, attribute), rtol=1e-14, atol=0)
    assert joint.pxy.format == joint.py_x.format == "csr"
    assert joint.mutual_information == pytest.approx(reference.mutual_information, rel=1e-14)
    assert joint == reference
    assert not joint.to_dense().is_sparse
    assert joint.to_dense() == reference
    assert reference.to_dense() is reference


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_a_source_without_probability_has_the_conditional_that_claims_nothing(make):
    joint = JointDistribution(make(PXY))
    assert joint.px[1] == 0.0
    np.testing.assert_array_equal(dense(joint.py_x)[1], joint.py)
    np.testing.assert_allclose(dense(joint.py_x).sum(axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_states_without_probability_can_be_solved_with(make, kind):
    """A y without probability, and an x without, change no quantity."""
    full = np.array([[0.1, 0.2], [0.3, 0.1], [0.1, 0.2]])
    padded = np.zeros((4, 3))
    padded[np.ix_([0, 2, 3], [0, 2])] = full
    reference = dualib.solve(JointDistribution(full), 9.0, kind)
    solution = dualib.solve(JointDistribution(make(padded)), 9.0, kind)
    for name in ("objective", "rate", "relevance", "expected_distortion"):
        assert getattr(solution, name) == pytest.approx(getattr(reference, name), abs=1e-10)
    assert solution.encoder.shape[0] == 4
    assert solution.decoder.shape[1] == 3
    np.testing.assert_allclose(solution.decoder[:, 1], 0.0, atol=0)


@pytest.mark.parametrize("concentration", [0.05, 0.3, 3.0])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_mutual_information_by_mpmath(concentration, make):
    rng = np.random.default_rng(2)
    pxy = rng.dirichlet(np.full(42, concentration)).reshape(7, 6)
    pxy[pxy < 1e-200] = 0.0
    value = JointDistribution(make(pxy)).mutual_information
    assert value == pytest.approx(information_by_mpmath(pxy), rel=1e-13)
    assert value == pytest.approx(naive.mutual_information(pxy), rel=1e-13)


def test_mutual_information_of_independent_variables_is_not_negative():
    rng = np.random.default_rng(4)
    for _ in range(20):
        value = JointDistribution(np.outer(rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(9)))).mutual_information
        assert 0.0 <= value <= 1e-15


def test_sums_within_the_tolerance_are_renormalised_exactly():
    joint = JointDistribution(PXY * (1 + 5e-9))
    assert joint.pxy.sum() == pytest.approx(1.0, rel=1e-15)
    np.testing.assert_allclose(joint.pxy, PXY, rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------ constructors


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.coo_matrix], ids=["dense", "csr", "coo"])
@pytest.mark.parametrize("smoothing", [0, 0.5, 3])
def test_from_counts(make, smoothing):
    counts = np.array([[3, 0, 1], [0, 0, 0], [2, 5, 9]])
    joint = JointDistribution.from_counts(make(counts), smoothing, x_labels=list("abc"), y_labels=list("uvw"))
    np.testing.assert_allclose(dense(joint.pxy), (counts + smoothing) / (20 + 9 * smoothing), rtol=1e-14)
    assert joint.x_labels == ("a", "b", "c")
    assert joint.y_labels == ("u", "v", "w")
    assert joint.is_sparse == (smoothing == 0 and make is not np.asarray)  # smoothed counts have no zeros left


def test_from_counts_of_any_size():
    for scale in (1e-300, 1e300):
        joint = JointDistribution.from_counts(scale * np.array([[3.0, 1.0], [1.0, 3.0]]))
        np.testing.assert_allclose(joint.pxy, np.array([[3, 1], [1, 3]]) / 8, rtol=1e-14)


def test_sparse_counts_of_a_small_type_do_not_overflow():
    """Two hundred samples of one pair as int8 ones, which coo sums on conversion."""
    zeros = np.zeros(200, dtype=int)
    counts = sparse.coo_array((np.ones(200, np.int8), (zeros, zeros)), shape=(2, 2))
    np.testing.assert_array_equal(JointDistribution.from_counts(counts).px, [1.0, 0.0])


def test_from_conditionals_is_uniform_by_default():
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    joint = JointDistribution.from_conditionals(rows)
    np.testing.assert_array_equal(joint.px, np.full(5, 0.2))
    np.testing.assert_allclose(joint.pxy, rows / 5, rtol=1e-14)
    np.testing.assert_allclose(joint.py_x, rows, rtol=1e-14)


def test_from_conditionals_keeps_the_conditional_of_a_source_without_probability():
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    joint = JointDistribution.from_conditionals(rows, [0.5, 0.0, 0.5])
    np.testing.assert_allclose(joint.py_x[1], [0.2, 0.8], rtol=1e-14)
    np.testing.assert_array_equal(joint.px, [0.5, 0.0, 0.5])
    np.testing.assert_allclose(joint.py, [0.7, 0.3], rtol=1e-14)
    assert joint != JointDistribution(joint.pxy)  # there the row is p(y)


def test_from_samples_counts_pairs():
    x = ["b", "a", "b", "c", "b", "a"]
    y = [2, 1, 2, 1, 1, 10]
    joint = JointDistribution.from_samples(x, y)
    assert joint.x_labels == ("a", "b", "c")
    assert joint.y_labels == ("1", "2", "10")  # sorted as numbers
    np.testing.assert_allclose(joint.pxy, np.array([[1, 0, 1], [1, 2, 0], [1, 0, 0]]) / 6, rtol=1e-14)
    smoothed = JointDistribution.from_samples(x, y, smoothing=1.0)
    np.testing.assert_allclose(smoothed.pxy, np.array([[2, 1, 2], [2, 3, 1], [2, 1, 1]]) / 15, rtol=1e-14)
    assert JointDistribution.from_samples(x, y, x_labels=["A", "B", "C"]).x_labels == ("A", "B", "C")


# ------------------------------------------------------------------------------------------------- immutable, copied, pickled


def parts(joint):
    for array in (joint.pxy, joint.px, joint.py, joint.py_x):
        yield from (array.data, array.indices, array.indptr) if sparse.issparse(array) else (array,)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "again", [lambda j: j, copy.deepcopy, lambda j: pickle.loads(pickle.dumps(j))], ids=["new", "copy", "pickle"]
)
def test_read_only_and_pickled_exactly(make, again):
    original = JointDistribution(make(PXY), list("abcd"), list("uvw"))
    joint = again(original)
    assert joint == original
    assert joint.mutual_information == original.mutual_information
    for array, expected in zip(parts(joint), parts(original), strict=True):
        np.testing.assert_array_equal(array, expected)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError, match="px"):
        joint.px = np.ones(4)


def test_labels_that_nobody_gave_are_numbers_and_cannot_be_set():
    joint = JointDistribution(PXY)
    with pytest.raises(AttributeError, match="x_labels"):
        joint.x_labels = ("a", "b", "c", "d")
    assert (joint.x_labels, joint.y_labels) == (("0", "1", "2", "3"), ("0", "1", "2"))


def test_the_array_given_is_not_the_one_kept():
    given = PXY.copy()
    joint = JointDistribution(given)
    given[0, 0] = 7.0
    assert joint.pxy[0, 0] == pytest.approx(0.1)


def test_the_sparse_matrix_given_is_left_as_it_was():
    """Duplicates and stored zeros are tidied in a copy."""
    data, indices, indptr = np.array([0.25, 0.25, 0.5, 0.0]), np.array([0, 0, 1, 0], np.int32), np.array([0, 2, 4], np.int32)
    given = sparse.csr_matrix((2, 2))
    given.data, given.indices, given.indptr = data.copy(), indices.copy(), indptr.copy()
    joint = JointDistribution(given)
    for array, before in ((given.data, data), (given.indices, indices), (given.indptr, indptr)):
        np.testing.assert_array_equal(array, before)
        assert array.flags.writeable
    np.testing.assert_array_equal(joint.pxy.toarray(), [[0.5, 0.0], [0.0, 0.5]])
    assert joint.pxy.nnz == 2


def test_equality_and_repr():
    joint = JointDistribution(PXY)
    assert joint == JointDistribution(PXY.copy())
    assert joint != JointDistribution(PXY, x_labels=list("abcd"))
    assert joint != JointDistribution(PXY[::-1])
    assert joint != JointDistribution(PXY.T)
    assert joint != "joint"
    assert repr(joint) == f"JointDistribution(4 x 3, I(X;Y) = {naive.mutual_information(PXY):.6g} nats)"
    assert "sparse" in repr(JointDistribution(sparse.csr_array(PXY)))
    with pytest.raises(TypeError):
        hash(joint)


# ---------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ({"x_labels": ["a"]}, ValueError, "x_labels must have 4 labels, got 1"),
        ({"y_labels": list("abcd")}, ValueError, "y_labels must have 3 labels, got 4"),
        ({"x_labels": "abcd"}, TypeError, "x_labels must be a sequence of labels, got the text 'abcd'"),
        ({"x_labels": list("abca")}, ValueError, "x_labels must have different x labels, got 'a' twice, at rows 0 and 3"),
        ({"y_labels": [1, "1", 2]}, ValueError, "y_labels must have different y labels, got '1' twice, at columns 0 and 1"),
    ],
)
def test_bad_labels(labels, error, words):
    for call in (
        JointDistribution,
        JointDistribution.from_counts,
        lambda pxy, **labels: JointDistribution(sparse.coo_array(pxy), **labels),
    ):
        with pytest.raises(error, match=words):
            call(PXY, **labels)


def test_counts_next_to_the_largest_float():
    """Their sums overflow, which is an error or nothing, but no warning."""
    counts = np.array([[1.7e308, 0.9e308], [0.4e308, 1.6e308]])
    expected = JointDistribution.from_counts(counts / 1e308)
    for table in (counts, sparse.coo_array(counts)):
        np.testing.assert_allclose(JointDistribution.from_counts(table).pxy.sum(axis=0), expected.py, rtol=1e-14)
        with pytest.raises(ValueError, match="pxy must sum to 1, got inf; use JointDistribution"):
            JointDistribution(table)
    smoothed = JointDistribution.from_counts(counts, smoothing=1e308)
    np.testing.assert_allclose(smoothed.pxy, JointDistribution.from_counts(counts / 1e308, 1.0).pxy, rtol=1e-14)
    with pytest.raises(ValueError, match="py_x: row 0 must sum to 1, got inf"):
        JointDistribution.from_conditionals(counts)
    with pytest.raises(ValueError, match="px must sum to 1, got inf"):
        JointDistribution.from_conditionals(np.eye(2), counts[0])
    with pytest.raises(ValueError, match="train_counts must sum to less than 1e9, got inf"):
        dualib.compare_predictions(counts, counts)


@pytest.mark.parametrize(
    ("smoothing", "error"), [(-1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_bad_smoothing(smoothing, error):
    with pytest.raises(error, match="smoothing must be"):
        JointDistribution.from_counts([[1, 2]], smoothing)


@pytest.mark.parametrize(
    ("matrix", "error", "words"),
    [
        (sparse.csr_array((2, 2)), ValueError, "all zero"),
        (sparse.csr_array((0, 2)), ValueError, "empty"),
        (sparse.csr_array(np.array([[0.5, np.nan]])), ValueError, "finite, got nan"),
        (sparse.coo_matrix(np.array([[1.5, -0.5]])), ValueError, "non-negative, got -0.5"),
        (sparse.csr_array(np.array([[0.5, 0.5j]])), TypeError, "real numbers, got dtype complex128"),
        (sparse.csr_array(np.array([[2.0, 1.0]])), ValueError, "sum to 1, got 3.0"),
    ],
)
def test_bad_sparse_matrices(matrix, error, words):
    with pytest.raises(error, match=f"^pxy .*{words}"):
        JointDistribution(matrix)


def test_bad_sparse_counts():
    with pytest.raises(ValueError, match=r"^counts must be non-negative, got -2\.0"):
        JointDistribution.from_counts(sparse.csr_array(np.array([[3, -2]])))


def test_a_sparse_vector_is_no_joint_distribution():
    try:
        vector = sparse.coo_array(np.array([0.5, 0.5]))
    except (ValueError, TypeError):
        pytest.skip("this scipy has no sparse vectors")
    if vector.ndim == 2:
        pytest.skip("this scipy makes a row of it")
    with pytest.raises(ValueError, match="pxy must have 2 dimension"):
        JointDistribution(vector)


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        ([], [], ValueError, "x must be a non-empty"),
        ([[[1, 2]]], [1], ValueError, "x must be a non-empty array of samples"),
        ([1, 2], 3, ValueError, "y must be a non-empty array of samples"),
        ([1, 2], [1, 2, 3], ValueError, "x and y must have the same length, got 2 and 3"),
        ([1, 2], [1.0, np.nan], ValueError, "y: a missing value \\(nan\\) at index 1"),
        (np.array([1, "a"], dtype=object), [1, 2], TypeError, "x must hold samples of one sortable kind"),
    ],
)
def test_bad_samples(x, y, error, words):
    with pytest.raises(error, match=words):
        JointDistribution.from_samples(x, y)
