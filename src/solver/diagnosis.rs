//! The lifted problem's terms on a sample of the data, for a run that only sees batches.

use super::history::History;
use super::layers::Layer;
use super::lifted::Lifted;
use super::noise::InputNoise;
use super::pass::Data;
use crate::error::Result;
use crate::loss::Targets;
use crate::real::Real;
use crate::spec::Options;
use ndarray::{Array1, Array2, Axis};

/// Most samples that are looked at.
const ROWS: usize = 1024;

/// A sample of the data, owned.
pub(super) struct Diagnosis<T> {
    inputs: Array2<T>,
    classes: Vec<u32>,
    values: Option<Array2<T>>,
    weights: Option<Array1<T>>,
    noise: Option<InputNoise<T>>,
}

impl<T: Real> Diagnosis<T> {
    /// Copies the samples of the first of `rows`, which should be in random order.
    pub fn new(data: Data<'_, '_, T>, rows: &[usize], noise: Option<InputNoise<T>>) -> Self {
        let rows = &rows[..rows.len().min(ROWS)];
        let (classes, values) = match data.targets {
            Targets::Classes(classes) => (rows.iter().map(|&row| classes[row]).collect(), None),
            Targets::Values(values) => (Vec::new(), Some(values.select(Axis(0), rows))),
        };
        let weights = data.weights.map(|weights| weights.select(Axis(0), rows));
        Self { inputs: data.inputs.select(Axis(0), rows), classes, values, weights, noise }
    }

    /// Appends objective, terms and residual at the layers' weights, whose gradients are lost; against
    /// a share of the noise.
    pub fn record(
        &self,
        layers: &mut [Layer<T>],
        noise_share: f64,
        options: &Options,
        history: &mut History,
    ) -> Result<()> {
        let targets = match &self.values {
            Some(values) => Targets::Values(values.view()),
            None => Targets::Classes(&self.classes),
        };
        let weights = self.weights.as_ref().map(|weights| weights.view());
        let data = Data { inputs: &self.inputs, targets: &targets, weights };
        let mut lifted = Lifted::new(layers, data, options, self.noise.clone());
        lifted.set_noise_share(noise_share);
        let terms = lifted.solve_afresh(layers);
        let mut penalty = 0.0;
        for layer in layers.iter_mut() {
            penalty += layer.penalty(options.ridge, lifted.threads())?;
        }
        let objective = terms.objective(options.penalty_weight, penalty);
        let mut squared = 0.0;
        for (layer, curvature) in layers.iter_mut().zip(lifted.step_curvatures()) {
            layer.add_ridge(options.ridge);
            squared += layer.residual(options.ridge, curvature, lifted.threads())?;
        }
        terms.record(history, objective, penalty, (squared / objective.max(f64::MIN_POSITIVE)).sqrt());
        Ok(())
    }
}
