//! The lifted problem over all samples: its variables, its objective, its blocks.
//!
//! ```text
//! J(W, x) = mean_i s_i [ ℓ(y_i, z_{L,i}) + λ Σ_{l<L} D(x_{l,i}, z_{l,i}) ],  z_l = W_lᵀ(x_{l−1}, 1)
//! ```
//!
//! Lifted variables are kept as u with x = φ(u). Samples are cut into shards whose number does not
//! depend on the threads; each sums its own part, and parts are added in order, so neither do the
//! bits. Penalties on the weights are the driver's.

use super::layers::Layer;
use super::pass::Data;
use crate::activation::Tie;
use crate::kernel::activation_block::bregman_step;
use crate::linalg::{Threads, add_upper_gram, mirror, product};
use crate::loss::Loss;
use crate::real::Real;
use crate::spec::Options;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

/// Parts that the samples are cut into.
const SHARDS: usize = 16;
/// Samples that a shard works on at a time.
const ROWS: usize = 256;
/// Multiply-adds of a sweep below which handing work to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 20;

/// The terms of the objective at one point, means over the samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Terms {
    /// ℓ at the lifted variables.
    pub loss: f64,
    /// D of each hidden layer.
    pub divergence: Vec<f64>,
    /// Squared distance of each hidden layer's lifted variables from the plain network's.
    pub gap: Vec<f64>,
    /// ℓ of the plain network; with [`Lifted::solve_afresh`], of one of the lifted activations.
    pub plain_loss: f64,
    /// Score of the plain network.
    pub score: f64,
    /// Squared length of a step of the activation blocks, in their metric.
    pub motion: f64,
}

/// The lifted variables, with all buffers.
#[derive(Debug)]
pub(super) struct Lifted<'a, 't, T> {
    data: Data<'a, 't, T>,
    ties: Vec<Tie<T>>,
    loss: Box<dyn Loss<T>>,
    lambda: T,
    shards: Vec<Shard<T>>,
    threads: Threads,
}

/// A run of samples.
#[derive(Debug)]
struct Shard<T> {
    start: usize,
    n: usize,
    /// u of each hidden layer, `(n, n_units)`.
    current: Vec<Array2<T>>,
    /// The same for a point that may yet be refused.
    trial: Vec<Array2<T>>,
    /// x_l with trailing ones, the inputs of the layers but the first, `(ROWS, n_units + 1)`.
    inputs: Vec<Array2<T>>,
    /// Pre-activations of the hidden layers, `(ROWS, n_units)`.
    z: Vec<Array2<T>>,
    /// ∂J/∂z of all layers, `(ROWS, n_units)`.
    delta: Vec<Array2<T>>,
    gradients: Vec<Array2<T>>,
    grams: Vec<Array2<T>>,
    terms: Terms,
}

/// Where the lifted variables of an evaluation come from.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// Solved from the plain forward pass by one sweep of activation blocks; written to `trial`.
    Afresh,
    /// `current`, as it is.
    Current,
}

/// What an evaluation sums beside the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sums {
    Gradients,
    Grams,
}

impl<'a, 't, T: Real> Lifted<'a, 't, T> {
    pub fn new(layers: &[Layer<T>], data: Data<'a, 't, T>, options: &Options) -> Self {
        let n = data.inputs.nrows();
        let parameters: usize = layers.iter().map(|layer| layer.weights.len()).sum();
        let size = n.div_ceil(SHARDS).max(ROWS.min(n));
        Self {
            data,
            ties: options.activations.iter().map(|&kind| Tie::new(kind, options.divergence)).collect(),
            loss: options.loss.make(),
            lambda: T::of(options.penalty_weight),
            shards: (0..n)
                .step_by(size)
                .map(|start| Shard::new(layers, start, size.min(n - start)))
                .collect(),
            threads: if parameters * n >= WORTH_SHARING { Threads::All } else { Threads::One },
        }
    }

    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Bound on the curvature of the objective in the pre-activations of each layer; infinite for
    /// a loss without one.
    pub fn curvatures(&self) -> Vec<f64> {
        let hidden = self.ties.iter().map(|tie| (self.lambda * tie.curvature()).f64());
        hidden.chain([self.loss.curvature_bound().f64()]).collect()
    }

