//! One batch through the network and back: forward pass, loss, activation blocks.
//!
//! A batch is cut into chunks of fixed size; each owns its buffers, made once, and is worked on by
//! one thread. The cut does not depend on the number of threads, so neither do the bits.

use super::activations::Activations;
use super::dropout::{Dropout, generators};
use super::layers::Layer;
use super::noise::{InputNoise, normalise, pull_back_loss};
use crate::activation::{Moments, Tie};
use crate::error::Result;
use crate::kernel::activation_block::pull_back;
use crate::kernel::activation_parameter::total;
use crate::linalg::{Threads, add_upper_gram, mirror, product};
use crate::loss::{Loss, Targets};
use crate::real::Real;
use crate::spec::Options;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Zip, s};
use rayon::prelude::*;

/// Most samples in one chunk.
const ROWS: usize = 128;

/// Least samples in one chunk of a batch that threads share: products of fewer are slow.
const LEAST_ROWS: usize = 32;

/// Chunks of a batch that threads share, where there are samples enough.
const CHUNKS: usize = 2;

/// Weights of a layer up to which every chunk takes its part of the gradient while its variables are in
/// the cache. The parts of larger layers would take more memory than they save time, and so would those of
/// more chunks.
const PARTS_MAX: usize = 1 << 17;
const PARTED_CHUNKS: usize = 8;

/// The data in mapped coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a, 't, T> {
    /// Mapped inputs with trailing ones, `(n_samples, k + 1)`.
    pub inputs: &'a Array2<T>,
    pub targets: &'a Targets<'t, T>,
    pub weights: Option<ArrayView1<'a, T>>,
}

/// What one evaluation of rows gave, summed over them with their weights.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub loss: f64,
    /// Loss of logits 0.
    pub null: f64,
    pub score: f64,
    pub rows: usize,
}

/// Buffers and constants of a batch.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub activations: Activations<T>,
    loss: Box<dyn Loss<T>>,
    lambda: T,
    noise: Option<InputNoise<T>>,
    noise_share: f64,
    chunks: Vec<Chunk<T>>,
    /// Samples in one chunk, from the size of the work alone.
    chunk_rows: usize,
    threads: Threads,
}

/// Lifted variables of some samples.
#[derive(Debug)]
struct Chunk<T> {
    rows: usize,
    /// x_l with trailing ones: the inputs of layer l, `(rows, n_in + 1)`.
    inputs: Vec<Array2<T>>,
    /// z_l of the hidden layers, `(rows, n_units)`.
    z: Vec<Array2<T>>,
    /// ∂/∂z_l; for the last layer the logits until the loss is taken, `(rows, n_out)`.
    delta: Vec<Array2<T>>,
    /// Parts of the gradients of layers of up to [`PARTS_MAX`] weights, of their shape, in batches of up to
    /// [`PARTED_CHUNKS`] chunks; else empty.
    gradients: Vec<Array2<T>>,
    /// Of each hidden layer, with the samples' weights.
    moments: Vec<Moments>,
    /// Work space of the noise, `(rows, n_in)`; empty without.
    noise: [Array2<T>; 2],
    dropout: Option<Dropout<T>>,
    /// Whether what is in the buffers is of a thinned network.
    thinned: bool,
    totals: Totals,
}

impl<T: Real> Batch<T> {
    pub fn new(layers: &[Layer<T>], options: &Options) -> Self {
        /// Multiply-adds a step below which handing work to other threads costs more than it saves.
        const WORTH_SHARING: usize = 1 << 20;
        let parameters: usize = layers.iter().map(|layer| layer.weights.len()).sum();
        let shared = parameters * options.batch_size >= WORTH_SHARING;
        let chunk_rows =
            if shared { options.batch_size.div_ceil(CHUNKS).clamp(LEAST_ROWS, ROWS) } else { ROWS };
        let n_chunks = options.batch_size.div_ceil(chunk_rows);
        let parts_max = if n_chunks > PARTED_CHUNKS { 0 } else { PARTS_MAX };
        Self {
            activations: Activations::new(options),
            loss: options.loss.make(),
            lambda: T::of(options.penalty_weight),
            noise: None,
            noise_share: 1.0,
            chunks: (0..n_chunks).map(|_| Chunk::new(layers, chunk_rows, parts_max)).collect(),
            chunk_rows,
            threads: if shared { Threads::All } else { Threads::One },
        }
    }

    /// With the worst noise of a ball on all inputs.
    #[must_use]
    pub fn with_noise(mut self, noise: Option<InputNoise<T>>) -> Self {
        self.noise = noise;
        self
    }

