"""One thread for linear algebra, and all compiled functions ready before the first test.

The matrices are small, and waiting threads cost more than they gain on busy cores. A process that a test starts then reads the
functions from the cache, and has nothing to tell of compiling.
"""

import os

import pytest

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _all_compiled():
    import dualib

    dualib.compile_kernels()
