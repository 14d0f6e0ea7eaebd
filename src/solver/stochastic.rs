//! Stochastic lifted block-coordinate descent.
//!
//! ```text
//! fit the input map; draw weights
//! for each pass, for each batch:
//!     x_0 ← x_0 + u, the worst noise of its ball (`noise.rs`)       noise block, of a robust fit
//!     x_l ← φ(W_lᵀ x_{l−1}),  l = 1..L−1                          forward
//!           the layer above sees m ∘ x_l, units left out at random (`dropout.rs`)
//!     x_l ← φ(z_l − W_{l+1} δ_{l+1}/λ),  δ_l ← λ(φ(z_l) − x_l)     activation blocks, l = L−1..1
//!     W_l ← W_l − η (G_l + ε I)⁻¹ (mean x_{l−1} δ_lᵀ + α W_l)      weight blocks, with momentum
//!           and, for a layer with a penalty P, the prox of ηP in the same metric
//!     r_l ← r_l − η λ ∂D/∂r / (mean ∂²D/∂r²)                       learned activation parameters
//! W_L ← some steps on its block, after a single pass; its block solved, where the network is no better
//!     than a constant (`output_block.rs`)
//! fold the input map into W_1
//! ```
//!
//! η falls linearly to 0. As λ → ∞ a step is the gradient of the plain network preconditioned by
//! the Gram matrices of the layers' inputs (Benzing 2022); finite λ never asks for φ′.

use super::control::{Control, PassReport, Status};
use super::deadline::Deadline;
use super::diagnosis::Diagnosis;
use super::held_out::{HeldOut, Verdict};
use super::history::History;
use super::layers::Layer;
use super::memory::{check_memory, spare_memory};
use super::noise::InputNoise;
use super::output_block::{Ending, keep_below_constant, settle};
use super::pass::{Batch, Data, Totals};
use super::progress::Progress;
use super::safeguard::Safeguard;
use super::schedule::Schedule;
use super::start::{finish, fold, start};
use crate::error::Result;
use crate::network::Network;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::Options;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Instant;

/// Rows, beside twice the width of the network, from which metrics are estimated.
const METRIC_ROWS: usize = 1024;

/// Weight of earlier batches in the metric of a learned parameter.
const METRIC_MEMORY: f64 = 0.95;

/// The rate of a learned parameter over that of the weights: all units follow it at once.
const PARAMETER_RATE: f64 = 0.5;

/// The outcome of a fit.
#[derive(Debug)]
#[must_use]
pub struct Solution<T> {
    /// Weights in the units of the original inputs.
    pub network: Network<T>,
    /// Mean training loss of each pass, penalty included.
    pub loss_curve: Vec<f64>,
    /// Score on the validation data after each pass.
    pub validation_scores: Vec<f64>,
    /// What happened in each pass.
    pub history: History,
    /// Passes begun.
    pub n_iter: usize,
    /// Directions of the inputs that the first layer was trained in.
    pub n_components: usize,
    /// How often the step was halved to keep the iterates bounded.
    pub n_retries: usize,
    /// Why training ended.
    pub status: Status,
}

