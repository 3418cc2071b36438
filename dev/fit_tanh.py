"""Fit the tanh of the compiled loops: x P(x²) / Q(x²), P and Q of degree 4, best largest relative error on [0, 9.01].

    python dev/fit_tanh.py

Prints the coefficients as they stand in `src/elmokit/runtime/kernels/bilm.c`, lowest first, and the error (2e-8, a
sixth of a float32's last bit). Weighted least squares over and over, with more weight where the error is large.
"""

from __future__ import annotations

import numpy as np

BOUND, DEGREE, POINTS, ROUNDS = 9.01, 4, 2500, 200


def fit() -> tuple[float, list[float], list[float]]:
    """Largest relative error, coefficients of P and of Q (whose first is 1)."""
    nodes = BOUND * ((np.cos(np.linspace(0, np.pi, POINTS)) + 1) / 2)[:-1]
    x = np.unique(np.concatenate([nodes, np.linspace(1e-3, BOUND, POINTS)]))
    ratio, s = np.tanh(x) / x, (x / BOUND) ** 2
    powers = np.stack([s**k for k in range(DEGREE + 1)], axis=1)
    weight, q = np.ones_like(x), np.ones_like(x)
    best = np.inf, np.zeros(2 * DEGREE + 1)
    for _ in range(ROUNDS):
        rows = np.concatenate([powers, -ratio[:, None] * powers[:, 1:]], axis=1)
        scale = np.sqrt(weight) / (ratio * q)
        norms = np.linalg.norm(rows * scale[:, None], axis=0)
        found = np.linalg.lstsq(rows * scale[:, None] / norms, ratio * scale, rcond=1e-16)[0] / norms
        q = 1 + powers[:, 1:] @ found[DEGREE + 1 :]
        error = np.abs(powers @ found[: DEGREE + 1] / q / ratio - 1)
        if error.max() < best[0]:
            best = float(error.max()), found
        weight *= error / error.max() + 0.02
        weight /= weight.mean()
    degrees = [*range(DEGREE + 1), *range(1, DEGREE + 1)]
    scaled = [float(c) / BOUND ** (2 * k) for k, c in zip(degrees, best[1], strict=True)]
    return best[0], scaled[: DEGREE + 1], [1.0, *scaled[DEGREE + 1 :]]


if __name__ == "__main__":
    error, p, q = fit()
    print("P", *(f"{c:.9e}f" for c in p))
    print("Q", *(f"{c:.9e}f" for c in q))
    print(f"largest relative error {error:.1e}")
