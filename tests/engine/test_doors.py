"""What of the package runs on the engine alone."""

import subprocess
import sys


def test_solving_compiles_nothing_of_the_kernels_of_0_1_0():
    code = (
        "import numpy as np, dualib\n"
        "joint = dualib.datasets.load_letters(smoothing=0.5)\n"
        "solution = dualib.solve(joint, 8.0)\n"
        "assert solution.converged and solution.rho < 1.0 and solution.stability.max() < 1.0\n"
        "assert dualib.certify(joint, solution.encoder, 8.0).gap < 1e-8\n"
        "curve = dualib.anneal(joint, 'dualib', np.geomspace(0.3, 9.0, 6), events=False)\n"
        "assert curve.gap.max() < 1e-9 and abs(curve.onset - 0.4818460151916) < 1e-10 and curve.events\n"
        "from dualib.jit import kernels\n"
        "busy = [k.name for k in kernels() if k.state != 'waiting']\n"
        "assert not busy, busy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
