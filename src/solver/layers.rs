//! The weights under training: one affine map a layer, with its velocity and its metric.

use crate::error::Result;
use crate::kernel::proximal_weight_block::ProximalBlock;
use crate::kernel::weight_block::{gradient, majoriser, metric_damping, sum_parts};
use crate::linalg::{Threads, damped_inverse, product, sum_of_pairs};
use crate::penalty::Penalty;
use crate::real::Real;
use ndarray::{Array2, ArrayView2, s};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// One layer: z = Wᵀ(x, 1).
#[derive(Debug)]
pub(super) struct Layer<T> {
    /// W, `(n_in + 1, n_out)`; the last row is the intercept.
    pub weights: Array2<T>,
    /// Mean gradient of the batch, of W's shape.
    pub gradient: Array2<T>,
    velocity: Array2<T>,
    step: Array2<T>,
    /// Inverse of the damped Gram matrix of the input; `None` where that is the identity.
    inverse_metric: Option<Array2<T>>,
    /// The block of a layer whose penalty is more than the ridge.
    proximal: Option<ProximalBlock<T>>,
    /// For a layer whose ridge is ½α‖W‖² in its metric, which then holds a factor 1 + α: α.
    ridge_in_metric: Option<f64>,
}

impl<T: Real> Layer<T> {
    pub fn new(weights: Array2<T>) -> Self {
        let zeros = Array2::zeros(weights.raw_dim());
        Self {
            gradient: zeros.clone(),
            velocity: zeros.clone(),
            step: zeros,
            weights,
            inverse_metric: None,
            proximal: None,
            ridge_in_metric: None,
        }
    }

    /// With a penalty beyond the ridge.
    #[must_use]
    pub fn with_penalty(mut self, penalty: Option<Box<dyn Penalty<T>>>, ridge: f64) -> Self {
        self.proximal = penalty.map(|penalty| {
            let mut block = ProximalBlock::new(penalty, self.weights.dim());
            block.set_multiple(1.0 + ridge);
            block
        });
        self
    }

    /// Takes over the metric M = G + damping·I of the weights, G `(n_in, n_in)`, for the whole run.
    /// The ridge is then ½·ridge·⟨W, MW⟩, as it is in coordinates where the metric is the identity.
    pub fn fix_metric(&mut self, gram: ArrayView2<'_, f64>, damping: f64, ridge: f64) -> Result<()> {
        let n_in = gram.nrows();
        let mut whole = Array2::zeros((n_in + 1, n_in + 1));
        whole.slice_mut(s![..n_in, ..n_in]).assign(&gram.mapv(|v| T::of((1.0 + ridge) * v)));
        whole[[n_in, n_in]] = T::one();
        let mut diagonal = vec![T::of((1.0 + ridge) * damping); n_in + 1];
        diagonal[n_in] = T::zero();
        self.inverse_metric = Some(damped_inverse(whole.view(), &diagonal, Threads::All)?);
        if let Some(block) = &mut self.proximal {
            block.set_metric(whole.view(), &diagonal);
        }
        self.ridge_in_metric = Some(ridge);
        Ok(())
    }

    /// Ridge and penalty of the weights.
    pub fn penalty(&mut self, ridge: f64, threads: Threads) -> Result<f64> {
        let square = match (&mut self.proximal, self.ridge_in_metric) {
            (Some(block), Some(ridge)) => block.half_square(self.weights.view(), threads) / (1.0 + ridge),
            _ => self.half_square(),
        };
        let beyond = self.proximal.as_ref().map_or(Ok(0.0), |block| block.value(self.weights.view()))?;
        Ok(ridge * square + beyond)
    }

    /// See [`Penalty::tighten`].
    pub fn tighten(&mut self, progress: f64) {
        if let Some(block) = &mut self.proximal {
            block.tighten(progress);
        }
    }

    /// Whether the penalty is one that is tightened on the way.
    pub fn is_tightened(&self) -> bool {
        self.proximal.as_ref().is_some_and(|block| !block.penalty().is_convex())
    }

