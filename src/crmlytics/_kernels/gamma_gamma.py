"""Gamma-Gamma: likelihood and expectation of spend per order, as functions on float arrays.

References
----------
Fader, P. and Hardie, B. (2013), The Gamma-Gamma model of monetary value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.special import Vector, digamma_rise, log_beta

if TYPE_CHECKING:
    from crmlytics._kernels.process import Params


def gamma_gamma_log_likelihood(params: Params, x: Vector, mean_spend: Vector) -> Vector:
    """Log-likelihood of a customer's mean spend over ``x`` purchases; ``params`` is (p, q, gamma).

    ``gamma^q m^(px-1) x^(px) / (B(px, q) (gamma + m x)^(px+q))``.
    """
    p, q, gamma = params
    total = x * mean_spend
    return np.asarray(
        -p * x * np.log1p(gamma / total) - q * np.log1p(total / gamma) - np.log(mean_spend) - log_beta(p * x, q),
    )


def gamma_gamma_gradient(params: Params, x: Vector, mean_spend: Vector) -> Vector:
    """Return the derivatives of ``gamma_gamma_log_likelihood`` by p, q, gamma: an array of three rows."""
    p, q, gamma = params
    total = x * mean_spend
    by_p = x * (digamma_rise(p * x, q) - np.log1p(gamma / total))
    by_q = digamma_rise(q, p * x) - np.log1p(total / gamma)
    by_gamma = (q * total / gamma - p * x) / (gamma + total)
    return np.stack([by_p, by_q, by_gamma])


def expected_order_amount(params: Params, x: Vector, mean_spend: Vector) -> Vector:
    """Mean amount of a customer's future orders: ``p (gamma + m x) / (p x + q - 1)``, infinite if p x + q <= 1."""
    p, q, gamma = params
    spent = np.where(x > 0, x * mean_spend, 0.0)
    divisor = p * x + q - 1
    return np.where(divisor > 0, p * (gamma + spent) / np.where(divisor > 0, divisor, 1.0), np.inf)