/// Trains a network on `problem`, from `network` or from random weights.
///
/// Inputs are standardised and mapped, and targets were, in the precision of the data, T; training itself
/// computes in C. Steps that batches make noisy gain nothing from a precision beyond the single one.
///
/// With `validation` and early stopping, the weights of the pass with the best score on it are kept.
/// With a limit of time, the rate falls to 0 by its end. Runs on the
/// threads of the current rayon pool; the same seed gives the same bits for every number of them.
///
/// # Errors
/// [`Error::Memory`](crate::error::Error::Memory), [`Error::Shape`](crate::error::Error::Shape)
/// for a start that does not fit, [`Error::Factorisation`](crate::error::Error::Factorisation),
/// [`Error::Diverged`](crate::error::Error::Diverged).
pub fn stochastic<C: Real, T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    network: Option<&Network<T>>,
    validation: Option<&Problem<'_, T>>,
    control: &mut (impl Control<T> + ?Sized),
) -> Result<Solution<T>> {
    let clock = Instant::now();
    check_memory::<C, T>(problem, options)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed);
    let from_scratch = network.is_none();
    let (map, mut layers) = start::<C, T>(problem, options, network, &mut rng)?;
    let (inputs, supervision) = (map.apply(problem.x()), problem.supervision());
    let data = Data { inputs: &inputs, targets: &supervision.targets(), weights: supervision.weights() };
    let held = validation.map(|held| (map.apply(held.x()), held.supervision()));
    let held_out = held.as_ref().map(|(inputs, supervision)| HeldOut::new(inputs, supervision, options));
    let noise = InputNoise::new(&map, options);
    let mut batch = Batch::new(&layers, options).with_noise(noise.clone()).with_dropout(
        &layers,
        &options.dropout,
        options.seed,
    );
    let mut order: Vec<usize> = (0..problem.n_samples()).collect();
    let metric_rows = metric_rows(&layers, order.len());
    let mut safeguard = {
        let begin = batch.evaluate(&layers, data, &order[..metric_rows]);
        Safeguard::new(&layers, &batch.activations, begin)
    };
    let mut schedule = Schedule::new(options, order.len());
    let tightened = noise.is_some() || layers.iter().any(Layer::is_tightened);
    if network.is_some() || !tightened {
        schedule.skip_tightening();
    }
    let mut progress = Progress::new(options);
    let mut history = History::default();
    // Copied before the first pass, in an order of its own so that the batches stay what they are.
    let diagnosis =
        options.diagnostics.then(|| Diagnosis::new(data, &sample(order.len(), options.seed), noise));
    let mut noise_radius = None;
    let mut status = Status::MaxIter;
    let mut pass = 0;
    let deadline = Deadline::new(clock, options.max_time);

    'training: while !schedule.finished() {
        pass += 1;
        order.shuffle(&mut rng);
        let (mut early, mut late) = (Totals::default(), Totals::default());
        for (step, rows) in order.chunks(options.batch_size).enumerate() {
            if control.stop_requested() {
                status = Status::Interrupted;
                break 'training;
            }
            if let Some(steps) = deadline.steps_left(schedule.steps()) {
                schedule.end_within(steps);
                if schedule.finished() {
                    break;
                }
            }
            if schedule.refresh_due() {
                batch.refresh_metrics(&mut layers, data, &order[..metric_rows], options)?;
            }
            noise_radius = batch.set_noise_share(noise_share(&schedule, options));
            let part = batch.gradients(&mut layers, data, rows, options.ridge);
            if safeguard.batch_is_good(part) {
                weight_blocks(&mut layers, &mut batch, rows.len(), &schedule, options)?;
            } else {
                safeguard.recover(&mut layers, &mut batch.activations, &mut schedule, pass)?;
            }
            let half = if 2 * step + 1 < schedule.steps_per_pass() { &mut early } else { &mut late };
            *half = half.plus(part);
            schedule.advance();
        }
        let totals = early.plus(late);
        if batch.thins() {
            // Thinned networks may long be worse than a constant where the whole one is good.
            let whole = batch.evaluate(&layers, data, &order[..metric_rows]);
            late = if whole.mean_loss() < late.mean_loss() { whole } else { late };
        }
        if totals.rows == 0 {
            pass -= 1;
            break;
        }
        if totals.rows < order.len() {
            // A part of a pass, at the end of the time, is no measure of the rate.
            safeguard.drop_non_finite(&mut layers, &mut batch.activations);
        } else if !safeguard.keep(&layers, &batch.activations, late) {
            // The first half of a pass may still hold the transient of a start.
            safeguard.recover(&mut layers, &mut batch.activations, &mut schedule, pass)?;
        }
        let single = options.max_iter == 1 && totals.rows == order.len();
        if single && from_scratch && !(options.robust || batch.thins() || schedule.is_cut_short()) {
            settle(&mut layers, &batch.activations, data, options, spare_memory::<C, T>(problem, options))?;
        }
        let mut loss = totals.mean_loss();
        for layer in &mut layers {
            loss += layer.penalty(options.ridge, batch.threads())?;
        }
        let tightness = schedule.tightness();
        let ends = if tightness < 1.0 {
            let ends = layers.iter_mut().map(|layer| layer.projected(tightness));
            Some(ends.collect::<Result<Vec<_>>>()?)
        } else {
            None
        };
        // Scored, and kept, as the run would leave it.
        let ends = ends.as_deref();
        let kinds = batch.activations.kinds().to_vec();
        let network = |layers: &[Layer<C>]| finish(ends.unwrap_or(layers), &kinds, &map, options);
        let mut held = None;
        if let Some(held_out) = &held_out {
            let made = || network(&layers);
            held = held_out.judge(&mut batch, ends.unwrap_or(&layers), made, control)?;
            if held.is_none() {
                status = Status::Interrupted;
                break;
            }
        }
        let score = held.map(|held: Verdict| held.score);
        if let Some(ends) = ends {
            // The problem itself still changes, so no lack of improvement counts.
            progress.record(ends, &batch.activations, loss, score);
        } else if progress.note(&layers, &batch.activations, loss, score, -loss) {
            // An early end is a finished end: the rate is let down to 0.
            schedule.wind_down(options.n_iter_no_change);
        }
        if let Some(diagnosis) = &diagnosis {
            let activations = batch.activations.kinds().to_vec();
            let options = Options { activations, ..options.clone() };
            diagnosis.record(&mut layers, tightness, &options, &mut history)?;
        }
        let seconds = clock.elapsed().as_secs_f64();
        history.push("loss", loss);
        history.push("score", totals.mean_score());
        if let Some(held) = held {
            history.push("validation_loss", held.loss);
            history.push("validation_score", held.score);
        }
        history.push("learning_rate", schedule.rate());
        batch.activations.record(&mut history);
        if let Some(radius) = noise_radius {
            history.push("input_noise", radius);
        }
        history.push("seconds", seconds);
        let passes = schedule.passes().max(pass);
        let report = PassReport { pass, passes, loss, validation_score: score, seconds };
        let ended = schedule.finished();
        if control.pass_done(&report, &|| network(&layers)).is_break() && !ended {
            status = Status::Callback;
            break;
        }
    }

    if status == Status::Interrupted {
        safeguard.drop_non_finite(&mut layers, &mut batch.activations);
    } else if status == Status::MaxIter && progress.converged() {
        status = Status::Converged;
    } else if status == Status::MaxIter && schedule.is_cut_short() {
        status = Status::MaxTime;
    }
    progress.restore_best(&mut layers, &mut batch.activations);
    for layer in &mut layers {
        // A run that was stopped, or went back, may hold weights from before a set was tight.
        layer.tighten(1.0);
        layer.project()?;
    }
    // The last pass tells nothing of a network from before or after its end.
    let held_out = held_out.as_ref().filter(|_| options.early_stopping).map(HeldOut::data);
    let ended = held_out.is_none() && matches!(status, Status::MaxIter | Status::Converged);
    let ending = Ending {
        status,
        running: progress.loss_curve.last().copied().filter(|_| ended),
        held_out,
        memory: spare_memory::<C, T>(problem, options),
    };
    keep_below_constant(&mut layers, &batch.activations, data, options, &ending)?;
    Ok(Solution {
        network: fold(&layers, batch.activations.kinds(), &map, options)?,
        loss_curve: progress.loss_curve,
        validation_scores: progress.validation_scores,
        history,
        n_iter: pass,
        n_components: map.n_components(),
        n_retries: safeguard.retries(),
        status,
    })
}

