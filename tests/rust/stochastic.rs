//! The stochastic solver from outside: what it learns, what it promises, what it survives.

use crate::common::{losses, normal, stochastic};
use liftnet::activation::ActivationKind;
use liftnet::error::{Error, Result};
use liftnet::linalg::Threads;
use liftnet::loss::{LossKind, Targets};
use liftnet::network::Network;
use liftnet::penalty::PenaltyKind;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::solver::{Control, PassReport, Silent, Solution, Status};
use liftnet::spec::{Components, Options, Scaling, Spec};
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use std::cell::Cell;
use std::ops::ControlFlow;

for_both!(
    same_seed_gives_the_same_bits_in_every_pool,
    layout_of_the_inputs_does_not_matter,
    units_of_the_inputs_do_not_matter,
    every_activation_learns_xor,
    several_classes_are_learnt_by_a_deep_network,
    linear_map_is_fitted_by_least_squares,
    rows_of_weight_zero_do_not_count,
    weights_are_repetitions_in_one_batch,
    validation_keeps_the_best_pass,
    validation_keeps_the_parameters_of_the_best_pass,
    learned_parameters_give_the_same_bits_in_every_pool,
    huge_rates_keep_learned_parameters_in_their_range,
    stopping_is_immediate,
    huge_rates_never_give_non_finite_weights,
    degenerate_data_give_finite_weights,
    constant_features_get_exactly_nothing,
    warm_start_continues_where_it_stood,
    warm_start_in_a_reduced_map_keeps_predictions,
    start_outside_the_leading_directions_keeps_predictions,
    start_with_weight_on_a_constant_feature_keeps_predictions,
);

/// A table with targets for any loss.
struct Table<T> {
    x: Array2<T>,
    classes: Vec<u32>,
    values: Array2<T>,
    weights: Option<Array1<T>>,
    loss: LossKind,
}

impl<T: Real> Table<T> {
    fn classified(x: Array2<T>, loss: LossKind, class: impl Fn(&[f64]) -> u32) -> Self {
        let classes = x.rows().into_iter().map(|row| class(&row.mapv(T::f64).to_vec())).collect();
        Self { x, classes, values: Array2::zeros((0, 0)), weights: None, loss }
    }

    fn valued(x: Array2<T>, values: Array2<T>) -> Self {
        Self { x, classes: vec![], values, weights: None, loss: LossKind::Squared }
    }

    /// Whatever the loss: random inputs, targets that depend on the first of them.
    fn any(loss: LossKind, x: Array2<T>) -> Self {
        let values = Array2::from_shape_fn((x.nrows(), 2), |(i, j)| x[[i, 0]] * T::of(1.0 + j as f64));
        let mut table = Self::classified(x, loss, |row| u32::from(row[0] > 0.0));
        table.values = match loss {
            LossKind::Poisson => values.mapv(|v| v.abs()),
            LossKind::Multilabel { .. } => values.mapv(|v| if v > T::zero() { T::one() } else { T::zero() }),
            _ => values,
        };
        table
    }

    fn n_outputs(&self) -> usize {
        match self.loss {
            LossKind::Logistic { .. } => 1,
            loss if loss.has_values() => self.values.ncols(),
            _ => self.classes.iter().max().map_or(0, |&top| top as usize + 1).max(2),
        }
    }

    fn problem(&self) -> Problem<'_, T> {
        let targets = match self.loss.has_values() {
            true => Targets::Values(self.values.view()),
            false => Targets::Classes(&self.classes),
        };
        let weights = self.weights.as_ref().map(|weights| weights.view());
        Problem::new(self.x.view(), targets, weights, self.n_outputs(), self.loss).unwrap()
    }

    fn options(&self, change: impl FnOnce(&mut Spec)) -> Options {
        let mut spec = Spec {
            loss: self.loss,
            hidden_layer_sizes: vec![8],
            alpha: Some(0.01),
            components: Components::All,
            damping: Some((1.0, 1.0)),
            batch_size: Some(32),
            max_iter: Some(10),
            learning_rate: Some(0.3),
            tol: 0.0,
            n_iter_no_change: 1000,
            seed: 1,
            ..crate::common::spec()
        };
        change(&mut spec);
        spec.check(self.x.nrows(), self.x.ncols()).unwrap()
    }

    fn fit(&self, change: impl FnOnce(&mut Spec)) -> Solution<T> {
        self.fit_from(None, change)
    }

    fn fit_from(&self, start: Option<&Network<T>>, change: impl FnOnce(&mut Spec)) -> Solution<T> {
        stochastic(&self.problem(), &self.options(change), start, None, &mut Silent).unwrap()
    }

    /// Share of right classes.
    fn accuracy(&self, network: &Network<T>) -> f64 {
        let loss = self.loss.make::<T>();
        let problem = self.problem();
        let logits = logits(network, self.x.view());
        let rows = logits.rows().into_iter().enumerate();
        let right: f64 = rows.map(|(i, row)| loss.score(problem.targets(), i, &row.to_vec()).f64()).sum();
        right / self.x.nrows() as f64
    }
}