    /// sup φ′ of hidden layer `l`.
    pub fn slope_bound(&self, l: usize) -> f64 {
        self.ties[l].lifted().slope_bound().f64()
    }

    /// Solves all activation blocks from the plain forward pass, one linearised step each, from the
    /// last layer down. Returns the terms there and leaves the gradients in the layers; the
    /// variables replace the current ones by [`Lifted::accept`].
    pub fn solve_afresh(&mut self, layers: &mut [Layer<T>]) -> Terms {
        self.evaluate(layers, Point::Afresh, Sums::Gradients)
    }

    /// Takes over the variables of the last [`Lifted::solve_afresh`].
    pub fn accept(&mut self) {
        for shard in &mut self.shards {
            std::mem::swap(&mut shard.current, &mut shard.trial);
        }
    }

    /// The terms at the current variables; leaves the gradients in the layers.
    pub fn terms(&mut self, layers: &mut [Layer<T>]) -> Terms {
        self.evaluate(layers, Point::Current, Sums::Gradients)
    }

    /// Loss and score of the plain network, and the gaps of the current variables from it; the other
    /// terms are 0.
    pub fn plain(&mut self, layers: &[Layer<T>]) -> Terms {
        let Self { data, ties, loss, shards, threads, .. } = self;
        each(shards, *threads, |shard| {
            shard.terms = Terms::zeros(ties.len());
            for start in (0..shard.n).step_by(ROWS) {
                let rows = start..(start + ROWS).min(shard.n);
                shard.plain(layers, *data, ties, loss.as_ref(), rows);
            }
        });
        mean(shards, data.inputs.nrows())
    }

    /// Whether the lifted problem has another activation than the network in some layer.
    pub fn has_stand_ins(&self) -> bool {
        self.ties.iter().any(Tie::has_stand_in)
    }

    /// Gram matrices of every layer's input at the current variables.
    pub fn grams(&mut self, layers: &mut [Layer<T>]) -> Vec<Array2<T>> {
        self.evaluate(layers, Point::Current, Sums::Grams);
        let mut grams: Vec<Array2<T>> = layers
            .iter()
            .map(|layer| Array2::zeros((layer.weights.nrows(), layer.weights.nrows())))
            .collect();
        for shard in &self.shards {
            for (gram, part) in grams.iter_mut().zip(&shard.grams) {
                *gram += part;
            }
        }
        grams.iter_mut().for_each(mirror);
        grams
    }

    /// One majorise–minimise step of the activation block of hidden layer `l`, the others fixed:
    /// never raises the objective. `proximal` is κ, at least the curvature of the terms above in
    /// x_l times sup φ′. Returns the squared length of the step in the metric of the block.
    pub fn activation_block(&mut self, l: usize, layers: &[Layer<T>], proximal: f64) -> f64 {
        let Self { data, ties, loss, lambda, shards, threads } = self;
        let step = |shard: &mut Shard<T>| {
            shard.terms.motion = 0.0;
            for start in (0..shard.n).step_by(ROWS) {
                let rows = start..(start + ROWS).min(shard.n);
                shard.activation_block(l, layers, *data, ties, loss.as_ref(), *lambda, T::of(proximal), rows);
            }
        };
        each(shards, *threads, step);
        shards.iter().map(|shard| shard.terms.motion).sum::<f64>() / data.inputs.nrows() as f64
    }

    /// Notes the variables of hidden layer `l`, in the place of those not accepted.
    pub fn save(&mut self, l: usize) {
        self.shards.iter_mut().for_each(|shard| shard.trial[l].assign(&shard.current[l]));
    }

