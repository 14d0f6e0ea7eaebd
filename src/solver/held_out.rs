//! Validation data in mapped coordinates.

use super::control::Control;
use super::layers::Layer;
use super::pass::{Batch, Data, Totals};
use crate::error::Result;
use crate::loss::Targets;
use crate::network::Network;
use crate::problem::Supervision;
use crate::real::Real;
use crate::spec::{Merit, Options};
use ndarray::{Array2, ArrayView1};

/// A validation set, and all its rows.
pub(super) struct HeldOut<'a, C> {
    inputs: &'a Array2<C>,
    targets: Targets<'a, C>,
    weights: Option<ArrayView1<'a, C>>,
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

impl<'a, C: Real> HeldOut<'a, C> {
    pub fn new(inputs: &'a Array2<C>, supervision: &'a Supervision<'_, C>, options: &Options) -> Self {
        Self {
            rows: (0..inputs.nrows()).collect(),
            inputs,
            targets: supervision.targets(),
            weights: supervision.weights(),
            merit: options.merit,
            noisy: options.robust,
        }
    }

    /// Of the network that these layers are, which `network` makes; `None` when the caller has no
    /// score of it.
    pub fn judge<T: Real>(
        &self,
        batch: &mut Batch<C>,
        layers: &[Layer<C>],
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

    pub fn data(&self) -> Data<'_, 'a, C> {
        Data { inputs: self.inputs, targets: &self.targets, weights: self.weights }
    }
}
