"""How fast matrix products run here: what every other figure is measured against.

    python benchmarks/ceiling.py

A large product per core, all cores at once: NumPy and the compiled loops in float32, PyTorch and the compiled loops in
bfloat16, as far as they are installed. The ceiling of a precision is the fastest of them.
"""

import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import finish

from elmokit.runtime.engine import Workers

ROWS, K, N = 512, 1024, 4096


def rate(make_task, rounds=5):
    """GFLOP/s of all cores together: median on the wall, and by processor time (robust to other load)."""
    workers = Workers()
    n = workers.n_threads
    tasks = [make_task() for _ in range(n)]
    walls, cpus = [], []
    for _ in range(rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        workers.run(tasks)
        walls.append(time.perf_counter() - wall)
        cpus.append((time.process_time() - cpu) / n)
    work = n * 4 * 2 * ROWS * K * N / 1e9
    return {"wall": work / statistics.median(walls[1:]), "cpu": work / min(cpus[1:])}


def float32_task():
    a, b, out = np.ones((ROWS, K), np.float32), np.ones((K, N), np.float32), np.empty((ROWS, N), np.float32)
    return lambda: [np.matmul(a, b, out=out) for _ in range(4)] and None


def torch_task():
    import torch

    weight = torch.ops.mkldnn._reorder_linear_weight(torch.ones(N, K, dtype=torch.bfloat16), ROWS)
    x = torch.ones(ROWS, K, dtype=torch.bfloat16)

    def task():
        torch.set_num_threads(1)
        for _ in range(4):
            torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    return task


def native_task(precision):
    from elmokit.runtime.backends.native import NativeProduct

    x, out = np.ones((ROWS, K), np.float32), np.empty((ROWS, N), np.float32)
    product = NativeProduct(np.ones((K, N), np.float32), precision)
    return lambda: [product(x, out) for _ in range(4)] and None


def ways(precision):
    """Name and task of all that multiplies in a precision here."""
    from elmokit.runtime.kernels import native_precisions

    if precision == "float32":
        yield "NumPy", float32_task
    elif find_spec("torch"):
        yield "PyTorch", torch_task
    if precision in native_precisions():
        yield "compiled loops", lambda: native_task(precision)


def measure(precisions=("float32", "bfloat16")):
    """GFLOP/s by precision: of the fastest way, and of each."""
    found = {}
    for precision in precisions:
        rates = {name: rate(task) for name, task in ways(precision)}
        if rates:
            best = max(rates, key=lambda name: rates[name]["wall"])
            found[precision] = {**rates[best], "by": best, "ways": rates}
    return found


if __name__ == "__main__":
    ceilings = measure()
    for precision, figures in ceilings.items():
        for name, way in figures["ways"].items():
            print(f"{precision:9} {name:15} {way['wall']:5.0f} GFLOP/s on the wall, {way['cpu']:5.0f} by processor")
    finish("ceiling", {"gflops": ceilings})
