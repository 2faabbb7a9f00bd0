"""Matrix Market files: as scipy reads them, and refusals with the line."""

import inspect
import io

import numpy as np
import pytest
import scipy.io
from scipy import sparse

from dualib.data.matrix_market import read_matrix_market

RNG = np.random.default_rng(0)
SQUARE = RNG.integers(0, 4, (5, 5)).astype(float)
MODERN = {"spmatrix": False} if "spmatrix" in inspect.signature(scipy.io.mmread).parameters else {}  # without: deprecated
MATRICES = {
    "dense": RNG.random((4, 3)),
    "integers": RNG.integers(0, 9, (3, 6)),
    "sparse": sparse.coo_array(RNG.random((7, 5)) * (RNG.random((7, 5)) < 0.3)),
    "symmetric, sparse": sparse.coo_array(SQUARE + SQUARE.T),
    "symmetric, dense": SQUARE + SQUARE.T,
    "nothing stored": sparse.coo_array((3, 2)),
}


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


@pytest.mark.parametrize("field", [None, "pattern"])
@pytest.mark.parametrize("name", MATRICES)
def test_as_scipy_reads_them(name, field):
    matrix, buffer = MATRICES[name], io.BytesIO()
    if field == "pattern" and not sparse.issparse(matrix):
        return
    scipy.io.mmwrite(buffer, matrix, field=field, comment="a comment\n\n of two lines")
    expected = scipy.io.mmread(io.BytesIO(buffer.getvalue()), **MODERN)
    found = read_matrix_market(buffer.getvalue())
    assert sparse.issparse(found) == sparse.issparse(expected)
    np.testing.assert_array_equal(dense(found), dense(expected))


def test_entries_given_twice_are_added_and_lines_may_end_in_any_way():
    text = b"%%matrixmarket MATRIX coordinate real general\r\n% c\r\n\r\n2 2 3\r\n1 1 1.5\r\n1 1 2\r\n 2 2\t1e0 \r\n\r\n"
    assert read_matrix_market(text).toarray().tolist() == [[3.5, 0.0], [0.0, 1.0]]


HEAD = "%%MatrixMarket matrix coordinate real general\n"
BAD = {
    "empty": ("", "line 1: ''"),
    "other": ("%%MatrixMarket vector coordinate real general\n", "line 1: .*describe a matrix"),
    "complex": (HEAD.replace("real", "complex"), "line 1: .*real numbers, got 'complex'"),
    "hermitian": (HEAD.replace("general", "hermitian"), "line 1: .*general or symmetric, got 'hermitian'"),
    "pattern of an array": (HEAD.replace("real", "pattern").replace("coordinate", "array"), "pattern is given by coord"),
    "no size": (HEAD + "% only comments\n", "ends before the line of its size"),
    "bad size": (HEAD + "2 2\n", "line 2: '2 2' is not a size"),
    "negative size": (HEAD + "2 -2 1\n", "line 2: '2 -2 1' is not a size"),
    "not square": (HEAD.replace("general", "symmetric") + "2 3 1\n1 1 1\n", "line 2: .*square, got 2 by 3"),
    "cut": (HEAD + "2 2 2\n1 1 3\n", "declares 2 entries and holds 1"),
    "more": (HEAD + "2 2 1\n1 1 3\n2 2 1\n", "declares 1 entries and holds 2"),
    "outside": (HEAD + "2 2 1\n5 1 3\n", "line 3: the place '5 1' is not in a matrix of 2 by 2"),
    "zero": (HEAD + "2 2 1\n0 1 3\n", "line 3: the place '0 1'"),
    "between": (HEAD + "2 2 1\n1.5 1 3\n", "line 3: the place '1.5 1'"),
    "narrow": (HEAD + "2 2 1\n1 1\n", "line 3: 2 number.s., and 3"),
    "word": (HEAD + "2 2 1\n% c\n1 1 x\n", "line 4: '1 1 x' is not 3 number"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_refused_with_the_line(name):
    content, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        read_matrix_market(content.encode())


def test_a_declared_size_that_cannot_fit_is_refused_before_it_is_allocated():
    with pytest.raises(MemoryError, match="999999999999999 x by 999999999999999 y needs at least"):
        read_matrix_market((HEAD + "999999999999999 999999999999999 1\n1 1 1\n").encode())
