//! No fit ends worse, on the data that it was trained on, than the best constant prediction.

use crate::common::{losses, normal, stochastic};
use liftnet::activation::ActivationKind;
use liftnet::error::{Error, Result};
use liftnet::kernel::best_constant::best_constant;
use liftnet::linalg::Threads;
use liftnet::loss::{LossKind, Targets};
use liftnet::network::Network;
use liftnet::penalty::PenaltyKind;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::solver::{Control, PassReport, Silent, Solution, Status, batch};
use liftnet::spec::{Options, Solver, Spec};
use ndarray::{Array1, Array2};
use proptest::prelude::*;
use std::ops::ControlFlow;

/// Targets that have little to do with the inputs.
struct Table<T> {
    x: Array2<T>,
    classes: Vec<u32>,
    values: Array2<T>,
    weights: Option<Array1<T>>,
    loss: LossKind,
}

impl<T: Real> Table<T> {
    fn new(loss: LossKind, n: usize, weighted: bool, seed: u64) -> Self {
        let x = normal::<T>(n, 1 + seed as usize % 4, seed);
        let noise = normal::<T>(n, 2, !seed);
        let last = if matches!(loss, LossKind::Logistic { .. }) { 1 } else { 2 };
        let size = noise.column(0).mapv(|v| v.f64().abs().floor().min(f64::from(last)) as u32);
        let classes = size.to_vec();
        let values = match loss {
            LossKind::Poisson => noise.mapv(|v| v * v),
            LossKind::Multilabel { .. } => noise.mapv(|v| if v > T::of(0.3) { T::one() } else { T::zero() }),
            _ => noise + T::of(0.7),
        };
        // With zeros.
        let weights = weighted.then(|| (0..n).map(|i| T::of([0.25, 0.0, 1.0, 3.0][i % 4])).collect());
        Self { x, classes, values, weights, loss }
    }

    fn targets(&self) -> Targets<'_, T> {
        match self.loss.has_values() {
            true => Targets::Values(self.values.view()),
            false => Targets::Classes(&self.classes),
        }
    }

    fn n_outputs(&self) -> usize {
        match self.loss {
            LossKind::Logistic { .. } => 1,
            LossKind::Softmax { .. } => 3,
            _ => 2,
        }
    }

    fn problem(&self) -> Problem<'_, T> {
        let weights = self.weights.as_ref().map(|weights| weights.view());
        Problem::new(self.x.view(), self.targets(), weights, self.n_outputs(), self.loss).unwrap()
    }

    fn options(&self, change: impl FnOnce(&mut Spec)) -> Options {
        let mut spec = Spec {
            loss: self.loss,
            hidden_layer_sizes: vec![],
            activations: vec![ActivationKind::Tanh],
            penalty_weight: None,
            max_iter: Some(8),
            seed: 3,
            ..crate::common::spec()
        };
        change(&mut spec);
        spec.check(self.x.nrows(), self.x.ncols()).unwrap()
    }

    fn fit(&self, options: &Options, control: &mut dyn Control<T>) -> Solution<T> {
        self.try_to_fit(options, control).unwrap()
    }

    fn try_to_fit(&self, options: &Options, control: &mut dyn Control<T>) -> Result<Solution<T>> {
        match options.solver {
            Solver::Batch => batch(&self.problem(), options, None, None, control),
            _ => stochastic(&self.problem(), options, None, None, control),
        }
    }

    /// The network's mean loss, and that of the best constant.
    fn losses(&self, solution: &Solution<T>) -> (f64, f64) {
        let mut logits = solution.network.decision_function(self.x.view(), Threads::One).unwrap();
        let (loss, problem) = (self.loss.make::<T>(), self.problem());
        let weights = problem.weights();
        let each = logits.rows_mut().into_iter().enumerate().map(|(row, mut z)| {
            let weight = weights.map_or(1.0, |weights| weights[row].f64());
            weight * loss.value_and_gradient(problem.targets(), row, z.as_slice_mut().unwrap()).f64()
        });
        let reached = each.sum::<f64>() / self.x.nrows() as f64;
        let constant = best_constant(&*loss, problem.targets(), weights, self.n_outputs());
        (reached, constant.loss)
    }

    fn assert_no_worse(&self, solution: &Solution<T>, case: &str) {
        let (reached, constant) = self.losses(solution);
        // The weights of the first layer are rounded once more when they are folded.
        let (relative, absolute) = if T::epsilon().f64() < 1e-10 { (1e-6, 1e-12) } else { (1e-4, 1e-5) };
        assert!(reached <= constant * (1.0 + relative) + absolute, "{case}: {reached} above {constant}");
    }
}

/// Any choice beyond what anyone would make.
#[derive(Debug, Clone)]
struct Wild {
    loss: LossKind,
    solver: Solver,
    hidden: Vec<(usize, ActivationKind)>,
    log_alpha: f64,
    batch_size: usize,
    learning_rate: Option<f64>,
    max_iter: usize,
    n: usize,
    weighted: bool,
    seed: u64,
}

