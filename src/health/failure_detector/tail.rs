//! The upper tail of the normal distribution, as an exponent.

use std::f64::consts::{LN_2, LN_10, PI, SQRT_2};

/// From here on the continued fraction is exact to the last bits; below it `erfc` is far from underflow.
const FAR: f64 = 6.0;

/// Terms of the continued fraction: enough for 1e-15 from [`FAR`] on.
const TERMS: u32 = 40;

/// `-log10(P(Z > z))` of a standard normal `Z`.
///
/// Computed as a logarithm, so that it goes on rising where the probability itself is no longer a
/// double (from z = 38 on) and two peers that are long dead can still be told apart.
///
/// `P(Z > z) = erfc(z / sqrt 2) / 2`; for large x, `erfc(x) = exp(-x^2) / (sqrt(pi) K(x))` with Laplace's
/// continued fraction `K(x) = x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))` (Abramowitz and Stegun 7.1.14).
pub(super) fn exponent(z: f64) -> f64 {
    let x = z / SQRT_2;
    let ln = if x < FAR {
        libm::erfc(x).ln()
    } else {
        let fraction = (1..=TERMS)
            .rev()
            .fold(x, |rest, term| x + f64::from(term) / 2.0 / rest);
        -x * x - 0.5 * PI.ln() - fraction.ln()
    };
    (LN_2 - ln) / LN_10
}
