//! Clipped lines: f is a quadratic on a bounded interval.

use super::stable::half_square;
use super::{Elementwise, Parametric};
use crate::real::Real;

/// φ(z) = clip(m + s z, low, high), f(x) = (x − m)²/(2s) on [low, high], f* a Huber function.
#[derive(Debug, Clone, Copy)]
pub struct Clip<T> {
    low: T,
    high: T,
    mid: T,
    slope: T,
}

impl<T: Real> Clip<T> {
    /// clip(z, 0, limit).
    pub fn relu(limit: T) -> Self {
        Self { low: T::zero(), high: limit, mid: T::zero(), slope: T::one() }
    }

    /// clip(z, −1, 1).
    pub fn tanh() -> Self {
        Self { low: -T::one(), high: T::one(), mid: T::zero(), slope: T::one() }
    }

    /// clip(½ + slope·z, 0, 1).
    pub fn sigmoid(slope: T) -> Self {
        Self { low: T::zero(), high: T::one(), mid: T::of(0.5), slope }
    }
}

impl<T: Real> Elementwise<T> for Clip<T> {
    fn potential(&self, x: T) -> T {
        if x < self.low || x > self.high {
            return T::infinity();
        }
        half_square(x - self.mid) / self.slope
    }
    fn conjugate(&self, z: T) -> T {
        let line = self.mid + self.slope * z;
        if line > self.low && line < self.high {
            return z * (self.mid + T::of(0.5) * self.slope * z);
        }
        let end = if line > self.low { self.high } else { self.low };
        end * z - half_square(end - self.mid) / self.slope
    }
    fn phi(&self, z: T) -> T {
        (self.mid + self.slope * z).max(self.low).min(self.high)
    }
    fn slope_bound(&self) -> T {
        self.slope
    }
    fn domain(&self) -> (T, T) {
        (self.low, self.high)
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x < self.low || x > self.high {
            return T::infinity();
        }
        // With c = φ(z): D = (x − c)²/(2s) + (c − x)(z − (c − m)/s); the second term is 0 where
        // c is on the line, and otherwise c is the end of the interval on z's side.
        let line = self.mid + self.slope * z;
        let c = self.phi(z);
        let square = half_square(x - c) / self.slope;
        if line > self.low && line < self.high {
            return square;
        }
        square + ((c - x) * (z - (c - self.mid) / self.slope)).max(T::zero())
    }
}

/// r = 1/slope: f = r(x − m)²/2, and ∂f*/∂r (z) = −(φ(z) − m)²/2.
impl<T: Real> Parametric<T> for Clip<T> {
    fn sensitivity(&self, x: T, _u: T, phi: T, _z: T) -> [T; 3] {
        let bent = phi > self.low && phi < self.high;
        let (x, phi) = (x - self.mid, phi - self.mid);
        let (half, square) = (T::of(0.5), phi * phi);
        let curvature = if bent { square * self.slope } else { T::zero() };
        [half * (x - phi) * (x + phi), half * (x * x + square), curvature]
    }
    fn inverse(&self, x: T) -> T {
        (x - self.mid) / self.slope
    }
}
