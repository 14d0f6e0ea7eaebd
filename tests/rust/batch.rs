//! The batch solver from outside: monotone, deterministic, exact in the weights of the samples.

use crate::common::{losses, normal};
use liftnet::activation::{ActivationKind, Divergence};
use liftnet::linalg::Threads;
use liftnet::loss::{LossKind, Targets};
use liftnet::penalty::PenaltyKind;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::solver::{Silent, Solution, Status, batch};
use liftnet::spec::{Components, Scaling, Solver, Spec};
use ndarray::{Array1, Array2, Axis, concatenate};

const N: usize = 24;

/// Inputs, targets for any loss, weights.
struct Table<T> {
    x: Array2<T>,
    classes: Vec<u32>,
    values: Array2<T>,
    weights: Option<Array1<T>>,
    loss: LossKind,
}

impl<T: Real> Table<T> {
    /// A curved boundary between classes, a curved surface of values.
    fn new(loss: LossKind, n: usize) -> Self {
        let x = normal::<T>(n, 5, 1);
        let curved = |row: ndarray::ArrayView1<'_, T>| (row[0] * row[1] + row[2].sin()).f64();
        let count = if matches!(loss, LossKind::Logistic { .. }) { 2.0 } else { 3.0 };
        let classes =
            x.rows().into_iter().map(|row| (curved(row).abs() * 2.0).min(count - 1.0) as u32).collect();
        let values = Array2::from_shape_fn((n, 2), |(i, j)| {
            let value = curved(x.row(i)) * (1.0 + j as f64);
            T::of(match loss {
                LossKind::Poisson => value.abs(),
                LossKind::Multilabel { .. } => f64::from(value > 0.3),
                _ => value,
            })
        });
        Self { x, classes, values, weights: None, loss }
    }

    fn n_outputs(&self) -> usize {
        match self.loss {
            LossKind::Logistic { .. } => 1,
            loss if loss.has_values() => 2,
            _ => 3,
        }
    }

    fn fit(&self, change: impl FnOnce(&mut Spec)) -> Solution<T> {
        let targets = match self.loss.has_values() {
            true => Targets::Values(self.values.view()),
            false => Targets::Classes(&self.classes),
        };
        let weights = self.weights.as_ref().map(|weights| weights.view());
        let problem = Problem::new(self.x.view(), targets, weights, self.n_outputs(), self.loss).unwrap();
        let mut spec = Spec {
            solver: Solver::Batch,
            loss: self.loss,
            hidden_layer_sizes: vec![5, 4],
            activations: vec![ActivationKind::Tanh],
            alpha: Some(0.1),
            penalty_weight: Some(3.0),
            scaling: Scaling::Feature,
            components: Components::All,
            max_iter: Some(6),
            tol: 0.0,
            n_iter_no_change: 1000,
            seed: 3,
            diagnostics: true,
            total_weight: self.weights.as_ref().map(|weights| weights.iter().map(|w| w.f64()).sum()),
            ..crate::common::spec()
        };
        change(&mut spec);
        let options = spec.check(self.x.nrows(), self.x.ncols()).unwrap();
        batch(&problem, &options, None, None, &mut Silent).unwrap()
    }

    fn logits(&self, solution: &Solution<T>) -> Array2<T> {
        solution.network.decision_function(self.x.view(), Threads::One).unwrap()
    }
}

fn never_rises(values: &[f64], rounding: f64, case: &str) {
    assert!(!values.is_empty(), "{case}: nothing recorded");
    for (step, pair) in values.windows(2).enumerate() {
        let allowed = rounding * pair[0].abs();
        assert!(pair[1] <= pair[0] + allowed, "{case}: from {} to {} at step {step}", pair[0], pair[1]);
    }
}

fn every_combination<T: Real>(accelerate: bool, noise: f64, mut test: impl FnMut(&Solution<T>, &str)) {
    for &loss in LossKind::ALL {
        let table = Table::<T>::new(loss, N);
        for &kind in ActivationKind::ALL {
            for (name, divergence) in Divergence::ALL {
                if divergence.check(kind).is_err() {
                    continue;
                }
                let solution = table.fit(|spec| {
                    (spec.activations, spec.divergence, spec.accelerate) =
                        (vec![kind], divergence, accelerate);
                    spec.input_noise = Some(noise);
                });
                test(&solution, &format!("{loss:?}, {kind:?}, {name}"));
            }
        }
    }
}

/// Every block, activations of either layer and weights, is a majorise–minimise step.
#[test]
fn no_block_raises_the_objective() {
    every_combination::<f64>(false, 0.0, |solution, case| {
        let blocks = solution.history.column("blocks");
        assert_eq!(blocks.len(), 3 * solution.n_iter, "{case}");
        never_rises(blocks, 1e-12, case);
        assert!(blocks[blocks.len() - 1] < 0.999 * blocks[0], "{case}: no progress from {}", blocks[0]);
    });
}