    /// Returns to the variables that [`Lifted::save`] noted.
    pub fn undo(&mut self, l: usize) {
        self.shards.iter_mut().for_each(|shard| shard.current[l].assign(&shard.trial[l]));
    }

    fn evaluate(&mut self, layers: &mut [Layer<T>], point: Point, sums: Sums) -> Terms {
        let Self { data, ties, loss, lambda, shards, threads } = self;
        let scale = T::of(1.0 / data.inputs.nrows() as f64);
        let shared: &[Layer<T>] = layers;
        each(shards, *threads, |shard| {
            shard.clear(sums);
            for start in (0..shard.n).step_by(ROWS) {
                let rows = start..(start + ROWS).min(shard.n);
                match point {
                    Point::Afresh => {
                        shard.solve_afresh(shared, *data, ties, loss.as_ref(), *lambda, rows.clone())
                    }
                    Point::Current => shard.take_current(shared, *data, ties, rows.clone()),
                }
                match sums {
                    Sums::Gradients => {
                        shard.measure(shared, *data, ties, loss.as_ref(), *lambda, scale, rows)
                    }
                    Sums::Grams => shard.add_grams(*data, scale, rows),
                }
            }
        });
        if sums == Sums::Gradients {
            for (l, layer) in layers.iter_mut().enumerate() {
                layer.gradient.fill(T::zero());
                for shard in shards.iter() {
                    layer.gradient += &shard.gradients[l];
                }
            }
        }
        mean(shards, data.inputs.nrows())
    }
}

/// The terms of all shards, as means over `n` samples.
fn mean<T: Real>(shards: &[Shard<T>], n: usize) -> Terms {
    let mut terms = Terms::zeros(shards.first().map_or(0, |shard| shard.current.len()));
    shards.iter().for_each(|shard| terms.add(&shard.terms));
    terms.divide(n as f64);
    terms
}

fn each<T: Real>(shards: &mut [Shard<T>], threads: Threads, task: impl Fn(&mut Shard<T>) + Sync + Send) {
    match threads {
        Threads::One => shards.iter_mut().for_each(task),
        Threads::All => shards.par_iter_mut().with_max_len(1).for_each(task),
    }
}

impl Terms {
    fn zeros(n_hidden: usize) -> Self {
        Self { divergence: vec![0.0; n_hidden], gap: vec![0.0; n_hidden], ..Self::default() }
    }

    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.plain_loss += other.plain_loss;
        self.score += other.score;
        for (sum, part) in self.divergence.iter_mut().zip(&other.divergence) {
            *sum += part;
        }
        for (sum, part) in self.gap.iter_mut().zip(&other.gap) {
            *sum += part;
        }
    }

    fn divide(&mut self, n: f64) {
        self.loss /= n;
        self.plain_loss /= n;
        self.score /= n;
        self.divergence.iter_mut().chain(&mut self.gap).for_each(|v| *v /= n);
    }
}

type Range = std::ops::Range<usize>;

impl<T: Real> Shard<T> {
    fn new(layers: &[Layer<T>], start: usize, n: usize) -> Self {
        let hidden = &layers[..layers.len() - 1];
        let rows = ROWS.min(n);
        let full = |layer: &Layer<T>| Array2::zeros((n, layer.weights.ncols()));
        let buffer = |layer: &Layer<T>| Array2::zeros((rows, layer.weights.ncols()));
        Self {
            start,
            n,
            current: hidden.iter().map(full).collect(),
            trial: hidden.iter().map(full).collect(),
            inputs: layers[1..].iter().map(|layer| Array2::ones((rows, layer.weights.nrows()))).collect(),
            z: hidden.iter().map(buffer).collect(),
            delta: layers.iter().map(buffer).collect(),
            gradients: layers.iter().map(|layer| Array2::zeros(layer.weights.raw_dim())).collect(),
            grams: layers
                .iter()
                .map(|layer| Array2::zeros((layer.weights.nrows(), layer.weights.nrows())))
                .collect(),
            terms: Terms::zeros(hidden.len()),
        }
    }

