//! Full-data lifted block-coordinate descent: deterministic, the objective never rises.
//!
//! ```text
//! fit the input map; draw weights; x ← S(W)
//! for each sweep:
//!     V ← β V + (G + ε I)⁻¹ ∇_W J,  W⁺ ← W − η V,  x⁺ ← S(W⁺)          accelerated joint step
//!     if J(W⁺, x⁺) ≤ J(W, x):  accept, lengthen η
//!     else:  V ← 0, shorten η, and try once more without momentum; if that fails too:
//!         x_l ← majorise–minimise step, l = L−1..1                     activation blocks
//!         r_l ← argmin_r J, l = 1..L−1                                 learned activation parameters
//!         W_l ← W_l − (c_l G_l + α I)⁻¹ ∇_{W_l} J, all l at once        weight blocks
//! W_L ← its block solved at the plain activations, where these jump or the network is no better than a
//!     constant (`output_block.rs`)
//! fold the input map into W_1
//! ```
//!
//! Weights with a penalty take proximal forms of both steps, and start within the sets that hold them.
//!
//! A robust fit moves the inputs by the noise u(W), the worst of its ball to first order (`noise.rs`):
//! J is then that of the moved inputs, with the noise that answers the weights at which J is taken.
//!
//! S(W) solves the activation blocks from the plain forward pass, from the last layer down. Plain
//! block descent alone (`accelerate = false`) is monotone too, but lets W and x hold each other
//! back: x stays near the forward pass of earlier weights, and the weights near what fits it. The
//! joint step moves both, as gradient descent on the envelope min_x J(W, x) would. Learned parameters of
//! activations are held back in the same way, and move with W in it.

use super::control::{Control, PassReport, Status};
use super::deadline::Deadline;
use super::descent::{Descent, Step};
use super::held_out::{HeldOut, Verdict};
use super::history::History;
use super::memory::{check_memory, spare_memory};
use super::noise::InputNoise;
use super::output_block::{Ending, keep_below_constant};
use super::pass::{Batch, Data};
use super::progress::Progress;
use super::start::{finish, fold, start};
use super::stochastic::Solution;
use crate::error::Result;
use crate::network::Network;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::Options;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Instant;

/// Trains a network on `problem`, from `network` or from random weights, with all samples in each
/// sweep.
///
/// With `validation` and early stopping, the weights of the sweep with the best score on it are kept.
/// With a limit of time, no sweep begins after it.
/// `loss_curve` is the plain network's loss with its penalty; the lifted objective and its terms
/// are in `history`. Runs on the threads of the current rayon pool; the same seed gives the same
/// bits for every number of them.
///
/// # Errors
/// As [`stochastic`](super::stochastic::stochastic()).
pub fn batch<T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    network: Option<&Network<T>>,
    validation: Option<&Problem<'_, T>>,
    control: &mut (impl Control<T> + ?Sized),
) -> Result<Solution<T>> {
    let clock = Instant::now();
    check_memory::<T, T>(problem, options)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed);
    let (map, layers) = start(problem, options, network, &mut rng)?;
    let inputs = map.apply(problem.x());
    let data = Data { inputs: &inputs, targets: problem.targets(), weights: problem.weights() };
    let held = validation.map(|held| (map.apply(held.x()), held.supervision()));
    let held_out = held.as_ref().map(|(inputs, supervision)| HeldOut::new(inputs, supervision, options));
    let noise = InputNoise::new(&map, options);
    let mut forward = Batch::new(&layers, options).with_noise(noise.clone());
    let growth = if network.is_none() { options.max_iter / 2 } else { 0 };
    let mut descent = Descent::new(layers, data, options, noise, growth)?;
    let mut progress = Progress::new(options);
    let mut history = History::default();
    let mut status = Status::MaxIter;
    let mut sweep = 0;
    let deadline = Deadline::new(clock, options.max_time);

    while sweep < options.max_iter {
        if sweep > 0 && deadline.is_over() {
            status = Status::MaxTime;
            break;
        }
        if control.stop_requested() {
            status = Status::Interrupted;
            break;
        }
        sweep += 1;
        let growing = descent.grow_noise(options)?;
        let step = descent.sweep(options, &mut history)?;
        forward.activations.restore(descent.lifted.activations.kinds());
        let kinds = descent.lifted.activations.kinds().to_vec();
        let network = |layers: &[_]| finish(layers, &kinds, &map, options);
        let mut held = None;
        if let Some(held_out) = &held_out {
            let made = || network(&descent.layers);
            held = held_out.judge(&mut forward, &descent.layers, made, control)?;
            if held.is_none() {
                status = Status::Interrupted;
                break;
            }
        }
        let score = held.map(|held: Verdict| held.score);
        let loss = descent.plain_loss();
        let seconds = clock.elapsed().as_secs_f64();
        descent.record(&mut history, step, held, seconds);
        // A change of the logarithm is a relative change.
        let merit = -descent.objective.max(f64::MIN_POSITIVE).ln();
        if growing {
            // The problem itself still changes, so no lack of improvement counts.
            progress.record(&descent.layers, &descent.lifted.activations, loss, score);
        } else {
            let stalled = progress.note(&descent.layers, &descent.lifted.activations, loss, score, merit);
            if stalled || step == Step::Stationary || descent.residual <= options.tol {
                status = Status::Converged;
            }
        }
        let report =
            PassReport { pass: sweep, passes: options.max_iter, loss, validation_score: score, seconds };
        let asked = control.pass_done(&report, &|| network(&descent.layers)).is_break();
        if status == Status::Converged {
            break;
        }
        if asked && sweep < options.max_iter {
            status = Status::Callback;
            break;
        }
    }

    let (mut layers, mut activations) = (descent.layers, descent.lifted.activations);
    progress.restore_best(&mut layers, &mut activations);
    let held_out = held_out.as_ref().filter(|_| options.early_stopping).map(HeldOut::data);
    let ending = Ending { status, running: None, held_out, memory: spare_memory::<T, T>(problem, options) };
    let end = keep_below_constant(&mut layers, &activations, data, options, &ending)?;
    if let Some((loss, score)) = end.filter(|_| held_out.is_none()) {
        // The record of the last sweep tells of the network itself.
        history.amend("loss", loss);
        history.amend("score", score);
        let mut penalty = 0.0;
        for layer in &mut layers {
            penalty += layer.penalty(options.ridge, forward.threads())?;
        }
        progress.loss_curve.last_mut().into_iter().for_each(|last| *last = loss + penalty);
    }
    Ok(Solution {
        network: fold(&layers, activations.kinds(), &map, options)?,
        loss_curve: progress.loss_curve,
        validation_scores: progress.validation_scores,
        history,
        n_iter: sweep,
        n_components: map.n_components(),
        n_retries: 0,
        status,
    })
}
