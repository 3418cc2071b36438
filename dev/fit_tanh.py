"""Fit the tanh of the compiled loops: x P(x²) / Q(x²) with the smallest largest relative error up to a bound.

    python dev/fit_tanh.py

Prints the coefficients as they stand in `src/elmokit/runtime/kernels/products.h`, lowest first. For float32: degree 4
up to 9.01, 2e-8, a sixth of the last bit. For bfloat16, whose last bit is 4e-3: degree 2 up to 5, 5e-5; a sigmoid is
half a tanh of half its argument, so its bound is 10. Weighted least squares, again and again, more weight where it errs
most.
"""

from __future__ import annotations

import numpy as np

POINTS, ROUNDS = 2500, 200


def fit(degree: int, bound: float) -> tuple[float, list[float], list[float]]:
    """Largest relative error, coefficients of P and of Q (whose first is 1)."""
    nodes = bound * ((np.cos(np.linspace(0, np.pi, POINTS)) + 1) / 2)[:-1]
    x = np.unique(np.concatenate([nodes, np.linspace(1e-3, bound, POINTS)]))
    ratio, s = np.tanh(x) / x, (x / bound) ** 2
    powers = np.stack([s**k for k in range(degree + 1)], axis=1)
    weight, q = np.ones_like(x), np.ones_like(x)
    best = np.inf, np.zeros(2 * degree + 1)
    for _ in range(ROUNDS):
        rows = np.concatenate([powers, -ratio[:, None] * powers[:, 1:]], axis=1)
        scale = np.sqrt(weight) / (ratio * q)
        norms = np.linalg.norm(rows * scale[:, None], axis=0)
        found = np.linalg.lstsq(rows * scale[:, None] / norms, ratio * scale, rcond=1e-16)[0] / norms
        q = 1 + powers[:, 1:] @ found[degree + 1 :]
        error = np.abs(powers @ found[: degree + 1] / q / ratio - 1)
        if error.max() < best[0]:
            best = float(error.max()), found
        weight *= error / error.max() + 0.02
        weight /= weight.mean()
    degrees = [*range(degree + 1), *range(1, degree + 1)]
    scaled = [float(c) / bound ** (2 * k) for k, c in zip(degrees, best[1], strict=True)]
    return best[0], scaled[: degree + 1], [1.0, *scaled[degree + 1 :]]


if __name__ == "__main__":
    for precision, degree, bound in (("float32", 4, 9.01), ("bfloat16", 2, 5.0)):
        error, p, q = fit(degree, bound)
        print(precision, "P", *(f"{c:.9e}f" for c in p))
        print(precision, "Q", *(f"{c:.9e}f" for c in q))
        print(f"{precision} largest relative error {error:.1e}")