    /// With hidden units left out at random where gradients are taken, at the rates of each hidden layer.
    #[must_use]
    pub fn with_dropout(mut self, layers: &[Layer<T>], rates: &[f64], seed: u64) -> Self {
        for (chunk, generator) in self.chunks.iter_mut().zip(generators(seed)) {
            chunk.dropout = Dropout::new(layers, rates, self.chunk_rows, generator);
        }
        self
    }

    /// Has the noise that gradients are taken at fill a share of its radius from now on; an evaluation
    /// meets all of it. Returns the radius; `None` without noise.
    pub fn set_noise_share(&mut self, share: f64) -> Option<f64> {
        self.noise_share = share;
        self.noise.as_ref().map(|noise| share * noise.radius())
    }

    /// Whether gradients are those of thinned networks.
    pub fn thins(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.dropout.is_some())
    }

    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Forward pass and activation blocks of some rows, then every layer's mean gradient.
    pub fn gradients(
        &mut self,
        layers: &mut [Layer<T>],
        data: Data<'_, '_, T>,
        rows: &[usize],
        ridge: f64,
    ) -> Totals {
        let Self { activations, loss, lambda, noise, noise_share, chunks, chunk_rows, threads } = self;
        let (ties, noise) = (activations.ties(), noise.as_ref().filter(|_| *noise_share > 0.0));
        let chunks = &mut chunks[..rows.len().div_ceil(*chunk_rows)];
        let shared: &[Layer<T>] = layers;
        let scale = T::of(1.0 / rows.len() as f64);
        let totals = Self::each(chunks, *threads, rows, |chunk, rows| {
            chunk.forward_thinned(shared, ties, data, rows);
            chunk.take_loss(loss.as_ref(), data, rows);
            if let Some(noise) = noise {
                chunk.disturb(shared, ties, *lambda, noise, *noise_share);
                chunk.lift(shared, ties);
                chunk.take_loss(loss.as_ref(), data, rows);
            }
            let weight = |i: usize| data.weights.map_or(1.0, |weights| weights[rows[i]].f64());
            chunk.pull_back(shared, ties, |tie, z, x, g| pull_back(tie, z, x, *lambda, g, weight));
            chunk.weigh(data, rows);
            chunk.take_gradients(scale);
        });
        for (l, layer) in layers.iter_mut().enumerate() {
            if chunks[0].gradients[l].is_empty() {
                let pairs = chunks.iter().map(|chunk| chunk.pair(l));
                layer.set_gradient(pairs, scale, T::of(ridge), *threads);
            } else {
                layer.sum_gradient(chunks.iter().map(|chunk| &chunk.gradients[l]), T::of(ridge));
            }
        }
        totals
    }

    /// Finds the steps of the learned parameters from the last [`Batch::gradients`]; see
    /// [`Activations::solve`].
    pub fn solve_parameters(&mut self, rows: usize, memory: f64) -> f64 {
        if !self.activations.learn() {
            return 0.0;
        }
        let moments = self.parameter_moments(rows);
        self.activations.solve(moments, self.lambda.f64(), memory)
    }

    /// What the blocks of the learned parameters are made of, means over the rows of the last
    /// [`Batch::gradients`].
    pub fn parameter_moments(&self, rows: usize) -> Vec<Moments> {
        let chunks = &self.chunks[..rows.div_ceil(self.chunk_rows)];
        let mean = |l| {
            let mut mean = total(chunks.iter().map(|chunk| chunk.moments[l]));
            mean.divide(rows as f64);
            mean
        };
        (0..self.activations.kinds().len()).map(mean).collect()
    }

    /// The inputs of all rows, moved by their worst noise.
    pub fn disturbed(
        &mut self,
        layers: &[Layer<T>],
        data: Data<'_, '_, T>,
        mut inputs: ArrayViewMut2<'_, T>,
    ) {
        let Self { activations, loss, lambda, noise: Some(noise), noise_share, chunks, chunk_rows, threads } =
            self
        else {
            return;
        };
        let ties = activations.ties();
        let all: Vec<usize> = (0..inputs.nrows()).collect();
        for rows in all.chunks(chunks.len() * *chunk_rows) {
            let used = &mut chunks[..rows.len().div_ceil(*chunk_rows)];
            Self::each(used, *threads, rows, |chunk, rows| {
                chunk.forward(layers, ties, data, rows);
                chunk.take_loss(loss.as_ref(), data, rows);
                chunk.disturb(layers, ties, *lambda, noise, *noise_share);
            });
            for (chunk, rows) in used.iter().zip(rows.chunks(*chunk_rows)) {
                let moved = chunk.inputs[0].slice(s![..rows.len(), ..]);
                inputs.slice_mut(s![rows[0]..rows[0] + rows.len(), ..]).assign(&moved);
            }
        }
    }

    /// Loss and score of rows, nothing else; with noise, at its worst.
    pub fn evaluate(&mut self, layers: &[Layer<T>], data: Data<'_, '_, T>, rows: &[usize]) -> Totals {
        let noise = self.noise.take();
        let totals = self.evaluate_at(layers, data, rows, noise.as_ref());
        self.noise = noise;
        totals
    }

    /// Loss and score of rows without noise.
    pub fn evaluate_plain(&mut self, layers: &[Layer<T>], data: Data<'_, '_, T>, rows: &[usize]) -> Totals {
        self.evaluate_at(layers, data, rows, None)
    }

    fn evaluate_at(
        &mut self,
        layers: &[Layer<T>],
        data: Data<'_, '_, T>,
        rows: &[usize],
        noise: Option<&InputNoise<T>>,
    ) -> Totals {
        let mut sum = Totals::default();
        let capacity = self.chunks.len() * self.chunk_rows;
        for rows in rows.chunks(capacity) {
            let used = rows.len().div_ceil(self.chunk_rows);
            let (ties, loss, lambda) = (self.activations.ties(), self.loss.as_ref(), self.lambda);
            let part = Self::each(&mut self.chunks[..used], self.threads, rows, |chunk, rows| {
                chunk.forward(layers, ties, data, rows);
                chunk.take_loss(loss, data, rows);
                if let Some(noise) = noise {
                    chunk.disturb(layers, ties, lambda, noise, 1.0);
                    chunk.lift(layers, ties);
                    chunk.take_loss(loss, data, rows);
                }
            });
            sum = sum.plus(part);
        }
        sum
    }

    /// Mean Gram matrices of the inputs of all layers but the first, over the given rows; expected ones
    /// where units are left out.
    pub fn grams(&mut self, layers: &[Layer<T>], data: Data<'_, '_, T>, rows: &[usize]) -> Vec<Array2<T>> {
        let mut grams: Vec<Array2<T>> = layers[1..]
            .iter()
            .map(|layer| Array2::zeros((layer.weights.nrows(), layer.weights.nrows())))
            .collect();
        let scale = T::of(1.0 / rows.len() as f64);
        for rows in rows.chunks(self.chunks.len() * self.chunk_rows) {
            let used = rows.len().div_ceil(self.chunk_rows);
            let ties = self.activations.ties();
            Self::each(&mut self.chunks[..used], self.threads, rows, |chunk, rows| {
                chunk.forward(layers, ties, data, rows);
                chunk.weigh_inputs(data, rows);
            });
            for chunk in &self.chunks[..used] {
                for (gram, input) in grams.iter_mut().zip(&chunk.inputs[1..]) {
                    add_upper_gram(scale, input.slice(s![..chunk.rows, ..]), gram.view_mut(), self.threads);
                }
            }
        }
        // The weighing left its mark on the column of ones.
        for chunk in &mut self.chunks {
            chunk.restore_ones();
        }
        grams.iter_mut().for_each(mirror);
        if let Some(Chunk { dropout: Some(dropout), .. }) = self.chunks.first() {
            grams.iter_mut().enumerate().for_each(|(l, gram)| dropout.widen(l, gram.view_mut()));
        }
        grams
    }

    /// Fits the metric of every layer but the first to the given rows.
    pub fn refresh_metrics(
        &mut self,
        layers: &mut [Layer<T>],
        data: Data<'_, '_, T>,
        rows: &[usize],
        options: &Options,
    ) -> Result<()> {
        let grams = self.grams(layers, data, rows);
        for (layer, gram) in layers[1..].iter_mut().zip(&grams) {
            layer.set_metric(gram.view(), options.hidden_damping, options.ridge, self.threads)?;
        }
        Ok(())
    }

    fn each(
        chunks: &mut [Chunk<T>],
        threads: Threads,
        rows: &[usize],
        task: impl Fn(&mut Chunk<T>, &[usize]) + Sync + Send,
    ) -> Totals {
        let size = chunks.first().map_or(1, |chunk| chunk.capacity());
        match threads {
            Threads::One => {
                chunks.iter_mut().zip(rows.chunks(size)).for_each(|(chunk, rows)| task(chunk, rows));
            }
            Threads::All => {
                chunks.par_iter_mut().zip(rows.par_chunks(size)).for_each(|(chunk, rows)| task(chunk, rows));
            }
        }
        chunks.iter().fold(Totals::default(), |sum, chunk| sum.plus(chunk.totals))
    }
}

