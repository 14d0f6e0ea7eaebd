//! The output layer's block at the plain activations, and the bound that it gives to every fit.
//!
//! ```text
//! min over W, b:  F(W, b) = mean_i s_i ℓ(y_i, Wᵀx_i + b) + (α/2)‖W‖² + P(W)
//! ```
//!
//! with x_i what a prediction sees of sample i in the last hidden layer, or its mapped inputs. F is
//! convex, and F(0, b) is the loss of a constant prediction: solved from there or from the trained
//! weights, whichever is better, the block leaves a network no worse than the best constant.
//!
//! Runs end above it when they are cut short, or when wild settings leave hardly a rate. The batch
//! solver trains other output weights than a network that jumps needs: those for the lifted variables of
//! its stand-ins (hard_tanh for sign). There the block is solved in any case.
//!
//! A classifier that gains no more than chance gives, and is right less often than the constant, becomes
//! the constant as well. By chance, where q inputs tell nothing of the targets, the block gains about
//! q‖g‖²/(2Bn): g is the gradient for the logits of a sample at the constant, its square the mean over
//! the n samples, B the bound of the curvature. Akaike (1974) asks twice as much of a model that shall
//! predict better.
//!
//! A run of a single pass is too short for its output weights: some steps on the block ([`settle`]) then
//! gain what another pass would.
//!
//! Without P by [`SmoothRegression`]; with it by majorise–minimise steps, which keep constraints
//! exactly. A set that leaves out W = 0 allows no constant prediction; the allowed W nearest to 0 stands
//! in. A run that was interrupted, and a robust one, whose output weights must withstand noise, get the
//! constant prediction in the place of a solution.