fn logits<T: Real>(network: &Network<T>, x: ArrayView2<'_, T>) -> Array2<T> {
    network.decision_function(x, Threads::One).unwrap()
}

fn distance<A: Real, B: Real>(a: ArrayView2<'_, A>, b: ArrayView2<'_, B>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let gaps = a.iter().zip(b).map(|(a, b)| (a.f64() - b.f64()).abs());
    gaps.fold(0.0, |top, gap| if gap.is_finite() { gap.max(top) } else { f64::INFINITY })
}

fn assert_finite<T: Real>(solution: &Solution<T>, case: &str) {
    let network = &solution.network;
    let weights = network.coefs.iter().flatten().chain(network.intercepts.iter().flatten());
    assert!(weights.into_iter().all(|w| w.is_finite()), "{case}: weights are not finite");
}

/// Weights, intercepts, losses, validation scores.
type Record<T> = (Vec<Array2<T>>, Vec<Array1<T>>, Vec<f64>, Vec<f64>);

/// All that must agree for two runs to count as the same.
fn bits<T: Real>(solution: &Solution<T>) -> Record<T> {
    let Network { coefs, intercepts, .. } = &solution.network;
    let (losses, scores) = (solution.loss_curve.clone(), solution.validation_scores.clone());
    (coefs.clone(), intercepts.clone(), losses, scores)
}

/// The sign of x₀ x₁, with two more features that say nothing.
fn xor<T: Real>(n: usize, seed: u64, loss: LossKind) -> Table<T> {
    let mut x = normal::<T>(n, 4, seed);
    // A margin about the axes.
    x.mapv_inplace(|v| v + T::of(0.3 * v.f64().signum()));
    Table::classified(x, loss, |row| u32::from(row[0] * row[1] > 0.0))
}

/// Large enough for the parallel paths: more than a million multiply-adds a step.
fn same_seed_gives_the_same_bits_in_every_pool<T: Real>() {
    let mut table = Table::classified(normal::<T>(700, 60, 2), LossKind::SOFTMAX, |row| {
        u32::from(row[0] > 0.0) + u32::from(row[1] * row[2] > 0.0)
    });
    table.weights = Some((0..700).map(|i| T::of(0.5 + (i % 3) as f64)).collect());
    let held_out = Table::classified(normal::<T>(300, 60, 3), LossKind::SOFTMAX, |row| {
        u32::from(row[0] > 0.0) + u32::from(row[1] * row[2] > 0.0)
    });
    for components in [Components::All, Components::Count(30)] {
        let run = |seed| {
            let options = table.options(|spec| {
                (spec.hidden_layer_sizes, spec.components) = (vec![150, 100], components);
                (spec.batch_size, spec.max_iter, spec.seed) = (Some(300), Some(2), seed);
            });
            let (problem, held_out) = (table.problem(), held_out.problem());
            bits(&stochastic(&problem, &options, None, Some(&held_out), &mut Silent).unwrap())
        };
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let first = pool(1).install(|| run(7));
        for threads in [2, 4] {
            assert!(pool(threads).install(|| run(7)) == first, "{components:?} on {threads} threads");
        }
        assert!(run(8).0 != first.0, "another seed, the same weights");
    }
}

fn learned_parameters_give_the_same_bits_in_every_pool<T: Real>() {
    let mut table = xor::<T>(700, 60, LossKind::SOFTMAX);
    table.weights = Some((0..700).map(|i| T::of((i % 3) as f64)).collect());
    for kind in ActivationKind::all_learnable() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let change = |spec: &mut Spec| {
                (spec.hidden_layer_sizes, spec.activations) = (vec![150, 100], vec![kind]);
                (spec.batch_size, spec.max_iter, spec.learn_activation) = (Some(300), Some(2), true);
            };
            pool.install(|| table.fit(change))
        };
        let (one, four) = (run(1), run(4));
        assert!(bits(&one) == bits(&four), "{kind:?}");
        assert_eq!(one.network.activations, four.network.activations);
        assert_ne!(one.network.activations, [kind, kind]);
    }
}

