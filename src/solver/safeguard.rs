//! What keeps the iterates bounded: a trust region on each step, and a way back.

use super::activations::Activations;
use super::layers::Layer;
use super::pass::Totals;
use super::schedule::Schedule;
use crate::activation::ActivationKind;
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::Array2;

/// Largest squared length of a step in the metric; about twice the decrease of the loss that the
/// quadratic model predicts for it (the KL clip of Ba, Grosse, Martens 2017).
const TRUST: f64 = 0.1;
/// A batch this many times worse than the constant prediction means divergence.
const BAD_BATCH: f64 = 8.0;
/// The second half of a pass this many times worse means a rate too large for the batches' noise.
const BAD_PASS: f64 = 1.05;
/// Halvings of the rate after which the data, not the rate, must be at fault.
const MAX_RETRIES: usize = 60;

/// The last good weights and the level of the loss that counts as good.
#[derive(Debug)]
pub(super) struct Safeguard<T> {
    reference: f64,
    /// Weights from which a whole pass went well.
    good: Vec<Array2<T>>,
    /// Those at the end of the last pass; the next one will tell.
    latest: Vec<Array2<T>>,
    /// Activations of the two.
    activations: [Vec<ActivationKind>; 2],
    retries: usize,
}

impl<T: Real> Safeguard<T> {
    /// `start` is what the start gives on some rows.
    pub fn new(layers: &[Layer<T>], activations: &Activations<T>, start: Totals) -> Self {
        let reference = start.mean_loss().max(start.null_loss());
        // A reference of 0 (nothing to learn) must not make rounding look like divergence.
        let reference = reference.max(1e-3);
        let good: Vec<_> = layers.iter().map(|layer| layer.weights.clone()).collect();
        let activations = [activations.kinds().to_vec(), activations.kinds().to_vec()];
        Self { reference, latest: good.clone(), good, activations, retries: 0 }
    }

    pub fn retries(&self) -> usize {
        self.retries
    }

    /// Factor for a step of squared length `length` in the metric, taken at this rate.
    pub fn clip(rate: f64, length: f64) -> f64 {
        let scaled = rate * rate * length;
        if scaled > TRUST { (TRUST / scaled).sqrt() } else { 1.0 }
    }

    /// The loss that a healthy run has at most on these rows; one outlier among the targets may
    /// make that of a batch far larger than that of others.
    fn level(&self, rows: Totals) -> f64 {
        self.reference.max(rows.null_loss())
    }

    /// Whether the mean loss of a batch is that of a healthy run.
    pub fn batch_is_good(&self, batch: Totals) -> bool {
        batch.mean_loss() <= BAD_BATCH * self.level(batch)
    }

    /// After the second half of a pass, before which `latest` were the weights: whether it was
    /// good. If so, those are to return to.
    pub fn keep(&mut self, layers: &[Layer<T>], activations: &Activations<T>, half: Totals) -> bool {
        let good = half.mean_loss() <= BAD_PASS * self.level(half) && layers.iter().all(Layer::is_finite);
        if good {
            std::mem::swap(&mut self.good, &mut self.latest);
            for (kept, layer) in self.latest.iter_mut().zip(layers) {
                kept.assign(&layer.weights);
            }
            self.activations.swap(0, 1);
            self.activations[1].copy_from_slice(activations.kinds());
        }
        good
    }

    /// For a run that ends in mid-pass: the last good point, should the current ones overflow.
    pub fn drop_non_finite(&self, layers: &mut [Layer<T>], activations: &mut Activations<T>) {
        if !layers.iter().all(Layer::is_finite) {
            self.restore(layers, activations);
        }
    }

    fn restore(&self, layers: &mut [Layer<T>], activations: &mut Activations<T>) {
        activations.restore(&self.activations[0]);
        for (layer, kept) in layers.iter_mut().zip(&self.good) {
            layer.restore(kept);
        }
    }

    /// Returns to the last good weights, and the activations of that moment, at half the rate.
    ///
    /// # Errors
    /// [`Error::Diverged`] when that was done too often.
    pub fn recover(
        &mut self,
        layers: &mut [Layer<T>],
        activations: &mut Activations<T>,
        schedule: &mut Schedule,
        pass: usize,
    ) -> Result<()> {
        self.retries += 1;
        if self.retries > MAX_RETRIES {
            return Err(Error::Diverged { pass, retries: MAX_RETRIES });
        }
        schedule.halve();
        self.restore(layers, activations);
        self.activations[1].copy_from_slice(activations.kinds());
        for (latest, good) in self.latest.iter_mut().zip(&self.good) {
            latest.assign(good);
        }
        Ok(())
    }
}