use super::activations::Activations;
use super::control::Status;
use super::layers::Layer;
use super::pass::Data;
use crate::activation::Tie;
use crate::error::{Error, Result};
use crate::kernel::Stopping;
use crate::kernel::best_constant::{Constant, best_constant};
use crate::kernel::smooth_regression::{Affine, LogitLoss, SmoothRegression};
use crate::linalg::{Threads, add_upper_gram, mirror, product};
use crate::loss::Loss;
use crate::real::Real;
use crate::spec::{Options, Solver};
use ndarray::{Array1, Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// Samples of one task.
const ROWS: usize = 256;
/// Multiply-adds of a forward pass of all samples below which it is always worth its time.
const CHEAP: usize = 1 << 27;
/// A share of the constant's loss so low that the loss over the last pass tells enough.
const FAR_BELOW: f64 = 0.5;
/// Share of the constant's loss that a network must gain to be left alone.
const LEAST_GAIN: f64 = 1e-3;
/// Share of the constant's loss that is never gained by chance alone.
const MOST_BY_CHANCE: f64 = 0.03;
/// Relative residual, and iterations at most, of the smooth block.
const TOLERANCE: f64 = 1e-5;
const MOST_ITERATIONS: usize = 60;
/// Majorise–minimise steps of a block with a penalty, at most; they end when one gains less than this
/// share.
const MOST_STEPS: usize = 300;
const LEAST_STEP: f64 = 1e-7;
/// Factor on a curvature that was tried out beyond which no step is taken.
const MOST_CAUTION: f64 = 1e12;
/// Iterations of [`settle`], with P or without: most of the way (`docs/defaults.md`).
const SETTLING: usize = 2;
/// Rows for each weight of an output from which such few steps take their metric.
const METRIC_ROWS: usize = 20;
/// Samples from which the block is solved at least, however little memory there is.
const LEAST_ROWS: usize = 1024;

/// A run as it ended.
pub(super) struct Ending<'a, 't, T> {
    pub status: Status,
    /// Loss over the last pass, penalties included, where the network is that of its end: for large data
    /// and far below the constant's loss it saves looking.
    pub running: Option<f64>,
    pub held_out: Option<Data<'a, 't, T>>,
    /// Bytes that a solution may take.
    pub memory: u64,
}

/// Leaves the network no worse than the best constant prediction on the data that it was trained on:
/// solves the output block where it gains next to nothing on that, or where the network jumps and the
/// lifted one does not, and has no classifier guess. Held-out data choose between the trained weights, if they are better than the
/// constant, the constant and the solution, by their loss; F does without. Returns loss and score of the
/// network where there was such a choice.
///
/// # Errors
/// [`Error::Factorisation`] when LAPACK fails in a penalty.
pub(super) fn keep_below_constant<T: Real>(
    layers: &mut [Layer<T>],
    activations: &Activations<T>,
    data: Data<'_, '_, T>,
    options: &Options,
    ending: &Ending<'_, '_, T>,
) -> Result<Option<(f64, f64)>> {
    let Some((output, hidden)) = layers.split_last_mut() else { return Ok(None) };
    let loss = options.loss.make();
    let block = OutputBlock { hidden, ties: activations.ties(), data, loss: &*loss, ridge: options.ridge };
    let constant = block.best_constant(output);
    let may_solve = ending.status != Status::Interrupted && !options.robust;
    let jumps = options.solver == Solver::Batch && activations.ties().iter().any(Tie::has_stand_in);
    let must_solve = jumps && may_solve;
    let cheap = block.multiply_adds(output).saturating_mul(data.inputs.nrows()) <= CHEAP;
    if !(cheap || must_solve) && ending.running.is_some_and(|loss| loss < FAR_BELOW * constant.loss) {
        return Ok(None);
    }
    let (mut reached, mut changed) = (block.means(output), false);
    if must_solve || reached.0 >= (1.0 - LEAST_GAIN) * constant.loss {
        block.choose(output, &constant, reached.0, ending, may_solve)?;
        (reached, changed) = (block.means(output), true);
    }
    let ended = ending.held_out.is_none() && matches!(ending.status, Status::MaxIter | Status::Converged);
    let guesses = ended && !options.loss.is_regression();
    if guesses && let Some(means) = block.replace_guesses(output, &constant, reached)? {
        return Ok(Some(means));
    }
    Ok(changed.then_some(reached))
}

/// Lowers F from the trained weights on: some steps on the output block, none of which raises it.
///
/// # Errors
/// As [`keep_below_constant`].
pub(super) fn settle<T: Real>(
    layers: &mut [Layer<T>],
    activations: &Activations<T>,
    data: Data<'_, '_, T>,
    options: &Options,
    memory: u64,
) -> Result<()> {
    let Some((output, hidden)) = layers.split_last_mut() else { return Ok(()) };
    let loss = options.loss.make();
    let block = OutputBlock { hidden, ties: activations.ties(), data, loss: &*loss, ridge: options.ridge };
    let trained = output.weights.clone();
    if !block.solve(output, memory, SETTLING)? || !output.is_finite() {
        output.restore(&trained);
    }
    Ok(())
}

/// Output weights, F there, and the loss on held-out data, or 0 without.
struct Choice<T> {
    value: f64,
    held_out: f64,
    weights: Array2<T>,
}

/// The layers below, as they stand, and what the block is made of.
struct OutputBlock<'b, 'a, 't, T> {
    hidden: &'b [Layer<T>],
    ties: &'b [Tie<T>],
    data: Data<'a, 't, T>,
    loss: &'b dyn Loss<T>,
    ridge: f64,
}