/// Where nothing goes by the number of rows: one batch, no alpha, a step of its own, and a first layer that
/// does not start from samples, as one with bounds does not; here these never bind.
fn weights_are_repetitions_in_one_batch<T: Real>() {
    for loss in losses() {
        let x = normal::<T>(24, 3, 41);
        let rows: Vec<usize> = (0..24).flat_map(|row| std::iter::repeat_n(row, 1 + row % 3)).collect();
        let mut weighted = Table::any(loss, x.clone());
        let repeated = Table::any(loss, x.select(Axis(0), &rows));
        weighted.weights = Some((0..24).map(|row| T::of((1 + row % 3) as f64)).collect());
        let change = |spec: &mut Spec| {
            spec.penalties = vec![PenaltyKind::Box { lower: -1e6, upper: 1e6 }, PenaltyKind::Ridge];
            (spec.alpha, spec.batch_size, spec.activations) =
                (Some(0.0), Some(100), vec![ActivationKind::Tanh]);
        };
        let one = logits(&weighted.fit(change).network, x.view());
        let other = logits(&repeated.fit(change).network, x.view());
        let wrong = distance(one.view(), other.view());
        assert!(wrong <= T::epsilon().f64().sqrt(), "{loss:?}: off by {wrong}");
        weighted.weights = None;
        let unweighted = logits(&weighted.fit(change).network, x.view());
        assert!(distance(unweighted.view(), other.view()) > 1e-2, "{loss:?}: weights must matter");
    }
}

/// The score of the network returned is the best of the run, which that of other parameters is not.
fn validation_keeps_the_parameters_of_the_best_pass<T: Real>() {
    let x = normal::<T>(200, 3, 15);
    let table = Table::valued(x.clone(), x.slice(s![.., ..1]).to_owned());
    let opposite = Table::valued(x.clone(), x.slice(s![.., ..1]).mapv(|v| -v));
    for kind in [ActivationKind::SoftThreshold { threshold: 1.0 }, ActivationKind::LeakyRelu { slope: 0.2 }] {
        let options = table.options(|spec| {
            (spec.max_iter, spec.activations, spec.learn_activation) = (Some(12), vec![kind], true);
        });
        let solution =
            stochastic(&table.problem(), &options, None, Some(&opposite.problem()), &mut Silent).unwrap();
        let scores = &solution.validation_scores;
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let residual = logits(&solution.network, x.view()) - &opposite.values;
        let reached = -0.5 * residual.mapv(|r| r.f64() * r.f64()).sum() / 200.0;
        assert!((reached - best).abs() <= 1e-4 * best.abs(), "{kind:?}: {reached} kept, {best} the best");
        let pass = scores.iter().rposition(|score| *score == best).unwrap();
        let column = solution.history.column("activation_parameter_1");
        assert_eq!(solution.network.activations[0].parameter().unwrap().value, column[pass], "{kind:?}");
        assert!(pass < 11 && column[pass] != column[11], "the best must not be the last");
    }
}

fn huge_rates_keep_learned_parameters_in_their_range<T: Real>() {
    let table = xor::<T>(200, 4, LossKind::SOFTMAX);
    for kind in ActivationKind::all_learnable() {
        let solution = table.fit(|spec| {
            (spec.activations, spec.learn_activation) = (vec![kind], true);
            (spec.learning_rate, spec.max_iter) = (Some(1e6), Some(5));
        });
        assert_finite(&solution, &format!("{kind:?}"));
        let parameter = solution.network.activations[0].parameter().unwrap();
        assert!(
            parameter.value >= parameter.range.0 && parameter.value <= parameter.range.1,
            "{parameter:?}"
        );
    }
}

fn layout_of_the_inputs_does_not_matter<T: Real>() {
    let table = xor::<T>(300, 4, LossKind::SOFTMAX);
    let options = table.options(|_| {});
    let expected = bits(&table.fit(|_| {}));
    let columns = table.x.t().as_standard_layout().to_owned();
    let mut wide = Array2::from_elem((300, 8), T::nan());
    wide.slice_mut(s![.., ..;2]).assign(&table.x);
    for view in [columns.t(), wide.slice(s![.., ..;2])] {
        let problem = Problem::new(view, Targets::Classes(&table.classes), None, 2, table.loss).unwrap();
        let solution = stochastic(&problem, &options, None, None, &mut Silent).unwrap();
        assert!(bits(&solution) == expected);
    }
}

