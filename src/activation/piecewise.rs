//! Piecewise linear activations: f is a quadratic on an interval, φ a projection or a bent line.

use super::stable::half_square;
use super::{Elementwise, Moments, Parametric};
use crate::real::Real;

/// φ(z) = z, f(x) = x²/2, f*(z) = z²/2.
#[derive(Debug, Clone, Copy)]
pub struct Identity;

impl<T: Real> Elementwise<T> for Identity {
    fn potential(&self, x: T) -> T {
        half_square(x)
    }
    fn conjugate(&self, z: T) -> T {
        half_square(z)
    }
    fn phi(&self, z: T) -> T {
        z
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (T::neg_infinity(), T::infinity())
    }
    fn divergence(&self, x: T, z: T) -> T {
        half_square(x - z)
    }
}

/// φ(z) = max(0, z), f(x) = x²/2 on x ≥ 0, f*(z) = max(0, z)²/2.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl<T: Real> Elementwise<T> for Relu {
    fn potential(&self, x: T) -> T {
        if x < T::zero() { T::infinity() } else { half_square(x) }
    }
    fn conjugate(&self, z: T) -> T {
        half_square(z.max(T::zero()))
    }
    fn phi(&self, z: T) -> T {
        if z > T::zero() { z } else { T::zero() }
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (T::zero(), T::infinity())
    }
    fn divergence(&self, x: T, z: T) -> T {
        // (x − z⁺)²/2 − x z⁻, without a branch on the sign of z, which is as good as random.
        let above = self.phi(z);
        let inside = half_square(x - above) - x * (z - above);
        if x < T::zero() { T::infinity() } else { inside }
    }
}

/// φ(z) = z for z ≥ 0, a·z below (0 < a ≤ 1); f(x) = x²/2, below zero x²/(2a).
#[derive(Debug, Clone, Copy)]
pub struct LeakyRelu<T> {
    slope: T,
}

impl<T: Real> LeakyRelu<T> {
    /// With the given slope below zero, 0 < slope ≤ 1.
    pub fn new(slope: T) -> Self {
        Self { slope }
    }
}

impl<T: Real> Elementwise<T> for LeakyRelu<T> {
    fn potential(&self, x: T) -> T {
        if x < T::zero() { half_square(x) / self.slope } else { half_square(x) }
    }
    fn conjugate(&self, z: T) -> T {
        if z < T::zero() { half_square(z) * self.slope } else { half_square(z) }
    }
    fn phi(&self, z: T) -> T {
        if z > T::zero() { z } else { self.slope * z }
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (T::neg_infinity(), T::infinity())
    }
    fn divergence(&self, x: T, z: T) -> T {
        // x and z on the same side give a perfect square; otherwise every term is ≥ 0.
        match (x < T::zero(), z < T::zero()) {
            (false, false) => half_square(x - z),
            (true, true) => half_square(x - self.slope * z) / self.slope,
            _ => self.potential(x) + self.conjugate(z) - x * z,
        }
    }
}

/// r = 1/slope: f = r x₋²/2, f* = z₋²/(2r).
impl<T: Real> Parametric<T> for LeakyRelu<T> {
    fn sensitivity(&self, x: T, _u: T, phi: T, _z: T) -> [T; 3] {
        let (x, phi) = (x.min(T::zero()), phi.min(T::zero()));
        let half = T::of(0.5);
        [half * (x - phi) * (x + phi), half * (x * x + phi * phi), phi * phi * self.slope]
    }
    fn inverse(&self, x: T) -> T {
        if x < T::zero() { x / self.slope } else { x }
    }
    /// Exact: Σ D = A r + B/r.
    fn model_minimiser(&self, r: f64, moments: &Moments) -> f64 {
        let b = 0.5 * moments.curvature * r * r * r;
        (b / (moments.slope + b / (r * r))).sqrt()
    }
}

/// φ(z) = z − clip(z, −t, t), f(x) = x²/2 + t|x|, f*(z) = max(0, |z| − t)²/2.
#[derive(Debug, Clone, Copy)]
pub struct SoftThreshold<T> {
    threshold: T,
}

impl<T: Real> SoftThreshold<T> {
    /// With the given threshold, at least 0.
    pub fn new(threshold: T) -> Self {
        Self { threshold }
    }

    fn clip(&self, z: T) -> T {
        z.max(-self.threshold).min(self.threshold)
    }
}

impl<T: Real> Elementwise<T> for SoftThreshold<T> {
    fn potential(&self, x: T) -> T {
        half_square(x) + self.threshold * x.abs()
    }
    fn conjugate(&self, z: T) -> T {
        half_square(z - self.clip(z))
    }
    fn phi(&self, z: T) -> T {
        z - self.clip(z)
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (T::neg_infinity(), T::infinity())
    }
    fn divergence(&self, x: T, z: T) -> T {
        // With p = clip(z, −t, t): D = (x − φ(z))²/2 + t|x| − x p, and |p| ≤ t.
        let p = self.clip(z);
        half_square(x - (z - p)) + (self.threshold * x.abs() - x * p)
    }
}

/// r = threshold: f = x²/2 + r|x|, f* = max(0, |z| − r)²/2.
impl<T: Real> Parametric<T> for SoftThreshold<T> {
    fn sensitivity(&self, x: T, _u: T, phi: T, _z: T) -> [T; 3] {
        let (x, phi) = (x.abs(), phi.abs());
        [x - phi, x + phi, if phi > T::zero() { T::one() } else { T::zero() }]
    }
    fn inverse(&self, x: T) -> T {
        if x == T::zero() { x } else { x + self.threshold.copysign(x) }
    }
}
