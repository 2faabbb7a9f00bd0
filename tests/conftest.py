"""One thread for linear algebra: the matrices are small, and waiting threads cost more than they gain on busy cores."""

import os

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
