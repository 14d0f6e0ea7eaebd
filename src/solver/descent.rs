//! The iterate of the batch solver and its steps, none of which raises the objective.
//!
//! [`Descent::sweep`] is one round of the loop in `batch.rs`: a joint step of weights and lifted
//! variables where that lowers the objective, block by block otherwise.

use super::held_out::Verdict;
use super::history::History;
use super::layers::Layer;
use super::lifted::{Lifted, Terms};
use super::noise::InputNoise;
use super::pass::Data;
use crate::activation::ActivationKind;
use crate::error::Result;
use crate::linalg::{Threads, singular_values};
use crate::real::Real;
use crate::spec::Options;
use ndarray::{Array2, s};
use rayon::prelude::*;

/// Growth of the step after a sweep that was accepted.
const LENGTHEN: f64 = 1.1;
/// Its reduction after one that was not.
const SHORTEN: f64 = 0.5;
/// Least step; below it, block descent is the better step.
const LEAST_RATE: f64 = 0.05;
/// Largest step: beyond it the trial that is refused next costs more than the step gains.
const MOST_RATE: f64 = 1e3;
/// Factor on a curvature that was tried out beyond which no step is taken.
const MOST_CAUTION: f64 = 1e12;
/// Growing noise may raise the objective to this many times that of the start.
const BAD_GROWTH: f64 = 8.0;
/// Halvings of the output weights after which nothing is left of them.
const MOST_HALVINGS: usize = 64;
/// Sweeps between two refreshes of the metrics, once they have settled.
const REFRESH: usize = 10;

/// How a sweep moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Weights and lifted variables together.
    Joint,
    /// Block by block.
    Blocks,
    /// Not at all: no block can lower the objective beyond rounding.
    Stationary,
}

/// The iterate: weights, lifted variables, and all that the next step needs.
pub(super) struct Descent<'a, 't, T> {
    /// Weights; gradients of the objective at the accepted point between sweeps.
    pub layers: Vec<Layer<T>>,
    pub lifted: Lifted<'a, 't, T>,
    /// Accepted weights and gradients, to return to.
    weights: Vec<Array2<T>>,
    gradients: Vec<Array2<T>>,
    /// Accepted activations; their parameters move with the weights.
    activations: Vec<ActivationKind>,
    terms: Terms,
    pub objective: f64,
    /// The part of the weights in the objective.
    penalty: f64,
    /// That of the start.
    first: f64,
    pub residual: f64,
    curvatures: Vec<f64>,
    /// Whether the loss has a bound of its curvature, so that no majoriser has to be tried out.
    bounded: bool,
    rate: f64,
    sweeps: usize,
    /// Sweeps over which noise on the inputs grows to its radius.
    growth: usize,
    noise_radius: Option<f64>,
    next_refresh: usize,
}

impl<'a, 't, T: Real> Descent<'a, 't, T> {
    /// With noise that grows to its radius over the first `growth` sweeps.
    pub fn new(
        mut layers: Vec<Layer<T>>,
        data: Data<'a, 't, T>,
        options: &Options,
        noise: Option<InputNoise<T>>,
        growth: usize,
    ) -> Result<Self> {
        let mut lifted = Lifted::new(&layers, data, options, noise);
        let terms = lifted.solve_afresh(&mut layers);
        lifted.accept();
        let curvatures = lifted.step_curvatures();
        let bounded = lifted.curvatures().iter().all(|curvature| curvature.is_finite());
        let mut descent = Self {
            weights: layers.iter().map(|layer| layer.weights.clone()).collect(),
            gradients: Vec::new(),
            activations: options.activations.clone(),
            objective: 0.0,
            penalty: 0.0,
            first: 0.0,
            residual: f64::INFINITY,
            rate: options.learning_rate,
            sweeps: 0,
            growth,
            noise_radius: None,
            next_refresh: 0,
            layers,
            lifted,
            terms,
            curvatures,
            bounded,
        };
        let terms = descent.terms.clone();
        descent.objective = descent.value(&terms, options)?;
        descent.first = descent.objective;
        descent.layers.iter_mut().for_each(|layer| layer.add_ridge(options.ridge));
        descent.gradients = descent.layers.iter().map(|layer| layer.gradient.clone()).collect();
        Ok(descent)
    }

