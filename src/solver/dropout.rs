//! Dropout: every step is that of a network of which hidden units are left out at random.
//!
//! ```text
//! min over W, b  E over m  min over x   mean_i s_i [ ℓ + λ Σ_l D ]  with m_l ∘ x_l seen by the layer above x_l
//! ```
//!
//! m is 1/(1 − p) with probability 1 − p and 0 otherwise, drawn anew for every unit, sample and step, so
//! that E m = 1 and the whole network is the mean of the thinned ones (Srivastava et al. 2014). The
//! activation block of x_l has the gradient m_l ∘ W_{l+1}δ_{l+1}; its variable and its divergence are
//! those of all units. The metric of the layer above is the expected Gram matrix,
//!
//! ```text
//! E (m ∘ x)(m ∘ x)ᵀ = x xᵀ + p/(1 − p) diag(x²)
//! ```
//!
//! in closed form. Nothing is left out where a network is evaluated.

use super::layers::Layer;
use crate::real::Real;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rand::Rng;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The masks of up to so many samples that are worked on together; each such chunk has a generator
/// of its own, so that the bits do not depend on the threads.
#[derive(Debug)]
pub(super) struct Dropout<T> {
    generator: Xoshiro256PlusPlus,
    /// Of each hidden layer; `None` where no unit is left out.
    masks: Vec<Option<Mask<T>>>,
}

#[derive(Debug)]
struct Mask<T> {
    rate: f64,
    /// m, `(rows, n_units)`.
    factors: Array2<T>,
    /// x of all units, of the same shape.
    whole: Array2<T>,
}

/// One for each chunk: their numbers are parts of one sequence, far from each other and from those that
/// `seed` itself begins.
pub(super) fn generators(seed: u64) -> impl Iterator<Item = Xoshiro256PlusPlus> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    generator.long_jump();
    std::iter::repeat_with(move || {
        generator.jump();
        generator.clone()
    })
}

impl<T: Real> Dropout<T> {
    /// With the rate p of each hidden layer, for up to so many rows; `None` where all are 0.
    pub fn new(
        layers: &[Layer<T>],
        rates: &[f64],
        rows: usize,
        generator: Xoshiro256PlusPlus,
    ) -> Option<Self> {
        let mask = |(&rate, layer): (&f64, &Layer<T>)| {
            let zeros = Array2::zeros((rows, layer.weights.ncols()));
            (rate > 0.0).then(|| Mask { rate, factors: zeros.clone(), whole: zeros })
        };
        let masks = rates.iter().zip(layers).map(mask).collect();
        rates.iter().any(|&rate| rate > 0.0).then_some(Self { generator, masks })
    }

    /// Draws the masks of so many rows.
    pub fn draw(&mut self, rows: usize) {
        for mask in self.masks.iter_mut().flatten() {
            let below = (mask.rate * 2f64.powi(32)).round() as u64;
            let kept = T::of((1.0 - mask.rate).recip());
            for mut factors in mask.factors.rows_mut().into_iter().take(rows) {
                let Some(factors) = factors.as_slice_mut() else { return };
                // Half of the bits for each of two units.
                for pair in factors.chunks_mut(2) {
                    let mut bits = self.generator.next_u64();
                    for factor in pair {
                        *factor = if bits & 0xffff_ffff < below { T::zero() } else { kept };
                        bits >>= 32;
                    }
                }
            }
        }
    }

    /// x ← m ∘ x for hidden layer `l`; `x`: `(rows, n_units)`.
    pub fn thin(&mut self, l: usize, mut x: ArrayViewMut2<'_, T>) {
        let Some(mask) = &mut self.masks[l] else { return };
        let rows = s![..x.nrows(), ..];
        mask.whole.slice_mut(rows).assign(&x);
        x *= &mask.factors.slice(rows);
    }

    /// g ← m ∘ g for hidden layer `l`: from the gradient in what the layer above sees to that in x.
    pub fn thin_gradient(&self, l: usize, mut g: ArrayViewMut2<'_, T>) {
        let Some(mask) = &self.masks[l] else { return };
        g *= &mask.factors.slice(s![..g.nrows(), ..]);
    }

    /// x of all units of hidden layer `l`, of `rows` rows; `None` where no unit is left out.
    pub fn whole(&self, l: usize, rows: usize) -> Option<ArrayView2<'_, T>> {
        self.masks[l].as_ref().map(|mask| mask.whole.slice(s![..rows, ..]))
    }

    /// From the Gram matrix of the inputs of the layer above hidden layer `l`, with a trailing one, to the
    /// one expected of thinned inputs.
    pub fn widen(&self, l: usize, mut gram: ArrayViewMut2<'_, T>) {
        let Some(mask) = &self.masks[l] else { return };
        let kept = T::of((1.0 - mask.rate).recip());
        let units = gram.nrows() - 1;
        gram.diag_mut().iter_mut().take(units).for_each(|square| *square *= kept);
    }
}