/// Metres or light years: scaled per feature, the same predictions up to rounding.
fn units_of_the_inputs_do_not_matter<T: Real>() {
    let table = xor::<T>(300, 4, LossKind::SOFTMAX);
    let choose = |spec: &mut Spec| (spec.scaling, spec.max_iter) = (Scaling::Feature, Some(2));
    let expected = logits(&table.fit(choose).network, table.x.view());
    // Powers of two, so that the values themselves are not rounded; squares leave single precision.
    for exponent in [-90, -20, 20, 90] {
        let unit = Array1::from_shape_fn(4, |j| T::of(2f64.powi(exponent - j as i32)));
        let other = Table { x: &table.x * &unit, ..xor(300, 4, LossKind::SOFTMAX) };
        let got = logits(&other.fit(choose).network, other.x.view());
        let wrong = distance(got.view(), expected.view());
        assert!(wrong <= 1e4 * T::epsilon().f64(), "2^{exponent}: off by {wrong}");
    }
}

fn every_activation_learns_xor<T: Real>() {
    for &activation in ActivationKind::ALL {
        for loss in [LossKind::SOFTMAX, LossKind::LOGISTIC] {
            let table = xor::<T>(400, 5, loss);
            let solution = table.fit(|spec| {
                (spec.activations, spec.hidden_layer_sizes) = (vec![activation], vec![24]);
                (spec.max_iter, spec.learning_rate) = (Some(60), Some(0.5));
            });
            let case = format!("{activation:?}, {loss:?}");
            assert_finite(&solution, &case);
            let (seen, unseen) = (table.accuracy(&solution.network), xor(1000, 6, loss));
            let unseen = unseen.accuracy(&solution.network);
            if activation == ActivationKind::Identity {
                assert!(seen < 0.7, "{case}: a linear model cannot reach {seen}");
            } else {
                assert!(seen > 0.95 && unseen > 0.9, "{case}: {seen} seen, {unseen} unseen");
            }
            assert_eq!(solution.status, Status::MaxIter);
            assert_eq!((solution.n_iter, solution.loss_curve.len()), (60, 60));
            assert!(solution.loss_curve[59] <= solution.loss_curve[0]);
        }
    }
}

/// Five blobs on a ring, two hidden layers; rows come sorted by class, so they must be shuffled.
fn several_classes_are_learnt_by_a_deep_network<T: Real>() {
    let blobs = |n: usize, seed| {
        let mut x = normal::<T>(n, 3, seed) * T::of(0.25);
        for (i, mut row) in x.rows_mut().into_iter().enumerate() {
            let angle = (5 * i / n) as f64 * std::f64::consts::TAU / 5.0;
            row[0] += T::of(angle.cos());
            row[1] += T::of(angle.sin());
        }
        let classes = (0..n).map(|i| (5 * i / n) as u32).collect();
        Table { x, classes, values: Array2::zeros((0, 0)), weights: None, loss: LossKind::SOFTMAX }
    };
    let table = blobs(500, 7);
    let solution = table.fit(|spec| {
        (spec.hidden_layer_sizes, spec.activations) = (vec![16, 12], vec![ActivationKind::Tanh]);
        spec.max_iter = Some(30);
    });
    let (seen, unseen) = (table.accuracy(&solution.network), blobs(500, 8).accuracy(&solution.network));
    assert!(seen > 0.95 && unseen > 0.95, "{seen} seen, {unseen} unseen");
}

/// Without hidden layers and penalty: the normal equations, noise included.
fn linear_map_is_fitted_by_least_squares<T: Real>() {
    let (n, d) = (200, 5);
    let x = normal::<T>(n, d, 9) + &Array1::from_shape_fn(d, |j| T::of(j as f64));
    let truth = normal::<T>(d, 2, 10) * T::of(0.5);
    let values = x.dot(&truth) + normal::<T>(n, 2, 11) * T::of(0.5) + T::of(0.3);
    let table = Table::valued(x, values);
    let solution = table.fit(|spec| {
        (spec.hidden_layer_sizes, spec.alpha) = (vec![], Some(0.0));
        (spec.batch_size, spec.max_iter) = (Some(n), Some(400));
        (spec.learning_rate, spec.damping) = (Some(0.5), Some((0.01, 1.0)));
    });
    let augmented = concatenate![Axis(1), table.x.mapv(T::f64), Array2::ones((n, 1))];
    let (coef, intercept) = (&solution.network.coefs[0], &solution.network.intercepts[0]);
    let fitted = concatenate![Axis(0), coef.view(), intercept.view().insert_axis(Axis(0))].mapv(T::f64);
    // The gradient Xᵀ(XW − Y)/n of the plain least-squares problem is 0 at its solution alone.
    let residual = augmented.dot(&fitted) - table.values.mapv(T::f64);
    let gradient = augmented.t().dot(&residual) / n as f64;
    let wrong = distance(gradient.view(), Array2::<f64>::zeros((d + 1, 2)).view());
    assert!(wrong <= 1e-6 + 100.0 * T::epsilon().f64(), "gradient {wrong}");
    // The loss of the last pass is that of the solution.
    let loss = 0.5 * residual.mapv(|r| r * r).sum() / n as f64;
    let last = solution.loss_curve[399];
    assert!((last - loss).abs() <= 1e-4 * loss, "{last} reported, {loss} reached");
}