    fn clear(&mut self, sums: Sums) {
        self.terms = Terms::zeros(self.current.len());
        let matrices = match sums {
            Sums::Gradients => &mut self.gradients,
            Sums::Grams => &mut self.grams,
        };
        matrices.iter_mut().for_each(|matrix| matrix.fill(T::zero()));
    }

    fn weight(&self, data: Data<'_, '_, T>, row: usize) -> f64 {
        data.weights.map_or(1.0, |weights| weights[self.start + row].f64())
    }

    /// z of layer `l` from the inputs in the buffers.
    fn pre_activations(&mut self, l: usize, layers: &[Layer<T>], data: Data<'_, '_, T>, rows: &Range) {
        let all = s![..rows.len(), ..];
        let target = if l < self.z.len() { &mut self.z[l] } else { &mut self.delta[l] };
        let input = input(&self.inputs, l, data.inputs, self.start, rows);
        product(T::one(), input, layers[l].weights.view(), T::zero(), target.slice_mut(all), Threads::One);
    }

    /// Logits become ∂ℓ/∂z. Returns loss and score, weighted sums.
    fn take_loss(&mut self, data: Data<'_, '_, T>, loss: &dyn Loss<T>, rows: &Range) -> (f64, f64) {
        let (mut value, mut score) = (0.0, 0.0);
        let last = self.delta.len() - 1;
        for (i, row) in rows.clone().enumerate() {
            let weight = self.weight(data, row);
            if let Some(z) = self.delta[last].row_mut(i).as_slice_mut() {
                score += weight * loss.score(data.targets, self.start + row, z).f64();
                value += weight * loss.value_and_gradient(data.targets, self.start + row, z).f64();
            }
        }
        (value, score)
    }

    /// δ_l ← the gradient, in x_l, of the terms above hidden layer `l`.
    fn gradient_from_above(&mut self, l: usize, layers: &[Layer<T>], rows: &Range) {
        let all = s![..rows.len(), ..];
        let units = self.z[l].ncols();
        let (below, above) = self.delta.split_at_mut(l + 1);
        let weights = layers[l + 1].weights.slice(s![..units, ..]);
        let target = below[l].slice_mut(all);
        product(T::one(), above[0].slice(all), weights.t(), T::zero(), target, Threads::One);
    }

    fn solve_afresh(
        &mut self,
        layers: &[Layer<T>],
        data: Data<'_, '_, T>,
        ties: &[Tie<T>],
        loss: &dyn Loss<T>,
        lambda: T,
        rows: Range,
    ) {
        for (l, tie) in ties.iter().enumerate() {
            self.pre_activations(l, layers, data, &rows);
            each_row(&self.z[l], &mut self.inputs[l], rows.len(), |z, x| tie.lifted().apply(z, x));
        }
        self.pre_activations(ties.len(), layers, data, &rows);
        let (value, score) = self.take_loss(data, loss, &rows);
        self.terms.plain_loss += value;
        self.terms.score += score;
        let step = lambda.recip();
        for (l, tie) in ties.iter().enumerate().rev() {
            self.gradient_from_above(l, layers, &rows);
            for (i, row) in rows.clone().enumerate() {
                let weight = self.weight(data, row);
                let Self { z, delta, trial, inputs, terms, .. } = self;
                let (z, mut delta) = (z[l].row(i), delta[l].row_mut(i));
                let (mut u, mut x) = (trial[l].row_mut(row), inputs[l].row_mut(i));
                let (Some(z), Some(delta), Some(u), Some(x)) =
                    (z.as_slice(), delta.as_slice_mut(), u.as_slice_mut(), x.as_slice_mut())
                else {
                    return;
                };
                let x = &mut x[..z.len()];
                for ((u, &z), &g) in u.iter_mut().zip(z).zip(&*delta) {
                    *u = z - step * g;
                }
                // δ holds the plain x while the lifted one is made.
                delta.copy_from_slice(x);
                tie.lifted().apply(u, x);
                terms.gap[l] += weight * squared_distance(x, delta);
                tie.link(z, delta);
                for (d, &x) in delta.iter_mut().zip(&*x) {
                    *d = lambda * (*d - x);
                }
            }
        }
    }

