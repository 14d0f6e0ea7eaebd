//! Softmax over the units of a layer: f is the negative entropy of the simplex.

use super::Activation;
use super::stable::relative_entropy;
use crate::real::Real;

/// φ(z) = e^z / Σ e^z, f(x) = Σ x ln x on the simplex, f*(z) = ln Σ e^z, D = KL(x‖φ(z)).
#[derive(Debug, Clone, Copy)]
pub struct Softmax;

impl<T: Real> Activation<T> for Softmax {
    fn potential(&self, x: &[T]) -> f64 {
        if !on_simplex(x) {
            return f64::INFINITY;
        }
        let terms = x.iter().map(|x| x.f64()).filter(|&x| x > 0.0).map(|x| x * x.ln());
        terms.sum()
    }
    fn conjugate(&self, z: &[T]) -> f64 {
        let top = z.iter().fold(f64::NEG_INFINITY, |top, z| top.max(z.f64()));
        let sum: f64 = z.iter().map(|z| (z.f64() - top).exp()).sum();
        top + sum.ln()
    }
    fn divergence(&self, x: &[T], z: &[T]) -> f64 {
        if !on_simplex(x) {
            return f64::INFINITY;
        }
        // The terms p − x sum to 0 but for rounding, and make every term of the sum ≥ 0.
        let norm = self.conjugate(z);
        x.iter().zip(z).map(|(x, z)| relative_entropy(x.f64(), z.f64() - norm)).sum()
    }
    fn apply(&self, z: &[T], x: &mut [T]) {
        x.copy_from_slice(z);
        normalise(x);
    }
    fn apply_moved(&self, z: &[T], step: T, g: &mut [T]) {
        for (g, &z) in g.iter_mut().zip(z) {
            *g = z - step * *g;
        }
        normalise(g);
    }
    fn slope_bound(&self) -> T {
        T::of(0.5)
    }
    fn domain(&self) -> (T, T) {
        (T::zero(), T::one())
    }
}

/// z ← e^z / Σ e^z, without overflow.
fn normalise<T: Real>(z: &mut [T]) {
    let top = z.iter().fold(T::neg_infinity(), |top, &z| top.max(z));
    z.iter_mut().for_each(|z| *z = (*z - top).exp());
    // In double precision: beside a term of 1, small ones of many units would be lost.
    let scale = T::of(z.iter().map(|z| z.f64()).sum::<f64>().recip());
    z.iter_mut().for_each(|z| *z *= scale);
}

/// Whether no entry is negative and all add up to 1, up to rounding of each.
fn on_simplex<T: Real>(x: &[T]) -> bool {
    let sum: f64 = x.iter().map(|x| x.f64()).sum();
    let rounding = 4.0 * T::epsilon().f64() * (1.0 + x.len() as f64);
    x.iter().all(|&x| x >= T::zero()) && (sum - 1.0).abs() <= rounding
}
