//! Validation data in mapped coordinates.

use super::layers::Layer;
use super::pass::{Batch, Data, Totals};
use crate::problem::Problem;
use crate::real::Real;
use ndarray::Array2;

/// A validation set, and all its rows.
pub(super) struct HeldOut<'a, 'p, T> {
    problem: &'a Problem<'p, T>,
    inputs: Array2<T>,
    rows: Vec<usize>,
}

impl<'a, 'p, T: Real> HeldOut<'a, 'p, T> {
    pub fn new(problem: &'a Problem<'p, T>, inputs: Array2<T>) -> Self {
        Self { problem, inputs, rows: (0..problem.n_samples()).collect() }
    }

    /// Loss and score of the network that these layers are.
    pub fn evaluate(&self, batch: &mut Batch<T>, layers: &[Layer<T>]) -> Totals {
        batch.evaluate(layers, self.data(), &self.rows)
    }

    pub fn data(&self) -> Data<'_, 'p, T> {
        Data { inputs: &self.inputs, targets: self.problem.targets(), weights: self.problem.weights() }
    }
}
