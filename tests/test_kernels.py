"""The compiled loops against NumPy."""

import mpmath
import numpy as np
import pytest

from dualib import blas_kernels, jit, kernels, linear_kernels, newton_kernels, row_kernels, search_kernels, stationary_kernels
from dualib.distortions import as_distortion
from dualib.joint import JointDistribution
from dualib.problem import Problem, sweep


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 64), (17, 33)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e3, 1e6])
def test_posterior(shape, scale):
    rng = np.random.default_rng(1)
    terms = -scale * rng.exponential(size=shape)
    terms[rng.random(shape) < 0.1] = -np.inf
    terms[0] = np.maximum(terms[0], -scale)
    top = terms.max(axis=0)
    expected = np.exp(terms - top)
    result, log_z = terms.copy(), np.empty(shape[1])
    kernels.posterior(result, log_z, np.empty(shape[1]))
    np.testing.assert_allclose(result, expected / expected.sum(axis=0), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(log_z, top + np.log(expected.sum(axis=0)), rtol=1e-14, atol=1e-14)
    assert (result[np.isinf(terms)] == 0.0).all()


def test_a_source_that_no_cluster_can_hold():
    terms, log_z = np.full((2, 3), -np.inf), np.empty(3)
    terms[:, 1:] = -1.0
    kernels.posterior(terms, log_z, np.empty(3))
    assert log_z[0] == -np.inf and np.isfinite(log_z[1:]).all()
    np.testing.assert_array_equal(terms, [[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])


@pytest.mark.parametrize("shape", [(1, 1), (4, 9), (40, 7)])
def test_responsibility(shape):
    rng = np.random.default_rng(2)
    terms, log_a = -10.0 * rng.exponential(size=shape), rng.normal(size=shape[1])
    terms[0] = -np.inf
    full = terms + log_a
    result, log_c = terms.copy(), np.empty(shape[0])
    kernels.responsibility(result, log_a, log_c)
    assert log_c[0] == -np.inf and (result[0] == 0.0).all()
    np.testing.assert_allclose(log_c[1:], np.log(np.exp(full[1:]).sum(axis=1)), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(result[1:], np.exp(full[1:] - log_c[1:, None]), rtol=1e-13)


def test_the_exponential_to_an_ulp_over_its_range():
    values = np.concatenate([-np.geomspace(1e-300, 708.0, 20001), [0.0, -708.0]])
    result = values.copy()
    row_kernels.exp_row(result)
    np.testing.assert_allclose(result, np.exp(values), rtol=4.5e-16)
    tail = np.array([-708.0001, -1e6, -1e308, -np.inf])
    row_kernels.exp_row(tail)
    np.testing.assert_array_equal(tail, 0.0)


@pytest.mark.parametrize("size", [(1, 1), (4, 3), (9, 2), (70, 50), (100, 84), (120, 75)])
@pytest.mark.parametrize("definite", [True, False])
def test_symmetric_systems(size, definite):
    """[[A, -W], [-W^T, 0]] by its factors, without pivots where A is I and something positive; by hand and in blocks."""
    n, n_t = size
    rng = np.random.default_rng(n)
    rows = rng.standard_normal((n, n))
    border = rng.standard_normal((n, min(n, n_t)))
    leading = np.eye(n) + (rows @ rows.T if definite else rows + rows.T)
    system = np.block([[leading, -border], [-border.T, np.zeros((border.shape[1],) * 2)]])
    right = rng.standard_normal((2, len(system)))
    factors, pivots, solved = system.copy(), np.empty(len(system), dtype=np.int64), right.copy()
    assert linear_kernels.factorize.compile()(factors, n, pivots)
    linear_kernels.substitute.compile()(factors, pivots, solved)
    assert (pivots[0] == -1) == (definite or np.linalg.eigvalsh(leading).min() > 0.5)
    np.testing.assert_allclose(solved @ system, right, atol=1e-9 * np.abs(solved).max() * np.abs(system).max())
    by_hand, again = system.copy(), right.copy()
    if len(system) <= 128:
        assert linear_kernels.factorize.python(by_hand, n, pivots)
        linear_kernels.substitute.python(by_hand, pivots, again)
        np.testing.assert_array_equal(again, solved)


def test_singular_systems_are_refused():
    pivots = np.empty(3, dtype=np.int64)
    assert not linear_kernels.factorize.compile()(np.zeros((3, 3)), 2, pivots)
    repeated = np.array([[1.0, 0.0, -1.0, -1.0], [0.0, 1.0, -2.0, -2.0], [-1.0, -2.0, 0.0, 0.0], [-1.0, -2.0, 0.0, 0.0]])
    factors = repeated.copy()
    assert not linear_kernels.factorize.compile()(factors, 2, np.empty(4, dtype=np.int64))


def test_the_logarithm_has_no_error_to_raise():
    """As NumPy's, which only warns: Python's own raises at 0 and below."""
    values = [-np.inf, -1.0, -0.0, 0.0, 5e-324, 1e-300, 0.5, 1.0, 1e308, np.inf, np.nan]
    with np.errstate(all="ignore"):
        expected = np.log(values)
    np.testing.assert_allclose([kernels.log.python(value) for value in values], expected, rtol=1e-15)


def plain(helper, *arguments):
    """A helper as Python: as compiled code it has no signature of its own."""
    with np.errstate(all="ignore"):
        return helper.python(*arguments)


def test_a_mean_that_is_not_a_number_does_not_spoil_its_neighbours():
    means = np.array([[0.2, -1.0, 3.0], [np.nan, 0.0, 1.0]])
    v, b = np.empty((2, 3)), np.empty(2)
    newton_kernels.link_known(1, means, np.zeros((0, 0), dtype=bool), v, b)
    expected = np.exp(means[0]) / np.exp(means[0]).sum()
    np.testing.assert_allclose(v[0], expected, rtol=1e-14)
    assert b[0] == pytest.approx(expected @ np.log(expected), rel=1e-14)
    assert np.isnan(v[1]).all() and np.isnan(b[1])


@pytest.mark.parametrize(("k", "count"), [(2, 2), (3, 6), (6, 3), (4, 1)])
def test_the_response_of_a_cluster_by_the_smaller_of_two_systems(k, count):
    """``(c - Y^T Y)^-1 Y^T``, with Y^T here in `rows`; none where c is an eigenvalue."""
    rows, solved = np.random.default_rng(k).normal(size=(k, count)), np.empty((k, count))
    assert plain(stationary_kernels._respond, rows.copy(), 0.7, solved)
    np.testing.assert_allclose(solved, np.linalg.solve(0.7 * np.eye(k) - rows @ rows.T, rows), rtol=1e-9, atol=1e-12)
    assert not plain(stationary_kernels._respond, np.eye(k, count), 1.0, solved)


@pytest.mark.parametrize("kind", [0, 1])
def test_the_newton_step_of_an_ascent_solves_its_system(kind):
    """``(I - beta Cov_q(U) J)^-1 (plain - mean)``, the covariance about the mean; the last y is not on the second face."""
    rng = np.random.default_rng(kind)
    n, k, beta = 5, 3, 2.5
    u, q, mean, aim = rng.normal(size=(n, k)), rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k))
    v, step = np.exp(mean) / np.exp(mean).sum(), np.empty(k)
    covariance = (u - mean).T @ ((u - mean) * q[:, None])
    for face in (np.zeros(0, dtype=bool), np.array([True, True, False])):
        jacobian = np.diag(1.0 / mean) if kind == 0 else np.diag(v) - np.outer(v, v)
        if len(face):
            jacobian[:, 2] = 0.0
        room = plain(search_kernels._room, k, n)
        assert plain(search_kernels._newton_step, kind, beta, u.T.copy(), mean, v, face, q, aim, step, room)
        np.testing.assert_allclose(step, np.linalg.solve(np.eye(k) - beta * covariance @ jacobian, aim - mean), rtol=1e-9)


def test_an_ascent_has_no_newton_step_where_its_system_is_singular():
    ut, mean, one = np.array([[0.75], [0.75]]), np.array([0.25, 0.75]), np.ones(1)
    arguments = (
        0,
        1.0,
        ut,
        mean,
        mean,
        np.zeros(0, dtype=bool),
        one,
        np.ones(2),
        np.empty(2),
        plain(search_kernels._room, 2, 1),
    )
    assert not plain(search_kernels._newton_step, *arguments)


# --- linear algebra: small arrays by hand, large ones by BLAS ---------------------------------------------------------


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
@pytest.mark.parametrize("number", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 7, 2), (20, 3, 1), (5, 0, 3), (0, 3, 2), (17, 33, 65)])
def test_products_by_blas_are_those_of_numpy(shape, number):
    """Matrices stored by rows and by columns, and vectors on either side; no entries at all give zeros."""
    import numba

    (m, k, n), rng = shape, np.random.default_rng(sum(shape))
    product = blas_kernels.by_blas.compile()
    called = numba.njit(lambda a, b, out: product(a, b, out))
    a, b, right, left = (rng.normal(size=size).astype(number) for size in ((m, k), (k, n), k, m))
    for one in (a, np.asfortranarray(a)):
        for first, second in ((one, b), (one, np.asfortranarray(b)), (one, right), (left, one)):
            out = np.full_like(first @ second, np.nan)
            called(first, second, out)
            np.testing.assert_allclose(out, first @ second, rtol=1e-12 if number is np.float64 else 1e-4, atol=1e-5)


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_blas_of_other_integers_is_left_to_numba(monkeypatch):
    import numba

    monkeypatch.setattr(blas_kernels, "_ROUTINES", {"dgemm": 7})
    assert not blas_kernels.known_routines()
    monkeypatch.setattr(blas_kernels, "known_routines", lambda: False)
    product, out = blas_kernels._into(), np.empty((2, 2))
    numba.njit(lambda a, b, out: product(a, b, out))(np.eye(2), np.ones((2, 2)), out)
    assert (out == 1.0).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (16, 16, 16), (30, 40, 20)])
