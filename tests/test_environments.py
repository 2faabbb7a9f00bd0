"""Other people's environments: no compiler, workers, threads, full disks (the cache: engine/test_cache.py).

``DUALIB_SLOW=1 pytest tests/test_environments.py`` also compiles everything anew: with bounds checked, and in six processes at once.
"""

import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualib

ROOT = Path(dualib.__file__).parent.parent
SLOW = pytest.mark.skipif(not os.environ.get("DUALIB_SLOW"), reason="minutes of compiling; DUALIB_SLOW=1 runs it")
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")


def python(code, *arguments, strict=True, **environment):
    """Run code in a fresh process, warnings being errors where `strict`; what it printed, and its errors."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", **environment}
    command = [sys.executable, *(["-W", "error"] if strict else []), "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout.strip(), done.stderr


PRINT_OBJECTIVES = """
import dualib
joint = dualib.datasets.toy()
for kind in ("ib", "dualib"):
    print(*(repr(solution.objective) for solution in dualib.anneal(joint, kind, [2.0, 8.0])))
"""


def objectives():
    joint = dualib.datasets.toy()
    return np.array([[s.objective for s in dualib.anneal(joint, kind, [2.0, 8.0])] for kind in ("ib", "dualib")])


def parsed(out):
    return np.array([[float(word) for word in line.split()] for line in out.splitlines()])


def test_without_the_compiler():
    code, out, err = python(PRINT_OBJECTIVES, NUMBA_DISABLE_JIT="1")
    assert code == 0, err
    np.testing.assert_allclose(parsed(out), objectives(), rtol=1e-12)


@SLOW
def test_with_bounds_checked(tmp_path):
    code, out, err = python(PRINT_OBJECTIVES, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert code == 0, err
    np.testing.assert_allclose(parsed(out), objectives(), rtol=1e-12)


@SLOW
def test_six_processes_that_start_cold_at_once(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        runs = [pool.submit(python, PRINT_OBJECTIVES, strict=False, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(6)]
        results = [run.result() for run in runs]
    for code, out, err in results:
        assert code == 0, err
        assert err.count("Warning") <= 1
        np.testing.assert_array_equal(parsed(out), objectives())


WORKERS = """
import multiprocessing, sys
import dualib
def bits(seed):
    return dualib.solve(dualib.datasets.toy(), 2.0 + seed, "dualib").encoder.tobytes()
if __name__ == "__main__":
    here = [bits(seed) for seed in range(4)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(bits, range(4)) == here
    print("equal")
"""


@POSIX
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_compute_the_same_bits(method, tmp_path):
    """From a parent that has already computed, which is what breaks libraries with threads of their own."""
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "error", str(script), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "equal"), done.stderr


def test_threads_compute_the_same_bits():
    def bits(seed):
        pxy = np.random.default_rng(seed).dirichlet(np.full(20, 0.5)).reshape(5, 4)
        solution = dualib.solve(dualib.JointDistribution(pxy), 6.0, ("ib", "dualib")[seed % 2])
        return solution.encoder.tobytes() + solution.decoder.tobytes()

    serial = [bits(seed) for seed in range(12)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bits, range(12))) == serial


FULL_DISK = """
import os, resource, sys
import numpy as np, dualib
joint = dualib.datasets.toy()
curve = dualib.anneal(joint, "ib", [2.0, 8.0])
dualib.solve(joint, 3.0, "dualib")
os.chdir(sys.argv[1])
curve[:1].save("curve.npz")
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for attempt in (
    lambda: curve.save("curve.npz"),
    lambda: curve.save("new.npz"),
    lambda: dualib.anneal(joint, "ib", np.geomspace(2.0, 8.0, 12), checkpoint="checkpoint.npz"),
):
    try:
        attempt()
    except OSError as error:
        print(error.errno)
assert len(dualib.load("curve.npz")) == 1
print(*sorted(os.listdir()))
"""


@POSIX
def test_a_full_disk_is_an_error_of_the_system_and_leaves_what_was_there(tmp_path):
    """A limit on the size of files stands for the disk: a write beyond it fails in the middle of a file."""
    code, out, err = python(FULL_DISK, tmp_path)
    assert code == 0, err
    import errno

    assert out.split() == [str(errno.EFBIG)] * 3 + ["checkpoint.npz", "curve.npz"]


@POSIX
def test_a_full_disk_is_one_line_on_the_command_line(tmp_path):
    (tmp_path / "t.csv").write_text("5,3,1\n2,8,2\n1,1,6\n")
    code = (
        "import resource, sys, dualib\nfrom dualib.cli.main import main\n"
        "dualib.solve(dualib.datasets.toy(), 3.0)\nresource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "sys.exit(main(['solve', sys.argv[1] + '/t.csv', '--beta', '5', '--save', sys.argv[1] + '/s.npz']))"
    )
    status, _, err = python(code, tmp_path)
    assert (status, err) == (2, "dualib solve: error: File too large\n")
    assert sorted(os.listdir(tmp_path)) == ["t.csv"]


def test_the_seed_fixes_every_bit_of_a_fresh_process():
    """Two processes with other hash seeds, and this one."""
    code = PRINT_OBJECTIVES + "print(dualib.solve(joint, 9.0, random_state=4).encoder.tobytes().hex())\n"
    runs = [python(code, PYTHONHASHSEED=str(seed)) for seed in (1, 2)]
    assert runs[0][:2] == runs[1][:2]
    assert runs[0][1].splitlines()[-1] == dualib.solve(dualib.datasets.toy(), 9.0, random_state=4).encoder.tobytes().hex()