fn wild() -> impl Strategy<Value = Wild> {
    let hidden = prop::collection::vec((1_usize..9, prop::sample::select(ActivationKind::ALL)), 0..6);
    let solver = prop_oneof![Just(Solver::Stochastic), Just(Solver::Batch)];
    let rate = prop_oneof![3 => Just(None), 1 => (-3.0..3.0_f64).prop_map(|log| Some(10_f64.powf(log)))];
    let choices = (prop::sample::select(losses()), solver, hidden, -6.0..4.0_f64, rate);
    let sizes = (1_usize..40, 1_usize..12, 4_usize..40, any::<bool>(), 0_u64..1000);
    (choices, sizes).prop_map(|(choices, sizes)| {
        let (loss, solver, hidden, log_alpha, learning_rate) = choices;
        let (batch_size, max_iter, n, weighted, seed) = sizes;
        Wild { loss, solver, hidden, log_alpha, batch_size, learning_rate, max_iter, n, weighted, seed }
    })
}

impl Wild {
    fn check<T: Real>(&self) {
        let table = Table::<T>::new(self.loss, self.n, self.weighted, self.seed);
        let options = table.options(|spec| {
            spec.solver = self.solver;
            spec.hidden_layer_sizes = self.hidden.iter().map(|(units, _)| *units).collect();
            if !self.hidden.is_empty() {
                spec.activations = self.hidden.iter().map(|(_, kind)| *kind).collect();
            }
            spec.alpha = Some(10_f64.powf(self.log_alpha));
            (spec.batch_size, spec.max_iter) = (Some(self.batch_size), Some(self.max_iter));
            (spec.learning_rate, spec.seed) = (self.learning_rate, self.seed);
        });
        match table.try_to_fit(&options, &mut Silent) {
            Ok(solution) => table.assert_no_worse(&solution, &format!("{self:?}")),
            // Nothing is returned.
            Err(Error::Diverged { .. }) => {}
            Err(error) => panic!("{self:?}: {error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_fit_is_worse_than_the_best_constant(wild in wild(), single in any::<bool>()) {
        if single { wild.check::<f32>() } else { wild.check::<f64>() }
    }
}

/// Stops before batch or sweep number `after`.
struct Stop {
    after: std::cell::Cell<usize>,
}

impl<T> Control<T> for Stop {
    fn stop_requested(&self) -> bool {
        self.after.set(self.after.get().saturating_sub(1));
        self.after.get() == 0
    }
    fn pass_done(&mut self, _: &PassReport, _: &dyn Fn() -> Result<Network<T>>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn neither_is_a_run_that_was_stopped() {
    for loss in losses() {
        for solver in [Solver::Stochastic, Solver::Batch] {
            for after in [1, 2, 5] {
                let table = Table::<f64>::new(loss, 40, true, 5);
                let options = table.options(|spec| {
                    (spec.solver, spec.hidden_layer_sizes) = (solver, vec![6, 4]);
                    (spec.activations, spec.batch_size) = (vec![ActivationKind::Sign], Some(10));
                });
                let solution = table.fit(&options, &mut Stop { after: after.into() });
                assert_eq!(solution.status, Status::Interrupted);
                table.assert_no_worse(&solution, &format!("{loss:?}, {solver:?}, {after}"));
            }
        }
    }
}

/// Nor one under a penalty or noise, whose sets hold to the last bit.
#[test]
fn neither_is_one_with_a_penalty_or_noise() {
    for loss in losses() {
        for solver in [Solver::Stochastic, Solver::Batch] {
            for penalty in [
                "l1(5)",
                "elastic_net(5)",
                "nonnegative",
                "box(-0.1, 0.2)",
                "nuclear(5)",
                "rank(1)",
                "sparse(0.7)",
            ] {
                for (hidden, noise) in [(vec![], 0.0), (vec![5], 0.0), (vec![5, 4], 0.0), (vec![5], 100.0)] {
                    let table = Table::<f64>::new(loss, 30, true, 6);
                    let options = table.options(|spec| {
                        (spec.solver, spec.hidden_layer_sizes) = (solver, hidden.clone());
                        spec.activations = vec![ActivationKind::Sign];
                        spec.penalties = vec![PenaltyKind::parse(penalty).unwrap()];
                        (spec.max_iter, spec.input_noise) = (Some(2), Some(noise));
                    });
                    let solution = table.fit(&options, &mut Silent);
                    let case = format!("{loss:?}, {solver:?}, {penalty}, {hidden:?}, {noise}");
                    table.assert_no_worse(&solution, &case);
                    let output = solution.network.coefs.last().unwrap();
                    let (low, high) = match penalty {
                        "nonnegative" => (0.0, f64::INFINITY),
                        "box(-0.1, 0.2)" => (-0.1, 0.2),
                        _ => (f64::NEG_INFINITY, f64::INFINITY),
                    };
                    assert!(output.iter().all(|&w| low <= w && w <= high), "{case}: {output}");
                    if penalty == "sparse(0.7)" {
                        let zeros = output.iter().filter(|w| **w == 0.0).count();
                        assert!(zeros as f64 >= 0.7 * output.len() as f64, "{case}: {zeros} zeros");
                    }
                }
            }
        }
    }
}

/// A set that leaves out 0 is kept to all the same.
#[test]
fn sets_without_zero_are_kept() {
    let table = Table::<f64>::new(LossKind::SOFTMAX, 30, false, 7);
    for solver in [Solver::Stochastic, Solver::Batch] {
        let options = table.options(|spec| {
            (spec.solver, spec.hidden_layer_sizes) = (solver, vec![4]);
            spec.activations = vec![ActivationKind::Sign];
            spec.penalties = vec![PenaltyKind::Ridge, PenaltyKind::parse("box(1, 2)").unwrap()];
        });
        let solution = table.fit(&options, &mut Silent);
        assert!(solution.network.coefs[1].iter().all(|w| (1.0..=2.0).contains(w)));
    }
}