def test_products_are_those_of_numpy(shape):
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b, vector, weights = rng.normal(size=(m, k)), rng.normal(size=(k, n)), rng.normal(size=k), rng.normal(size=m)
    weights[0] = 0.0
    tolerance = {"rtol": 1e-12, "atol": 1e-12}
    for most in (0, linear_kernels.BY_HAND):
        np.testing.assert_allclose(plain(linear_kernels.product, a, b, most), a @ b, **tolerance)
        into, across = np.full((m, n), np.nan), np.full((m, n), np.nan)
        plain(linear_kernels.multiply, a, b, into, most)
        plain(linear_kernels.multiply_across, a, b.T.copy(), across, most)
        np.testing.assert_allclose(into, a @ b, **tolerance)
        np.testing.assert_allclose(across, a @ b, **tolerance)
        assert linear_kernels.dot.compile()(vector, vector[::-1].copy(), most) == pytest.approx(vector @ vector[::-1])
    np.testing.assert_allclose(plain(linear_kernels.applied, a, vector, linear_kernels.BY_HAND), a @ vector, **tolerance)
    np.testing.assert_allclose(plain(linear_kernels.across, a, b.T.copy()), a @ b, **tolerance)
    result = np.full(k, np.nan)
    plain(linear_kernels.apply, a.T.copy(), weights, result, 256)
    np.testing.assert_allclose(result, weights @ a, **tolerance)


