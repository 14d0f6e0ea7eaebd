//! Logistic and tanh: f is an entropy, f* a soft maximum.

use super::Elementwise;
use crate::real::Real;

/// φ(z) = 1/(1 + e^{−z}), f(x) = x ln x + (1 − x) ln(1 − x) on [0, 1], f*(z) = ln(1 + e^z).
#[derive(Debug, Clone, Copy)]
pub struct Logistic;

impl<T: Real> Elementwise<T> for Logistic {
    fn potential(&self, x: T) -> T {
        if x < T::zero() || x > T::one() {
            return T::infinity();
        }
        entropy_term(x) + entropy_term(T::one() - x)
    }
    fn conjugate(&self, z: T) -> T {
        log1p_exp(z)
    }
    fn phi(&self, z: T) -> T {
        logistic(z)
    }
    fn slope_bound(&self) -> T {
        T::of(0.25)
    }
    fn domain(&self) -> (T, T) {
        (T::zero(), T::one())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x < T::zero() || x > T::one() {
            return T::infinity();
        }
        // f*(z) − x z = x f*(−z) + (1 − x) f*(z) keeps both terms small where z is large.
        let cross = x * log1p_exp(-z) + (T::one() - x) * log1p_exp(z);
        (<Self as Elementwise<T>>::potential(self, x) + cross).max(T::zero())
    }
}

/// φ(z) = tanh z, f(x) = ½[(1+x) ln(1+x) + (1−x) ln(1−x)] on [−1, 1], f*(z) = ln cosh z.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

impl<T: Real> Elementwise<T> for Tanh {
    fn potential(&self, x: T) -> T {
        if x.abs() > T::one() {
            return T::infinity();
        }
        T::of(0.5) * (entropy_term(T::one() + x) + entropy_term(T::one() - x))
    }
    fn conjugate(&self, z: T) -> T {
        // cosh z − 1 = 2 sinh²(z/2) keeps the digits of small z, the other form does not overflow.
        let a = z.abs();
        if a < T::one() {
            let s = (T::of(0.5) * a).sinh();
            return (s * s + s * s).ln_1p();
        }
        a + (T::of(-2.0) * a).exp().ln_1p() - T::of(std::f64::consts::LN_2)
    }
    fn phi(&self, z: T) -> T {
        z.tanh()
    }
    fn slope_bound(&self) -> T {
        T::one()
    }
    fn domain(&self) -> (T, T) {
        (-T::one(), T::one())
    }
    fn divergence(&self, x: T, z: T) -> T {
        if x.abs() > T::one() {
            return T::infinity();
        }
        // With p = (1 + x)/2 this is the logistic divergence at 2z: tanh z = 2 logistic(2z) − 1.
        let p = T::of(0.5) * (T::one() + x);
        Logistic.divergence(p, z + z)
    }
}

/// x ln x, continued by 0 at 0.
fn entropy_term<T: Real>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x * x.ln() }
}

/// 1/(1 + e^{−z}) without overflow.
pub(crate) fn logistic<T: Real>(z: T) -> T {
    if z >= T::zero() {
        T::one() / (T::one() + (-z).exp())
    } else {
        let e = z.exp();
        e / (T::one() + e)
    }
}

/// ln(1 + e^z) without overflow or cancellation.
pub(crate) fn log1p_exp<T: Real>(z: T) -> T {
    z.max(T::zero()) + (-z.abs()).exp().ln_1p()
}