#[test]
fn no_block_raises_the_objective_in_single_precision() {
    every_combination::<f32>(false, 0.0, |solution, case| {
        never_rises(solution.history.column("blocks"), 1e-5, case)
    });
}

#[test]
fn no_sweep_raises_the_objective() {
    every_combination::<f64>(true, 0.0, |solution, case| {
        never_rises(solution.history.column("objective"), 1e-12, case);
    });
}

/// The penalties beyond the ridge, strong enough to act on the tables here.
const PENALTIES: [&str; 7] = [
    "l1(0.5)",
    "elastic_net(0.5, 0.3)",
    "nonnegative",
    "box(-0.3, 0.2)",
    "nuclear(0.5)",
    "rank(2)",
    "sparse(0.6)",
];

fn every_penalty<T: Real>(accelerate: bool, rounding: f64, column: &str) {
    let table = Table::<T>::new(LossKind::SOFTMAX, N);
    for text in PENALTIES {
        let penalty = PenaltyKind::parse(text).unwrap();
        for &kind in ActivationKind::ALL {
            for (name, divergence) in Divergence::ALL {
                if divergence.check(kind).is_err() {
                    continue;
                }
                let solution = table.fit(|spec| {
                    (spec.activations, spec.divergence, spec.accelerate) =
                        (vec![kind], divergence, accelerate);
                    spec.penalties = vec![penalty];
                });
                let case = format!("{text}, {kind:?}, {name}");
                let values = solution.history.column(column);
                never_rises(values, rounding, &case);
                assert!(values[values.len() - 1] < values[0], "{case}: no progress from {}", values[0]);
                satisfied(&solution, penalty, &case);
            }
        }
    }
}

/// Sets hold for the weights of raw inputs, all layers.
fn satisfied<T: Real>(solution: &Solution<T>, penalty: PenaltyKind, case: &str) {
    for coef in &solution.network.coefs {
        let Some(object) = penalty.make::<T>(None, None) else { return };
        assert!(object.value(coef.view()).unwrap().is_finite(), "{case}: outside the set");
    }
}

#[test]
fn no_block_raises_the_objective_with_any_penalty() {
    every_penalty::<f64>(false, 1e-12, "blocks");
}

#[test]
fn no_sweep_raises_the_objective_with_any_penalty() {
    every_penalty::<f64>(true, 1e-12, "objective");
}

#[test]
fn no_penalty_raises_the_objective_in_single_precision() {
    every_penalty::<f32>(false, 1e-5, "blocks");
    every_penalty::<f32>(true, 1e-5, "objective");
}

/// A loss without a curvature bound has its steps tried out, in sets that are not convex too.
#[test]
fn penalties_go_with_every_loss() {
    for loss in losses() {
        for text in PENALTIES {
            let penalty = PenaltyKind::parse(text).unwrap();
            for accelerate in [false, true] {
                let solution = Table::<f64>::new(loss, N).fit(|spec| {
                    (spec.penalties, spec.accelerate) = (vec![penalty], accelerate);
                });
                let case = format!("{loss:?}, {text}, accelerate {accelerate}");
                never_rises(solution.history.column("objective"), 1e-12, &case);
            }
        }
    }
}

/// Against noise that grows over half of the sweeps: within each sweep, and from one to the next once
/// the noise is full.
#[test]
fn no_block_raises_the_objective_of_a_robust_fit() {
    let (mut fits, mut progress) = (0, 0);
    every_combination::<f64>(false, 0.5, |solution, case| {
        let blocks = solution.history.column("blocks");
        assert_eq!(blocks.len(), 3 * solution.n_iter, "{case}");
        blocks[..9].chunks(3).for_each(|sweep| never_rises(sweep, 1e-12, case));
        never_rises(&blocks[9..], 1e-12, case);
        fits += 1;
        progress += usize::from(blocks[blocks.len() - 1] < 0.999 * blocks[9]);
    });
    assert!(4 * progress > 3 * fits, "progress in {progress} of {fits}");
}

#[test]
fn no_sweep_raises_the_objective_of_a_robust_fit() {
    fn check<T: Real>(rounding: f64) {
        every_combination::<T>(true, 0.5, |solution, case| {
            assert_eq!(solution.history.column("input_noise")[..3], [0.0, 0.5 / 3.0, 1.0 / 3.0], "{case}");
            assert!(solution.history.column("input_noise")[3..].iter().all(|&radius| radius == 0.5));
            never_rises(&solution.history.column("objective")[3..], rounding, case);
        });
    }
    check::<f64>(1e-12);
    check::<f32>(1e-5);
}

