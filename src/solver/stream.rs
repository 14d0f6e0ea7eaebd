//! Data that keep coming: one pass over each chunk, at a constant rate.
//!
//! ```text
//! for each chunk:
//!     the input map follows the moments of all data so far; weights and velocities go with it
//!     for each batch:  the steps of `stochastic.rs`, at the rate η
//!         W̄_l ← W̄_l + γ (W_l − W̄_l),  γ = max(10/(t + 10), 1/1000),  t the steps so far
//! fold the input map into W̄_1
//! ```
//!
//! At a constant rate the weights W never settle; their mean W̄ over about the last tenth of the steps,
//! at most a thousand, does, and predicts at any time as a run does that let its rate down (Polyak,
//! Juditsky 1992). Gram matrices of hidden layers are running means over about as many rows as a run
//! estimates them from.

use super::control::{Control, Status};
use super::input_map::InputMap;
use super::memory::check_memory;
use super::noise::InputNoise;
use super::pass::{Batch, Data, Totals};
use super::safeguard::Safeguard;
use super::schedule::Schedule;
use super::standardisation::FeatureMoments;
use super::start::{assemble, finish, in_precision, loses, mapped_weights, random_weights_of_all};
use super::stochastic::{metric_rows, weight_blocks_at};
use crate::activation::ActivationKind;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::problem::Problem;
use crate::real::{Real, cast};
use crate::spec::Options;
use ndarray::{Array2, Zip};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Share of the steps so far that the mean weights stand for: about its inverse.
const MEAN_POWER: f64 = 10.0;
/// Least weight of a step in the mean weights, so that they follow data that change.
const LEAST_SHARE: f64 = 1e-3;
/// Steps over which noise grows and sets that are not convex are tightened.
const RAMP: f64 = 400.0;
/// Rows that a running Gram matrix remembers.
const MEMORY: usize = 1024;
/// Steps between refreshes of the metrics, once they are not at 0, 1, 2, 4, ...
const REFRESH: usize = 64;

/// What a stream has learned of data in T, computing in C.
#[derive(Debug, Clone)]
pub struct Stream<C, T> {
    /// Coordinates of the first layer; `None` before the first chunk.
    pub map: Option<InputMap<T>>,
    /// Weights of each layer in these, `(n_in + 1, n_out)`.
    pub weights: Vec<Array2<C>>,
    /// Their momentum.
    pub velocities: Vec<Array2<C>>,
    /// Their running means.
    pub means: Vec<Array2<C>>,
    /// Running mean Gram matrices of the inputs of all layers but the first.
    pub grams: Vec<Array2<C>>,
    /// Rows that these have seen.
    pub gram_rows: usize,
    /// Activation of each hidden layer; empty before the first chunk.
    pub activations: Vec<ActivationKind>,
    /// Steps taken.
    pub steps: usize,
}

/// What a chunk gave.
#[derive(Debug)]
#[must_use]
pub struct Chunk<T> {
    /// The running means, for raw inputs and outputs in the units of the options' gains and offsets.
    pub network: Network<T>,
    /// Mean loss over the chunk, each batch before its step, penalty included.
    pub loss: f64,
    /// Directions of the inputs that the first layer is trained in.
    pub n_components: usize,
    /// [`Status::MaxIter`], or that it was interrupted.
    pub status: Status,
}

impl<C: Real, T: Real> Stream<C, T> {
    /// Before the first chunk.
    pub fn new() -> Self {
        Self {
            map: None,
            weights: vec![],
            velocities: vec![],
            means: vec![],
            grams: vec![],
            gram_rows: 0,
            activations: vec![],
            steps: 0,
        }
    }

    /// Takes over another map: weights, momentum and means as they act on raw inputs stay.
    fn change_map(&mut self, map: InputMap<T>) {
        if let Some(old) = self.map.take() {
            for list in [&mut self.weights, &mut self.velocities, &mut self.means] {
                if let Some(first) = list.first_mut() {
                    let (coef, intercept) = old.fold(cast(first).view());
                    *first = cast(&map.unfold(coef.view(), intercept.view()));
                }
            }
        }
        self.map = Some(map);
    }

    /// Moves the running Gram matrices towards those of so many rows.
    fn follow_grams(&mut self, grams: Vec<Array2<C>>, rows: usize) {
        let share = C::of(rows as f64 / (rows + self.gram_rows.min(MEMORY)) as f64);
        self.gram_rows = self.gram_rows.saturating_add(rows);
        if self.grams.is_empty() {
            self.grams = grams;
            return;
        }
        for (mean, gram) in self.grams.iter_mut().zip(&grams) {
            follow(mean, gram, share);
        }
    }
}

/// mean ← mean + share (latest − mean).
fn follow<T: Real>(mean: &mut Array2<T>, latest: &Array2<T>, share: T) {
    Zip::from(mean).and(latest).for_each(|mean, &latest| *mean += share * (latest - *mean));
}

/// Whether the metrics should be refreshed before this step of a stream.
fn refresh_due(step: usize) -> bool {
    if step < REFRESH { step == 0 || step.is_power_of_two() } else { step.is_multiple_of(REFRESH) }
}

