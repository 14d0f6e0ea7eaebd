//! Differences of near numbers that several potentials are made of, to full accuracy.

use crate::real::Real;

/// t − ln(1 + t) ≥ 0 for t ≥ −1; +∞ at −1.
pub(super) fn log_excess<T: Real>(t: T) -> T {
    if t.abs() > T::of(0.3) {
        return t - t.ln_1p();
    }
    // ln(1 + t) = 2 artanh r with r = t/(2 + t), and t − 2r = t·r.
    let r = t / (T::of(2.0) + t);
    let square = r * r;
    let mut sum = T::zero();
    for k in (1..=10).rev() {
        sum = sum * square + T::of(2.0 / f64::from(2 * k + 1));
    }
    t * r - r * square * sum
}

/// e^v − 1 − v ≥ 0.
pub(super) fn exp_excess<T: Real>(v: T) -> T {
    if v.abs() > T::of(0.5) {
        return v.exp_m1() - v;
    }
    // v²/2 (1 + v/3 (1 + v/4 (1 + …))).
    let mut sum = T::one();
    for k in (3..=16).rev() {
        sum = T::one() + sum * v / T::of(f64::from(k));
    }
    half_square(v) * sum
}

/// x ln(x/p) − x + p ≥ 0 for x, p ≥ 0, given ln p.
pub(super) fn relative_entropy<T: Real>(x: T, log_p: T) -> T {
    if x <= T::zero() {
        return log_p.exp();
    }
    let v = log_p - x.ln();
    if v > T::one() {
        // Where x ≪ p, e^v may overflow although p does not.
        return log_p.exp() - x * (T::one() + v);
    }
    x * exp_excess(v)
}

pub(super) fn half_square<T: Real>(v: T) -> T {
    T::of(0.5) * v * v
}
