//! The best constant prediction.
//!
//! ```text
//! min over b:  mean_i ℓ(y_i, b),      the mean weighted by s
//! ```
//!
//! For classes the logarithms of their shares, smoothed as the labels are and less their mean, with the
//! entropy of these for a loss. Of real targets and labels each output has a convex problem of its own,
//! whose slope is brought to 0 between two ends that
//! bracket it, by false position (the Illinois rule).

use crate::loss::{Loss, Targets};
use crate::real::Real;
use ndarray::ArrayView1;
use rayon::prelude::*;

/// Rows of one task: fixed, so that the bits do not depend on the threads.
const ROWS: usize = 4096;
/// Evaluations of all slopes, at most.
const MOST: usize = 200;
/// Excess over the least loss, as a share of it.
const TOLERANCE: f64 = 1e-10;
/// Share of a class or label without samples, which would have logit −∞.
const LEAST_SHARE: f64 = 1e-30;

/// A constant prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// b, one for each output.
    pub logits: Vec<f64>,
    /// Its mean loss.
    pub loss: f64,
}

/// Finds it; uses the current thread pool.
///
/// * `targets`: fit for `loss` and `n_outputs`, not empty;
/// * `weights`: `(n_samples,)`, not negative, not all 0; only ratios count.
pub fn best_constant<T: Real>(
    loss: &dyn Loss<T>,
    targets: &Targets<'_, T>,
    weights: Option<ArrayView1<'_, T>>,
    n_outputs: usize,
) -> Constant {
    if let Targets::Classes(classes) = targets {
        return of_classes(classes, weights, n_outputs, loss.label_smoothing());
    }
    Search::new(loss, targets, weights, n_outputs).run()
}

fn of_classes<T: Real>(
    classes: &[u32],
    weights: Option<ArrayView1<'_, T>>,
    n_outputs: usize,
    smoothing: f64,
) -> Constant {
    let mut shares = vec![0.0; n_outputs.max(2)];
    for (row, &class) in classes.iter().enumerate() {
        shares[class as usize] += weights.map_or(1.0, |weights| weights[row].f64());
    }
    let total: f64 = shares.iter().sum();
    let even = total / shares.len() as f64;
    shares.iter_mut().for_each(|share| *share += smoothing * (even - *share));
    let loss = shares.iter().filter(|share| **share > 0.0).map(|share| -share / total * (share / total).ln());
    let loss = loss.sum();
    let mut logits: Vec<f64> = shares.iter().map(|share| (share / total).max(LEAST_SHARE).ln()).collect();
    if n_outputs == 1 {
        return Constant { logits: vec![logits[1] - logits[0]], loss };
    }
    let mean = logits.iter().sum::<f64>() / n_outputs as f64;
    logits.iter_mut().for_each(|logit| *logit -= mean);
    Constant { logits, loss }
}

/// One output: its place, and the ends between which its slope changes sign.
#[derive(Debug, Clone, Copy)]
struct Output {
    at: f64,
    /// Places and slopes: negative or none yet, and positive or none yet.
    ends: [Option<(f64, f64)>; 2],
    /// Of the next step outward, while an end is missing.
    stride: f64,
    /// Which end moved last.
    last: Option<usize>,
}

impl Output {
    /// Takes the slope at its place and moves on; a bound of what is still to be gained there.
    fn step(&mut self, slope: f64) -> f64 {
        // That of a label which all samples have, or none, ends nowhere.
        if slope.abs() <= LEAST_SHARE || slope.is_nan() {
            return 0.0;
        }
        let side = usize::from(slope > 0.0);
        self.ends[side] = Some((self.at, slope));
        if self.last == Some(side)
            && let Some((_, other)) = &mut self.ends[1 - side]
        {
            *other *= 0.5;
        }
        self.last = Some(side);
        let from = self.at;
        let [Some((low, falls)), Some((high, rises))] = self.ends else {
            self.at -= self.stride.copysign(slope);
            self.stride *= 2.0;
            return f64::INFINITY;
        };
        self.at = low + (high - low) * (falls / (falls - rises));
        let gain = slope.abs() * if slope > 0.0 { from - low } else { high - from };
        // No number is left between.
        if self.at == from { 0.0 } else { gain }
    }
}

struct Search<'a, 't, T> {
    loss: &'a dyn Loss<T>,
    targets: &'a Targets<'t, T>,
    weights: Option<ArrayView1<'a, T>>,
    n_outputs: usize,
    total: f64,
}

impl<'a, 't, T: Real> Search<'a, 't, T> {
    fn new(
        loss: &'a dyn Loss<T>,
        targets: &'a Targets<'t, T>,
        weights: Option<ArrayView1<'a, T>>,
        n_outputs: usize,
    ) -> Self {
        let total = match weights {
            Some(weights) => weights.iter().map(|w| w.f64()).sum(),
            None => targets.len() as f64,
        };
        Self { loss, targets, weights, n_outputs, total }
    }

    fn run(&self) -> Constant {
        let start = Output { at: 0.0, ends: [None; 2], stride: 1.0, last: None };
        let mut outputs = vec![start; self.n_outputs];
        let mut best: Option<Constant> = None;
        for _ in 0..MOST {
            let logits: Vec<f64> = outputs.iter().map(|output| output.at).collect();
            let (loss, slopes) = self.evaluate(&logits);
            if best.as_ref().is_none_or(|best| loss <= best.loss || best.loss.is_nan()) {
                best = Some(Constant { logits, loss });
            }
            let gains = outputs.iter_mut().zip(slopes).map(|(output, slope)| output.step(slope));
            if gains.sum::<f64>() <= TOLERANCE * loss {
                break;
            }
        }
        best.unwrap_or(Constant { logits: vec![0.0; self.n_outputs], loss: f64::INFINITY })
    }

    /// The mean loss of these logits, and its slope in each.
    fn evaluate(&self, logits: &[f64]) -> (f64, Vec<f64>) {
        let logits: Vec<T> = logits.iter().map(|&z| T::of(z)).collect();
        let n = self.targets.len();
        let parts: Vec<(f64, Vec<f64>)> = (0..n.div_ceil(ROWS))
            .into_par_iter()
            .map(|chunk| {
                let (mut sum, mut slopes) = (0.0, vec![0.0; logits.len()]);
                let mut z = logits.clone();
                for row in chunk * ROWS..((chunk + 1) * ROWS).min(n) {
                    z.copy_from_slice(&logits);
                    let weight = self.weights.map_or(1.0, |weights| weights[row].f64());
                    sum += weight * self.loss.value_and_gradient(self.targets, row, &mut z).f64();
                    slopes.iter_mut().zip(&z).for_each(|(slope, z)| *slope += weight * z.f64());
                }
                (sum, slopes)
            })
            .collect();
        let (mut sum, mut slopes) = (0.0, vec![0.0; logits.len()]);
        for (part, of_outputs) in parts {
            sum += part;
            slopes.iter_mut().zip(of_outputs).for_each(|(slope, part)| *slope += part);
        }
        slopes.iter_mut().for_each(|slope| *slope /= self.total);
        (sum / self.total, slopes)
    }
}
