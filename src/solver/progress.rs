//! The record of a run: losses, validation scores, the best weights, and when to stop.

use super::layers::Layer;
use super::schedule::Schedule;
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
    best: f64,
    idle: usize,
    winding_down: bool,
    best_score: f64,
    best_weights: Option<Vec<Array2<T>>>,
}

impl<T: Real> Progress<T> {
    pub fn new(options: &Options) -> Self {
        Self {
            loss_curve: Vec::with_capacity(options.max_iter),
            validation_scores: Vec::new(),
            tol: options.tol,
            patience: options.n_iter_no_change,
            best: f64::NEG_INFINITY,
            idle: 0,
            winding_down: false,
            best_score: f64::NEG_INFINITY,
            best_weights: None,
        }
    }

    /// Notes a pass. Without improvement by `tol` in `n_iter_no_change` passes, the rate is let
    /// down to 0 over as many, so that an early end is a finished end.
    pub fn note(&mut self, layers: &[Layer<T>], loss: f64, score: Option<f64>, schedule: &mut Schedule) {
        self.loss_curve.push(loss);
        if let Some(score) = score {
            self.validation_scores.push(score);
            // Of equal scores the later wins: its rate was smaller.
            if score >= self.best_score {
                self.best_score = score;
                self.best_weights = Some(layers.iter().map(|layer| layer.weights.clone()).collect());
            }
        }
        let value = score.unwrap_or(-loss);
        if value > self.best + self.tol {
            self.best = value;
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        if self.idle >= self.patience && !self.winding_down {
            self.winding_down = true;
            schedule.wind_down(self.patience);
        }
    }

    /// Whether the run was cut short for want of improvement.
    pub fn converged(&self) -> bool {
        self.winding_down
    }

    /// Puts the weights of the best validation score back.
    pub fn restore_best(&self, layers: &mut [Layer<T>]) {
        for (layer, best) in layers.iter_mut().zip(self.best_weights.iter().flatten()) {
            layer.restore(best);
        }
    }
}
