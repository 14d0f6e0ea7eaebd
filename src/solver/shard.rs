//! A run of samples of the lifted problem: its variables, and the buffers to work on them with.

use super::history::History;
use super::layers::Layer;
use super::pass::Data;
use crate::activation::{Activation, Learnable, Moments, Tie};
use crate::kernel::activation_block::bregman_step;
use crate::linalg::{Threads, add_upper_gram, product, sum_of_pairs};
use crate::loss::Loss;
use crate::real::Real;
use ndarray::{Array2, ArrayView2, s};

/// Samples that a shard works on at a time.
pub(super) const ROWS: usize = 256;

/// The network and the data, as they stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'m, 'a, 't, T> {
    pub layers: &'m [Layer<T>],
    pub data: Data<'a, 't, T>,
    pub ties: &'m [Tie<T>],
    pub loss: &'m dyn Loss<T>,
    pub lambda: T,
}

/// The terms of the objective at one point, means over the samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Terms {
    /// ℓ at the lifted variables.
    pub loss: f64,
    /// D of each hidden layer.
    pub divergence: Vec<f64>,
    /// Squared distance of each hidden layer's lifted variables from the plain network's.
    pub gap: Vec<f64>,
    /// ℓ of the plain network; with [`Shard::solve_afresh`], of one of the lifted activations.
    pub plain_loss: f64,
    /// Score of the plain network.
    pub score: f64,
    /// Squared length of a step of the activation blocks, in their metric.
    pub motion: f64,
    /// What the block of each hidden layer's parameter is made of, where that is learned.
    pub moments: Vec<Moments>,
}

/// What an evaluation sums beside the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sums {
    Gradients,
    Grams,
}

/// A run of samples.
#[derive(Debug)]
pub(super) struct Shard<T> {
    start: usize,
    pub n: usize,
    /// u of each hidden layer, `(n, n_units)`.
    pub current: Vec<Array2<T>>,
    /// The same for a point that may yet be refused.
    pub trial: Vec<Array2<T>>,
    /// x_l with trailing ones, the inputs of the layers but the first, `(ROWS, n_units + 1)`.
    inputs: Vec<Array2<T>>,
    /// Pre-activations of the hidden layers, `(ROWS, n_units)`.
    z: Vec<Array2<T>>,
    /// ∂J/∂z of all layers, `(ROWS, n_units)`.
    delta: Vec<Array2<T>>,
    pub gradients: Vec<Array2<T>>,
    pub grams: Vec<Array2<T>>,
    pub terms: Terms,
}