/// Penalties shrink the weights and are part of the loss reported.
#[test]
fn alpha_shrinks() {
    let x = normal::<f64>(200, 4, 12);
    let table = Table::valued(x.clone(), x.slice(s![.., ..1]).to_owned());
    let norm = |alpha: f64| {
        let solution = table.fit(|spec| {
            (spec.hidden_layer_sizes, spec.alpha) = (vec![], Some(alpha));
            (spec.batch_size, spec.max_iter) = (Some(200), Some(200));
        });
        let coef = &solution.network.coefs[0];
        ((coef * coef).sum().sqrt(), solution.loss_curve[199])
    };
    let ((free, free_loss), (shrunk, loss), (flat, _)) = (norm(0.0), norm(200.0), norm(1e5));
    assert!((free - 1.0).abs() <= 1e-3 && free_loss <= 1e-6, "{free}, {free_loss}");
    assert!(shrunk > 0.1 && shrunk < 0.9 && loss > free_loss, "{shrunk}");
    assert!(flat < 0.01, "{flat}");
}

/// Half of the labels are turned round and weighted 0; their inputs are wild as well.
fn rows_of_weight_zero_do_not_count<T: Real>() {
    let mut table = xor::<T>(800, 13, LossKind::SOFTMAX);
    table.weights = Some((0..800).map(|i| T::of((i % 2) as f64)).collect());
    for i in (0..800).step_by(2) {
        table.classes[i] = 1 - table.classes[i];
        table.x[[i, 3]] = T::of(1e3);
    }
    let solution = table.fit(|spec| {
        (spec.hidden_layer_sizes, spec.max_iter) = (vec![24], Some(60));
        (spec.batch_size, spec.learning_rate) = (Some(64), Some(0.5));
    });
    assert_finite(&solution, "zero weights");
    let unseen = xor(1000, 14, LossKind::SOFTMAX).accuracy(&solution.network);
    assert!(unseen > 0.9, "{unseen}");
}

/// Validation targets of the opposite sign: the better the fit, the worse the score, so that the
/// best pass is an early one.
fn validation_keeps_the_best_pass<T: Real>() {
    let x = normal::<T>(200, 3, 15);
    let table = Table::valued(x.clone(), x.slice(s![.., ..1]).to_owned());
    let opposite = Table::valued(x.clone(), x.slice(s![.., ..1]).mapv(|v| -v));
    let fit = |held_out: &Table<T>| {
        let options = table.options(|spec| spec.max_iter = Some(12));
        stochastic(&table.problem(), &options, None, Some(&held_out.problem()), &mut Silent).unwrap()
    };
    for held_out in [&opposite, &table] {
        let solution = fit(held_out);
        let scores = &solution.validation_scores;
        assert_eq!((scores.len(), solution.n_iter), (12, 12));
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let residual = logits(&solution.network, held_out.x.view()) - &held_out.values;
        let reached = -0.5 * residual.mapv(|r| r.f64() * r.f64()).sum() / 200.0;
        assert!((reached - best).abs() <= 1e-4 * best.abs(), "{reached} kept, {best} the best of {scores:?}");
    }
    let scores = fit(&opposite).validation_scores;
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!(best > scores[11] + 0.1, "the best must not be the last: {scores:?}");
    // Accuracy as the score of a classifier.
    let (table, held_out) = (xor::<T>(300, 16, LossKind::SOFTMAX), xor::<T>(200, 17, LossKind::SOFTMAX));
    let options = table.options(|_| {});
    let solution =
        stochastic(&table.problem(), &options, None, Some(&held_out.problem()), &mut Silent).unwrap();
    let best = solution.validation_scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!((held_out.accuracy(&solution.network) - best).abs() <= 1e-6);
}

