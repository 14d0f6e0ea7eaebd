//! Step and sign: f is 0 on an interval, φ jumps. The lifted problem borrows a smooth neighbour,
//! see [`super::ActivationKind::lifted`].

use super::Elementwise;
use crate::real::Real;

/// φ(z) = 1 for z > 0, else 0; f = 0 on [0, 1], f*(z) = max(0, z).
#[derive(Debug, Clone, Copy)]
pub struct Step;

impl<T: Real> Elementwise<T> for Step {
    fn potential(&self, x: T) -> T {
        if x < T::zero() || x > T::one() { T::infinity() } else { T::zero() }
    }
    fn conjugate(&self, z: T) -> T {
        z.max(T::zero())
    }
    fn phi(&self, z: T) -> T {
        if z > T::zero() { T::one() } else { T::zero() }
    }
    fn slope_bound(&self) -> T {
        T::infinity()
    }
    fn domain(&self) -> (T, T) {
        (T::zero(), T::one())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x < T::zero() || x > T::one() {
            T::infinity()
        } else if z > T::zero() {
            (T::one() - x) * z
        } else {
            x * -z
        }
    }
}

/// φ(z) = 1 for z > 0, −1 for z < 0, 0 at 0; f = 0 on [−1, 1], f*(z) = |z|.
#[derive(Debug, Clone, Copy)]
pub struct Sign;

impl<T: Real> Elementwise<T> for Sign {
    fn potential(&self, x: T) -> T {
        if x.abs() > T::one() { T::infinity() } else { T::zero() }
    }
    fn conjugate(&self, z: T) -> T {
        z.abs()
    }
    fn phi(&self, z: T) -> T {
        if z > T::zero() {
            T::one()
        } else if z < T::zero() {
            -T::one()
        } else {
            T::zero()
        }
    }
    fn slope_bound(&self) -> T {
        T::infinity()
    }
    fn domain(&self) -> (T, T) {
        (-T::one(), T::one())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x.abs() > T::one() {
            T::infinity()
        } else if z > T::zero() {
            (T::one() - x) * z
        } else {
            (T::one() + x) * -z
        }
    }
}
