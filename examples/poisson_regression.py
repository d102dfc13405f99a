"""Poisson regression with standard errors from the Hessian.

Run: python examples/poisson_regression.py

Counts y follow a Poisson distribution with mean exp(x @ beta). Newton's method finds the maximum of the likelihood,
and the inverse of the Hessian there (the observed information) is the covariance of the estimate. Both derivatives come
from the few lines of `negative_log_likelihood`: change the model, and the rest stays as it is.
"""

from __future__ import annotations

import numpy as np

import treadle as td

TRUTH = np.array([0.5, 0.8, -0.4])


def simulate(n: int, seed: int = 0) -> tuple[td.Tensor, td.Tensor]:
    """Covariates `[n, 3]`, the first of them constant, and counts `[n]`, both float64."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return td.asarray(x), td.asarray(rng.poisson(np.exp(x @ TRUTH)).astype(np.float64))


def negative_log_likelihood(beta: td.Tensor, x: td.Tensor, y: td.Tensor) -> td.Tensor:
    """Up to a term without beta: the sum of exp(x beta) - y x beta."""
    eta = x @ beta
    return (td.exp(eta) - y * eta).sum()


def fit(x: td.Tensor, y: td.Tensor, tolerance: float = 1e-10) -> tuple[np.ndarray, np.ndarray]:
    """Estimate and standard errors, `[3]` each, by Newton's method."""
    gradient = td.compile(td.grad(negative_log_likelihood))
    hessian = td.compile(td.hessian(negative_log_likelihood))
    beta = td.zeros(x.shape[1], dtype=td.float64)
    for _ in range(50):
        step = np.linalg.solve(hessian(beta, x, y), gradient(beta, x, y))
        beta = beta - td.asarray(step)
        if np.abs(step).max() < tolerance:
            covariance = np.linalg.inv(hessian(beta, x, y))
            return beta.numpy(), np.sqrt(np.diag(covariance))
    raise ArithmeticError("Newton's method has not converged in 50 steps")


def main(n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    beta, errors = fit(*simulate(n))
    print("        truth  estimate  standard error")
    for k, (true, estimate, error) in enumerate(zip(TRUTH, beta, errors, strict=True)):
        print(f"beta_{k}  {true:5.2f}  {estimate:8.4f}  {error:14.4f}")
    return beta, errors


if __name__ == "__main__":
    main()