    /// Whether there is a penalty beyond the ridge.
    pub fn is_penalised(&self) -> bool {
        self.proximal.is_some()
    }

    /// Moves weights of this layer into the set that its penalty allows, if that is a set.
    pub fn project(&mut self) -> Result<()> {
        match &mut self.proximal {
            Some(block) => block.project(self.weights.view_mut()),
            None => Ok(()),
        }
    }

    /// The layer as it will be at the end of the run: within its final set.
    pub fn projected(&mut self, progress: f64) -> Result<Self> {
        let mut end = Self::new(self.weights.clone());
        if let Some(block) = &mut self.proximal {
            block.tighten(1.0);
            block.project(end.weights.view_mut())?;
            block.tighten(progress);
        }
        Ok(end)
    }

    /// Half the squared norm of the penalised weights.
    pub fn half_square(&self) -> f64 {
        let rows = self.weights.nrows() - 1;
        let sum = |row: ndarray::ArrayView1<'_, T>| row.iter().map(|v| v.f64() * v.f64()).sum::<f64>();
        0.5 * self.weights.rows().into_iter().take(rows).map(sum).sum::<f64>()
    }

    /// Adds the gradient of the ridge penalty, which leaves the intercept alone; where it is in the
    /// metric, [`Layer::solve`] does.
    pub fn add_ridge(&mut self, ridge: f64) {
        if self.ridge_in_metric.is_some() {
            return;
        }
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
        let damping = metric_damping(gram, damping, ridge);
        self.inverse_metric = Some(damped_inverse(gram, &damping, threads)?);
        if let Some(block) = &mut self.proximal {
            block.set_metric(gram, &damping);
        }
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
        let ridge = if self.ridge_in_metric.is_some() { T::zero() } else { ridge };
        gradient(chunks, self.weights.view(), scale, ridge, self.gradient.view_mut(), threads);
    }

