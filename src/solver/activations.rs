//! The hidden layers' activations, their parameters learned where that is asked for.
//!
//! One number a layer, r, in the coordinate in which the divergence is convex. Its step has the shape of
//! those of the weights, with the mean curvature for a metric:
//!
//! ```text
//! v ← β v + λ mean_i s_i Σ_j ∂D/∂r / ((1 + ε) h),   r ← r − η v,   kept within the range
//! ```
//!
//! where h is the mean of s_i Σ_j ∂²D/∂r² over the last batches and ε the damping of the hidden layers'
//! weights. As λ → ∞, λ ∂D/∂r tends to the derivative of the plain network's loss.

use super::history::History;
use crate::activation::{ActivationKind, Divergence, Moments, Tie};
use crate::real::Real;
use crate::spec::Options;

/// Most relative change of r in a step: while the weights are random, its curvature says little of what
/// lies far off.
const MOST_CHANGE: f64 = 0.02;
/// Size of r below which a change counts as one of this size; a threshold may be 0.
const LEAST_SIZE: f64 = 0.1;

/// Activations and what ties lifted variables to them.
#[derive(Debug)]
pub(super) struct Activations<T> {
    kinds: Vec<ActivationKind>,
    ties: Vec<Tie<T>>,
    divergence: Divergence,
    /// The movement of each parameter that is learned.
    learned: Vec<Option<Motion>>,
    /// Of the metric, as that of the hidden layers' weights.
    damping: f64,
}

/// How one parameter moves.
#[derive(Debug, Clone, Copy, Default)]
struct Motion {
    /// Running mean of the curvature; 0 before the first batch.
    metric: f64,
    step: f64,
    velocity: f64,
}

impl<T: Real> Activations<T> {
    /// Those of the options.
    pub fn new(options: &Options) -> Self {
        let learns = |kind: &ActivationKind| options.learn_activation && kind.is_learnable();
        let motion = |kind| learns(kind).then(Motion::default);
        let mut new = Self {
            kinds: options.activations.clone(),
            ties: Vec::with_capacity(options.activations.len()),
            divergence: options.divergence,
            learned: options.activations.iter().map(motion).collect(),
            damping: options.hidden_damping,
        };
        new.ties = (0..new.kinds.len()).map(|l| new.tie(l, new.kinds[l])).collect();
        new
    }

    /// One for each hidden layer.
    pub fn kinds(&self) -> &[ActivationKind] {
        &self.kinds
    }

    /// One for each hidden layer.
    pub fn ties(&self) -> &[Tie<T>] {
        &self.ties
    }

    /// Whether any parameter is learned.
    pub fn learn(&self) -> bool {
        self.learned.iter().any(Option::is_some)
    }

    /// Whether that of hidden layer `l` is.
    pub fn learns(&self, l: usize) -> bool {
        self.learned[l].is_some()
    }

    fn tie(&self, l: usize, kind: ActivationKind) -> Tie<T> {
        match self.learned[l] {
            Some(_) => Tie::with_parameter(kind, self.divergence),
            None => Tie::new(kind, self.divergence),
        }
    }

    /// Exchanges the activation of hidden layer `l` for one of the same family.
    pub fn set(&mut self, l: usize, kind: ActivationKind) {
        if kind != self.kinds[l] {
            self.ties[l] = self.tie(l, kind);
            self.kinds[l] = kind;
        }
    }

    /// Returns to earlier activations and forgets the momentum.
    pub fn restore(&mut self, kinds: &[ActivationKind]) {
        for (l, &kind) in kinds.iter().enumerate() {
            self.set(l, kind);
            if let Some(motion) = &mut self.learned[l] {
                motion.velocity = 0.0;
            }
        }
    }

    /// Finds Newton's step for the mean `moments` of each layer, of which `memory` is the weight of those
    /// of earlier calls in the metric. Returns the squared length of the steps, in their metrics.
    pub fn solve(&mut self, moments: impl IntoIterator<Item = Moments>, lambda: f64, memory: f64) -> f64 {
        let mut length = 0.0;
        for ((motion, kind), moments) in self.learned.iter_mut().zip(&self.kinds).zip(moments) {
            let Some(motion) = motion else { continue };
            let memory = if motion.metric > 0.0 { memory } else { 0.0 };
            motion.metric = memory * motion.metric + (1.0 - memory) * moments.curvature;
            let gradient = lambda * moments.slope;
            // Without curvature the parameter touches nothing, or nothing yet; an end of the range may hold it.
            let metric = (1.0 + self.damping) * motion.metric;
            let blocked = match (kind.coordinate(), kind.coordinate_range()) {
                (Some(r), Some((low, high))) => (r <= low && gradient > 0.0) || (r >= high && gradient < 0.0),
                _ => false,
            };
            motion.step = if metric > 0.0 && !blocked { gradient / metric } else { 0.0 };
            length += gradient * motion.step;
        }
        length
    }

    /// Heavy ball: v ← β v + c·step, r ← r − η v.
    pub fn advance(&mut self, rate: f64, momentum: f64, clip: f64) {
        for l in 0..self.kinds.len() {
            let (Some(motion), Some(r)) = (&mut self.learned[l], self.kinds[l].coordinate()) else {
                continue;
            };
            motion.velocity = momentum * motion.velocity + clip * motion.step;
            let most = MOST_CHANGE * r.abs().max(LEAST_SIZE);
            if rate * motion.velocity.abs() > most {
                motion.velocity = most.copysign(motion.velocity) / rate;
            }
            let target = r - rate * motion.velocity;
            if let Some((low, high)) = self.kinds[l].coordinate_range()
                && !(low..=high).contains(&target)
            {
                // Momentum must not hold it at the end.
                motion.velocity = 0.0;
            }
            if target.is_finite() {
                self.set(l, self.kinds[l].at_coordinate(target));
            }
        }
    }

    /// Appends the parameters that are learned.
    pub fn record(&self, history: &mut History) {
        for (l, kind) in self.kinds.iter().enumerate() {
            if let (true, Some(parameter)) = (self.learns(l), kind.parameter()) {
                history.push(format!("activation_parameter_{}", l + 1), parameter.value);
            }
        }
    }
}
