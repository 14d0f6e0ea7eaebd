//! The exponential linear unit: f is a quadratic above zero and an entropy below.

use super::stable::{exp_excess, half_square, relative_entropy};
use super::{Elementwise, Parametric};
use crate::real::Real;

/// φ(z) = z for z ≥ 0, a(e^z − 1) below (0 < a ≤ 1); f(x) = x²/2 for x ≥ 0 and
/// (a + x) ln(1 + x/a) − x on [−a, 0]; f*(z) = z²/2, below zero a(e^z − z − 1).
#[derive(Debug, Clone, Copy)]
pub struct Elu<T> {
    alpha: T,
}

impl<T: Real> Elu<T> {
    /// With the given limit −alpha below zero, 0 < alpha ≤ 1.
    pub fn new(alpha: T) -> Self {
        Self { alpha }
    }

    /// D(x, z) for x, z ≤ 0: a·KL(e^u‖e^z) with x = a(e^u − 1).
    fn below(&self, x: T, z: T) -> T {
        let a = self.alpha;
        let ratio = x / a;
        if ratio < T::of(-0.5) {
            return a * relative_entropy((a + x) / a, z);
        }
        // 1 + x/a would round the digits of a small x away.
        let v = z - ratio.ln_1p();
        if v > T::one() { a * z.exp() - (a + x) * (T::one() + v) } else { (a + x) * exp_excess(v) }
    }
}

impl<T: Real> Elementwise<T> for Elu<T> {
    fn potential(&self, x: T) -> T {
        if x < -self.alpha {
            T::infinity()
        } else if x < T::zero() {
            self.below(x, T::zero())
        } else {
            half_square(x)
        }
    }
    fn conjugate(&self, z: T) -> T {
        if z < T::zero() { self.alpha * exp_excess(z) } else { half_square(z) }
    }
    fn phi(&self, z: T) -> T {
        if z > T::zero() { z } else { self.alpha * z.exp_m1() }
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (-self.alpha, T::infinity())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x < -self.alpha {
            return T::infinity();
        }
        match (x < T::zero(), z < T::zero()) {
            (false, false) => half_square(x - z),
            (true, true) => self.below(x, z).max(T::zero()),
            // f, f* and −x z are all ≥ 0.
            _ => self.potential(x) + self.conjugate(z) - x * z,
        }
    }
}

impl<T: Real> Elu<T> {
    /// e^v − 1 − v for v < 0, given e^v − 1: cheap, and accurate enough for sums.
    fn excess(v: T, minus_one: T) -> T {
        if v < T::of(-0.05) { minus_one - v } else { exp_excess(v) }
    }
}

/// r = alpha, in which f = (r + x) ln(1 + x/r) − x and f* = r(e^z − z − 1) are convex below zero.
/// With x = φ(u): ∂f/∂r (x) = ln(1 + x/r) − x/r = −(e^u − 1 − u).
impl<T: Real> Parametric<T> for Elu<T> {
    fn sensitivity(&self, x: T, u: T, phi: T, z: T) -> [T; 3] {
        let (mut lifted, mut curvature, mut plain) = (T::zero(), T::zero(), T::zero());
        // The same for every entry.
        let inverse = self.alpha.recip();
        if x < T::zero() {
            let y = x * inverse;
            lifted = Self::excess(u, y);
            curvature = inverse * y * y / (T::one() + y).max(T::epsilon());
        }
        if z < T::zero() {
            plain = Self::excess(z, phi * inverse);
        }
        [plain - lifted, plain + lifted, curvature]
    }
    fn inverse(&self, x: T) -> T {
        // At −alpha, as far as rounding lets φ tell numbers apart.
        let end = T::of(0.5) * T::epsilon() - T::one();
        if x < T::zero() { (x / self.alpha).max(end).ln_1p() } else { x }
    }
    fn least_coordinate(&self, x: T) -> T {
        -x
    }
}