    /// [`Layer::set_gradient`] from the parts of the chunks, factor included.
    pub fn sum_gradient<'c>(&mut self, parts: impl Iterator<Item = &'c Array2<T>>, ridge: T) {
        let ridge = if self.ridge_in_metric.is_some() { T::zero() } else { ridge };
        sum_parts(parts, self.weights.view(), ridge, self.gradient.view_mut());
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
                let rows = self.gradient.rows().into_iter().zip(self.step.rows_mut());
                let lengths = rows.enumerate().map(|(i, (gradient, mut step))| {
                    let factor = if i < n_in { shrink } else { T::one() };
                    step.zip_mut_with(&gradient, |step, &g| *step = factor * g);
                    gradient.as_slice().map_or(0.0, |gradient| factor.f64() * dot(gradient, gradient))
                });
                return lengths.sum();
            }
        }
        if let Some(ridge) = self.ridge_in_metric {
            // ((1 + α)M)⁻¹ αMW
            let decay = T::of(ridge / (1.0 + ridge));
            let n_in = self.weights.nrows() - 1;
            let mut step = self.step.slice_mut(s![..n_in, ..]);
            step.scaled_add(decay, &self.weights.slice(s![..n_in, ..]));
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

    /// Squared length, in the metric, of the step that minimises the block with its penalty majorised
    /// by `curvature` times the metric: what vanishes at an optimum.
    ///
    /// # Errors
    /// As [`Layer::advance`].
    pub fn residual(&mut self, ridge: f64, curvature: f64, threads: Threads) -> Result<f64> {
        let length = self.solve(ridge, threads) / curvature;
        let Some(block) = &mut self.proximal else { return Ok(length) };
        let mut target = self.weights.clone();
        target.scaled_add(T::of(-1.0 / curvature), &self.step);
        let mut solution = Array2::zeros(target.raw_dim());
        block.solve(target.view(), 1.0 / curvature, solution.view_mut(), threads)?;
        Ok(curvature * block.squared_length((&solution - &self.weights).view(), threads))
    }

    /// The weights of one majorise–minimise step, and its squared length in the majoriser's metric:
    /// `gram` of the layer's input at the lifted variables, `curvature` that of the block's terms. The
    /// gradient is that of the block with its ridge.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`].
    pub fn majorised_step(
        &mut self,
        gram: ArrayView2<'_, T>,
        curvature: f64,
        ridge: f64,
        threads: Threads,
    ) -> Result<(Array2<T>, f64)> {
        // A few directions that dwarf the others need more jitter.
        self.majorised_step_with(gram, curvature, ridge, 1.0, threads)
            .or_else(|_| self.majorised_step_with(gram, curvature, ridge, 1e3, threads))
            .or_else(|_| self.majorised_step_with(gram, curvature, ridge, 1e6, threads))
    }

    fn majorised_step_with(
        &mut self,
        gram: ArrayView2<'_, T>,
        curvature: f64,
        ridge: f64,
        jitter: f64,
        threads: Threads,
    ) -> Result<(Array2<T>, f64)> {
        let own_ridge = if self.ridge_in_metric.is_some() { 0.0 } else { ridge };
        let (mut gram, damping) = majoriser(gram, curvature, own_ridge, jitter);
        let Some(block) = &mut self.proximal else {
            let inverse = damped_inverse(gram.view(), &damping, threads)?;
            product(T::one(), inverse.view(), self.gradient.view(), T::zero(), self.step.view_mut(), threads);
            let length = self.gradient.iter().zip(&self.step).map(|(&a, &b)| (a * b).f64()).sum::<f64>();
            return Ok((&self.weights - &self.step, length.max(0.0)));
        };
        let mut gradient = self.gradient.clone();
        if let Some(ridge) = self.ridge_in_metric {
            let n_in = self.weights.nrows() - 1;
            let share = ridge / (1.0 + ridge);
            block.add_metric(share, gram.slice_mut(s![..n_in, ..n_in]));
            let image = block.image(self.weights.view(), threads);
            gradient.slice_mut(s![..n_in, ..]).scaled_add(T::of(share), &image);
        }
        block.majorised_step(gram.view(), &damping, gradient.view(), self.weights.view(), threads)
    }

    /// [`Layer::descend`], or where there is a penalty its proximal form: the weight block at
    /// V₀ = W − η v, and v ← (W − W⁺)/η, the way that was really taken.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`] when LAPACK fails in a prox.
    pub fn advance(&mut self, rate: f64, momentum: f64, clip: f64, threads: Threads) -> Result<()> {
        let Some(block) = &mut self.proximal else {
            self.descend(T::of(rate), T::of(momentum), T::of(clip), threads);
            return Ok(());
        };
        let convex = block.penalty().is_convex();
        let (eta, momentum, clip) = (T::of(rate), T::of(momentum), T::of(clip));
        let (Some(step), Some(velocity)) = (self.step.as_slice_mut(), self.velocity.as_slice_mut()) else {
            return Ok(());
        };
        for ((step, v), &w) in step.iter_mut().zip(velocity.iter_mut()).zip(&self.weights) {
            *v = momentum * *v + clip * *step;
            *step = w - eta * *v;
            if convex {
                *v = w;
            }
        }
        block.solve(self.step.view(), rate * clip.f64(), self.weights.view_mut(), threads)?;
        if convex {
            velocity.iter_mut().zip(&self.weights).for_each(|(v, &w)| *v = (*v - w) / eta);
        }
        Ok(())
    }

    /// What the momentum holds.
    pub fn velocity(&self) -> &Array2<T> {
        &self.velocity
    }

    /// Takes over a momentum of the shape of the weights.
    pub fn set_velocity(&mut self, velocity: &Array2<T>) {
        self.velocity.assign(velocity);
    }

    /// Forgets the momentum and returns to earlier weights.
    pub fn restore(&mut self, weights: &Array2<T>) {
        self.weights.assign(weights);
        self.velocity.fill(T::zero());
    }
}

/// Numbers that one thread updates at a time.
const PIECE: usize = 1 << 14;

fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    sum_of_pairs(a, b, |a, b| a * b).f64()
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