#[test]
fn joint_steps_are_faster_than_blocks() {
    let table = Table::<f64>::new(LossKind::SOFTMAX, 300);
    let objective = |accelerate| {
        let solution = table.fit(|spec| {
            (spec.accelerate, spec.max_iter) = (accelerate, Some(60));
            spec.hidden_layer_sizes = vec![8, 6];
        });
        *solution.history.column("objective").last().unwrap()
    };
    let (joint, blocks) = (objective(true), objective(false));
    assert!(joint < 0.8 * blocks, "{joint} with joint steps, {blocks} by blocks");
}

#[test]
fn objective_is_the_sum_of_its_terms() {
    let history = Table::<f64>::new(LossKind::SOFTMAX, N).fit(|_| ()).history;
    let last = |name: &str| *history.column(name).last().unwrap();
    let divergences = last("divergence_1") + last("divergence_2");
    let sum = last("lifted_loss") + 3.0 * divergences + last("penalty");
    assert!((last("objective") / sum - 1.0).abs() <= 1e-12);
    assert!(divergences > 0.0 && last("gap_1") > 0.0 && last("gap_2") > 0.0);
}

/// Weights 2 are rows twice, weights 0 are rows left out, to rounding.
#[test]
fn sample_weights_are_repetitions() {
    for (loss, noise) in [(LossKind::SOFTMAX, 0.0), (LossKind::Squared, 0.0), (LossKind::SOFTMAX, 0.5)] {
        let mut weighted = Table::<f64>::new(loss, N);
        let counts = Array1::from_shape_fn(N, |i| [2.0, 1.0, 0.0, 3.0][i % 4]);
        let rows: Vec<usize> = (0..N).flat_map(|i| vec![i; counts[i] as usize]).collect();
        let mut repeated = Table::<f64>::new(loss, N);
        repeated.x = weighted.x.select(Axis(0), &rows);
        repeated.classes = rows.iter().map(|&i| weighted.classes[i]).collect();
        repeated.values = weighted.values.select(Axis(0), &rows);
        weighted.weights = Some(counts);
        let fit = |table: &Table<f64>| table.fit(|spec| (spec.alpha, spec.input_noise) = (None, Some(noise)));
        let (a, b) = (weighted.logits(&fit(&weighted)), weighted.logits(&fit(&repeated)));
        let gap = (&a - &b).iter().fold(0.0f64, |top, v| top.max(v.abs()));
        assert!(gap <= 1e-7, "{loss:?}: {gap}");
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let mut table = Table::<f32>::new(LossKind::SOFTMAX, 2000);
    table.x = concatenate(Axis(1), &[table.x.view(), normal::<f32>(2000, 40, 5).view()]).unwrap();
    for noise in [0.0, 0.5] {
        let in_pool = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                table.fit(|spec| {
                    (spec.hidden_layer_sizes, spec.max_iter) = (vec![30, 20], Some(8));
                    spec.input_noise = Some(noise);
                })
            })
        };
        let (one, four) = (in_pool(1), in_pool(4));
        assert_eq!(one.network.coefs, four.network.coefs);
        assert_eq!(one.history.column("objective"), four.history.column("objective"));
    }
}

/// Without hidden layers the problem is convex: the answer is that of the normal equations.
#[test]
fn linear_model_is_ridge_regression() {
    let table = Table::<f64>::new(LossKind::Squared, N);
    let solution = table.fit(|spec| {
        (spec.hidden_layer_sizes, spec.alpha) = (vec![], Some(0.0));
        (spec.max_iter, spec.tol) = (Some(2000), 1e-9);
    });
    assert_eq!(solution.status, Status::Converged);
    let residuals = &table.values - &table.logits(&solution);
    let mean = residuals.mean_axis(Axis(0)).unwrap();
    let gradient = table.x.t().dot(&residuals) / N as f64;
    let largest = gradient.iter().chain(&mean).fold(0.0f64, |top, v| top.max(v.abs()));
    assert!(largest <= 1e-7, "the residuals correlate with the inputs: {largest}");
}

/// Plain block descent closes in on a stationary point.
#[test]
fn residual_falls() {
    let table = Table::<f64>::new(LossKind::Squared, N);
    let solution = table.fit(|spec| {
        (spec.hidden_layer_sizes, spec.alpha, spec.accelerate) = (vec![4], Some(1.0), false);
        (spec.max_iter, spec.diagnostics) = (Some(400), false);
    });
    let residual = solution.history.column("residual");
    assert!(residual[399] < 0.1 * residual[0], "from {} to {}", residual[0], residual[399]);
}