    /// Moves on to the problem whose noise fills its share of the ball in this sweep; whether that
    /// share is below 1. Where the objective then explodes, the output weights are halved first.
    ///
    /// Random hidden units carry more noise than signal; against all of it, the constant prediction that
    /// training starts from would be a local minimum.
    pub fn grow_noise(&mut self, options: &Options) -> Result<bool> {
        let sweep = self.sweeps;
        if sweep > self.growth {
            return Ok(false);
        }
        let share = if sweep < self.growth { sweep as f64 / self.growth as f64 } else { 1.0 };
        self.noise_radius = self.lifted.set_noise_share(share);
        if self.noise_radius.is_none() {
            return Ok(false);
        }
        let limit = BAD_GROWTH * self.first.max(1e-3);
        let mut tries = 0;
        let (terms, objective) = loop {
            let terms = self.lifted.solve_afresh(&mut self.layers);
            let objective = self.value(&terms, options)?;
            if objective <= limit || tries == MOST_HALVINGS {
                break (terms, objective);
            }
            tries += 1;
            if let Some(last) = self.layers.last_mut() {
                let weights = &last.weights * T::of(SHORTEN);
                last.restore(&weights);
                last.project()?;
            }
        };
        self.lifted.accept();
        self.keep(terms, objective, options);
        Ok(sweep < self.growth)
    }

    /// One sweep, joint where that lowers the objective, by blocks otherwise.
    pub fn sweep(&mut self, options: &Options, history: &mut History) -> Result<Step> {
        self.sweeps += 1;
        if options.accelerate {
            if self.sweeps > self.next_refresh {
                self.refresh_metrics(options)?;
                self.next_refresh = self.sweeps + self.sweeps.clamp(1, REFRESH);
            }
            while self.rate >= LEAST_RATE {
                if self.joint_step(options)? {
                    self.rate = (LENGTHEN * self.rate).min(MOST_RATE);
                    return Ok(Step::Joint);
                }
                self.rate *= SHORTEN;
            }
            self.rate = LEAST_RATE / SHORTEN;
        }
        self.blocks(options, history)
    }

    /// W⁺ ← W − η V, x⁺ ← S(W⁺); whether the objective is no higher there. If it is, the weights
    /// are put back and the momentum is forgotten.
    fn joint_step(&mut self, options: &Options) -> Result<bool> {
        let threads = self.lifted.threads();
        let mut squared = 0.0;
        for (layer, &curvature) in self.layers.iter_mut().zip(&self.curvatures) {
            squared += layer.residual(options.ridge, curvature, threads)?;
            layer.advance(self.rate / curvature, options.momentum, 1.0, threads)?;
        }
        squared += self.parameter_step(options);
        let terms = self.lifted.solve_afresh(&mut self.layers);
        let objective = self.value(&terms, options)?;
        if objective <= self.objective {
            self.lifted.accept();
            self.residual = (squared / objective.max(f64::MIN_POSITIVE)).sqrt();
            let terms = if self.lifted.has_stand_ins() { self.with_plain(terms) } else { terms };
            self.keep(terms, objective, options);
            return Ok(true);
        }
        for ((layer, weights), gradient) in self.layers.iter_mut().zip(&self.weights).zip(&self.gradients) {
            layer.restore(weights);
            layer.gradient.assign(gradient);
        }
        self.lifted.activations.restore(&self.activations);
        Ok(false)
    }

    /// r ← r − η v for the parameters that are learned, but η at most 1, Newton's step: their curvature is
    /// that of one point, not a bound. Returns the squared length of the steps.
    fn parameter_step(&mut self, options: &Options) -> f64 {
        let activations = &mut self.lifted.activations;
        if !activations.learn() {
            return 0.0;
        }
        // The curvature of λD is λ times that of D.
        let curvature = options.penalty_weight;
        let length = activations.solve(self.terms.moments.iter().copied(), curvature, 0.0);
        activations.advance(self.rate.min(1.0) / curvature, options.momentum, 1.0);
        length / curvature
    }

