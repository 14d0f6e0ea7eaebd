//! Softplus: f* is a dilogarithm.

use super::stable::half_square;
use super::{Elementwise, log1p_exp};
use crate::real::Real;

/// φ(z) = ln(1 + e^z), f*(z) = −Li₂(−e^z), f by f′(x) = ln(e^x − 1), on x ≥ 0.
#[derive(Debug, Clone, Copy)]
pub struct Softplus;

const PI_SQUARE_SIXTH: f64 = std::f64::consts::PI * std::f64::consts::PI / 6.0;

/// Both forms of f* hold to this distance beyond the zero where they meet.
const OVERLAP: f64 = 0.5;

impl<T: Real> Elementwise<T> for Softplus {
    fn potential(&self, x: T) -> T {
        if x <= T::zero() {
            return if x < T::zero() { T::infinity() } else { T::zero() };
        }
        // f(x) = x u − f*(u) at φ(u) = x.
        let u = inverse(x);
        if u <= T::zero() {
            return x * u - series(x);
        }
        // x u − u²/2 = u²/2 + (x − u) u.
        half_square(u) + log1p_exp(-u) * u - T::of(PI_SQUARE_SIXTH) + series(log1p_exp(-u))
    }
    fn conjugate(&self, z: T) -> T {
        if z <= T::zero() {
            return series(log1p_exp(z));
        }
        // Li₂(−y) + Li₂(−1/y) = −π²/6 − ½ ln² y.
        T::of(PI_SQUARE_SIXTH) + half_square(z) - series(log1p_exp(-z))
    }
    fn phi(&self, z: T) -> T {
        log1p_exp(z)
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (T::zero(), T::infinity())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x < T::zero() {
            return T::infinity();
        }
        if x == T::zero() {
            return self.conjugate(z);
        }
        // D(x, z) = f*(z) − f*(u) − x(z − u) at φ(u) = x, the constants and squares cancelled.
        let (u, overlap) = (inverse(x), T::of(OVERLAP));
        let d = if z <= overlap && u <= overlap {
            series(log1p_exp(z)) - series(x) - x * (z - u)
        } else if z >= -overlap && u >= -overlap {
            let rest = log1p_exp(-u);
            half_square(z - u) - rest * (z - u) + series(rest) - series(log1p_exp(-z))
        } else if z > u {
            self.conjugate(z) - series(x) - x * (z - u)
        } else {
            let rest = log1p_exp(-u);
            half_square(u) + rest * u - x * z - T::of(PI_SQUARE_SIXTH) + series(rest) + series(log1p_exp(z))
        };
        d.max(T::zero())
    }
}

/// φ⁻¹(x) = ln(e^x − 1) = x + ln(1 − e^{−x}).
fn inverse<T: Real>(x: T) -> T {
    if x < T::of(std::f64::consts::LN_2) { x.exp_m1().ln() } else { x + (-(-x).exp()).ln_1p() }
}

/// −Li₂(1 − e^s), which is f*(z) for s = ln(1 + e^z), by the Bernoulli numbers Bₙ:
/// Σ Bₙ (−1)ⁿ s^{n+1}/(n + 1)!, here for 0 ≤ s ≤ 1.
fn series<T: Real>(s: T) -> T {
    /// B₂ₙ/(2n + 1)!, from n = 1.
    const COEFFICIENTS: [f64; 10] = [
        1.0 / 36.0,
        -1.0 / 3600.0,
        1.0 / 211_680.0,
        -1.0 / 10_886_400.0,
        1.0 / 526_901_760.0,
        -4.064_761_645_144_226e-11,
        8.921_691_020_456_453e-13,
        -1.993_929_586_072_108e-14,
        4.518_980_029_619_918e-16,
        -1.035_651_761_218_125e-17,
    ];
    let square = s * s;
    let mut sum = T::zero();
    for &coefficient in COEFFICIENTS.iter().rev() {
        sum = sum * square + T::of(coefficient);
    }
    s + T::of(0.25) * square + s * square * sum
}