impl Totals {
    pub fn plus(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            null: self.null + other.null,
            score: self.score + other.score,
            rows: self.rows + other.rows,
        }
    }

    /// Mean loss of the rows.
    pub fn mean_loss(self) -> f64 {
        self.loss / self.rows as f64
    }

    /// Mean loss of logits 0 on the same rows.
    pub fn null_loss(self) -> f64 {
        self.null / self.rows as f64
    }

    /// Mean score of the rows.
    pub fn mean_score(self) -> f64 {
        self.score / self.rows as f64
    }
}

impl<T: Real> Chunk<T> {
    fn new(layers: &[Layer<T>], rows: usize, parts_max: usize) -> Self {
        let units = |layer: &Layer<T>| layer.weights.ncols();
        let part = |layer: &Layer<T>| {
            Array2::zeros(if layer.weights.len() > parts_max { (0, 0) } else { layer.weights.dim() })
        };
        let hidden = layers.len() - 1;
        Self {
            rows: 0,
            inputs: layers.iter().map(|layer| Array2::ones((rows, layer.weights.nrows()))).collect(),
            z: layers[..hidden].iter().map(|layer| Array2::zeros((rows, units(layer)))).collect(),
            delta: layers.iter().map(|layer| Array2::zeros((rows, units(layer)))).collect(),
            gradients: layers.iter().map(part).collect(),
            moments: vec![Moments::default(); hidden],
            noise: [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
            dropout: None,
            thinned: false,
            totals: Totals::default(),
        }
    }

    fn capacity(&self) -> usize {
        self.inputs[0].nrows()
    }

    /// Input and δ of layer l: what its weight block is made of.
    fn pair(&self, l: usize) -> (ArrayView2<'_, T>, ArrayView2<'_, T>) {
        (self.inputs[l].slice(s![..self.rows, ..]), self.delta[l].slice(s![..self.rows, ..]))
    }

    /// z_l = W_lᵀ(x_{l−1}, 1), x_l = φ(z_l), up to the logits.
    fn forward(&mut self, layers: &[Layer<T>], ties: &[Tie<T>], data: Data<'_, '_, T>, rows: &[usize]) {
        self.thinned = false;
        self.take_inputs(data, rows);
        self.lift(layers, ties);
    }

    /// [`Chunk::forward`] with other units left out.
    fn forward_thinned(
        &mut self,
        layers: &[Layer<T>],
        ties: &[Tie<T>],
        data: Data<'_, '_, T>,
        rows: &[usize],
    ) {
        if let Some(dropout) = &mut self.dropout {
            dropout.draw(rows.len());
        }
        self.thinned = self.dropout.is_some();
        self.take_inputs(data, rows);
        self.lift(layers, ties);
    }

    fn take_inputs(&mut self, data: Data<'_, '_, T>, rows: &[usize]) {
        self.rows = rows.len();
        for (&row, mut input) in rows.iter().zip(self.inputs[0].rows_mut()) {
            if let (Some(input), Some(row)) = (input.as_slice_mut(), data.inputs.row(row).as_slice()) {
                input.copy_from_slice(row);
            }
        }
    }

    /// [`Chunk::forward`] from the inputs in the buffers.
    fn lift(&mut self, layers: &[Layer<T>], ties: &[Tie<T>]) {
        let hidden = layers.len() - 1;
        let all = s![..self.rows, ..];
        for (l, layer) in layers.iter().enumerate() {
            let target = if l < hidden { &mut self.z[l] } else { &mut self.delta[l] };
            let input = self.inputs[l].slice(all);
            product(T::one(), input, layer.weights.view(), T::zero(), target.slice_mut(all), Threads::One);
            if l < hidden {
                let units = layer.weights.ncols();
                let z = self.z[l].slice(all);
                for (z, mut x) in z.rows().into_iter().zip(self.inputs[l + 1].rows_mut()) {
                    if let (Some(z), Some(x)) = (z.as_slice(), x.as_slice_mut()) {
                        ties[l].apply(z, &mut x[..units]);
                    }
                }
                if let Some(dropout) = self.dropout.as_mut().filter(|_| self.thinned) {
                    dropout.thin(l, self.inputs[l + 1].slice_mut(s![..self.rows, ..units]));
                }
            }
        }
    }

    /// Logits become ∂ℓ/∂z_L; loss and score are summed.
    fn take_loss(&mut self, loss: &dyn Loss<T>, data: Data<'_, '_, T>, rows: &[usize]) {
        self.totals = Totals { rows: rows.len(), ..Totals::default() };
        let Some(logits) = self.delta.last_mut() else { return };
        for (&row, mut z) in rows.iter().zip(logits.rows_mut()) {
            let Some(z) = z.as_slice_mut() else { return };
            let weight = data.weights.map_or(1.0, |weights| weights[row].f64());
            self.totals.null += weight * loss.value_at_zero(data.targets, row, z.len()).f64();
            self.totals.score += weight * loss.score(data.targets, row, z).f64();
            self.totals.loss += weight * loss.value_and_gradient(data.targets, row, z).f64();
        }
    }

    /// ∂ℓ/∂z_L becomes the worst noise, which moves the inputs.
    fn disturb(
        &mut self,
        layers: &[Layer<T>],
        ties: &[Tie<T>],
        lambda: T,
        noise: &InputNoise<T>,
        share: f64,
    ) {
        let all = s![..self.rows, ..];
        if let Some(delta) = self.delta.last_mut() {
            normalise(delta.slice_mut(all));
        }
        self.pull_back(layers, ties, |tie, z, x, g| {
            pull_back_loss(tie, z, x, lambda, g);
            Moments::default()
        });
        let (capacity, k) = (self.capacity(), self.inputs[0].ncols() - 1);
        let [pulled, moved] = &mut self.noise;
        for buffer in [&mut *pulled, &mut *moved] {
            if buffer.is_empty() {
                *buffer = Array2::zeros((capacity, k));
            }
        }
        noise.add(
            share,
            self.delta[0].slice(all),
            layers[0].weights.slice(s![..k, ..]),
            self.inputs[0].slice_mut(s![..self.rows, ..k]),
            pulled.slice_mut(all),
            moved.slice_mut(all),
        );
    }

    /// Activation blocks from the last hidden layer down; δ_l = λ(φ(z_l) − x_l).
    fn pull_back(
        &mut self,
        layers: &[Layer<T>],
        ties: &[Tie<T>],
        block: impl Fn(&Tie<T>, ArrayView2<'_, T>, ArrayView2<'_, T>, ArrayViewMut2<'_, T>) -> Moments,
    ) {
        let all = s![..self.rows, ..];
        for l in (0..layers.len() - 1).rev() {
            let units = self.z[l].ncols();
            let (below, above) = self.delta.split_at_mut(l + 1);
            let mut delta = below[l].slice_mut(all);
            let weights = layers[l + 1].weights.slice(s![..units, ..]);
            product(T::one(), above[0].slice(all), weights.t(), T::zero(), delta.view_mut(), Threads::One);
            let dropout = self.dropout.as_ref().filter(|_| self.thinned);
            if let Some(dropout) = dropout {
                dropout.thin_gradient(l, delta.view_mut());
            }
            let whole = dropout.and_then(|dropout| dropout.whole(l, self.rows));
            let x = whole.unwrap_or(self.inputs[l + 1].slice(s![..self.rows, ..units]));
            self.moments[l] = block(&ties[l], self.z[l].slice(all), x, delta);
        }
    }

    /// The parts of the gradients that these samples have.
    fn take_gradients(&mut self, scale: T) {
        let Self { rows, inputs, delta, gradients, .. } = self;
        for ((input, delta), gradient) in inputs.iter().zip(delta).zip(gradients) {
            if !gradient.is_empty() {
                let (input, delta) = (input.slice(s![..*rows, ..]), delta.slice(s![..*rows, ..]));
                product(scale, input.t(), delta, T::zero(), gradient.view_mut(), Threads::One);
            }
        }
    }

    /// The lifted objective weighs whole samples, so the weights enter after the activation blocks.
    fn weigh(&mut self, data: Data<'_, '_, T>, rows: &[usize]) {
        let Some(weights) = data.weights else { return };
        for delta in &mut self.delta {
            for (&row, mut delta) in rows.iter().zip(delta.rows_mut()) {
                delta.map_inplace(|v| *v *= weights[row]);
            }
        }
    }

    fn weigh_inputs(&mut self, data: Data<'_, '_, T>, rows: &[usize]) {
        let Some(weights) = data.weights else { return };
        for input in &mut self.inputs[1..] {
            for (&row, mut x) in rows.iter().zip(input.rows_mut()) {
                let root = weights[row].sqrt();
                x.map_inplace(|v| *v *= root);
            }
        }
    }

    fn restore_ones(&mut self) {
        for input in &mut self.inputs {
            let last = input.ncols() - 1;
            Zip::from(input.column_mut(last)).for_each(|v| *v = T::one());
        }
    }
}
