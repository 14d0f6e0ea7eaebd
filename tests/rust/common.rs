//! What several test files use.

use liftnet::activation::{ActivationKind, Divergence};
use liftnet::error::Result;
use liftnet::loss::LossKind;
use liftnet::network::Network;
use liftnet::penalty::PenaltyKind;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::solver::{self, Control, Solution};
use liftnet::spec::{Components, Merit, Options, Scaling, Solver, Spec};
use ndarray::Array2;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Makes two tests of each generic function: `name::single` and `name::double`.
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

/// The stochastic solver, computing in the precision of the data.
pub fn stochastic<T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    network: Option<&Network<T>>,
    validation: Option<&Problem<'_, T>>,
    control: &mut (impl Control<T> + ?Sized),
) -> Result<Solution<T>> {
    solver::stochastic::<T, T>(problem, options, network, validation, control)
}

/// Choices that pass, all automatic where they can be.
pub fn spec() -> Spec {
    Spec {
        solver: Solver::Stochastic,
        loss: LossKind::Squared,
        hidden_layer_sizes: vec![5],
        activations: vec![ActivationKind::Relu],
        divergence: Divergence::Fenchel,
        learn_activation: false,
        dropout: vec![0.0],
        alpha: None,
        penalties: vec![PenaltyKind::Ridge],
        penalty_weight: Some(10.0),
        scaling: Scaling::Auto,
        components: Components::Auto,
        damping: None,
        batch_size: None,
        max_iter: None,
        learning_rate: None,
        momentum: 0.9,
        tol: 1e-4,
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
    }
}

/// Every loss, those of classes with smoothed labels too.
pub fn losses() -> Vec<LossKind> {
    let smoothing = 0.2;
    let smoothed = [
        LossKind::Softmax { smoothing },
        LossKind::Logistic { smoothing },
        LossKind::Multilabel { smoothing },
    ];
    LossKind::ALL.iter().copied().chain(smoothed).collect()
}

/// Standard normal numbers.
pub fn normal<T: Real>(rows: usize, columns: usize, seed: u64) -> Array2<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(&mut rng);
        T::of(value)
    })
}