    /// Activation blocks from the last layer down, then the weight blocks of all layers at once;
    /// each step minimises a majoriser of the objective, so none raises it.
    fn blocks(&mut self, options: &Options, history: &mut History) -> Result<Step> {
        let start = self.objective;
        let mut squared = 0.0;
        for l in (0..self.curvatures.len() - 1).rev() {
            let above = &self.layers[l + 1].weights;
            let norm =
                singular_values(above.slice(s![..above.nrows() - 1, ..]))?.first().copied().unwrap_or(0.0);
            let proximal = self.curvatures[l + 1] * norm * norm * self.lifted.slope_bound(l);
            squared += self.activation_block(l, proximal, options)?;
            if options.diagnostics {
                let terms = self.lifted.terms(&mut self.layers);
                let objective = self.value(&terms, options)?;
                history.push("blocks", objective);
            }
        }
        squared += self.parameter_blocks(options, history)?;
        let (terms, objective, length) = self.weight_blocks(options)?;
        squared += length;
        if options.diagnostics {
            history.push("blocks", objective);
        }
        self.residual = (squared / objective.max(f64::MIN_POSITIVE)).sqrt();
        let terms = self.with_plain(terms);
        self.keep(terms, objective, options);
        let rounding = 16.0 * T::epsilon().f64() * start.abs();
        Ok(if start - objective > rounding { Step::Blocks } else { Step::Stationary })
    }

    /// The weight blocks of all layers at once. Returns the terms and the objective, no higher than
    /// before, and the squared length of the steps. Where that takes a larger curvature (of a last layer
    /// whose loss has no bound of it, or of all layers where noise answers their steps), it is the first
    /// power of 4.
    fn weight_blocks(&mut self, options: &Options) -> Result<(Terms, f64, f64)> {
        let grams = self.lifted.grams(&mut self.layers);
        let terms = self.lifted.terms(&mut self.layers);
        let before = self.value(&terms, options)?;
        self.layers.iter_mut().for_each(|layer| layer.add_ridge(options.ridge));
        for (layer, (weights, gradient)) in
            self.layers.iter().zip(self.weights.iter_mut().zip(&mut self.gradients))
        {
            weights.assign(&layer.weights);
            gradient.assign(&layer.gradient);
        }
        let squared = self.majorised_steps(0, &grams, 1.0, options)?;
        let mut caution = 1.0;
        loop {
            let noisy = self.lifted.follow_noise(&self.layers);
            let terms = self.lifted.terms(&mut self.layers);
            let objective = self.value(&terms, options)?;
            if objective <= before {
                return Ok((terms, objective, squared));
            }
            caution *= 4.0;
            if (self.bounded && !noisy) || caution > MOST_CAUTION {
                // No step is better than one that rounding spoils.
                for (layer, weights) in self.layers.iter_mut().zip(&self.weights) {
                    layer.restore(weights);
                }
                if noisy {
                    self.undo_parameters();
                    self.lifted.follow_noise(&self.layers);
                }
                let terms = self.lifted.terms(&mut self.layers);
                let objective = self.value(&terms, options)?;
                return Ok((terms, objective, squared));
            }
            let first = if noisy { 0 } else { self.layers.len() - 1 };
            self.majorised_steps(first, &grams, caution, options)?;
        }
    }

    /// The weight blocks' steps from the accepted weights, of all layers from `first` on, the curvature
    /// multiplied by `caution`. Returns their squared length.
    fn majorised_steps(
        &mut self,
        first: usize,
        grams: &[Array2<T>],
        caution: f64,
        options: &Options,
    ) -> Result<f64> {
        let start = self.weights[first..].par_iter().zip(&self.gradients[first..]);
        let curvatures = grams[first..].par_iter().zip(&self.curvatures[first..]);
        let blocks = self.layers[first..].par_iter_mut().zip(start).zip(curvatures);
        let lengths = blocks.map(|((layer, (weights, gradient)), (gram, &curvature))| {
            layer.restore(weights);
            layer.gradient.assign(gradient);
            let (weights, length) =
                layer.majorised_step(gram.view(), caution * curvature, options.ridge, Threads::One)?;
            layer.restore(&weights);
            Ok(length)
        });
        Ok(lengths.collect::<Result<Vec<f64>>>()?.iter().sum())
    }

    /// The blocks of all parameters that are learned. Returns the squared length of their steps.
    fn parameter_blocks(&mut self, options: &Options, history: &mut History) -> Result<f64> {
        let mut squared = 0.0;
        // About the rounding of a derivative of elu.
        let tol = 512.0 * T::epsilon().f64();
        for l in 0..self.curvatures.len() - 1 {
            if !self.lifted.activations.learns(l) {
                continue;
            }
            self.lifted.save(l);
            squared += self.lifted.parameter_block(l, &self.layers, tol);
            if options.diagnostics {
                let terms = self.lifted.terms(&mut self.layers);
                let objective = self.value(&terms, options)?;
                history.push("blocks", objective);
            }
        }
        // That of φ may have changed.
        self.curvatures = self.lifted.step_curvatures();
        Ok(squared)
    }

