//! Validation data in mapped coordinates.

use super::control::Control;
use super::layers::Layer;
use super::pass::{Batch, Data, Totals};
use crate::error::Result;
use crate::network::Network;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Merit, Options};
use ndarray::Array2;

/// A validation set, and all its rows.
pub(super) struct HeldOut<'a, 'p, T> {
    problem: &'a Problem<'p, T>,
    inputs: Array2<T>,
    rows: Vec<usize>,
    merit: Merit,
    /// Whether evaluations meet the noise of the fit.
    noisy: bool,
}

/// What validation data say of a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub loss: f64,
    /// The merit that was chosen.
    pub score: f64,
}

impl<'a, 'p, T: Real> HeldOut<'a, 'p, T> {
    pub fn new(problem: &'a Problem<'p, T>, inputs: Array2<T>, options: &Options) -> Self {
        let rows = (0..problem.n_samples()).collect();
        Self { problem, inputs, rows, merit: options.merit, noisy: options.robust }
    }

    /// Of the network that these layers are, which `network` makes; `None` when the caller has no
    /// score of it.
    pub fn judge(
        &self,
        batch: &mut Batch<T>,
        layers: &[Layer<T>],
        network: impl FnOnce() -> Result<Network<T>>,
        control: &mut (impl Control<T> + ?Sized),
    ) -> Result<Option<Verdict>> {
        let totals: Totals = if self.noisy {
            batch.evaluate(layers, self.data(), &self.rows)
        } else {
            batch.evaluate_plain(layers, self.data(), &self.rows)
        };
        let loss = totals.mean_loss();
        let score = match self.merit {
            Merit::Score => totals.mean_score(),
            Merit::Loss => -loss,
            Merit::Own => match control.score(network()?) {
                Some(score) => score,
                None => return Ok(None),
            },
        };
        Ok(Some(Verdict { loss, score }))
    }

    pub fn data(&self) -> Data<'_, 'p, T> {
        Data { inputs: &self.inputs, targets: self.problem.targets(), weights: self.problem.weights() }
    }
}
