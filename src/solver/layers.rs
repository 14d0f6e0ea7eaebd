//! The weights under training: one affine map a layer, with its velocity and its metric.

use crate::error::Result;
use crate::kernel::weight_block::{gradient, inverse_metric};
use crate::linalg::{Threads, product};
use crate::real::Real;
use ndarray::{Array2, ArrayView2, s};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// One layer: z = Wᵀ(x, 1).
#[derive(Debug, Clone)]
pub(super) struct Layer<T> {
    /// W, `(n_in + 1, n_out)`; the last row is the intercept.
    pub weights: Array2<T>,
    /// Mean gradient of the batch, of W's shape.
    pub gradient: Array2<T>,
    velocity: Array2<T>,
    step: Array2<T>,
    /// Inverse of the damped Gram matrix of the input; `None` where that is the identity.
    inverse_metric: Option<Array2<T>>,
}

impl<T: Real> Layer<T> {
    pub fn new(weights: Array2<T>) -> Self {
        let zeros = Array2::zeros(weights.raw_dim());
        Self { gradient: zeros.clone(), velocity: zeros.clone(), step: zeros, weights, inverse_metric: None }
    }

    /// Half the squared norm of the penalised weights.
    pub fn half_square(&self) -> f64 {
        let rows = self.weights.nrows() - 1;
        let sum = |row: ndarray::ArrayView1<'_, T>| row.iter().map(|v| v.f64() * v.f64()).sum::<f64>();
        0.5 * self.weights.rows().into_iter().take(rows).map(sum).sum::<f64>()
    }

    /// Adds the gradient of the ridge penalty, which leaves the intercept alone.
    pub fn add_ridge(&mut self, ridge: f64) {
        let rows = self.weights.nrows() - 1;
        let weights = self.weights.slice(s![..rows, ..]);
        self.gradient.slice_mut(s![..rows, ..]).scaled_add(T::of(ridge), &weights);
    }

    /// Whether every weight and intercept is finite.
    pub fn is_finite(&self) -> bool {
        self.weights.iter().all(|v| v.is_finite())
    }

    /// Takes over the metric of a new Gram matrix, `(n_in + 1, n_in + 1)`.
    pub fn set_metric(
        &mut self,
        gram: ArrayView2<'_, T>,
        damping: f64,
        ridge: f64,
        threads: Threads,
    ) -> Result<()> {
        self.inverse_metric = Some(inverse_metric(gram, damping, ridge, threads)?);
        Ok(())
    }

    /// Gradient of the weight block over chunks of (input, δ), summed with a factor `scale`.
    pub fn set_gradient<'c>(
        &mut self,
        chunks: impl Iterator<Item = (ArrayView2<'c, T>, ArrayView2<'c, T>)> + Clone + Send + Sync,
        scale: T,
        ridge: T,
        threads: Threads,
    ) {
        gradient(chunks, self.weights.view(), scale, ridge, self.gradient.view_mut(), threads);
    }

    /// Solves the majorised weight block: step ← (metric + ridge)⁻¹ gradient. Returns ⟨gradient, step⟩, the
    /// squared length of the step in the metric.
    pub fn solve(&mut self, ridge: f64, threads: Threads) -> f64 {
        match &self.inverse_metric {
            Some(inverse) => {
                product(
                    T::one(),
                    inverse.view(),
                    self.gradient.view(),
                    T::zero(),
                    self.step.view_mut(),
                    threads,
                );
            }
            None => {
                let n_in = self.weights.nrows() - 1;
                let shrink = T::of(1.0 / (1.0 + ridge));
                self.step.assign(&self.gradient);
                self.step.rows_mut().into_iter().take(n_in).for_each(|mut row| row *= shrink);
            }
        }
        match (self.gradient.as_slice(), self.step.as_slice()) {
            (Some(gradient), Some(step)) => dot(gradient, step),
            _ => 0.0,
        }
    }

    /// Heavy ball: v ← β v + c·step, W ← W − η v.
    pub fn descend(&mut self, rate: T, momentum: T, clip: T, threads: Threads) {
        let update = |((weights, velocity), step): ((&mut [T], &mut [T]), &[T])| {
            for ((w, v), &s) in weights.iter_mut().zip(velocity).zip(step) {
                *v = momentum * *v + clip * s;
                *w -= rate * *v;
            }
        };
        let (weights, velocity) = (self.weights.as_slice_mut(), self.velocity.as_slice_mut());
        let (Some(weights), Some(velocity), Some(step)) = (weights, velocity, self.step.as_slice()) else {
            return;
        };
        match threads {
            Threads::One => update(((weights, velocity), step)),
            Threads::All => {
                let weights = weights.par_chunks_mut(PIECE);
                weights.zip(velocity.par_chunks_mut(PIECE)).zip(step.par_chunks(PIECE)).for_each(update);
            }
        }
    }

    /// Forgets the momentum and returns to earlier weights.
    pub fn restore(&mut self, weights: &Array2<T>) {
        self.weights.assign(weights);
        self.velocity.fill(T::zero());
    }
}

/// Numbers that one thread updates at a time.
const PIECE: usize = 1 << 14;

/// Inner product, with lanes that the compiler can keep in vector registers.
fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [T::zero(); LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: T = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    (sums.into_iter().sum::<T>() + tail).f64()
}

/// Random hidden weights, `(n_in, n_out)`, of variance gain²/n_in.
pub(super) fn random_weights<T: Real>(
    n_in: usize,
    n_out: usize,
    gain: f64,
    rng: &mut Xoshiro256PlusPlus,
) -> Array2<T> {
    let deviation = gain / (n_in as f64).sqrt();
    Array2::from_shape_simple_fn((n_in, n_out), || {
        let normal: f64 = StandardNormal.sample(rng);
        T::of(normal * deviation)
    })
}
