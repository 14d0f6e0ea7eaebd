//! The worst noise on the inputs: what a robust fit trains on.
//!
//! ```text
//! min over W, b  max over |u_i| ≤ ρ  min over x   mean_i s_i [ ℓ + λ Σ_l D ]  at the inputs x₀ᵢ + u_i
//! ```
//!
//! u is in units of the centred, scaled features. Mapped inputs move by Mᵀu (see `input_map.rs`), so
//! with g the gradient of the loss at the mapped input, pulled back through the activation blocks,
//! the loss grows as ⟨Mg, u⟩ to first order and the noise block has a closed form:
//!
//! ```text
//! u = ρ Mg / |Mg|,   x̃ ← x̃ + ρ N g / √(gᵀNg),   N = MᵀM
//! ```
//!
//! The first layer of Askari et al. (2018) against such noise is the robust least squares of
//! El Ghaoui and Lebret (1997), whose worst case is a ridge on W₁ in the units of the features. It
//! holds the lifted variables x₁ fixed while the noise moves, so nothing of the noise reaches the
//! loss, and units that are scaled by W₁ and back by W₂ evade the ridge. Here x answers the noise.

use super::input_map::InputMap;
use super::layers::Layer;
use super::pass::{Batch, Data};
use crate::activation::{ActivationKind, Tie};
use crate::linalg::{Threads, product, sum_of_pairs};
use crate::real::{Real, cast};
use crate::spec::Options;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Zip};

/// The ball of the noise in mapped coordinates.
#[derive(Debug, Clone)]
pub(super) struct InputNoise<T> {
    radius: f64,
    /// N.
    metric: Metric<T>,
}

#[derive(Debug, Clone)]
enum Metric<T> {
    Identity,
    /// As eigenvectors of the covariance have it, `(k,)`.
    Diagonal(Array1<T>),
    /// `(k, k)`.
    Full(Array2<T>),
}

impl<T: Real> Metric<T> {
    /// What of N is beyond rounding.
    fn of(n: Array2<T>) -> Self {
        /// Size beside the diagonal, relative to it, that turns the noise by no more than rounding does.
        const NEGLIGIBLE: f64 = 1e-5;
        let diagonal = n.diag().to_owned();
        let roots = diagonal.mapv(|v| v.f64().sqrt());
        let diagonal_alone =
            n.indexed_iter().all(|((i, j), v)| i == j || v.f64().abs() <= NEGLIGIBLE * roots[i] * roots[j]);
        if diagonal_alone { Metric::Diagonal(diagonal) } else { Metric::Full(n) }
    }
}

impl<T: Real> InputNoise<T> {
    /// The ball of the options in the coordinates of `map`; `None` where its radius is 0.
    pub fn new<D: Real>(map: &InputMap<D>, options: &Options) -> Option<Self> {
        let metric = || map.noise_metric().as_ref().map(cast);
        (options.input_noise > 0.0).then(|| Self::with_metric(options.input_noise, metric()))
    }

    /// With N given, or the identity.
    pub fn with_metric(radius: f64, metric: Option<Array2<T>>) -> Self {
        Self { radius, metric: metric.map_or(Metric::Identity, Metric::of) }
    }

    /// ρ.
    pub fn radius(&self) -> f64 {
        self.radius
    }

    /// x̃ ← x̃ + r N g / √(gᵀNg) for every row, r a share of ρ; none where g is 0.
    ///
    /// * `delta`: gradient in the pre-activations of the first layer, `(n_samples, n_units)`;
    /// * `weights`: of that layer without the intercept, `(k, n_units)`;
    /// * `inputs`: x̃ without the trailing ones, `(n_samples, k)`;
    /// * `pulled`, `moved`: work space of the shape of `inputs`.
    pub fn add(
        &self,
        share: f64,
        delta: ArrayView2<'_, T>,
        weights: ArrayView2<'_, T>,
        mut inputs: ArrayViewMut2<'_, T>,
        mut pulled: ArrayViewMut2<'_, T>,
        mut moved: ArrayViewMut2<'_, T>,
    ) {
        product(T::one(), delta, weights.t(), T::zero(), pulled.view_mut(), Threads::One);
        let moved = match &self.metric {
            Metric::Identity => pulled.view(),
            Metric::Diagonal(diagonal) => {
                Zip::from(&mut moved).and(&pulled).and_broadcast(diagonal).for_each(|step, &g, &n| {
                    *step = n * g;
                });
                moved.view()
            }
            Metric::Full(metric) => {
                product(T::one(), pulled.view(), metric.view(), T::zero(), moved.view_mut(), Threads::One);
                moved.view()
            }
        };
        for ((mut x, g), step) in inputs.rows_mut().into_iter().zip(pulled.rows()).zip(moved.rows()) {
            let (Some(x), Some(g), Some(step)) = (x.as_slice_mut(), g.as_slice(), step.as_slice()) else {
                return;
            };
            let squared = sum_of_pairs(g, step, |g, step| g.f64() * step.f64());
            let scale = share * self.radius / squared.sqrt();
            if scale.is_finite() {
                x.iter_mut().zip(step).for_each(|(x, &step)| *x += T::of(scale * step.f64()));
            }
        }
    }
}

/// All inputs, moved by the worst noise against some weights.
#[derive(Debug)]
pub(super) struct NoisyInputs<T> {
    batch: Batch<T>,
    /// Against the accepted weights, `(n_samples, k + 1)`.
    pub current: Array2<T>,
    /// Against those that were tried last.
    pub trial: Array2<T>,
}

impl<T: Real> NoisyInputs<T> {
    pub fn new(noise: InputNoise<T>, layers: &[Layer<T>], data: Data<'_, '_, T>, options: &Options) -> Self {
        Self {
            batch: Batch::new(layers, options).with_noise(Some(noise)),
            current: data.inputs.clone(),
            trial: data.inputs.clone(),
        }
    }

    /// The noise against `layers` with these activations, to `trial`.
    pub fn find(&mut self, layers: &[Layer<T>], kinds: &[ActivationKind], data: Data<'_, '_, T>) {
        self.batch.activations.restore(kinds);
        self.batch.disturbed(layers, data, self.trial.view_mut());
    }

    /// See [`Batch::set_noise_share`].
    pub fn set_share(&mut self, share: f64) -> Option<f64> {
        self.batch.set_noise_share(share)
    }

    /// Takes over the noise of the last [`NoisyInputs::find`].
    pub fn accept(&mut self) {
        std::mem::swap(&mut self.current, &mut self.trial);
    }
}

/// Scales every row to unit norm, so that rounding does not take the direction of what is small.
pub(super) fn normalise<T: Real>(mut rows: ArrayViewMut2<'_, T>) {
    for mut row in rows.rows_mut() {
        let norm = row.iter().map(|v| v.f64() * v.f64()).sum::<f64>().sqrt();
        if norm > 0.0 && norm.is_finite() {
            row.map_inplace(|v| *v = T::of(v.f64() / norm));
        }
    }
}

/// [`Tie::pull_back_loss`] of every row.
pub(super) fn pull_back_loss<T: Real>(
    tie: &Tie<T>,
    z: ArrayView2<'_, T>,
    x: ArrayView2<'_, T>,
    lambda: T,
    mut g: ArrayViewMut2<'_, T>,
) {
    for ((z, x), mut g) in z.rows().into_iter().zip(x.rows()).zip(g.rows_mut()) {
        if let (Some(z), Some(x), Some(g)) = (z.as_slice(), x.as_slice(), g.as_slice_mut()) {
            tie.pull_back_loss(z, x, lambda, g);
        }
    }
}
