//! Unit tests of the solver's private parts; the public solver is tested in `tests/rust/stochastic.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blocks;
mod chunks;
mod dropout;
mod gradients;
mod input_map;
mod noise;
mod output_block;
mod parameters;
mod proximal;
mod start;
mod state;

use super::layers::Layer;
use super::pass::Data;
use crate::activation::{ActivationKind, Divergence};
use crate::linalg::leading_eigen;
use crate::loss::{LossKind, Targets};
use crate::penalty::PenaltyKind;
use crate::real::Real;
use crate::spec::{Components, Merit, Options, Scaling, Solver, Spec};
use ndarray::{Array1, Array2, ArrayView2};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Runs generic tests for both float types.
macro_rules! for_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn single() {
                super::$name::<f32>();
            }
            #[test]
            fn double() {
                super::$name::<f64>();
            }
        }
    )+};
}
use for_both;

fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// The same numbers in both precisions, up to rounding.
fn normal<T: Real>(rows: usize, columns: usize, seed: u64) -> Array2<T> {
    let mut rng = rng(seed);
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(&mut rng);
        T::of(value)
    })
}

/// Largest absolute difference; infinite where either is not finite.
fn distance<A: Real, B: Real>(a: ArrayView2<'_, A>, b: ArrayView2<'_, B>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let gaps = a.iter().zip(b).map(|(a, b)| (a.f64() - b.f64()).abs());
    gaps.fold(0.0, |top, gap| if gap.is_finite() { gap.max(top) } else { f64::INFINITY })
}

/// Options for `n` samples of `d` features; the choices that tests leave alone are plain.
fn options(n: usize, d: usize, change: impl FnOnce(&mut Spec)) -> Options {
    let mut spec = Spec {
        solver: Solver::Stochastic,
        loss: LossKind::Squared,
        hidden_layer_sizes: vec![],
        activations: vec![ActivationKind::Tanh],
        divergence: Divergence::Fenchel,
        learn_activation: false,
        dropout: vec![0.0],
        alpha: Some(0.0),
        penalties: vec![PenaltyKind::Ridge],
        penalty_weight: Some(10.0),
        scaling: Scaling::Feature,
        components: Components::All,
        damping: Some((0.5, 1.0)),
        batch_size: Some(n),
        max_iter: Some(10),
        learning_rate: Some(0.1),
        momentum: 0.9,
        tol: 0.0,
        n_iter_no_change: 10,
        early_stopping: true,
        merit: Merit::Score,
        max_time: None,
        seed: 0,
        threads: 1,
        input_noise: Some(0.0),
        accelerate: true,
        diagnostics: false,
        total_weight: None,
        memory_limit: None,
    };
    change(&mut spec);
    spec.check(n, d).unwrap()
}

/// Eigenvalues in descending order: a subspace iteration of full width is exact.
fn spectrum(matrix: &Array2<f64>) -> Vec<f64> {
    let d = matrix.nrows();
    leading_eigen(|q| matrix.dot(q), d, d, 2, &mut rng(1)).unwrap().values.to_vec()
}

/// Every loss, those of classes with smoothed labels too.
fn losses() -> Vec<LossKind> {
    let smoothing = 0.2;
    let smoothed = [
        LossKind::Softmax { smoothing },
        LossKind::Logistic { smoothing },
        LossKind::Multilabel { smoothing },
    ];
    LossKind::ALL.iter().copied().chain(smoothed).collect()
}

/// Targets of one loss, owned.
#[derive(Clone)]
struct Labels<T> {
    loss: LossKind,
    classes: Vec<u32>,
    values: Array2<T>,
}

impl<T: Real> Labels<T> {
    fn new(loss: LossKind, n: usize, n_outputs: usize) -> Self {
        let count = if matches!(loss, LossKind::Logistic { .. }) { 2 } else { n_outputs };
        let classes = (0..n).map(|i| ((i * 7 + i / 3) % count) as u32).collect();
        let values = normal::<T>(n, n_outputs, 77);
        // Counts are not negative; none is 0, where the deviance has a kink in y.
        let values = match loss {
            LossKind::Poisson => values.mapv(|v| v.abs() + T::of(0.1)),
            LossKind::Multilabel { .. } => values.mapv(|v| if v > T::of(0.2) { T::one() } else { T::zero() }),
            _ => values,
        };
        Self { loss, classes, values }
    }

    fn targets(&self) -> Targets<'_, T> {
        match self.loss.has_values() {
            true => Targets::Values(self.values.view()),
            false => Targets::Classes(&self.classes),
        }
    }
}

fn outputs_for(loss: LossKind) -> usize {
    if matches!(loss, LossKind::Logistic { .. }) { 1 } else { 3 }
}

/// A random network on random mapped inputs.
struct Setup<T> {
    inputs: Array2<T>,
    labels: Labels<T>,
    weights: Option<Array1<T>>,
    layers: Vec<Layer<T>>,
    options: Options,
}

impl<T: Real> Setup<T> {
    const INPUTS: usize = 3;

    fn new(
        loss: LossKind,
        hidden: &[usize],
        n: usize,
        weighted: bool,
        change: impl FnOnce(&mut Spec),
    ) -> Self {
        let mut inputs = Array2::ones((n, Self::INPUTS + 1));
        inputs.slice_mut(ndarray::s![.., ..Self::INPUTS]).assign(&normal(n, Self::INPUTS, 5));
        let mut sizes = vec![Self::INPUTS];
        sizes.extend(hidden);
        sizes.push(outputs_for(loss));
        // Logits of order one where the loss is exponential.
        let size = T::of(if loss == LossKind::Poisson { 0.3 } else { 0.7 });
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(l, pair)| Layer::new(normal::<T>(pair[0] + 1, pair[1], 30 + l as u64).mapv(|w| w * size)));
        let options = options(n, Self::INPUTS, |spec| {
            (spec.loss, spec.hidden_layer_sizes) = (loss, hidden.to_vec());
            change(spec);
        });
        // Mean 1, with zeros.
        let weights = (0..n).map(|i| T::of([0.0, 0.5, 1.0, 2.5][i % 4])).collect();
        Self {
            inputs,
            labels: Labels::new(loss, n, outputs_for(loss)),
            weights: weighted.then_some(weights),
            layers: layers.collect(),
            options,
        }
    }

    /// Calls `task` with the layers and the data.
    fn run<R>(&mut self, task: impl FnOnce(&mut Vec<Layer<T>>, Data<'_, '_, T>) -> R) -> R {
        let targets = self.labels.targets();
        let weights = self.weights.as_ref().map(|weights| weights.view());
        task(&mut self.layers, Data { inputs: &self.inputs, targets: &targets, weights })
    }
}