impl Terms {
    pub fn zeros(n_hidden: usize) -> Self {
        Self {
            divergence: vec![0.0; n_hidden],
            gap: vec![0.0; n_hidden],
            moments: vec![Moments::default(); n_hidden],
            ..Self::default()
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.plain_loss += other.plain_loss;
        self.score += other.score;
        for (sum, part) in self.divergence.iter_mut().zip(&other.divergence) {
            *sum += part;
        }
        for (sum, part) in self.gap.iter_mut().zip(&other.gap) {
            *sum += part;
        }
        for (sum, &part) in self.moments.iter_mut().zip(&other.moments) {
            sum.add(1.0, part);
        }
    }

    /// J: these terms and the penalties of the weights.
    pub fn objective(&self, penalty_weight: f64, penalty: f64) -> f64 {
        self.loss + penalty_weight * self.divergence.iter().sum::<f64>() + penalty
    }

    /// Appends the lifted problem's columns.
    pub fn record(&self, history: &mut History, objective: f64, penalty: f64, residual: f64) {
        history.push("objective", objective);
        history.push("lifted_loss", self.loss);
        history.push("penalty", penalty);
        history.push_layers("divergence", self.divergence.iter().copied());
        history.push_layers("gap", self.gap.iter().map(|gap| gap.sqrt()));
        history.push("residual", residual);
    }

    pub fn divide(&mut self, n: f64) {
        self.loss /= n;
        self.plain_loss /= n;
        self.score /= n;
        self.divergence.iter_mut().chain(&mut self.gap).for_each(|v| *v /= n);
        self.moments.iter_mut().for_each(|moments| moments.divide(n));
    }
}

type Range = std::ops::Range<usize>;

impl<T: Real> Shard<T> {
    pub fn new(layers: &[Layer<T>], start: usize, n: usize) -> Self {
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

    pub fn clear(&mut self, sums: Sums) {
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
    fn pre_activations(&mut self, l: usize, model: Model<'_, '_, '_, T>, rows: &Range) {
        let all = s![..rows.len(), ..];
        let target = if l < self.z.len() { &mut self.z[l] } else { &mut self.delta[l] };
        let input = input(&self.inputs, l, model.data.inputs, self.start, rows);
        product(
            T::one(),
            input,
            model.layers[l].weights.view(),
            T::zero(),
            target.slice_mut(all),
            Threads::One,
        );
    }

    /// Logits become ∂ℓ/∂z. Returns loss and score, weighted sums.
    fn take_loss(&mut self, model: Model<'_, '_, '_, T>, rows: &Range) -> (f64, f64) {
        let (mut value, mut score) = (0.0, 0.0);
        let last = self.delta.len() - 1;
        for (i, row) in rows.clone().enumerate() {
            let weight = self.weight(model.data, row);
            if let Some(z) = self.delta[last].row_mut(i).as_slice_mut() {
                score += weight * model.loss.score(model.data.targets, self.start + row, z).f64();
                value +=
                    weight * model.loss.value_and_gradient(model.data.targets, self.start + row, z).f64();
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

    pub fn solve_afresh(&mut self, model: Model<'_, '_, '_, T>, rows: Range) {
        for (l, tie) in model.ties.iter().enumerate() {
            self.pre_activations(l, model, &rows);
            each_row(&self.z[l], &mut self.inputs[l], rows.len(), |z, x| tie.lifted().apply(z, x));
        }
        self.pre_activations(model.ties.len(), model, &rows);
        let (value, score) = self.take_loss(model, &rows);
        self.terms.plain_loss += value;
        self.terms.score += score;
        let step = model.lambda.recip();
        for (l, tie) in model.ties.iter().enumerate().rev() {
            self.gradient_from_above(l, model.layers, &rows);
            for (i, row) in rows.clone().enumerate() {
                let weight = self.weight(model.data, row);
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
                tie.slope(z, x, model.lambda, delta);
            }
        }
    }

    pub fn plain(&mut self, model: Model<'_, '_, '_, T>, rows: Range) {
        for (l, tie) in model.ties.iter().enumerate() {
            self.pre_activations(l, model, &rows);
            each_row(&self.z[l], &mut self.inputs[l], rows.len(), |z, x| tie.apply(z, x));
            let lifted = self.current[l].slice(s![rows.clone(), ..]);
            each_row(&lifted, &mut self.delta[l], rows.len(), |u, x| tie.lifted().apply(u, x));
            for (i, row) in rows.clone().enumerate() {
                let weight = self.weight(model.data, row);
                let Self { delta, inputs, terms, .. } = self;
                if let (Some(lifted), Some(x)) = (delta[l].row(i).as_slice(), inputs[l].row(i).as_slice()) {
                    terms.gap[l] += weight * squared_distance(lifted, &x[..lifted.len()]);
                }
            }
        }
        self.pre_activations(model.ties.len(), model, &rows);
        let (value, score) = self.take_loss(model, &rows);
        self.terms.plain_loss += value;
        self.terms.score += score;
    }

    /// Lifted variables of some rows into the buffers, and every z but the last.
    pub fn take_current(&mut self, model: Model<'_, '_, '_, T>, rows: Range) {
        for (l, tie) in model.ties.iter().enumerate() {
            let u = self.current[l].slice(s![rows.clone(), ..]);
            each_row(&u, &mut self.inputs[l], rows.len(), |u, x| tie.lifted().apply(u, x));
        }
        if !model.ties.is_empty() {
            self.pre_activations(0, model, &rows);
        }
    }

    /// Terms and gradients at the variables in the buffers; z of the first layer is there already.
    pub fn measure(&mut self, model: Model<'_, '_, '_, T>, scale: T, rows: Range) {
        for (l, tie) in model.ties.iter().enumerate() {
            if l > 0 {
                self.pre_activations(l, model, &rows);
            }
            for (i, row) in rows.clone().enumerate() {
                let weight = self.weight(model.data, row);
                let Self { z, delta, inputs, terms, .. } = self;
                let (z, mut delta, x) = (z[l].row(i), delta[l].row_mut(i), inputs[l].row(i));
                let (Some(z), Some(delta), Some(x)) = (z.as_slice(), delta.as_slice_mut(), x.as_slice())
                else {
                    return;
                };
                let x = &x[..z.len()];
                terms.divergence[l] += weight * tie.divergence(x, z);
                terms.moments[l].add(weight, tie.slope_and_moments(z, x, model.lambda, delta));
            }
        }
        self.pre_activations(model.ties.len(), model, &rows);
        self.terms.loss += self.take_loss(model, &rows).0;
        self.weigh(model.data, &rows);
        let all = s![..rows.len(), ..];
        for l in 0..self.delta.len() {
            let input = input(&self.inputs, l, model.data.inputs, self.start, &rows);
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

    pub fn add_grams(&mut self, data: Data<'_, '_, T>, scale: T, rows: Range) {
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

    /// What the block of the parameter of hidden layer `l` is made of at another choice of it, given as
    /// `phi` and `learnable`; the lifted variables stay. Returned in the terms.
    pub fn add_moments(
        &mut self,
        l: usize,
        model: Model<'_, '_, '_, T>,
        phi: &dyn Activation<T>,
        learnable: &dyn Learnable<T>,
        rows: Range,
    ) {
        self.take_current(model, rows.clone());
        if l > 0 {
            self.pre_activations(l, model, &rows);
        }
        for (i, row) in rows.clone().enumerate() {
            let weight = self.weight(model.data, row);
            let Self { z, delta, inputs, terms, .. } = self;
            let (z, mut at, x) = (z[l].row(i), delta[l].row_mut(i), inputs[l].row(i));
            if let (Some(z), Some(at), Some(x)) = (z.as_slice(), at.as_slice_mut(), x.as_slice()) {
                phi.apply(z, at);
                terms.moments[l].add(weight, learnable.moments(&x[..z.len()], at, z));
            }
        }
    }

    /// See [`Learnable::least_coordinate`].
    pub fn least_coordinate(&self, l: usize, phi: &dyn Activation<T>, learnable: &dyn Learnable<T>) -> f64 {
        let mut x = vec![T::zero(); self.current[l].ncols()];
        let rows = self.current[l].rows().into_iter();
        rows.filter_map(|u| u.to_slice()).fold(0.0, |least, u| {
            phi.apply(u, &mut x);
            learnable.least_coordinate(&x).max(least)
        })
    }

    /// u of hidden layer `l` ← x, the lifted variables themselves.
    pub fn expand(&mut self, l: usize, phi: &dyn Activation<T>) {
        let zeros = vec![T::zero(); self.current[l].ncols()];
        for mut u in self.current[l].rows_mut() {
            if let Some(u) = u.as_slice_mut() {
                // φ in place.
                phi.apply_moved(&zeros, -T::one(), u);
            }
        }
    }

    /// The opposite of [`Shard::expand`], for an activation of the same family.
    pub fn contract(&mut self, l: usize, learnable: &dyn Learnable<T>) {
        for mut u in self.current[l].rows_mut() {
            if let Some(u) = u.as_slice_mut() {
                learnable.invert(u);
            }
        }
    }

    pub fn activation_block(&mut self, l: usize, model: Model<'_, '_, '_, T>, proximal: T, rows: Range) {
        self.take_current(model, rows.clone());
        if l > 0 {
            self.pre_activations(l, model, &rows);
        }
        self.pre_activations(l + 1, model, &rows);
        if l + 1 == model.ties.len() {
            self.take_loss(model, &rows);
        } else {
            let Self { z, delta, inputs, .. } = self;
            for i in 0..rows.len() {
                let (z, mut delta, x) = (z[l + 1].row(i), delta[l + 1].row_mut(i), inputs[l + 1].row(i));
                if let (Some(z), Some(delta), Some(x)) = (z.as_slice(), delta.as_slice_mut(), x.as_slice()) {
                    model.ties[l + 1].slope(z, &x[..z.len()], model.lambda, delta);
                }
            }
        }
        self.gradient_from_above(l, model.layers, &rows);
        let metric = (model.lambda + proximal).f64();
        for (i, row) in rows.clone().enumerate() {
            let weight = self.weight(model.data, row);
            let Self { z, delta, current, inputs, terms, .. } = self;
            let (z, mut g, mut u) = (z[l].row(i), delta[l].row_mut(i), current[l].row_mut(row));
            if let (Some(z), Some(g), Some(u), Some(x)) =
                (z.as_slice(), g.as_slice_mut(), u.as_slice_mut(), inputs[l].row(i).as_slice())
            {
                bregman_step(z, g, model.lambda, proximal, u);
                model.ties[l].lifted().apply(u, g);
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
    sum_of_pairs(a, b, |a, b| (a - b) * (a - b)).f64()
}
