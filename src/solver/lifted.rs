//! The lifted problem over all samples: its variables, its objective, its blocks.
//!
//! ```text
//! J(W, x) = mean_i s_i [ ℓ(y_i, z_{L,i}) + λ Σ_{l<L} D(x_{l,i}, z_{l,i}) ],  z_l = W_lᵀ(x_{l−1}, 1)
//! ```
//!
//! Lifted variables are kept as u with x = φ(u). Samples are cut into shards whose number does not
//! depend on the threads; each sums its own part, and parts are added in order, so neither do the
//! bits. Penalties on the weights are the driver's. With noise, the inputs are those moved by it.

use super::activations::Activations;
use super::layers::Layer;
use super::noise::{InputNoise, NoisyInputs};
use super::pass::Data;
use super::shard::{Model, ROWS, Shard, Sums};
use crate::activation::{Moments, Tie};
use crate::kernel::Stopping;
use crate::kernel::activation_parameter::{minimise, total};
use crate::linalg::{Threads, mirror};
use crate::loss::Loss;
use crate::real::Real;
use crate::spec::Options;
use ndarray::Array2;
use rayon::prelude::*;

pub(super) use super::shard::Terms;

/// Parts that the samples are cut into.
const SHARDS: usize = 16;
/// Multiply-adds of a sweep below which handing work to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 20;

/// The lifted variables, with all buffers.
#[derive(Debug)]
pub(super) struct Lifted<'a, 't, T> {
    data: Data<'a, 't, T>,
    noise: Option<NoisyInputs<T>>,
    pub activations: Activations<T>,
    loss: Box<dyn Loss<T>>,
    lambda: T,
    shards: Vec<Shard<T>>,
    threads: Threads,
}

/// Where the lifted variables of an evaluation come from.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// Solved from the plain forward pass by one sweep of activation blocks; written to `trial`.
    Afresh,
    /// `current`, as it is.
    Current,
}

impl<'a, 't, T: Real> Lifted<'a, 't, T> {
    pub fn new(
        layers: &[Layer<T>],
        data: Data<'a, 't, T>,
        options: &Options,
        noise: Option<InputNoise<T>>,
    ) -> Self {
        let n = data.inputs.nrows();
        let parameters: usize = layers.iter().map(|layer| layer.weights.len()).sum();
        let size = n.div_ceil(SHARDS).max(ROWS.min(n));
        Self {
            data,
            noise: noise.map(|noise| NoisyInputs::new(noise, layers, data, options)),
            activations: Activations::new(options),
            loss: options.loss.make(),
            lambda: T::of(options.penalty_weight),
            shards: (0..n)
                .step_by(size)
                .map(|start| Shard::new(layers, start, size.min(n - start)))
                .collect(),
            threads: if parameters * n >= WORTH_SHARING { Threads::All } else { Threads::One },
        }
    }

    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Bound on the curvature of the objective in the pre-activations of each layer; infinite for
    /// a loss without one.
    pub fn curvatures(&self) -> Vec<f64> {
        let hidden = self.activations.ties().iter().map(|tie| (self.lambda * tie.curvature()).f64());
        hidden.chain([self.loss.curvature_bound().f64()]).collect()
    }

    /// The same, with 1 for infinity: what steps are scaled by where they are tried out anyway.
    pub fn step_curvatures(&self) -> Vec<f64> {
        self.curvatures().into_iter().map(|c| if c.is_finite() { c } else { 1.0 }).collect()
    }

    /// sup φ′ of hidden layer `l`.
    pub fn slope_bound(&self, l: usize) -> f64 {
        self.activations.ties()[l].lifted().slope_bound().f64()
    }

    /// Solves all activation blocks from the plain forward pass, one linearised step each, from the
    /// last layer down. Returns the terms there and leaves the gradients in the layers; the
    /// variables replace the current ones by [`Lifted::accept`].
    pub fn solve_afresh(&mut self, layers: &mut [Layer<T>]) -> Terms {
        if let Some(noise) = &mut self.noise {
            noise.find(layers, self.activations.kinds(), self.data);
        }
        self.evaluate(layers, Point::Afresh, Sums::Gradients)
    }

    /// Takes over the variables of the last [`Lifted::solve_afresh`].
    pub fn accept(&mut self) {
        if let Some(noise) = &mut self.noise {
            noise.accept();
        }
        for shard in &mut self.shards {
            std::mem::swap(&mut shard.current, &mut shard.trial);
        }
    }