@pytest.mark.parametrize("n", [1, 2, 7, 40, 140])  # the last in blocks
def test_systems_are_solved_as_by_lapack(n):
    rng = np.random.default_rng(n)
    a, right = rng.normal(size=(n, n)), rng.normal(size=(n, 3))
    a[0, 0] = 0.0 if n > 1 else 1.0  # a pivot must be sought
    expected = np.linalg.solve(a, right)
    scale = np.abs(expected).max()
    solved = right.copy()
    assert plain(linear_kernels.eliminate, a.copy(), solved)
    np.testing.assert_allclose(solved, expected, rtol=1e-9, atol=1e-11 * scale)
    single = right[:, :1].copy()
    assert plain(linear_kernels.eliminate, a.copy(), single)
    np.testing.assert_allclose(single, expected[:, :1], rtol=1e-9, atol=1e-11 * scale)
    factors, pivots, rows = a.copy(), np.empty(n, dtype=np.int64), right.T.copy()
    assert plain(linear_kernels._factorize_any, factors, pivots)
    plain(linear_kernels.substitute, factors, pivots, rows)
    np.testing.assert_allclose(rows.T, expected, rtol=1e-9, atol=1e-11 * scale)


@pytest.mark.parametrize("n", [1, 3, 140])
def test_a_singular_system_is_told_and_not_divided_by(n):
    a = np.random.default_rng(0).normal(size=(n, n))
    a[:, n // 2] = 0.0
    right = np.ones((n, 1))
    assert not plain(linear_kernels.eliminate, a.copy(), right)
    assert not plain(linear_kernels._factorize_any, a.copy(), np.empty(n, dtype=np.int64))
    broken = np.full((n, n), np.nan)
    assert not plain(linear_kernels.eliminate, broken.copy(), right)
    assert not plain(linear_kernels._factorize_any, broken.copy(), np.empty(n, dtype=np.int64))


def test_logarithms_and_exponentials_of_rows():
    """To an ulp of mpmath, over the whole range, as Python to the same bits."""
    rng = np.random.default_rng(0)
    values = np.concatenate([np.exp(rng.uniform(-690.0, 690.0, 300)), rng.uniform(0.5, 1.5, 300), [1.0, 2.0, 1e-300, 1.7e308]])
    lower = np.concatenate([rng.uniform(-700.0, 0.0, 300), rng.uniform(-1.0, 0.0, 300), [0.0, -1e-17]])
    for kernel, given, exact in ((row_kernels.log_row, values, mpmath.log), (row_kernels.exp_row, lower, mpmath.exp)):
        result, as_python = given.copy(), given.copy()
        kernel.compile()(result)
        kernel.python(as_python)
        np.testing.assert_array_equal(result, as_python)
        np.testing.assert_array_max_ulp(result, np.array([float(exact(mpmath.mpf(x))) for x in given]), maxulp=1)
    far = np.array([-710.0, -np.inf, -1e300])
    row_kernels.exp_row.compile()(far)
    assert (far == 0.0).all()


def test_the_fused_exponential_to_an_ulp():
    """That of large problems, and which of the two a kernel takes."""
    values = np.concatenate([-np.geomspace(1e-12, 707.0, 400), [0.0, -1e-17]])
    exact = np.array([float(mpmath.exp(mpmath.mpf(x))) for x in values])
    for large in (False, True):
        result = values.copy()
        row_kernels.exp_in.compile()(result, large)
        np.testing.assert_array_max_ulp(result, exact, maxulp=1)
        if not large:
            np.testing.assert_array_equal(result, plain_exponentials(values))
    far = np.array([-710.0, -np.inf, -1e300])
    row_kernels.exp_in.compile()(far, True)
    assert (far == 0.0).all()


def test_logarithms_and_exponentials_in_single_precision():
    """To 2e-7, over the whole range, and as Python."""
    rng = np.random.default_rng(0)
    values = np.concatenate([np.exp(rng.uniform(-80.0, 80.0, 300)), rng.uniform(0.5, 1.5, 300), [1.0, 2.0, 1e-30, 1e30]])
    lower = np.concatenate([rng.uniform(-86.0, 0.0, 300), rng.uniform(-1.0, 0.0, 300), [0.0, -1e-8]])
    for kernel, given, exact in ((row_kernels.log_single, values, np.log), (row_kernels.exp_single, lower, np.exp)):
        given = given.astype(np.float32)
        result, as_python = given.copy(), given.copy()
        kernel.compile()(result)
        kernel.python(as_python)
        np.testing.assert_allclose(result, exact(given.astype(np.float64)), rtol=2e-7, atol=1e-37)
        np.testing.assert_allclose(as_python, result, rtol=2e-7)
    far = np.array([-88.0, -np.inf, -1e30], dtype=np.float32)
    row_kernels.exp_single.compile()(far)
    assert (far == 0.0).all()


def plain_exponentials(values):
    result = values.copy()
    row_kernels.exp_row.python(result)
    return result


@pytest.mark.parametrize("value", [1.0, 2.0, 1.5, 0.7, 1e-300, 1.7e308, 3.0000000000000004])
def test_a_number_by_its_bits(value):
    """As machine code and as Python: mantissa and exponent make up the number, and a power of two is one."""
    exponent = row_kernels.biased_exponent.python(value) - row_kernels._BIAS
    assert row_kernels.mantissa.python(value) * 2.0**exponent == value
    assert row_kernels.power_of_two.python(exponent + row_kernels._ROUND) == 2.0**exponent
    assert np.isnan(row_kernels.power_of_two.python(np.nan))
    row = np.array([value])
    row_kernels.log_row.compile()(row)
    assert row[0] == pytest.approx(np.log(value), rel=3e-16, abs=1e-300)


@pytest.mark.parametrize("kind", [0, 1])
def test_links_of_means_on_faces(kind):
    """All in one row against one at a time; what is NaN stays NaN, what is off the face does not count."""
    rng = np.random.default_rng(kind)
    means = rng.dirichlet(np.ones(6), 5) if kind == 0 else np.log(rng.dirichlet(np.ones(6), 5))
    for face in (np.zeros((0, 0), dtype=bool), rng.random((5, 6)) < 0.7):
        face[..., :1] = True
        v, b, one = np.empty((5, 6)), np.empty(5), np.empty(6)
        newton_kernels.link_known(kind, means, face, v, b)
        for t in range(5):
            own = face[t] if len(face) else np.empty(0, dtype=bool)
            alone = newton_kernels.link_one.compile()(kind, means[t], own, one)
            np.testing.assert_allclose(v[t], one, rtol=1e-15)
            assert b[t] == pytest.approx(alone, rel=1e-14, abs=1e-15)
            if len(face):
                assert (v[t, ~face[t]] == 0.0).all()
    means[2, 1] = np.nan
    newton_kernels.link_known(kind, means, np.zeros((0, 0), dtype=bool), v, b)
    assert np.isnan(v[2]).any() and not np.isnan(v[[0, 1, 3, 4]]).any()


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("weight", [1e-305, 5e-324])
def test_a_cluster_whose_weight_is_all_but_nothing_has_a_mean(kind, weight):
    """1 over a subnormal weight is inf."""
    rng = np.random.default_rng(0)
    problem = Problem(JointDistribution.from_conditionals(rng.dirichlet(np.ones(5), 12)), as_distortion(kind))
    atoms = problem.atoms_from_members(rng.dirichlet(np.ones(12), 3), np.array([0.6, 0.4, weight]))
    state = sweep(problem, 3.0, atoms)
    assert np.isfinite(state.new.means).all() and np.isfinite(state.residual)
    known, problem.known = problem.known, None
    np.testing.assert_allclose(state.new.means[:2], sweep(problem, 3.0, atoms).new.means[:2], rtol=1e-12)
    assert known is not None