/// Stops at the k-th question; counts the questions and notes the passes.
struct StopAt {
    k: usize,
    asked: Cell<usize>,
    passes: Vec<PassReport>,
}

impl StopAt {
    fn new(k: usize) -> Self {
        Self { k, asked: Cell::new(0), passes: vec![] }
    }
}

impl<T> Control<T> for StopAt {
    fn stop_requested(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() >= self.k
    }
    fn pass_done(&mut self, report: &PassReport, _: &dyn Fn() -> Result<Network<T>>) -> ControlFlow<()> {
        self.passes.push(*report);
        ControlFlow::Continue(())
    }
}

fn stopping_is_immediate<T: Real>() {
    let table = xor::<T>(320, 18, LossKind::SOFTMAX);
    let options = table.options(|_| {});
    // Ten batches a pass.
    for (k, begun, finished) in [(1, 1, 0), (5, 1, 0), (11, 2, 1), (25, 3, 2)] {
        let mut control = StopAt::new(k);
        let solution = stochastic(&table.problem(), &options, None, None, &mut control).unwrap();
        assert_eq!(solution.status, Status::Interrupted);
        assert_eq!(control.asked.get(), k, "asked again after the answer was to stop");
        assert_eq!((solution.n_iter, solution.loss_curve.len()), (begun, finished));
        assert_eq!(control.passes.len(), finished);
        assert_finite(&solution, "interrupted");
    }
    let mut control = StopAt::new(usize::MAX);
    let solution = stochastic(&table.problem(), &options, None, None, &mut control).unwrap();
    assert_eq!((solution.status, control.asked.get()), (Status::MaxIter, 100));
    let passes: Vec<usize> = control.passes.iter().map(|report| report.pass).collect();
    assert_eq!(passes, (1..=10).collect::<Vec<_>>());
    let losses: Vec<f64> = control.passes.iter().map(|report| report.loss).collect();
    assert_eq!(losses, solution.loss_curve);
    assert!(control.passes.iter().all(|report| report.validation_score.is_none()));
    assert!(control.passes.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds));
}

#[test]
fn standstill_ends_the_run() {
    let table = xor::<f64>(300, 19, LossKind::SOFTMAX);
    let solution = table.fit(|spec| {
        (spec.max_iter, spec.tol, spec.n_iter_no_change) = (Some(200), 1e3, 2);
    });
    assert_eq!(solution.status, Status::Converged);
    assert!(solution.n_iter < 20, "{} passes", solution.n_iter);
    assert_eq!(solution.loss_curve.len(), solution.n_iter);
}

fn huge_rates_never_give_non_finite_weights<T: Real>() {
    for &activation in ActivationKind::ALL {
        for &loss in LossKind::ALL {
            for (rate, momentum, size) in [(1e6, 0.9, 1.0), (1e6, 0.99, 1e6), (1e30, 0.0, 1.0)] {
                let mut table = Table::<T>::any(loss, normal(100, 5, 20));
                if loss.is_regression() {
                    table.values.mapv_inplace(|v| v * T::of(size));
                }
                let options = table.options(|spec| {
                    (spec.activations, spec.hidden_layer_sizes) = (vec![activation], vec![8, 6]);
                    (spec.learning_rate, spec.momentum) = (Some(rate), momentum);
                    (spec.batch_size, spec.penalty_weight) = (Some(16), Some(2.0));
                });
                let case = format!("{activation:?}, {loss:?}, rate {rate}");
                match stochastic(&table.problem(), &options, None, None, &mut Silent) {
                    Ok(solution) => assert_finite(&solution, &case),
                    Err(Error::Diverged { .. }) => {}
                    Err(other) => panic!("{case}: {other}"),
                }
                // Nor when stopped on the way.
                for k in [2, 9, 30] {
                    match stochastic(&table.problem(), &options, None, None, &mut StopAt::new(k)) {
                        Ok(solution) => assert_finite(&solution, &format!("{case}, stopped at {k}")),
                        Err(Error::Diverged { .. }) => {}
                        Err(other) => panic!("{case}, stopped at {k}: {other}"),
                    }
                }
            }
        }
    }
}

