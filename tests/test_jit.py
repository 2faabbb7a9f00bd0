"""The on-disk cache of compiled kernels: a broken one costs one warning, never a failure."""

import dis
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualib
from dualib import (
    bound_kernels,
    bounds,
    descent_kernels,
    exchange_kernels,
    jit,
    kernels,
    maxima_kernels,
    merge_kernels,
    newton_kernels,
    search_kernels,
    settle_kernels,
    spread_kernels,
    start_kernels,
    walk_kernels,
)
from dualib.gap import proof_of_walk
from dualib.jumps import NO_PROOF
from dualib.problem import Problem
from dualib.starts import starts_of_walk

SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import dualib
    from dualib import kernels
    kernels.posterior.compile(), kernels.responsibility.compile()
    solution = dualib.solve(dualib.datasets.toy(), 8.0)
print(round(solution.relevance, 6), len(caught), *(type(w.message).__name__ for w in caught))
"""


def run(package: Path, **environment: str) -> str:
    """Compile two kernels and solve the toy in a fresh process on a copy of the package; what it printed."""
    variables = {**os.environ, "PYTHONPATH": str(package.parent), "OPENBLAS_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=variables, cwd=package.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder with a copy of the package, and `pristine`, a copy of its filled cache of compiled kernels."""
    if jit.python_only():
        pytest.skip("nothing is compiled, so nothing is cached")
    folder = tmp_path_factory.mktemp("jit")
    shutil.copytree(Path(dualib.__file__).parent, folder / "dualib", ignore=shutil.ignore_patterns("*.nbi", "*.nbc"))
    assert run(folder / "dualib", NUMBA_CACHE_DIR=str(folder / "cache")) == "0.074305 0"
    shutil.copytree(folder / "cache", folder / "pristine")
    return folder


@pytest.fixture
def package(warm):
    """The package, its cache as new."""
    shutil.rmtree(warm / "cache")
    shutil.copytree(warm / "pristine", warm / "cache")
    return warm / "dualib"


def files(cache: Path, suffix: str) -> list[Path]:
    """The cache's files of the module `kernels`: the larger ones take longer to compile, and fail alike."""
    found = sorted(path for path in cache.rglob(f"*.{suffix}") if path.name.startswith("kernels."))
    assert found
    return found