    fn plain(
        &mut self,
        layers: &[Layer<T>],
        data: Data<'_, '_, T>,
        ties: &[Tie<T>],
        loss: &dyn Loss<T>,
        rows: Range,
    ) {
        for (l, tie) in ties.iter().enumerate() {
            self.pre_activations(l, layers, data, &rows);
            each_row(&self.z[l], &mut self.inputs[l], rows.len(), |z, x| tie.apply(z, x));
            let lifted = self.current[l].slice(s![rows.clone(), ..]);
            each_row(&lifted, &mut self.delta[l], rows.len(), |u, x| tie.lifted().apply(u, x));
            for (i, row) in rows.clone().enumerate() {
                let weight = self.weight(data, row);
                let Self { delta, inputs, terms, .. } = self;
                if let (Some(lifted), Some(x)) = (delta[l].row(i).as_slice(), inputs[l].row(i).as_slice()) {
                    terms.gap[l] += weight * squared_distance(lifted, &x[..lifted.len()]);
                }
            }
        }
        self.pre_activations(ties.len(), layers, data, &rows);
        let (value, score) = self.take_loss(data, loss, &rows);
        self.terms.plain_loss += value;
        self.terms.score += score;
    }

    /// Lifted variables of some rows into the buffers, and every z but the last.
    fn take_current(&mut self, layers: &[Layer<T>], data: Data<'_, '_, T>, ties: &[Tie<T>], rows: Range) {
        for (l, tie) in ties.iter().enumerate() {
            let u = self.current[l].slice(s![rows.clone(), ..]);
            each_row(&u, &mut self.inputs[l], rows.len(), |u, x| tie.lifted().apply(u, x));
        }
        if !ties.is_empty() {
            self.pre_activations(0, layers, data, &rows);
        }
    }

    /// Terms and gradients at the variables in the buffers; z of the first layer is there already.
    #[allow(clippy::too_many_arguments)] // the problem, piece by piece
    fn measure(
        &mut self,
        layers: &[Layer<T>],
        data: Data<'_, '_, T>,
        ties: &[Tie<T>],
        loss: &dyn Loss<T>,
        lambda: T,
        scale: T,
        rows: Range,
    ) {
        for (l, tie) in ties.iter().enumerate() {
            if l > 0 {
                self.pre_activations(l, layers, data, &rows);
            }
            for (i, row) in rows.clone().enumerate() {
                let weight = self.weight(data, row);
                let Self { z, delta, inputs, terms, .. } = self;
                let (z, mut delta, x) = (z[l].row(i), delta[l].row_mut(i), inputs[l].row(i));
                let (Some(z), Some(delta), Some(x)) = (z.as_slice(), delta.as_slice_mut(), x.as_slice())
                else {
                    return;
                };
                let x = &x[..z.len()];
                terms.divergence[l] += weight * tie.divergence(x, z);
                tie.link(z, delta);
                for (d, &x) in delta.iter_mut().zip(x) {
                    *d = lambda * (*d - x);
                }
            }
        }
        self.pre_activations(ties.len(), layers, data, &rows);
        self.terms.loss += self.take_loss(data, loss, &rows).0;
        self.weigh(data, &rows);
        let all = s![..rows.len(), ..];
        for l in 0..self.delta.len() {
            let input = input(&self.inputs, l, data.inputs, self.start, &rows);
            let delta = self.delta[l].slice(all);
            product(scale, input.t(), delta, T::one(), self.gradients[l].view_mut(), Threads::One);
        }
    }