    /// See [`Batch::set_noise_share`](super::pass::Batch::set_noise_share).
    pub fn set_noise_share(&mut self, share: f64) -> Option<f64> {
        self.noise.as_mut().and_then(|noise| noise.set_share(share))
    }

    /// Has the noise answer weights that moved; whether there is any.
    pub fn follow_noise(&mut self, layers: &[Layer<T>]) -> bool {
        let Some(noise) = &mut self.noise else { return false };
        noise.find(layers, self.activations.kinds(), self.data);
        noise.accept();
        true
    }

    /// The terms at the current variables; leaves the gradients in the layers.
    pub fn terms(&mut self, layers: &mut [Layer<T>]) -> Terms {
        self.evaluate(layers, Point::Current, Sums::Gradients)
    }

    /// Loss and score of the plain network, and the gaps of the current variables from it; the other
    /// terms are 0.
    pub fn plain(&mut self, layers: &[Layer<T>]) -> Terms {
        let (shards, threads, model) = self.parts(layers, Point::Current);
        each(shards, threads, |shard| {
            shard.terms = Terms::zeros(model.ties.len());
            for start in (0..shard.n).step_by(ROWS) {
                let rows = start..(start + ROWS).min(shard.n);
                shard.plain(model, rows);
            }
        });
        mean(shards, model.data.inputs.nrows())
    }

    /// Whether the lifted problem has another activation than the network in some layer.
    pub fn has_stand_ins(&self) -> bool {
        self.activations.ties().iter().any(Tie::has_stand_in)
    }

    /// Gram matrices of every layer's input at the current variables.
    pub fn grams(&mut self, layers: &mut [Layer<T>]) -> Vec<Array2<T>> {
        self.evaluate(layers, Point::Current, Sums::Grams);
        let mut grams: Vec<Array2<T>> = layers
            .iter()
            .map(|layer| Array2::zeros((layer.weights.nrows(), layer.weights.nrows())))
            .collect();
        for shard in &self.shards {
            for (gram, part) in grams.iter_mut().zip(&shard.grams) {
                *gram += part;
            }
        }
        grams.iter_mut().for_each(mirror);
        grams
    }

    /// One majorise–minimise step of the activation block of hidden layer `l`, the others fixed:
    /// never raises the objective. `proximal` is κ, at least the curvature of the terms above in
    /// x_l times sup φ′. Returns the squared length of the step in the metric of the block.
    pub fn activation_block(&mut self, l: usize, layers: &[Layer<T>], proximal: f64) -> f64 {
        let (shards, threads, model) = self.parts(layers, Point::Current);
        let step = |shard: &mut Shard<T>| {
            shard.terms.motion = 0.0;
            for start in (0..shard.n).step_by(ROWS) {
                let rows = start..(start + ROWS).min(shard.n);
                shard.activation_block(l, model, T::of(proximal), rows);
            }
        };
        each(shards, threads, step);
        shards.iter().map(|shard| shard.terms.motion).sum::<f64>() / model.data.inputs.nrows() as f64
    }

    /// The block of the parameter of hidden layer `l`, which is learned: solved with x and z fixed, never
    /// raises the objective. Returns the squared length of Newton's step at its start, in the metric of the
    /// block, or 0 where that leaves the interval.
    pub fn parameter_block(&mut self, l: usize, layers: &[Layer<T>], tol: f64) -> f64 {
        /// From near the minimum, where a sweep begins, two or three are usual.
        const MAX_ITER: usize = 40;
        let start = self.activations.kinds()[l];
        let Some(old) = start.learnable::<T>() else { return 0.0 };
        let mut first = None;
        let (shards, threads, model) = self.parts(layers, Point::Current);
        let phi = model.ties[l].lifted();
        let least =
            shards.iter().fold(0.0, |least: f64, shard| least.max(shard.least_coordinate(l, phi, &*old)));
        let stopping = Stopping::new(tol, MAX_ITER);
        let (kind, _) = minimise(start, least, stopping, |kind| {
            let (phi, Some(learnable)) = (kind.make::<T>(), kind.learnable::<T>()) else {
                return Moments::default();
            };
            each(shards, threads, |shard| {
                shard.terms.moments[l] = Moments::default();
                for start in (0..shard.n).step_by(ROWS) {
                    let rows = start..(start + ROWS).min(shard.n);
                    shard.add_moments(l, model, &*phi, &*learnable, rows);
                }
            });
            let sum = total(shards.iter().map(|shard| shard.terms.moments[l]));
            first.get_or_insert(sum);
            sum
        });
        let Some(new) = kind.learnable::<T>().filter(|_| kind != start) else { return 0.0 };
        each(shards, threads, |shard| {
            shard.expand(l, phi);
            shard.contract(l, &*new);
        });
        self.activations.set(l, kind);
        let length = |sum: Moments| self.lambda.f64() * sum.slope * sum.slope / sum.curvature;
        first.filter(|sum| sum.curvature > 0.0).map_or(0.0, length) / self.data.inputs.nrows() as f64
    }

