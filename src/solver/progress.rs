//! The record of a run: losses, validation scores, the best weights, and when to stop.

use super::activations::Activations;
use super::layers::Layer;
use crate::activation::ActivationKind;
use crate::real::Real;
use crate::spec::Options;
use ndarray::Array2;

/// Losses and scores so far.
#[derive(Debug)]
pub(super) struct Progress<T> {
    pub loss_curve: Vec<f64>,
    pub validation_scores: Vec<f64>,
    tol: f64,
    patience: usize,
    /// Whether validation data choose the weights.
    choosing: bool,
    best: f64,
    idle: usize,
    stalled: bool,
    best_score: f64,
    best_point: Option<(Vec<Array2<T>>, Vec<ActivationKind>)>,
}

impl<T: Real> Progress<T> {
    pub fn new(options: &Options) -> Self {
        Self {
            loss_curve: Vec::with_capacity(options.max_iter),
            validation_scores: Vec::new(),
            tol: options.tol,
            patience: options.n_iter_no_change,
            choosing: options.early_stopping,
            best: f64::NEG_INFINITY,
            idle: 0,
            stalled: false,
            best_score: f64::NEG_INFINITY,
            best_point: None,
        }
    }

    /// Notes a pass; `score`, if validation data choose, or `merit` is what should improve, larger is
    /// better. True at the first pass that ends `n_iter_no_change` passes without improvement by `tol`.
    pub fn note(
        &mut self,
        layers: &[Layer<T>],
        activations: &Activations<T>,
        loss: f64,
        score: Option<f64>,
        merit: f64,
    ) -> bool {
        self.record(layers, activations, loss, score);
        let merit = score.filter(|_| self.choosing).unwrap_or(merit);
        if merit > self.best + self.tol {
            self.best = merit;
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        let stalled = self.idle >= self.patience && !self.stalled;
        self.stalled |= stalled;
        stalled
    }

    /// Notes a pass of which no improvement is asked.
    pub fn record(
        &mut self,
        layers: &[Layer<T>],
        activations: &Activations<T>,
        loss: f64,
        score: Option<f64>,
    ) {
        self.loss_curve.push(loss);
        if let Some(score) = score {
            self.validation_scores.push(score);
            // Of equal scores the later wins: its rate was smaller.
            if self.choosing && score >= self.best_score {
                self.best_score = score;
                let weights = layers.iter().map(|layer| layer.weights.clone()).collect();
                self.best_point = Some((weights, activations.kinds().to_vec()));
            }
        }
    }

    /// Whether the run was cut short for want of improvement.
    pub fn converged(&self) -> bool {
        self.stalled
    }

    /// Puts the weights and activations of the best validation score back.
    pub fn restore_best(&self, layers: &mut [Layer<T>], activations: &mut Activations<T>) {
        let Some((weights, kinds)) = &self.best_point else { return };
        for (layer, best) in layers.iter_mut().zip(weights) {
            layer.restore(best);
        }
        activations.restore(kinds);
    }
}