    fn weigh(&mut self, data: Data<'_, '_, T>, rows: &Range) {
        let Some(weights) = data.weights else { return };
        for delta in &mut self.delta {
            for (mut delta, row) in delta.rows_mut().into_iter().zip(rows.clone()) {
                delta.map_inplace(|v| *v *= weights[self.start + row]);
            }
        }
    }

    fn add_grams(&mut self, data: Data<'_, '_, T>, scale: T, rows: Range) {
        for (l, gram) in self.grams.iter_mut().enumerate() {
            let input = input(&self.inputs, l, data.inputs, self.start, &rows);
            match data.weights {
                None => add_upper_gram(scale, input, gram.view_mut(), Threads::One),
                Some(weights) => {
                    let mut weighted = input.to_owned();
                    for (mut x, row) in weighted.rows_mut().into_iter().zip(rows.clone()) {
                        x *= weights[self.start + row].sqrt();
                    }
                    add_upper_gram(scale, weighted.view(), gram.view_mut(), Threads::One);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // the problem, piece by piece
    fn activation_block(
        &mut self,
        l: usize,
        layers: &[Layer<T>],
        data: Data<'_, '_, T>,
        ties: &[Tie<T>],
        loss: &dyn Loss<T>,
        lambda: T,
        proximal: T,
        rows: Range,
    ) {
        self.take_current(layers, data, ties, rows.clone());
        if l > 0 {
            self.pre_activations(l, layers, data, &rows);
        }
        self.pre_activations(l + 1, layers, data, &rows);
        if l + 1 == ties.len() {
            self.take_loss(data, loss, &rows);
        } else {
            let Self { z, delta, inputs, .. } = self;
            for i in 0..rows.len() {
                let (z, mut delta, x) = (z[l + 1].row(i), delta[l + 1].row_mut(i), inputs[l + 1].row(i));
                if let (Some(z), Some(delta), Some(x)) = (z.as_slice(), delta.as_slice_mut(), x.as_slice()) {
                    ties[l + 1].link(z, delta);
                    for (d, &x) in delta.iter_mut().zip(x) {
                        *d = lambda * (*d - x);
                    }
                }
            }
        }
        self.gradient_from_above(l, layers, &rows);
        let metric = (lambda + proximal).f64();
        for (i, row) in rows.clone().enumerate() {
            let weight = self.weight(data, row);
            let Self { z, delta, current, inputs, terms, .. } = self;
            let (z, mut g, mut u) = (z[l].row(i), delta[l].row_mut(i), current[l].row_mut(row));
            if let (Some(z), Some(g), Some(u), Some(x)) =
                (z.as_slice(), g.as_slice_mut(), u.as_slice_mut(), inputs[l].row(i).as_slice())
            {
                bregman_step(z, g, lambda, proximal, u);
                ties[l].lifted().apply(u, g);
                terms.motion += weight * metric * squared_distance(g, &x[..z.len()]);
            }
        }
    }
}

/// Input rows of layer `l`: the data for the first, the buffers for the others.
fn input<'b, T: Real>(
    inputs: &'b [Array2<T>],
    l: usize,
    data: &'b Array2<T>,
    start: usize,
    rows: &Range,
) -> ArrayView2<'b, T> {
    match l {
        0 => data.slice(s![start + rows.start..start + rows.end, ..]),
        _ => inputs[l - 1].slice(s![..rows.len(), ..]),
    }
}

fn each_row<T: Real, S: ndarray::Data<Elem = T>>(
    from: &ndarray::ArrayBase<S, ndarray::Ix2>,
    to: &mut Array2<T>,
    rows: usize,
    map: impl Fn(&[T], &mut [T]),
) {
    let units = from.ncols();
    let mut to = to.slice_mut(s![..rows, ..]);
    for (from, mut to) in from.rows().into_iter().zip(to.rows_mut()) {
        if let (Some(from), Some(to)) = (from.as_slice(), to.as_slice_mut()) {
            map(from, &mut to[..units]);
        }
    }
}

fn squared_distance<T: Real>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (a - b) * (a - b)).sum::<T>().f64()
}
