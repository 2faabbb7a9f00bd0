"""Traces with a checkpoint under `kill -9`: each goes on to the bits of an uninterrupted one.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kill.py --count 200

Traces a path with a checkpoint in a process of its own, kills the process (SIGKILL) at a random moment after its first write,
checks that the checkpoint can be read, and starts the trace again, until one is let through to its end; the result must be that of
an uninterrupted trace, bit for bit. Moments are drawn over the time that the uninterrupted trace takes; every second kill waits
from there for the next write, and strikes into it. Prints the kills, how many fell into a write (a temporary file was left), and
the points that the files held.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

import dualib

FIELDS = (
    "beta",
    "objective",
    "rate",
    "relevance",
    "expected_distortion",
    "gap",
    "certificate",
    "status",
    "n_iter",
    "residual",
)
ARRAYS = ("encoder", "weights", "means", "decoder", "stability")


def trace(number, path):
    """The curve of problem `number`, 6 x 4, IB or dual IB."""
    rng = np.random.default_rng(number)
    joint = dualib.JointDistribution(rng.dirichlet(np.full(24, 0.7)).reshape(6, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        return dualib.anneal(joint, ("ib", "dualib")[number % 2], np.geomspace(1.0, 30.0, 12), checkpoint=path)


def digest(curve):
    """A hash of every bit of the curve and its events."""
    solutions = [*curve, *(side for event in curve.events for side in (event.below, event.above) if side is not None)]
    total = hashlib.sha256(repr([(e.kind, e.beta, e.interval, e.before, e.after) for e in curve.events]).encode())
    for solution in solutions:
        total.update(repr([getattr(solution, name) for name in FIELDS]).encode())
        for name in ARRAYS:
            total.update(getattr(solution, name).tobytes())
    return total.hexdigest()


def child(number, path):
    """A trace in a new process, which tells when it begins."""
    process = subprocess.Popen([sys.executable, __file__, "--child", str(number), path], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def killed(number, path, seconds, aimed):
    """A trace killed after so many seconds, or at its next write from then on; how many points its file then holds.

    None where the trace had ended.
    """
    process = child(number, path)
    time.sleep(seconds)
    while aimed and process.poll() is None and not any(name.endswith(".tmp") for name in os.listdir(os.path.dirname(path))):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode == 0:
        return None
    if not os.path.exists(path):
        return 0
    with np.load(path) as archive:
        return len(json.loads(archive["header"].tobytes())["entries"])


def main():
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, metavar=("NUMBER", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        dualib.compile_kernels()
        dualib.solve(dualib.datasets.toy(), 5.0)  # everything is imported and compiled
        print("begin", flush=True)
        print(digest(trace(int(arguments.child[0]), arguments.child[1])))
        return 0
    draw = random.Random(arguments.seed)
    kills, in_write, held, wrong, number = 0, 0, [], 0, 0
    while kills < arguments.count:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "c.npz")
            process = child(number, os.path.join(folder, "whole.npz"))
            began = time.perf_counter()
            expected = process.communicate()[0].strip()
            duration = time.perf_counter() - began
            for _ in range(min(8, arguments.count - kills)):
                points = killed(number, path, draw.uniform(0.0, duration), draw.random() < 0.5)
                if points is not None:
                    kills += 1
                    held.append(points)
                    in_write += any(name.endswith(".tmp") for name in os.listdir(folder))
            found = child(number, path).communicate()[0].strip()
            left = sorted(os.listdir(folder))
            if found != expected or left != ["c.npz", "whole.npz"]:
                wrong += 1
                print(f"problem {number}: the resumed trace differs, or files are left: {left}")
        number += 1
    print(
        f"{kills} kills of {number} traces, {in_write} of them during a write; points in the files: {min(held)} to {max(held)}"
    )
    print(f"unreadable checkpoints: 0; final results that differ from the uninterrupted one: {wrong}")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