@pytest.mark.parametrize("content", [b"", b"not an index"])
def test_truncated_and_corrupt_indices(package, content):
    cache = package.parent / "cache"
    for index in files(cache, "nbi"):
        index.write_bytes(content)
    answer = run(package, NUMBA_CACHE_DIR=str(cache)).split()
    assert answer[0] == "0.074305"
    assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_corrupt_code(package):
    cache = package.parent / "cache"
    for code in files(cache, "nbc"):
        code.write_bytes(code.read_bytes()[: len(code.read_bytes()) // 2])
    answer = run(package, NUMBA_CACHE_DIR=str(cache)).split()
    assert answer[0] == "0.074305"
    assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_a_cache_that_cannot_be_written(package):
    """A file where the cache's folder should be: no account, not even the administrator's, can write below it."""
    blocked = package.parent / "blocked"
    blocked.write_text("in the way")
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").write_text("in the way")
    answer = run(package, NUMBA_CACHE_DIR=str(blocked), HOME=str(blocked), XDG_CACHE_HOME=str(blocked)).split()
    assert answer == ["0.074305", "1", "CacheWarning"]


def test_every_kernel_is_listed_with_its_one_signature():
    listed = {record.name: record for record in dualib.compile_kernels()}
    assert {"dualib.kernels.posterior", "dualib.newton_kernels.newton_known", "dualib.bound_kernels.branch_and_bound"} <= set(
        listed
    )
    expected = {"python"} if jit.python_only() else {"loaded", "compiled"}
    assert {record.state for record in listed.values()} <= expected
    assert all(record.seconds > 0.0 and record.signature for record in listed.values())
    assert dualib.compile_kernels() == list(listed.values())  # nothing is left to do
    if not jit.python_only():
        assert len(kernels.posterior.compile().signatures) == 1


MODULES = (
    *(kernels, spread_kernels, newton_kernels, descent_kernels, search_kernels, start_kernels, merge_kernels),
    *(maxima_kernels, settle_kernels, walk_kernels),
)


def small_arguments(rng: np.random.Generator, kind: int, zeros: bool) -> dict[str, tuple]:
    """Arguments, made anew at each call, of every kernel that Python calls: a problem of up to 5 x 4 with up to 4 clusters."""
    n, k, n_t = rng.integers(2, 6), rng.integers(2, 5), rng.integers(1, 5)
    beta = float(np.exp(rng.uniform(-1.0, 4.0)))
    joint = dualib.JointDistribution(rng.dirichlet(np.ones(n * k)).reshape(n, k))
    problem = Problem(joint, (dualib.IB(), dualib.DualIB())[kind])
    members = rng.dirichlet(np.full(n, 0.2 if zeros else 2.0), n_t)
    weights, means = rng.dirichlet(np.ones(n_t)), np.ascontiguousarray(members @ problem.U)
    face = allowed = np.zeros((0, 0), dtype=bool)
    if zeros:
        face, allowed = np.ones((n_t, k), dtype=bool), rng.random((n_t, n)) < 0.9
        allowed[0] = allowed[:, 0] = True  # some cluster may take every source, and every cluster some
    v, b = np.empty((n_t, k)), np.empty(n_t)
    members_of_x = rng.dirichlet(np.ones(n_t), n)
    log_a, posterior = np.log(problem.px), members_of_x.T.copy()
    return {
        "posterior": (-rng.exponential(9.0, (n_t, n)), np.empty(n), np.empty(n)),
        "responsibility": (-rng.exponential(9.0, (n_t, n)), log_a, np.empty(n_t)),
        "link_known": (kind, means, face, v, b),
        "sweep_known": (
            *(kind, beta, problem.px, problem.pxU, problem.UT, weights, means, face, allowed, v, b, False),
            *(np.empty((n_t, n)), np.empty(n), np.empty(n), np.empty(n_t), np.empty(n_t)),
            *(np.empty((n_t, k)), np.empty((n_t, k)), np.empty(n_t)),
        ),
        "newton_known": (
            *(kind, beta, problem.px, problem.U, problem.pxU, problem.UT, weights, means, face, allowed),
            *(1e-13, 6, int(rng.integers(3)), float(rng.integers(2)) * 1e-3),
        ),
        "descend_known": (
            *(kind, beta, problem.px, problem.pxU, problem.UT, weights, means, face, allowed),
            *(1e-12, 60, 20, 1e-2),
        ),
        "spreads_known": (kind, problem.UT, means, rng.random((n_t, k)), face, members, 0.1, np.empty((n_t, k, k))),
        "ascend_known": (
            *(kind, beta, problem.UT, log_a, means, face, allowed),
            *(means[:1] + 0.01, rng.random((1, k)), face[:1], np.full(1, 1e-3), 2, 3, 1e-4),
        ),
        "starts_known": (
            *(kind, beta, problem.px, problem.U, problem.UT, log_a, np.arange(n), means, np.exp(means), posterior),
            *(2, *np.triu_indices(n, 1), 2),
        ),
        "maxima_known": (
            *(kind, beta, problem.px, problem.U, problem.UT, log_a, weights, means, np.exp(means), posterior),
            *(problem.U, means + 0.01),
        ),
        "coalesced": (
            *(kind, beta, problem.px, problem.U, problem.UT, means, rng.random((n_t, k)), face, posterior),
            float(rng.exponential(3.0)),
        ),
        "settled_known": (
            *(kind, beta, problem.px, problem.U, problem.pxU, problem.UT, weights, means, face, allowed),
            *(100, 60, 20, 2, 0.1, 1e-2),
        ),
        "taken_up": (kind, beta, problem.U, problem.UT, log_a, means + 0.01, means, np.exp(means), 3, 1e-6),
        "walked_known": (
            *(
                kind,
                beta * np.array([0.9, 0.8]),
                problem.px,
                problem.U,
                problem.pxU,
                problem.UT,
                problem.log_px,
                weights,
                means,
            ),
            *(means[:0], np.empty(0), 1e-9, 500, (60, 20, 2, 0.1, 1e-2)),
            starts_of_walk(n, 2, rng, 0.25),
            proof_of_walk(problem, hasty=True) if rng.random() < 0.5 else NO_PROOF,
        ),
        "rise_known": (kind, beta, problem.UT, log_a, means, face, allowed, 4),
        "distances": (
            beta,
            means,
            rng.random((n_t, k)),
            face,
            means[::-1].copy(),
            rng.random((n_t, k)),
            face,
            np.empty((n_t, n_t)),
        ),
        "informations": (
            *(problem.px, joint.pxy, np.concatenate([posterior, posterior[::-1]]), np.tile(members @ problem.py_x, (2, 1))),
            np.array([0, n_t, 2 * n_t]),
        ),
        "exceeding_known": (kind, problem.UT, means, rng.random((n_t, k)), face, members, float(rng.exponential(0.2))),
        "crossings": (log_a, rng.normal(size=(n_t, n)), beta),
        "off_distributions": (members,),
        "information": (np.ascontiguousarray(members / members.sum()),),
        "log_c_known": (kind, beta, problem.UT, log_a, means, face, allowed, np.empty(n_t), np.empty((n_t, n))),
    }


def copied(arguments: tuple) -> tuple:
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled to compare with")
@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("zeros", [False, True])
def test_python_and_machine_code_agree_to_the_last_bit(kind, zeros):
    rng = np.random.default_rng([kind, zeros])
    for _ in range(40):
        for name, arguments in small_arguments(rng, kind, zeros).items():
            kernel = next(vars(module)[name] for module in MODULES if name in vars(module))
            first, second = copied(arguments), copied(arguments)
            with np.errstate(all="ignore"):
                answers = kernel.python(*first), kernel.compile()(*second)
            np.testing.assert_equal(*answers, err_msg=name)
            np.testing.assert_equal(first, second, err_msg=name)


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled to compare with")
@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_proofs_agree_to_the_last_bit(kind, monkeypatch):
    """The branch and bound as machine code, as Python, and as Python that gives up after three cells to be compiled."""
    rng = np.random.default_rng(5)
    compiled = bound_kernels.branch_and_bound
    compiled.compile()
    for n_y, beta in ((2, 3.0), (2, 30.0), (3, 8.0), (3, 40.0)):
        p, answers = rng.dirichlet(np.ones(n_y), 6), []
        for trial in (0, 10**6, 3):
            monkeypatch.setattr(jit, "_spent", 0.0)
            fresh = jit.Kernel(compiled.function, compiled.signature)
            monkeypatch.setattr(bounds.kernels, "branch_and_bound", fresh if trial else compiled)
            monkeypatch.setattr(bounds, "TRIAL", trial)
            answers.append(vars(bounds.prove(np.log(np.full(6, 1 / 6)), p, beta, kind)))
            assert (fresh.state != "waiting") == (trial == 3 and answers[0]["n_cells"] > 3)
        for answer in answers[1:]:
            np.testing.assert_equal(answer, answers[0])


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_a_kernel_apart_is_called_and_not_copied():
    import numba

    crossings = jit.apart(kernels.crossings)
    called = crossings.compile()
    caller = numba.njit("float64[::1](float64[::1], float64[:, ::1], float64)")(lambda a, b, c: called(a, b, c))
    rng = np.random.default_rng(0)
    arguments = np.log(rng.dirichlet(np.ones(3))), rng.normal(size=(4, 3)), 2.0
    np.testing.assert_array_equal(caller(*arguments), kernels.crossings.compile()(*arguments))
    np.testing.assert_array_equal(crossings.python(*arguments), kernels.crossings.python(*arguments))
    (code,) = caller.inspect_llvm().values()
    assert code.count(f"kernels.crossings_{jit.version()}") >= 1 and "define" in code


def test_interpretation_ends_with_the_budget_and_the_size(monkeypatch):
    def doubled(values):
        values *= 2.0

    kernel = jit.Kernel(doubled, "void(float64[::1])", few=3)
    monkeypatch.setattr(jit, "_spent", 0.0)
    assert kernel.interprets(np.ones(3)) and kernel.interprets(np.ones(4)) == jit.python_only()
    monkeypatch.setattr(jit, "_spent", 10.0)
    assert kernel.interprets(np.ones(3)) == jit.python_only()


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("numpy", "numba", "scipy", "matplotlib", "pandas", "sklearn")
    code = f"import sys, dualib; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_listed_before_it_is_imported():
    code = "import dualib; names = dir(dualib); print(sorted(set(dualib.__all__) - set(names)), names == sorted(names))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
    assert set(dualib.__all__) <= set(dir(dualib))
    with pytest.raises(AttributeError, match="module 'dualib' has no attribute 'no_such_name'"):
        _ = dualib.no_such_name


def test_a_cache_that_fails_costs_one_warning_for_all_kernels(monkeypatch):
    import numba

    real = numba.njit

    def full_disk(*arguments, cache=False, **options):
        if cache:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(numba, "njit", full_disk)
    monkeypatch.setattr(jit, "_warned", False)
    pair = [jit.Kernel(function, "float64(float64)") for function in (lambda x: 2.0 * x, lambda x: x + 1.0)]
    with pytest.warns(dualib.CacheWarning, match=r"cannot be used \(OSError: .*No space left on device\)") as caught:
        codes = [kernel._machine_code() for kernel in pair]
    assert len(caught) == 1
    assert [code(4.0) for code in codes] == [8.0, 5.0]


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_a_kernel_that_cannot_be_compiled_is_not_blamed_on_the_cache():
    from numba.core.errors import NumbaError

    with pytest.raises(NumbaError):
        jit.Kernel(lambda values: values.no_such_method(), "float64(float64[::1])")._machine_code()


def test_leaves_make_no_arrays_and_are_given_none():
    """They count no references: an array that one returns, or gets from another function, would be freed too early, or never."""
    leaves, helpers = 0, set()
    for name in sorted(path.stem for path in Path(dualib.__file__).parent.glob("*kernels.py")):
        module = importlib.import_module(f"dualib.{name}")
        for member in vars(module).values():
            if not isinstance(member, jit.Kernel) or not member.leaf or member.machine is not None:
                continue
            leaves += 1
            called = {step.argval for step in dis.get_instructions(member.function) if step.opname == "LOAD_GLOBAL"}
            others = [member.function.__globals__.get(other) for other in called]
            others = [other for other in others if isinstance(other, jit.Kernel) and not other.leaf]
            assert all(other.signature is None or "void(" in other.signature for other in others), member.name
            helpers |= {other.name.split(".")[-1] for other in others if other.signature is None}
            if not jit.python_only():
                for found in getattr(member.compile(), "overloads", {}).values():
                    assert "array" not in str(found.signature.return_type), member.name
    assert leaves > 50
    assert helpers == {"_easing_pairs", "invert_exchanges"}  # which the next test looks at


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_what_leaves_call_returns_no_array():
    rng = np.random.default_rng(0)
    n_t, k, n, p = 4, 3, 6, 2
    means, v, close, pairs = rng.random((n_t, k)), rng.random((n_t, k)), np.array([[0, 1], [2, 3]]), np.empty((32, 2), int)
    count = descent_kernels._easing_pairs.compile()(1.0, n, rng.random((k, n)), means, v, pairs)
    assert 0 < count <= n_t * (n_t - 1) // 2 and (pairs[:count, 0] < pairs[:count, 1]).all()
    counting = (np.empty(0, int), np.empty(0, int), np.empty(0), rng.random(n_t * n), rng.random(n_t * n))
    lines, parts, inverse = rng.random((p, k)), rng.random((p, 6)), np.full((2 * p, 2 * p), np.nan)
    where = (means, rng.random((k, n_t)), counting, rng.random((1 + k, n)), np.ones(n_t), close, lines, parts, inverse)
    assert exchange_kernels.invert_exchanges.compile()(0, *where) is None
    assert np.isfinite(inverse).all()
    for helper in (descent_kernels._easing_pairs, exchange_kernels.invert_exchanges):
        assert all("array" not in str(found.signature.return_type) for found in helper.compile().overloads.values())


COUNT = """
import gc
import numpy as np
import dualib
from numba.core.runtime import rtsys
pxy = np.random.default_rng(0).dirichlet(np.full(600, 0.5)).reshape(60, 10)
for kind in ("ib", "dualib"):
    counts = []
    for _ in range(2):  # what is kept for good is made by the first
        curve = dualib.anneal(dualib.JointDistribution(pxy), kind, [20.0, 40.0, 80.0], events=False)
        assert max(curve.n_clusters) > 45  # so many that directions are eased
        del curve
        gc.collect()
        counts.append(rtsys.get_allocation_stats())
    made, freed = counts[1].mi_alloc - counts[0].mi_alloc, counts[1].mi_free - counts[0].mi_free
    print(made > 100, made - freed)
"""


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_every_array_that_kernels_make_is_freed():
    """Leaves count no references: one that was given an array would keep it for good."""
    ended = subprocess.run(
        [sys.executable, "-c", COUNT], env={**os.environ, "NUMBA_NRT_STATS": "1"}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["True", "0"] * 2, ended.stdout + ended.stderr


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_machine_code_of_other_helpers_is_not_loaded(monkeypatch, tmp_path):
    """Numba looks at the file of a kernel only: after an upgrade that changes a helper elsewhere it would load the old code."""
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    states = []
    for digest in (None, None, "another", "another"):
        if digest is not None:
            monkeypatch.setattr(jit, "version", lambda digest=digest: digest)
        fresh = jit.Kernel(kernels.posterior.function, kernels.posterior.signature)
        fresh.compile()
        states.append(fresh.state)
    assert states == ["compiled", "loaded", "compiled", "loaded"]