/// The share of its radius that the noise has. A little noise that only regularises, and doubles the time
/// of a pass, is as good in the second half of the run alone (`docs/defaults.md`).
fn noise_share(schedule: &Schedule, options: &Options) -> f64 {
    let share = schedule.tightness();
    if options.robust { share } else { share.floor() }
}

/// One step of all weight blocks, and of the blocks of learned parameters, from the gradients of so many
/// rows: each in its own metric, all within one trust region.
fn weight_blocks<T: Real>(
    layers: &mut [Layer<T>],
    batch: &mut Batch<T>,
    rows: usize,
    schedule: &Schedule,
    options: &Options,
) -> Result<()> {
    weight_blocks_at(layers, batch, rows, schedule.rate(), schedule.tightness(), options)
}

/// [`weight_blocks`] at a given rate and tightness.
pub(super) fn weight_blocks_at<T: Real>(
    layers: &mut [Layer<T>],
    batch: &mut Batch<T>,
    rows: usize,
    rate: f64,
    tightness: f64,
    options: &Options,
) -> Result<()> {
    let threads = batch.threads();
    let mut length: f64 = layers.iter_mut().map(|layer| layer.solve(options.ridge, threads)).sum();
    length += batch.solve_parameters(rows, METRIC_MEMORY);
    let clip = Safeguard::<T>::clip(rate, length);
    for layer in layers {
        layer.tighten(tightness);
        layer.advance(rate, options.momentum, clip, threads)?;
    }
    batch.activations.advance(PARAMETER_RATE * rate, options.momentum, clip);
    Ok(())
}

/// All rows in a random order.
fn sample(n: usize, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..n).collect();
    rows.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(!seed));
    rows
}

pub(super) fn metric_rows<T: Real>(layers: &[Layer<T>], n_samples: usize) -> usize {
    let width = layers[1..].iter().map(|layer| layer.weights.nrows()).max().unwrap_or(0);
    METRIC_ROWS.max(2 * width).min(n_samples)
}