impl<T: Real> OutputBlock<'_, '_, '_, T> {
    fn best_constant(&self, output: &Layer<T>) -> Constant {
        best_constant(self.loss, self.data.targets, self.data.weights, output.weights.ncols())
    }

    /// Of one sample's forward pass.
    fn multiply_adds(&self, output: &Layer<T>) -> usize {
        self.hidden.iter().chain([output]).map(|layer| layer.weights.len()).sum()
    }

    /// Inputs of the output layer for some samples, with trailing ones, `(rows, n_inputs + 1)`.
    fn inputs(&self, rows: &[usize]) -> Array2<T> {
        let width = self.hidden.last().map_or(self.data.inputs.ncols(), |layer| layer.weights.ncols() + 1);
        let mut inputs = Array2::zeros((rows.len(), width));
        self.write_inputs(rows, inputs.view_mut());
        inputs
    }

    /// [`OutputBlock::inputs`] into an array in row order.
    fn write_inputs(&self, rows: &[usize], mut target: ArrayViewMut2<'_, T>) {
        let mut inputs = self.data.inputs.select(Axis(0), rows);
        for (l, (layer, tie)) in self.hidden.iter().zip(self.ties).enumerate() {
            let units = layer.weights.ncols();
            let mut z = Array2::zeros((rows.len(), units));
            product(T::one(), inputs.view(), layer.weights.view(), T::zero(), z.view_mut(), Threads::One);
            let lift = |mut x: ArrayViewMut2<'_, T>| {
                for (z, mut x) in z.rows().into_iter().zip(x.rows_mut()) {
                    if let (Some(z), Some(x)) = (z.as_slice(), x.as_slice_mut()) {
                        tie.apply(z, &mut x[..units]);
                        x[units] = T::one();
                    }
                }
            };
            if l + 1 == self.hidden.len() {
                return lift(target);
            }
            inputs = Array2::zeros((rows.len(), units + 1));
            lift(inputs.view_mut());
        }
        target.assign(&inputs);
    }

    /// Loss and score over all samples.
    fn means(&self, output: &Layer<T>) -> (f64, f64) {
        let n = self.data.inputs.nrows();
        let weights = output.weights.view();
        let parts: Vec<(f64, f64)> = (0..n.div_ceil(ROWS))
            .into_par_iter()
            .map(|chunk| {
                let rows: Vec<usize> = (chunk * ROWS..((chunk + 1) * ROWS).min(n)).collect();
                let inputs = self.inputs(&rows);
                let mut logits = Array2::zeros((rows.len(), weights.ncols()));
                product(T::one(), inputs.view(), weights, T::zero(), logits.view_mut(), Threads::One);
                rows.iter().zip(logits.rows_mut()).fold((0.0, 0.0), |(loss, score), (&row, mut logits)| {
                    let Some(z) = logits.as_slice_mut() else { return (loss, score) };
                    let (targets, weight) = (self.data.targets, self.weight(row));
                    let score = score + weight * self.loss.score(targets, row, z).f64();
                    (loss + weight * self.loss.value_and_gradient(targets, row, z).f64(), score)
                })
            })
            .collect();
        let sums = parts.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        (sums.0 / n as f64, sums.1 / n as f64)
    }

    fn choice(&self, output: &mut Layer<T>, held_out: Option<Data<'_, '_, T>>) -> Result<Choice<T>> {
        let Self { hidden, ties, loss, ridge, .. } = *self;
        let on = |data| OutputBlock { hidden, ties, data, loss, ridge };
        Ok(Choice {
            value: self.means(output).0 + output.penalty(self.ridge, Threads::All)?,
            held_out: held_out.map_or(0.0, |data| on(data).means(output).0),
            weights: output.weights.clone(),
        })
    }

    /// Leaves the layer with the best of its weights, the constant and, where that `may` be, the solution.
    fn choose(
        &self,
        output: &mut Layer<T>,
        constant: &Constant,
        loss: f64,
        ending: &Ending<'_, '_, T>,
        may_solve: bool,
    ) -> Result<()> {
        let trained = self.choice(output, ending.held_out)?;
        self.make_constant(output, constant)?;
        let mut choices = vec![self.choice(output, ending.held_out)?];
        // Without 0 in the set of a penalty, the weights nearest to it may be worse.
        if loss < constant.loss || trained.value < choices[0].value {
            choices.push(trained);
        }
        choices.sort_by(|a, b| a.value.total_cmp(&b.value));
        if may_solve {
            output.restore(&choices[0].weights);
            if self.solve(output, ending.memory, MOST_STEPS)? {
                let solution = self.choice(output, ending.held_out)?;
                if solution.value <= choices[0].value && output.is_finite() {
                    choices.insert(0, solution);
                }
            }
        }
        // Of equals the first, whose F is least.
        let chosen = choices.into_iter().min_by(|a, b| a.held_out.total_cmp(&b.held_out));
        if let Some(chosen) = chosen {
            output.restore(&chosen.weights);
        }
        Ok(())
    }

    /// Turns the layer into the constant where its gain on that is one of chance and its score, the share of
    /// right answers, is less; then returns the new loss and score.
    fn replace_guesses(
        &self,
        output: &mut Layer<T>,
        constant: &Constant,
        (loss, score): (f64, f64),
    ) -> Result<Option<(f64, f64)>> {
        let gain = constant.loss - loss;
        if gain >= MOST_BY_CHANCE * constant.loss {
            return Ok(None);
        }
        let n_inputs = output.weights.nrows() - 1;
        if gain >= 2.0 * self.gain_by_chance(constant, n_inputs) {
            return Ok(None);
        }
        let trained = output.weights.clone();
        self.make_constant(output, constant)?;
        let means = self.means(output);
        if means.1 <= score {
            output.restore(&trained);
            return Ok(None);
        }
        Ok(Some(means))
    }

    /// q‖g‖²/(2Bn); see above.
    fn gain_by_chance(&self, constant: &Constant, n_inputs: usize) -> f64 {
        let mut logits: Vec<T> = Vec::with_capacity(constant.logits.len());
        let (mut squares, mut total, mut n) = (0.0, 0.0, 0.0);
        for row in 0..self.data.inputs.nrows() {
            let weight = self.weight(row);
            if weight == 0.0 {
                continue;
            }
            logits.clear();
            logits.extend(constant.logits.iter().map(|&logit| T::of(logit)));
            self.loss.value_and_gradient(self.data.targets, row, &mut logits);
            squares += weight * logits.iter().map(|g| g.f64().powi(2)).sum::<f64>();
            total += weight;
            n += 1.0;
        }
        n_inputs as f64 * (squares / total) / (2.0 * self.loss.curvature_bound().f64() * n)
    }

    fn weight(&self, row: usize) -> f64 {
        self.data.weights.map_or(1.0, |weights| weights[row].f64())
    }

    /// Solves the block from the layer's weights on; false where no factor can be made of the activations.
    /// With too little `memory` for those of all samples it is solved on some, spread evenly. Takes no more
    /// than so many `steps`.
    fn solve(&self, output: &mut Layer<T>, memory: u64, steps: usize) -> Result<bool> {
        let samples = Samples::new(self, output, memory);
        let solved = match output.is_penalised() {
            true => samples.descend(output, steps),
            false => samples.regress(output, steps),
        };
        match solved {
            Ok(()) => Ok(true),
            Err(Error::Factorisation { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Turns the layer into the constant prediction, or what the penalty's set has nearest to it.
    fn make_constant(&self, output: &mut Layer<T>, constant: &Constant) -> Result<()> {
        let mut weights = Array2::zeros(output.weights.raw_dim());
        let last = weights.nrows() - 1;
        weights.row_mut(last).iter_mut().zip(&constant.logits).for_each(|(b, &logit)| *b = T::of(logit));
        output.restore(&weights);
        output.project()
    }
}

/// Inputs of the output layer for the samples that the block is solved on.
struct Samples<'s, 'b, 'a, 't, T> {
    block: &'s OutputBlock<'b, 'a, 't, T>,
    rows: Vec<usize>,
    /// With trailing ones, `(rows, n_inputs + 1)`.
    inputs: Array2<T>,
    /// Sum 1.
    weights: Array1<T>,
}

impl<'s, 'b, 'a, 't, T: Real> Samples<'s, 'b, 'a, 't, T> {
    fn new(block: &'s OutputBlock<'b, 'a, 't, T>, output: &Layer<T>, memory: u64) -> Self {
        let (width, outputs) = output.weights.dim();
        // Inputs, and of the logits those of a place, of a trial, of the slopes and of a direction.
        let bytes = (width + 1 + 6 * outputs) * std::mem::size_of::<T>();
        let most = usize::try_from(memory / bytes as u64).unwrap_or(usize::MAX).max(LEAST_ROWS);
        let counting = (0..block.data.inputs.nrows()).filter(|&row| block.weight(row) > 0.0);
        let mut rows: Vec<usize> = counting.collect();
        let n = rows.len();
        if n > most {
            rows = (0..most).map(|i| rows[(i as u128 * n as u128 / most as u128) as usize]).collect();
        }
        let mut inputs = Array2::zeros((rows.len(), width));
        inputs
            .axis_chunks_iter_mut(Axis(0), ROWS)
            .into_par_iter()
            .zip(rows.par_chunks(ROWS))
            .for_each(|(inputs, rows)| block.write_inputs(rows, inputs));
        let total: f64 = rows.iter().map(|&row| block.weight(row)).sum();
        let weights = rows.iter().map(|&row| T::of(block.weight(row) / total)).collect();
        Self { block, rows, inputs, weights }
    }

    /// Solves the block of a layer with nothing but the ridge.
    fn regress(&self, output: &mut Layer<T>, steps: usize) -> Result<()> {
        let n_inputs = self.inputs.ncols() - 1;
        let x = self.inputs.slice(s![.., ..n_inputs]);
        let metric_rows = if steps > SETTLING { x.nrows() } else { METRIC_ROWS * self.inputs.ncols() };
        let (weights, ridge) = (Some(self.weights.view()), self.block.ridge);
        let problem = SmoothRegression::sampled(x, weights, ridge, true, metric_rows)?;
        let start = Affine {
            coef: output.weights.slice(s![..n_inputs, ..]).to_owned(),
            intercept: output.weights.row(n_inputs).to_owned(),
        };
        let stopping = Stopping::new(TOLERANCE, MOST_ITERATIONS.min(steps));
        let (solution, _) = problem.solve(self, start, stopping)?;
        let mut weights = output.weights.clone();
        weights.slice_mut(s![..n_inputs, ..]).assign(&solution.coef);
        weights.row_mut(n_inputs).assign(&solution.intercept);
        output.restore(&weights);
        Ok(())
    }

    /// Majorise–minimise steps, none of which raises F over these samples.
    fn descend(&self, output: &mut Layer<T>, steps: usize) -> Result<()> {
        let gram = self.gram();
        let bounded = self.block.loss.curvature_bound().f64().is_finite();
        let (mut value, mut gradient) = self.evaluate(output)?;
        let mut caution = 1.0;
        for _ in 0..steps {
            let weights = output.weights.clone();
            output.gradient.assign(&gradient);
            let curvature = caution * self.curvature_bound();
            let (next, _) = output.majorised_step(gram.view(), curvature, self.block.ridge, Threads::All)?;
            output.restore(&next);
            let (reached, slope) = self.evaluate(output)?;
            if reached <= value {
                let gain = value - reached;
                (value, gradient) = (reached, slope);
                if gain <= LEAST_STEP * value.abs() {
                    break;
                }
                continue;
            }
            output.restore(&weights);
            caution *= 4.0;
            if bounded || caution > MOST_CAUTION {
                break;
            }
        }
        Ok(())
    }

    /// mean x xᵀ.
    fn gram(&self) -> Array2<T> {
        let mut gram = Array2::zeros((self.inputs.ncols(), self.inputs.ncols()));
        for (inputs, weights) in
            self.inputs.axis_chunks_iter(Axis(0), ROWS).zip(self.weights.axis_chunks_iter(Axis(0), ROWS))
        {
            let roots = weights.mapv(T::sqrt);
            let weighted = &inputs * &roots.insert_axis(Axis(1));
            add_upper_gram(T::one(), weighted.view(), gram.view_mut(), Threads::All);
        }
        mirror(&mut gram);
        gram
    }

    /// F over these samples, and the gradient of all of it but P.
    fn evaluate(&self, output: &mut Layer<T>) -> Result<(f64, Array2<T>)> {
        let mut slopes = Array2::zeros((self.rows.len(), output.weights.ncols()));
        product(
            T::one(),
            self.inputs.view(),
            output.weights.view(),
            T::zero(),
            slopes.view_mut(),
            Threads::All,
        );
        let mut value = 0.0;
        for (i, mut z) in slopes.rows_mut().into_iter().enumerate() {
            let weight = self.weights[i];
            if let Some(z) = z.as_slice_mut() {
                value += weight.f64() * self.value_and_gradient(i, z);
            }
            z.map_inplace(|v| *v *= weight);
        }
        product(
            T::one(),
            self.inputs.t(),
            slopes.view(),
            T::zero(),
            output.gradient.view_mut(),
            Threads::All,
        );
        output.add_ridge(self.block.ridge);
        Ok((value + output.penalty(self.block.ridge, Threads::All)?, output.gradient.clone()))
    }
}

impl<T: Real> LogitLoss<T> for Samples<'_, '_, '_, '_, T> {
    fn value_and_gradient(&self, row: usize, logits: &mut [T]) -> f64 {
        let OutputBlock { loss, data, .. } = self.block;
        loss.value_and_gradient(data.targets, self.rows[row], logits).f64()
    }

    fn curvature_bound(&self) -> f64 {
        let bound = self.block.loss.curvature_bound().f64();
        // That of a rate of 1, which standardised counts have on average.
        if bound.is_finite() { bound } else { 1.0 }
    }
}