impl<C: Real, T: Real> Default for Stream<C, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// One pass over a chunk. `moments` are those of all data so far, the chunk included; with `refit` the
/// input map follows them. A stream that has not begun starts from `start`, or from random weights.
/// Precisions are those of [`stochastic`](super::stochastic::stochastic()).
///
/// # Errors
/// As [`stochastic`](super::stochastic::stochastic()); the stream is then as it was.
pub fn stream<C: Real, T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    moments: &FeatureMoments<'_>,
    refit: bool,
    start: Option<&Network<T>>,
    state: &mut Stream<C, T>,
    control: &mut (impl Control<T> + ?Sized),
) -> Result<Chunk<T>> {
    check_memory::<C, T>(problem, options)?;
    let mut next = state.clone();
    // Other batches and masks in every call.
    let seed = options.seed.wrapping_add(next.steps as u64);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let metric = if options.penalties[0].is_elementwise() {
        let (map, gram, damping) = InputMap::features_from_moments::<C>(problem, moments, options, &mut rng);
        next.change_map(map);
        Some((gram, damping))
    } else {
        let d = problem.n_features();
        let all = |map: &InputMap<T>| map.n_components() == d;
        if refit || next.map.is_none() {
            let whole = next.map.as_ref().is_some_and(all);
            next.change_map(InputMap::from_moments::<C>(problem, moments, options, whole, &mut rng)?);
        }
        if let (Some(start), Some(map)) = (start, &next.map)
            && next.weights.is_empty()
            && !all(map)
            && loses(map, start)
        {
            // The given weights reach beyond the leading directions: keep them all.
            next.map = Some(InputMap::from_moments::<C>(problem, moments, options, true, &mut rng)?);
        }
        None
    };
    let Some(map) = next.map.clone() else { return Err(Error::Internal("a stream without a map".into())) };
    if next.weights.is_empty() {
        next.weights = in_precision(&match start {
            Some(start) => mapped_weights(start, problem, options, &map)?,
            None => random_weights_of_all(problem, options, &map, &mut rng),
        })?;
        next.means.clone_from(&next.weights);
        next.velocities = next.weights.iter().map(|weights| Array2::zeros(weights.raw_dim())).collect();
        next.activations.clone_from(&options.activations);
    }
    let options = &Options {
        activations: next.activations.clone(),
        batch_size: options.batch_size.min(problem.n_samples()),
        max_iter: 1,
        ..options.clone()
    };
    let tightness = |steps: usize| (steps as f64 / RAMP).min(1.0);
    let mut layers = assemble(next.weights.clone(), options, &map, metric.as_ref())?;
    for (layer, velocity) in layers.iter_mut().zip(&next.velocities) {
        layer.tighten(tightness(next.steps));
        layer.project()?;
        layer.set_velocity(velocity);
    }
    let (inputs, supervision) = (map.apply(problem.x()), problem.supervision());
    let data = Data { inputs: &inputs, targets: &supervision.targets(), weights: supervision.weights() };
    let mut batch = Batch::new(&layers, options).with_noise(InputNoise::new(&map, options)).with_dropout(
        &layers,
        &options.dropout,
        seed,
    );
    let mut order: Vec<usize> = (0..problem.n_samples()).collect();
    let metric_rows = metric_rows(&layers, order.len());
    let begin = batch.evaluate(&layers, data, &order[..metric_rows]);
    let mut safeguard = Safeguard::new(&layers, &batch.activations, begin);
    let mut schedule = Schedule::steady(options, order.len(), next.steps);
    order.shuffle(&mut rng);
    let mut totals = Totals::default();
    let mut status = Status::MaxIter;
    // Metrics are not kept between chunks, what they are made of is.
    let mut fresh = true;

    for rows in order.chunks(options.batch_size) {
        if control.stop_requested() {
            status = Status::Interrupted;
            break;
        }
        if fresh || refresh_due(next.steps) {
            next.follow_grams(batch.grams(&layers, data, &order[..metric_rows]), metric_rows);
            for (layer, gram) in layers[1..].iter_mut().zip(&next.grams) {
                layer.set_metric(gram.view(), options.hidden_damping, options.ridge, batch.threads())?;
            }
            fresh = false;
        }
        let tight = tightness(next.steps);
        batch.set_noise_share(tight);
        let part = batch.gradients(&mut layers, data, rows, options.ridge);
        if safeguard.batch_is_good(part) {
            weight_blocks_at(&mut layers, &mut batch, rows.len(), schedule.rate(), tight, options)?;
        } else {
            safeguard.recover(&mut layers, &mut batch.activations, &mut schedule, 1)?;
        }
        let share = (MEAN_POWER / (next.steps as f64 + MEAN_POWER)).max(LEAST_SHARE);
        for (mean, layer) in next.means.iter_mut().zip(&layers) {
            follow(mean, &layer.weights, C::of(share));
        }
        totals = totals.plus(part);
        next.steps += 1;
        schedule.advance();
    }
    safeguard.drop_non_finite(&mut layers, &mut batch.activations);
    for (mean, layer) in next.means.iter_mut().zip(&layers) {
        if !mean.iter().all(|v| v.is_finite()) {
            mean.assign(&layer.weights);
        }
    }
    let mut loss = totals.mean_loss();
    for (l, layer) in layers.iter_mut().enumerate() {
        loss += layer.penalty(options.ridge, batch.threads())?;
        next.weights[l].assign(&layer.weights);
        next.velocities[l].assign(layer.velocity());
    }
    next.activations = batch.activations.kinds().to_vec();
    for (layer, mean) in layers.iter_mut().zip(&next.means) {
        layer.restore(mean);
        layer.tighten(1.0);
        layer.project()?;
    }
    let network = finish(&layers, &next.activations, &map, options)?;
    *state = next;
    Ok(Chunk { network, loss, n_components: map.n_components(), status })
}