/// Constant, duplicate and too many columns, one row, two rows, one class.
fn degenerate_data_give_finite_weights<T: Real>() {
    let constant = Array2::from_elem((50, 3), T::of(2.5));
    let mut partly = normal::<T>(50, 4, 21);
    partly.column_mut(1).fill(T::of(-7.0));
    let once = normal::<T>(50, 2, 22);
    let doubled = concatenate![Axis(1), once.view(), once.view(), once.view()];
    let repeated = normal::<T>(1, 4, 23).broadcast((50, 4)).unwrap().to_owned();
    let mut outlier = normal::<T>(50, 3, 24);
    outlier[[17, 1]] = T::of(1e8);
    for (name, x) in [
        ("constant", constant),
        ("partly constant", partly),
        ("duplicate columns", doubled),
        ("one row repeated", repeated),
        ("outlier", outlier),
        ("one feature", normal(50, 1, 25)),
        ("two samples", normal(2, 3, 26)),
        ("one sample", normal(1, 3, 27)),
        ("more features than samples", normal(20, 60, 28)),
        ("two samples, many features", normal(2, 60, 29)),
    ] {
        for &loss in LossKind::ALL {
            for components in
                [Components::Auto, Components::All, Components::Count(2), Components::Share(0.9)]
            {
                for scaling in [Scaling::Auto, Scaling::Feature, Scaling::None] {
                    let table = Table::any(loss, x.clone());
                    let solution = table.fit(|spec| {
                        (spec.components, spec.scaling, spec.max_iter) = (components, scaling, Some(3));
                    });
                    let case = format!("{name}, {loss:?}, {components:?}, {scaling:?}");
                    assert_finite(&solution, &case);
                    assert!(solution.loss_curve.iter().all(|loss| loss.is_finite()), "{case}");
                    let logits = logits(&solution.network, x.view());
                    assert!(logits.iter().all(|z| z.is_finite()), "{case}: logits are not finite");
                }
            }
        }
    }
    // A single class, and a batch of a single row.
    let mut table = Table::any(LossKind::SOFTMAX, normal::<T>(30, 2, 30));
    table.classes.fill(0);
    let solution = table.fit(|spec| spec.batch_size = Some(1));
    assert_finite(&solution, "one class");
    assert_eq!(table.accuracy(&solution.network), 1.0);
}

fn constant_features_get_exactly_nothing<T: Real>() {
    let mut table = xor::<T>(300, 31, LossKind::SOFTMAX);
    table.x.column_mut(3).fill(T::of(12.5));
    for scaling in [Scaling::Auto, Scaling::Global, Scaling::Feature, Scaling::None] {
        let solution = table.fit(|spec| spec.scaling = scaling);
        let coef = &solution.network.coefs[0];
        assert!(coef.row(3).iter().all(|&w| w == T::zero()), "{scaling:?}: {}", coef.row(3));
        assert!(coef.row(0).iter().any(|&w| w != T::zero()));
    }
}

const STILL: f64 = 1e-9;

/// One more pass at next to no rate: nothing moves by more than [`STILL`].
fn still(spec: &mut Spec) {
    (spec.max_iter, spec.learning_rate) = (Some(1), Some(1e-12));
}

fn warm_start_continues_where_it_stood<T: Real>() {
    for hidden in [vec![], vec![10], vec![10, 6]] {
        let table = xor::<T>(300, 32, LossKind::SOFTMAX);
        let first = table.fit(|spec| spec.hidden_layer_sizes = hidden.clone());
        let again = table.fit_from(Some(&first.network), |spec| {
            spec.hidden_layer_sizes = hidden.clone();
            still(spec);
        });
        let wrong = distance(
            logits(&again.network, table.x.view()).view(),
            logits(&first.network, table.x.view()).view(),
        );
        assert!(wrong <= STILL + 2e3 * T::epsilon().f64(), "{hidden:?}: off by {wrong}");
        // And the loss goes on from there, not from the beginning.
        assert!(again.loss_curve[0] <= first.loss_curve[9] * 1.05 + 1e-3, "{hidden:?}");
    }
    // A start that does not fit is refused.
    let table = xor::<T>(50, 32, LossKind::SOFTMAX);
    let other = table.fit(|spec| spec.hidden_layer_sizes = vec![9]).network;
    let refused = stochastic(&table.problem(), &table.options(|_| {}), Some(&other), None, &mut Silent);
    assert!(matches!(refused, Err(Error::Shape { .. })));
}

/// Features of falling variance; the class depends on the first two.
fn falling<T: Real>(n: usize, seed: u64) -> Table<T> {
    let mut x = normal::<T>(n, 20, seed);
    for (j, mut column) in x.columns_mut().into_iter().enumerate() {
        column *= T::of(0.7f64.powi(j as i32));
    }
    Table::classified(x, LossKind::SOFTMAX, |row| u32::from(row[0] + 0.5 * row[1] > 0.0))
}

