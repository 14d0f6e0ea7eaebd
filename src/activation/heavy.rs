//! Softsign and arctan: f grows without bound at the ends of the domain, φ approaches them slowly.

use super::Elementwise;
use super::stable::log_excess;
use crate::real::Real;

/// φ(z) = z/(1 + |z|), f(x) = −|x| − ln(1 − |x|) on (−1, 1), f*(z) = |z| − ln(1 + |z|).
#[derive(Debug, Clone, Copy)]
pub struct Softsign;

impl<T: Real> Elementwise<T> for Softsign {
    fn potential(&self, x: T) -> T {
        if x.abs() >= T::one() { T::infinity() } else { log_excess(-x.abs()) }
    }
    fn conjugate(&self, z: T) -> T {
        log_excess(z.abs())
    }
    fn phi(&self, z: T) -> T {
        // Rounded to an end of the domain, f(φ(z)) would be infinite.
        let most = T::one() - T::of(0.5) * T::epsilon();
        (z / (T::one() + z.abs())).max(-most).min(most)
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (-T::one(), T::one())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x.abs() >= T::one() {
            return T::infinity();
        }
        let (size, reach) = (x.abs(), z.abs());
        if (x < T::zero()) == (z < T::zero()) {
            // D = t − ln(1 + t) with 1 + t = (1 + |z|)(1 − |x|).
            let rest = T::one() - size;
            let t = reach * rest - size;
            return if t.abs() > T::of(0.3) {
                t - (T::one() + reach).ln() - rest.ln()
            } else {
                log_excess(t)
            };
        }
        log_excess(-size) + log_excess(reach) + size * reach
    }
}

/// φ(z) = arctan z, f(x) = −ln cos x on (−π/2, π/2), f*(z) = z arctan z − ½ ln(1 + z²).
#[derive(Debug, Clone, Copy)]
pub struct Arctan;

impl<T: Real> Elementwise<T> for Arctan {
    fn potential(&self, x: T) -> T {
        let cosine = x.cos();
        if x.abs() > T::of(std::f64::consts::FRAC_PI_2) || cosine <= T::zero() {
            return T::infinity();
        }
        if x.abs() > T::one() {
            return -cosine.ln();
        }
        let sine = x.sin();
        T::of(-0.5) * (-sine * sine).ln_1p()
    }
    fn conjugate(&self, z: T) -> T {
        let logarithm =
            if z.abs() > T::one() { T::one().hypot(z).ln() } else { T::of(0.5) * (z * z).ln_1p() };
        z * z.atan() - logarithm
    }
    fn phi(&self, z: T) -> T {
        // Rounded beyond π/2, f(φ(z)) would be infinite.
        let most = T::of(std::f64::consts::FRAC_PI_2) * (T::one() - T::epsilon());
        z.atan().max(-most).min(most)
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        let end = T::of(std::f64::consts::FRAC_PI_2);
        (-end, end)
    }
    fn divergence(&self, x: T, z: T) -> T {
        let cosine = x.cos();
        if x.abs() > T::of(std::f64::consts::FRAC_PI_2) || cosine <= T::zero() {
            return T::infinity();
        }
        // With d = x − φ(z): cos x / cos φ(z) = cos d − z sin d = 1 − t, and D = −z d − ln(1 − t).
        let d = x - self.phi(z);
        let half_sine = (T::of(0.5) * d).sin();
        let versine = T::of(2.0) * half_sine * half_sine;
        let t = versine + z * d.sin();
        if t.abs() > T::of(0.5) {
            return (-z * d - (cosine * T::one().hypot(z)).ln()).max(T::zero());
        }
        (versine - z * sine_gap(d) + log_excess(-t)).max(T::zero())
    }
}

/// d − sin d.
fn sine_gap<T: Real>(d: T) -> T {
    if d.abs() > T::of(0.5) {
        return d - d.sin();
    }
    let square = d * d;
    let mut sum = T::one();
    for k in (2..=7).rev() {
        sum = T::one() - sum * square / T::of(f64::from(2 * k * (2 * k + 1)));
    }
    d * square / T::of(6.0) * sum
}