    /// x of hidden layer `l`, `(n_samples, n_units)`.
    #[cfg(test)]
    pub fn variables(&self, l: usize) -> Array2<T> {
        let parts: Vec<_> = self.shards.iter().map(|shard| shard.current[l].view()).collect();
        let mut x = ndarray::concatenate(ndarray::Axis(0), &parts).unwrap_or_default();
        let phi = self.activations.ties()[l].lifted();
        let zeros = vec![T::zero(); x.ncols()];
        x.rows_mut().into_iter().filter_map(ndarray::ArrayViewMut1::into_slice).for_each(|u| {
            phi.apply_moved(&zeros, -T::one(), u);
        });
        x
    }

    /// Notes the variables of hidden layer `l`, in the place of those not accepted.
    pub fn save(&mut self, l: usize) {
        self.shards.iter_mut().for_each(|shard| shard.trial[l].assign(&shard.current[l]));
    }

    /// Returns to the variables that [`Lifted::save`] noted.
    pub fn undo(&mut self, l: usize) {
        self.shards.iter_mut().for_each(|shard| shard.current[l].assign(&shard.trial[l]));
    }

    fn parts<'m>(
        &'m mut self,
        layers: &'m [Layer<T>],
        point: Point,
    ) -> (&'m mut [Shard<T>], Threads, Model<'m, 'm, 't, T>) {
        let Self { data, noise, activations, loss, lambda, shards, threads } = self;
        let inputs = match (noise, point) {
            (None, _) => data.inputs,
            (Some(noise), Point::Afresh) => &noise.trial,
            (Some(noise), Point::Current) => &noise.current,
        };
        let (data, ties) = (Data { inputs, ..*data }, activations.ties());
        (shards, *threads, Model { layers, data, ties, loss: &**loss, lambda: *lambda })
    }

    fn evaluate(&mut self, layers: &mut [Layer<T>], point: Point, sums: Sums) -> Terms {
        let (shards, threads, model) = self.parts(layers, point);
        let n = model.data.inputs.nrows();
        let scale = T::of(1.0 / n as f64);
        each(shards, threads, |shard| {
            shard.clear(sums);
            for start in (0..shard.n).step_by(ROWS) {
                let rows = start..(start + ROWS).min(shard.n);
                match point {
                    Point::Afresh => shard.solve_afresh(model, rows.clone()),
                    Point::Current => shard.take_current(model, rows.clone()),
                }
                match sums {
                    Sums::Gradients => shard.measure(model, scale, rows),
                    Sums::Grams => shard.add_grams(model.data, scale, rows),
                }
            }
        });
        let terms = mean(shards, n);
        if sums == Sums::Gradients {
            for (l, layer) in layers.iter_mut().enumerate() {
                layer.gradient.fill(T::zero());
                for shard in &self.shards {
                    layer.gradient += &shard.gradients[l];
                }
            }
        }
        terms
    }
}

/// The terms of all shards, as means over `n` samples.
fn mean<T: Real>(shards: &[Shard<T>], n: usize) -> Terms {
    let mut terms = Terms::zeros(shards.first().map_or(0, |shard| shard.current.len()));
    shards.iter().for_each(|shard| terms.add(&shard.terms));
    terms.divide(n as f64);
    terms
}

fn each<T: Real>(shards: &mut [Shard<T>], threads: Threads, task: impl Fn(&mut Shard<T>) + Sync + Send) {
    match threads {
        Threads::One => shards.iter_mut().for_each(task),
        Threads::All => shards.par_iter_mut().with_max_len(1).for_each(task),
    }
}