    /// Back to what was before the last [`Descent::parameter_blocks`].
    fn undo_parameters(&mut self) {
        for l in 0..self.curvatures.len() - 1 {
            if self.lifted.activations.learns(l) {
                self.lifted.undo(l);
            }
        }
        self.lifted.activations.restore(&self.activations);
        self.curvatures = self.lifted.step_curvatures();
    }

    /// The activation block of hidden layer `l`. A loss above it that has no curvature bound gets the
    /// first power of 4 times `proximal` that does not raise the objective.
    fn activation_block(&mut self, l: usize, mut proximal: f64, options: &Options) -> Result<f64> {
        if self.bounded || l + 2 < self.curvatures.len() {
            return Ok(self.lifted.activation_block(l, &self.layers, proximal));
        }
        let terms = self.lifted.terms(&mut self.layers);
        let before = self.value(&terms, options)?;
        self.lifted.save(l);
        loop {
            let squared = self.lifted.activation_block(l, &self.layers, proximal);
            let terms = self.lifted.terms(&mut self.layers);
            if self.value(&terms, options)? <= before {
                return Ok(squared);
            }
            self.lifted.undo(l);
            if proximal > MOST_CAUTION {
                return Ok(0.0);
            }
            // It is 0 as long as the weights above are.
            proximal = 4.0 * proximal.max(options.penalty_weight);
        }
    }

    /// Those of `terms` that are of the plain network, at the point in the layers.
    fn with_plain(&mut self, terms: Terms) -> Terms {
        let Terms { plain_loss, score, gap, .. } = self.lifted.plain(&self.layers);
        Terms { plain_loss, score, gap, ..terms }
    }

    /// Makes the point in the layers the accepted one.
    fn keep(&mut self, terms: Terms, objective: f64, options: &Options) {
        self.terms = terms;
        self.objective = objective;
        if self.lifted.activations.learn() {
            self.activations.copy_from_slice(self.lifted.activations.kinds());
            self.curvatures = self.lifted.step_curvatures();
        }
        self.layers.iter_mut().for_each(|layer| layer.add_ridge(options.ridge));
        for (layer, (weights, gradient)) in
            self.layers.iter().zip(self.weights.iter_mut().zip(&mut self.gradients))
        {
            weights.assign(&layer.weights);
            gradient.assign(&layer.gradient);
        }
    }

    /// J with its penalties.
    fn value(&mut self, terms: &Terms, options: &Options) -> Result<f64> {
        self.penalty = 0.0;
        let threads = self.lifted.threads();
        for layer in &mut self.layers {
            self.penalty += layer.penalty(options.ridge, threads)?;
        }
        Ok(terms.objective(options.penalty_weight, self.penalty))
    }

    /// Metrics of all layers but the first, whose coordinates make it the identity.
    fn refresh_metrics(&mut self, options: &Options) -> Result<()> {
        let grams = self.lifted.grams(&mut self.layers);
        let threads = self.lifted.threads();
        for (layer, gram) in self.layers[1..].iter_mut().zip(&grams[1..]) {
            layer.set_metric(gram.view(), options.hidden_damping, options.ridge, threads)?;
        }
        Ok(())
    }

    /// The plain network's loss with its penalty.
    pub fn plain_loss(&self) -> f64 {
        self.terms.plain_loss + self.penalty
    }

    /// Appends the sweep's columns.
    pub fn record(&self, history: &mut History, step: Step, held: Option<Verdict>, seconds: f64) {
        let terms = &self.terms;
        terms.record(history, self.objective, self.penalty, self.residual);
        history.push("loss", terms.plain_loss);
        history.push("score", terms.score);
        if let Some(held) = held {
            history.push("validation_loss", held.loss);
            history.push("validation_score", held.score);
        }
        history.push("learning_rate", if step == Step::Joint { self.rate } else { 0.0 });
        self.lifted.activations.record(history);
        if let Some(radius) = self.noise_radius {
            history.push("input_noise", radius);
        }
        history.push("seconds", seconds);
    }
}