fn warm_start_in_a_reduced_map_keeps_predictions<T: Real>() {
    let table = falling::<T>(300, 33);
    let choose = |spec: &mut Spec| {
        (spec.components, spec.scaling) = (Components::Count(5), Scaling::Global);
    };
    let first = table.fit(choose);
    assert_eq!(first.n_components, 5);
    let again = table.fit_from(Some(&first.network), |spec| {
        choose(spec);
        still(spec);
    });
    assert_eq!(again.n_components, 5);
    let expected = logits(&first.network, table.x.view());
    let wrong = distance(logits(&again.network, table.x.view()).view(), expected.view());
    assert!(wrong <= STILL + 2e3 * T::epsilon().f64(), "off by {wrong}");
    // Another seed finds the same directions nearly.
    let other = table.fit_from(Some(&first.network), |spec| {
        choose(spec);
        still(spec);
        spec.seed = 99;
    });
    let wrong = distance(logits(&other.network, table.x.view()).view(), expected.view());
    assert!(wrong <= 0.05, "off by {wrong} with another seed");
}

/// Makes what a network predicts the truth: one worse than a constant would not stay as it is.
fn learn_by_heart<T: Real>(table: &mut Table<T>, network: &Network<T>) {
    let logits = logits(network, table.x.view());
    table.classes = logits.rows().into_iter().map(|z| u32::from(z[1] > z[0])).collect();
}

fn start_outside_the_leading_directions_keeps_predictions<T: Real>() {
    let mut table = falling::<T>(300, 34);
    let given = Network {
        coefs: vec![normal::<T>(20, 8, 35), normal(8, 2, 36)],
        intercepts: vec![Array1::ones(8), Array1::zeros(2)],
        activations: vec![ActivationKind::Relu],
    };
    learn_by_heart(&mut table, &given);
    let solution = table.fit_from(Some(&given), |spec| {
        spec.components = Components::Count(3);
        still(spec);
    });
    assert_eq!(solution.n_components, 20);
    let expected = logits(&given, table.x.view());
    let wrong = distance(logits(&solution.network, table.x.view()).view(), expected.view());
    assert!(wrong <= STILL + 2e4 * T::epsilon().f64(), "off by {wrong}");
}

fn start_with_weight_on_a_constant_feature_keeps_predictions<T: Real>() {
    let mut table = falling::<T>(300, 37);
    table.x.column_mut(6).fill(T::of(2.0));
    let given = Network {
        coefs: vec![normal::<T>(20, 8, 38), normal(8, 2, 39)],
        intercepts: vec![Array1::ones(8), Array1::zeros(2)],
        activations: vec![ActivationKind::Relu],
    };
    learn_by_heart(&mut table, &given);
    let solution = table.fit_from(Some(&given), still);
    let expected = logits(&given, table.x.view());
    let wrong = distance(logits(&solution.network, table.x.view()).view(), expected.view());
    assert!(wrong <= STILL + 2e4 * T::epsilon().f64(), "off by {wrong}");
    assert!(solution.network.coefs[0].row(6).iter().all(|&w| w == T::zero()));
}

#[test]
fn memory_is_limited_before_it_is_taken() {
    let table = xor::<f64>(300, 40, LossKind::SOFTMAX);
    let fit = |limit, hidden: Vec<usize>| {
        let options = table.options(|spec| (spec.memory_limit, spec.hidden_layer_sizes) = (limit, hidden));
        stochastic(&table.problem(), &options, None, None, &mut Silent)
    };
    let refused = fit(Some(1000), vec![8]);
    let Err(Error::Memory { needed, limit: 1000 }) = refused else { panic!("{refused:?}") };
    assert!(needed > 1000);
    // More for more units; enough is enough.
    let Err(Error::Memory { needed: more, .. }) = fit(Some(1000), vec![80]) else { panic!("not refused") };
    assert!(more > needed);
    assert!(fit(Some(needed), vec![8]).is_ok());
    assert!(fit(Some(needed - 1), vec![8]).is_err());
    // What no machine has is refused without a limit, before an allocation could abort.
    for units in [1 << 40, usize::MAX] {
        assert!(matches!(fit(None, vec![units]), Err(Error::Memory { .. })), "{units} units");
        assert!(matches!(fit(None, vec![4, units]), Err(Error::Memory { .. })), "{units} units");
    }
}

#[test]
fn components_kept_are_reported() {
    let table = falling::<f64>(200, 41);
    for (components, expected) in
        [(Components::All, 20), (Components::Count(7), 7), (Components::Count(50), 20)]
    {
        assert_eq!(table.fit(|spec| spec.components = components).n_components, expected);
    }
}