/// With learned parameters: five blocks a sweep, of which none raises the objective, nor does a sweep.
fn learning_never_raises<T: Real>(accelerate: bool, rounding: f64) {
    for &loss in LossKind::ALL {
        let table = Table::<T>::new(loss, N);
        for kind in ActivationKind::all_learnable() {
            for start in [kind, kind.with_parameter(0.05), kind.with_parameter(2.0)] {
                let solution = table.fit(|spec| {
                    (spec.activations, spec.accelerate) = (vec![start], accelerate);
                    spec.learn_activation = true;
                });
                let case = format!("{loss:?}, {start:?}");
                never_rises(solution.history.column("objective"), rounding, &case);
                if !accelerate {
                    let blocks = solution.history.column("blocks");
                    assert_eq!(blocks.len(), 5 * solution.n_iter, "{case}");
                    never_rises(blocks, rounding, &case);
                }
                let learned = &solution.network.activations;
                for (l, activation) in learned.iter().enumerate() {
                    let column = solution.history.column(&format!("activation_parameter_{}", l + 1));
                    assert_eq!(column.len(), solution.n_iter);
                    let parameter = activation.parameter().unwrap();
                    assert_eq!((activation.name(), *column.last().unwrap()), (kind.name(), parameter.value));
                }
                // From an end of the range the way may be barred.
                let barred = start.parameter().is_some_and(|p| p.value == p.range.1);
                assert!(barred || learned.iter().any(|l| *l != start), "{case}: nothing learned");
            }
        }
    }
}

#[test]
fn no_block_of_learned_parameters_raises_the_objective() {
    learning_never_raises::<f64>(false, 1e-12);
    learning_never_raises::<f32>(false, 1e-5);
}

#[test]
fn no_sweep_with_learned_parameters_raises_the_objective() {
    learning_never_raises::<f64>(true, 1e-12);
}

/// The same network without learned parameters is what it was, and others are not learned.
#[test]
fn only_what_is_asked_for_is_learned() {
    let table = Table::<f64>::new(LossKind::SOFTMAX, N);
    let activations =
        vec![ActivationKind::LeakyRelu { slope: 0.3 }, ActivationKind::ClippedRelu { limit: 2.0 }];
    let learned = table.fit(|spec| (spec.activations, spec.learn_activation) = (activations.clone(), true));
    let given = table.fit(|spec| spec.activations = activations.clone());
    assert_eq!(given.network.activations, activations);
    assert!(given.history.column("activation_parameter_1").is_empty());
    assert_ne!(learned.network.activations[0], activations[0]);
    assert_eq!(learned.network.activations[1], activations[1]);
    assert!(learned.history.column("activation_parameter_2").is_empty());
}

#[test]
fn threads_do_not_change_the_bits_of_learned_parameters() {
    for accelerate in [false, true] {
        let mut table = Table::<f32>::new(LossKind::SOFTMAX, 2000);
        table.x = concatenate(Axis(1), &[table.x.view(), normal::<f32>(2000, 40, 5).view()]).unwrap();
        let in_pool = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let change = |spec: &mut Spec| {
                (spec.hidden_layer_sizes, spec.max_iter) = (vec![30, 20], Some(6));
                (spec.accelerate, spec.learn_activation) = (accelerate, true);
                spec.activations = vec![
                    ActivationKind::HardSigmoid { slope: 0.3 },
                    ActivationKind::SoftThreshold { threshold: 0.3 },
                ];
            };
            pool.install(|| table.fit(change))
        };
        let (one, four) = (in_pool(1), in_pool(4));
        assert_eq!(one.network.coefs, four.network.coefs);
        assert_eq!(one.network.activations, four.network.activations);
    }
}

/// Noise answers the steps of learned parameters and of penalised weights too, by blocks and jointly.
#[test]
fn noise_learned_parameters_and_penalties_go_together() {
    let kinds = [
        ActivationKind::LeakyRelu { slope: 0.5 },
        ActivationKind::HardSigmoid { slope: 0.25 },
        ActivationKind::SoftThreshold { threshold: 0.5 },
        ActivationKind::Elu { alpha: 0.5 },
    ];
    for kind in kinds {
        for text in ["ridge", "l1(0.5)", "nonnegative", "rank(2)", "sparse(0.6)"] {
            let penalty = PenaltyKind::parse(text).unwrap();
            for accelerate in [false, true] {
                let solution = Table::<f64>::new(LossKind::SOFTMAX, N).fit(|spec| {
                    (spec.activations, spec.learn_activation) = (vec![kind], true);
                    (spec.penalties, spec.accelerate, spec.max_iter) = (vec![penalty], accelerate, Some(16));
                    spec.input_noise = Some(0.3);
                });
                let case = format!("{kind:?}, {text}, accelerate {accelerate}");
                // The noise has grown to its radius after half of the sweeps.
                never_rises(&solution.history.column("objective")[8..], 1e-12, &case);
                satisfied(&solution, penalty, &case);
            }
        }
    }
}
