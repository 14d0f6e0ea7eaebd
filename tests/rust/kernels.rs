//! Kernels: optimality conditions, degenerate problems, errors, both precisions.

use crate::common::{losses, normal};
use liftnet::activation::{ActivationKind, Divergence};
use liftnet::error::Error;
use liftnet::kernel::Stopping;
use liftnet::kernel::activation_block::{Above, ActivationBlock};
use liftnet::kernel::best_constant::best_constant;
use liftnet::kernel::bounded_least_squares::{BoundedLeastSquares, Bounds, bounded_least_squares};
use liftnet::kernel::class_regression::{logistic_regression, softmax_regression};
use liftnet::kernel::matching_regression::matching_regression;
use liftnet::kernel::ridge::RidgeFactor;
use liftnet::kernel::smooth_regression::{Affine, LogitLoss, SmoothRegression};
use liftnet::linalg::{Cholesky, Threads, factor_upper, pseudo_inverse, solve_upper_vector};
use liftnet::loss::{LossKind, Targets};
use liftnet::real::Real;
use ndarray::{Array1, Array2, ArrayView2, CowArray, array};
use proptest::prelude::*;

for_both!(
    factors_solve,
    semidefinite_matrices_have_factors,
    indefinite_matrices_have_none,
    box_solutions_are_optimal,
    ridge_solutions_are_stationary,
    matching_regression_is_stationary,
    class_regression_is_stationary,
    activation_blocks_are_stationary,
);

fn largest<T: Real>(a: ArrayView2<'_, T>) -> f64 {
    a.iter().fold(0.0, |top, v| if v.is_finite() { v.f64().abs().max(top) } else { f64::INFINITY })
}

fn eps<T: Real>() -> f64 {
    T::epsilon().f64()
}

// Cholesky factors

fn factors_solve<T: Real>() {
    for n in [1, 5, 31, 32, 33, 70, 300] {
        let x = normal::<T>(2 * n, n, n as u64);
        let a = x.t().dot(&x);
        let expected = normal::<T>(n, 7, 1);
        for threads in [Threads::One, Threads::All] {
            let factor = Cholesky::new(a.clone(), threads).unwrap();
            assert_eq!(factor.order(), n);
            let mut b = a.dot(&expected);
            factor.solve(b.view_mut(), threads);
            let wrong = largest((&b - &expected).view());
            assert!(wrong < 1e3 * n as f64 * eps::<T>(), "{n}: {wrong}");
        }
        let mut u = a.clone();
        assert_eq!(
            factor_upper(u.as_slice_mut().unwrap(), n, T::of(n as f64) * T::epsilon(), Threads::One),
            0
        );
        let mut b = a.dot(&expected.column(0));
        solve_upper_vector(u.as_slice().unwrap(), b.as_slice_mut().unwrap());
        let wrong = largest((&b - &expected.column(0)).insert_axis(ndarray::Axis(0)).view());
        assert!(wrong < 1e3 * n as f64 * eps::<T>(), "{n}: {wrong}");
    }
}

fn semidefinite_matrices_have_factors<T: Real>() {
    // Rank 20 of 60, with a zero column.
    let mut x = normal::<T>(20, 60, 0);
    x.column_mut(3).fill(T::zero());
    let a = x.t().dot(&x);
    let b = a.dot(&normal::<T>(60, 1, 1).column(0));
    let mut u = a.clone();
    let tolerance = T::of(60.0) * T::epsilon();
    let dropped = factor_upper(u.as_slice_mut().unwrap(), 60, tolerance, Threads::One);
    assert_eq!(dropped, 40);
    let mut solution = b.clone();
    solve_upper_vector(u.as_slice().unwrap(), solution.as_slice_mut().unwrap());
    assert_eq!(solution.iter().filter(|&&v| v == T::zero()).count(), 40);
    let wrong = largest((a.dot(&solution) - &b).insert_axis(ndarray::Axis(0)).view());
    assert!(wrong < 1e5 * eps::<T>(), "{wrong}");
}

fn indefinite_matrices_have_none<T: Real>() {
    for bad in [-T::one(), T::zero(), T::nan(), T::infinity()] {
        let mut a = Array2::<T>::eye(40);
        a[[35, 35]] = bad;
        let error = Cholesky::new(a, Threads::All).unwrap_err();
        assert!(matches!(error, Error::Factorisation { size: 40, .. }), "{error}");
    }
}

#[test]
fn pseudo_inverse_of_a_singular_matrix() {
    let x = normal::<f64>(5, 9, 0);
    let a = x.t().dot(&x);
    let inverse = pseudo_inverse(&a).unwrap();
    assert!(largest((a.dot(&inverse).dot(&a) - &a).view()) < 1e-11);
    assert!(largest((inverse.dot(&a).dot(&inverse) - &inverse).view()) < 1e-11);
    assert_eq!(pseudo_inverse(&Array2::zeros((3, 3))).unwrap(), Array2::<f64>::zeros((3, 3)));
    assert!(matches!(pseudo_inverse(&array![[f64::NAN]]), Err(Error::Factorisation { .. })));
}

// Bounded least squares

/// What is left of the conditions of Karush, Kuhn and Tucker, in units of the largest entry.
fn box_violation<T: Real>(gram: &Array2<T>, c: &Array2<T>, low: T, high: T, x: &Array2<T>) -> f64 {
    let g = x.dot(gram) - c;
    let scale = 1.0 + largest(c.view()) + largest(gram.view()) * largest(x.view());
    let mut worst: f64 = 0.0;
    for (&x, &g) in x.iter().zip(&g) {
        assert!(x >= low && x <= high);
        let g = g.f64();
        let violation = if x == low && x == high {
            0.0
        } else if x == low {
            -g
        } else if x == high {
            g
        } else {
            g.abs()
        };
        worst = worst.max(violation);
    }
    worst / scale
}

fn box_solutions_are_optimal<T: Real>() {
    let boxes = [(0.0, f64::INFINITY), (-0.3, 0.2), (0.5, 0.5), (f64::NEG_INFINITY, f64::INFINITY)];
    // Full rank, fewer rows than columns, a single unknown, more right sides than one tile.
    for (rows, n, problems) in [(80, 40, 150), (10, 40, 30), (6, 1, 3), (3, 2, 1)] {
        let (a, b) = (normal::<T>(rows, n, 7), normal::<T>(rows, problems, 8));
        let (gram, c) = (a.t().dot(&a), b.t().dot(&a));
        for (low, high) in boxes {
            let (low, high) = (T::of(low), T::of(high));
            let bounds = Bounds::new(Array1::from_elem(n, low), Array1::from_elem(n, high)).unwrap();
            let stopping = Stopping::new(100.0 * eps::<T>(), 100);
            let mut x = Array2::zeros((problems, n));
            let report =
                bounded_least_squares(a.view(), b.view(), bounds.clone(), x.view_mut(), stopping).unwrap();
            let violation = box_violation(&gram, &c, low, high, &x);
            assert!(violation < 100.0 * eps::<T>(), "{rows} x {n}, {low} to {high}: {violation}");
            assert!(report.converged, "{report:?}");
            let problem = BoundedLeastSquares::new(gram.view(), bounds).unwrap();
            let mut again = x.clone();
            let report = problem.solve(c.view(), again.view_mut(), stopping).unwrap();
            assert!(report.converged && report.n_iter <= 100, "{report:?}");
            assert!(box_violation(&gram, &c, low, high, &again) < 100.0 * eps::<T>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn box_objective_is_least_among_neighbours(
        (rows, n) in (1..12usize, 1..12usize),
        low in prop_oneof![Just(f64::NEG_INFINITY), Just(0.0), -1.0..0.0f64],
        high in prop_oneof![Just(f64::INFINITY), 0.0..1.0f64],
        seed in any::<u64>(),
    ) {
        let (a, b) = (normal::<f64>(rows, n, seed), normal::<f64>(rows, 1, seed ^ 1));
        let bounds = Bounds::new(Array1::from_elem(n, low), Array1::from_elem(n, high)).unwrap();
        let mut x = Array2::zeros((1, n));
        bounded_least_squares(a.view(), b.view(), bounds, x.view_mut(), Stopping::new(1e-12, 100)).unwrap();
        let value = |x: &Array1<f64>| (a.dot(x) - b.column(0)).mapv(|r| r * r).sum();
        let x = x.row(0).to_owned();
        let best = value(&x);
        for step in normal::<f64>(40, n, seed ^ 2).rows() {
            let other = (&x + &(0.01 * &step)).mapv(|v| v.max(low).min(high));
            prop_assert!(value(&other) >= best - 1e-10);
        }
    }
}

#[test]
fn max_iter_and_interruptions_end_it_between_the_bounds() {
    let (a, b) = (normal::<f64>(60, 60, 0).mapv(f64::abs), normal::<f64>(60, 5, 1));
    for stopping in [Stopping::new(0.0, 0), Stopping { interrupted: &|| true, ..Stopping::new(0.0, 100) }] {
        let mut x = Array2::zeros((5, 60));
        let report =
            bounded_least_squares(a.view(), b.view(), Bounds::non_negative(60), x.view_mut(), stopping)
                .unwrap();
        assert!(report.n_iter <= 1);
        assert!(x.iter().all(|&v| v >= 0.0));
    }
}

#[test]
fn interruptions_at_any_time_leave_points_between_the_bounds() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (a, b) = (normal::<f64>(60, 60, 0).mapv(f64::abs), normal::<f64>(60, 100, 1));
    let solve = |questions: usize| {
        let asked = AtomicUsize::new(0);
        let interrupted = || asked.fetch_add(1, Ordering::Relaxed) >= questions;
        let stopping = Stopping { interrupted: &interrupted, ..Stopping::new(1e-12, 100) };
        let mut x = Array2::zeros((100, 60));
        let report =
            bounded_least_squares(a.view(), b.view(), Bounds::non_negative(60), x.view_mut(), stopping)
                .unwrap();
        assert!(x.iter().all(|&v| v >= 0.0));
        (report.converged, asked.into_inner())
    };
    let (converged, questions) = solve(usize::MAX);
    assert!(converged && questions > 10);
    for when in 0..questions {
        assert!(!solve(when).0, "{when} of {questions}");
    }
}

#[test]
fn indefinite_matrices_are_refused() {
    let bad = array![[1.0, 2.0], [2.0, 1.0]];
    let error = BoundedLeastSquares::new(bad.view(), Bounds::non_negative(2)).unwrap_err();
    assert!(matches!(error, Error::Factorisation { .. }), "{error}");
    // Less so: found out where a smaller coupling is tried out, or solved for somehow.
    let doubtful = array![[1.0, 1.3], [1.3, 1.0]];
    let problem = BoundedLeastSquares::new(doubtful.view(), Bounds::non_negative(2)).unwrap();
    for rows in [3, 100] {
        let rhs = normal::<f64>(rows, 2, 0);
        let mut x = Array2::zeros((rows, 2));
        match problem.solve(rhs.view(), x.view_mut(), Stopping::new(1e-12, 100)) {
            Ok(_) => assert!(x.iter().all(|&v| v >= 0.0)),
            Err(error) => assert!(matches!(error, Error::Factorisation { .. }), "{error}"),
        }
    }
}

#[test]
fn bounds_without_a_point_between_are_refused() {
    let refused = |low: f64, high: f64| match Bounds::new(array![0.0, low], array![1.0, high]) {
        Err(Error::Parameter { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(2.0, 1.0), "lower");
    assert_eq!(refused(f64::NAN, 1.0), "lower");
    assert_eq!(refused(f64::INFINITY, f64::INFINITY), "lower");
    assert_eq!(refused(0.0, f64::NAN), "upper");
    assert_eq!(refused(f64::NEG_INFINITY, f64::NEG_INFINITY), "upper");
    assert!(matches!(Bounds::new(array![0.0], array![1.0, 2.0]), Err(Error::Shape { .. })));
    assert_eq!(Bounds::<f64>::non_negative(3).len(), 3);
    assert!(!Bounds::<f64>::non_negative(3).is_empty());
}

#[test]
fn box_problems_that_do_not_fit_are_refused() {
    let bounds = || Bounds::<f64>::non_negative(2);
    let shape = |argument: &str, error: Error| match error {
        Error::Shape { argument: got, .. } => assert_eq!(got, argument),
        other => panic!("{other}"),
    };
    shape("gram", BoundedLeastSquares::new(Array2::eye(3).view(), bounds()).unwrap_err());
    let problem = BoundedLeastSquares::new(Array2::eye(2).view(), bounds()).unwrap();
    let (right, wrong) = (Array2::<f64>::zeros((4, 2)), Array2::<f64>::zeros((4, 3)));
    let stopping = Stopping::new(0.0, 1);
    shape("rhs", problem.solve(wrong.view(), right.clone().view_mut(), stopping).unwrap_err());
    shape("solution", problem.solve(right.view(), wrong.clone().view_mut(), stopping).unwrap_err());
    let nan = array![[1.0, f64::NAN], [f64::NAN, 1.0]];
    assert!(matches!(BoundedLeastSquares::new(nan.view(), bounds()), Err(Error::NonFinite { .. })));
    let negative = array![[1.0, 0.0], [0.0, -1.0]];
    assert!(matches!(
        BoundedLeastSquares::new(negative.view(), bounds()),
        Err(Error::Parameter { name: "gram", .. })
    ));
    let error = bounded_least_squares(
        Array2::zeros((3, 2)).view(),
        right.view(),
        bounds(),
        right.clone().view_mut(),
        stopping,
    );
    shape("B", error.unwrap_err());
}

// Ridge

fn ridge_solutions_are_stationary<T: Real>() {
    for (rows, d) in [(70, 20), (20, 70), (2000, 3)] {
        for alpha in [1e-3, 10.0] {
            let (x, y) = (normal::<T>(rows, d, 3), normal::<T>(rows, 4, 4));
            let alpha = Array1::from_elem(d, T::of(alpha));
            let weights = normal::<T>(1, rows, 5).row(0).mapv(|v| v.abs());
            let factor =
                RidgeFactor::new(CowArray::from(x.view()), alpha.view(), Some(weights.view()), true).unwrap();
            let solution = factor.solve(y.view()).unwrap();
            let mut left = &y - &x.dot(&solution.coef) - &solution.intercept;
            left *= &weights.insert_axis(ndarray::Axis(1));
            let slope = x.t().dot(&left) - &(&solution.coef * &alpha.insert_axis(ndarray::Axis(1)));
            let tolerance = 100.0 * rows as f64 * eps::<T>();
            assert!(largest(slope.view()) < tolerance);
            assert!(left.sum_axis(ndarray::Axis(0)).iter().all(|v| v.f64().abs() < tolerance));
            assert!(solution.report.converged && solution.report.residual < 1e-13);
        }
    }
}

#[test]
fn ridge_arguments_that_do_not_fit_are_refused() {
    let x = normal::<f64>(5, 2, 0);
    let make = |alpha: Array1<f64>, weights: Option<Array1<f64>>| {
        let weights = weights.as_ref().map(|weights| weights.view());
        RidgeFactor::new(CowArray::from(x.clone()), alpha.view(), weights, false)
    };
    assert!(matches!(make(array![1.0], None), Err(Error::Shape { .. })));
    assert!(matches!(make(array![1.0, -1.0], None), Err(Error::Parameter { name: "alpha", .. })));
    assert!(matches!(make(array![1.0, f64::NAN], None), Err(Error::Parameter { name: "alpha", .. })));
    let ones = || array![1.0, 1.0];
    for weights in [array![0.0, 0.0, 0.0, 0.0, 0.0], array![1.0, 1.0, 1.0, 1.0, -1.0]] {
        assert!(matches!(make(ones(), Some(weights)), Err(Error::Parameter { name: "sample_weight", .. })));
    }
    assert!(matches!(make(ones(), Some(array![1.0])), Err(Error::Shape { .. })));
    let factor = make(ones(), None).unwrap();
    assert!(matches!(factor.solve(Array2::zeros((4, 1)).view()), Err(Error::Shape { .. })));
}

// Regression with smooth losses

fn fractions<T: Real>(kind: ActivationKind, rows: usize, columns: usize) -> Array2<T> {
    let phi = kind.lifted().make::<T>();
    let z = normal::<T>(rows, columns, 11);
    let mut y = z.clone();
    for (z, mut y) in z.rows().into_iter().zip(y.rows_mut()) {
        phi.apply(z.to_slice().unwrap(), y.as_slice_mut().unwrap());
    }
    y
}

fn matching_regression_is_stationary<T: Real>() {
    let x = normal::<T>(300, 6, 0) + T::of(2.0);
    let (alpha, tolerance) = (0.01, 3e3 * eps::<T>());
    for &kind in ActivationKind::ALL {
        let phi = kind.make::<T>();
        if !phi.slope_bound().is_finite() {
            continue;
        }
        let y = fractions::<T>(kind, 300, 3);
        for fit_intercept in [false, true] {
            let problem = SmoothRegression::new(x.view(), None, alpha, fit_intercept).unwrap();
            let stopping = Stopping::new(tolerance, 300);
            let (affine, report) = matching_regression(&problem, y.view(), kind, stopping).unwrap();
            assert!(report.converged, "{kind}: {report:?}");
            let z = x.dot(&affine.coef) + &affine.intercept;
            let mut slope = z.clone();
            for (z, mut slope) in z.rows().into_iter().zip(slope.rows_mut()) {
                phi.apply(z.to_slice().unwrap(), slope.as_slice_mut().unwrap());
            }
            slope -= &y;
            let gradient = x.t().dot(&slope) / T::of(300.0) + &affine.coef * T::of(alpha);
            assert!(largest(gradient.view()) < 30.0 * tolerance, "{kind}: {}", largest(gradient.view()));
            if fit_intercept {
                let sum = slope.sum_axis(ndarray::Axis(0)) / T::of(300.0);
                assert!(sum.iter().all(|v| v.f64().abs() < 30.0 * tolerance), "{kind}: {sum}");
            } else {
                assert!(affine.intercept.iter().all(|&b| b == T::zero()));
            }
        }
    }
}

fn class_regression_is_stationary<T: Real>() {
    let x = normal::<T>(300, 6, 0);
    let y: Vec<u32> = (0..300).map(|i| (i % 7 % 3) as u32).collect();
    let weights = normal::<T>(1, 300, 5).row(0).mapv(|v| v.abs());
    let (alpha, tolerance) = (0.01, 3e3 * eps::<T>());
    let stopping = Stopping::new(tolerance, 300);
    let problem = SmoothRegression::new(x.view(), Some(weights.view()), alpha, true).unwrap();
    let total: f64 = weights.iter().map(|w| w.f64()).sum();
    let binary: Vec<u32> = y.iter().map(|&y| y.min(1)).collect();
    let fits = [
        (softmax_regression(&problem, &y, 3, stopping).unwrap(), LossKind::SOFTMAX, &y),
        (logistic_regression(&problem, &binary, stopping).unwrap(), LossKind::LOGISTIC, &binary),
    ];
    for ((affine, report), kind, y) in fits {
        assert!(report.converged, "{report:?}");
        let loss = kind.make::<T>();
        let mut slope = x.dot(&affine.coef) + &affine.intercept;
        for (i, mut row) in slope.rows_mut().into_iter().enumerate() {
            loss.value_and_gradient(&Targets::Classes(y), i, row.as_slice_mut().unwrap());
            row.mapv_inplace(|v| v * T::of(weights[i].f64() / total));
        }
        let gradient = x.t().dot(&slope) + &affine.coef * T::of(alpha);
        assert!(largest(gradient.view()) < 30.0 * tolerance);
        assert!(slope.sum_axis(ndarray::Axis(0)).iter().all(|v| v.f64().abs() < 30.0 * tolerance));
    }
}

/// ½(z − 1)² below z = 1, 0 above: flat on one side.
struct Hinge;

impl LogitLoss<f64> for Hinge {
    fn value_and_gradient(&self, _row: usize, logits: &mut [f64]) -> f64 {
        logits[0] = (logits[0] - 1.0).min(0.0);
        0.5 * logits[0] * logits[0]
    }
    fn curvature_bound(&self) -> f64 {
        1.0
    }
}

#[test]
fn objective_never_rises_and_a_start_is_used() {
    let x = normal::<f64>(50, 8, 0);
    let problem = SmoothRegression::new(x.view(), None, 1e-3, true).unwrap();
    let value = |affine: &Affine<f64>| {
        let z = x.dot(&affine.coef) + &affine.intercept;
        let mean = z.mapv(|z| 0.5 * (z - 1.0).min(0.0).powi(2)).sum() / 50.0;
        mean + 0.5e-3 * affine.coef.mapv(|w| w * w).sum()
    };
    let mut affine = Affine { coef: 3.0 * normal::<f64>(8, 1, 1), intercept: array![-4.0] };
    let mut last = value(&affine);
    for _ in 0..60 {
        let (next, report) = problem.solve(&Hinge, affine, Stopping::new(0.0, 1)).unwrap();
        assert!(value(&next) <= last * (1.0 + 1e-12));
        (last, affine) = (value(&next), next);
        assert!(report.n_iter <= 1);
    }
    let (best, report) = problem.solve(&Hinge, affine.clone(), Stopping::new(1e-12, 500)).unwrap();
    assert!(report.converged || report.residual < 1e-10, "{report:?}");
    let (_, again) = problem.solve(&Hinge, best, Stopping::new(1e-9, 500)).unwrap();
    assert_eq!(again.n_iter, 0);
}

#[test]
fn regression_arguments_that_do_not_fit_are_refused() {
    let x = normal::<f64>(5, 2, 0);
    let make = |alpha, weights: Option<Array1<f64>>| {
        SmoothRegression::new(x.view(), weights.as_ref().map(|w| w.view()), alpha, true)
    };
    for alpha in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(make(alpha, None), Err(Error::Parameter { name: "alpha", .. })));
    }
    assert!(matches!(make(1.0, Some(array![1.0])), Err(Error::Shape { .. })));
    for weights in [Array1::zeros(5), -Array1::ones(5)] {
        assert!(matches!(make(1.0, Some(weights)), Err(Error::Parameter { name: "sample_weight", .. })));
    }
    let problem = make(1.0, None).unwrap();
    let stopping = Stopping::new(1e-9, 10);
    let labels = |result: liftnet::error::Result<_>| matches!(result, Err(Error::Labels { row: 4, .. }));
    assert!(labels(softmax_regression(&problem, &[0, 1, 2, 0, 3], 3, stopping)));
    assert!(labels(logistic_regression(&problem, &[0, 1, 1, 0, 2], stopping)));
    assert!(matches!(logistic_regression(&problem, &[0, 1], stopping), Err(Error::Shape { .. })));
    assert!(matches!(
        softmax_regression(&problem, &[0; 5], 1, stopping),
        Err(Error::Parameter { name: "n_classes", .. })
    ));
    let match_to = |y: Array2<f64>, kind| matching_regression(&problem, y.view(), kind, stopping);
    assert!(matches!(match_to(Array2::zeros((4, 1)), ActivationKind::Relu), Err(Error::Shape { .. })));
    assert!(matches!(
        match_to(Array2::zeros((5, 1)), ActivationKind::Step),
        Err(Error::Parameter { name: "activation", .. })
    ));
    assert!(matches!(
        match_to(-Array2::ones((5, 1)), ActivationKind::Relu),
        Err(Error::Parameter { name: "Y", .. })
    ));
    let start = Affine { coef: Array2::zeros((3, 1)), intercept: Array1::zeros(1) };
    assert!(matches!(problem.solve(&Hinge, start, stopping), Err(Error::Shape { .. })));
}

// Activation block

fn activation_blocks_are_stationary<T: Real>() {
    let (z, w, b) = (normal::<T>(70, 6, 0), normal::<T>(6, 4, 1), normal::<T>(1, 4, 2));
    let (lambda, tolerance) = (T::of(0.7), 3e3 * eps::<T>());
    let classes: Vec<u32> = (0..70).map(|i| i % 4).collect();
    for &kind in ActivationKind::ALL {
        let phi = kind.lifted().make::<T>();
        for above in [ActivationKind::Tanh, ActivationKind::Relu, ActivationKind::Softmax] {
            let targets = fractions::<T>(above, 70, 4);
            let next = above.make::<T>();
            for output in [false, true] {
                let terms = match output {
                    true => Above::Output { loss: LossKind::SOFTMAX, targets: Targets::Classes(&classes) },
                    false => Above::Hidden {
                        activation: above,
                        divergence: Divergence::Fenchel,
                        lambda: 1.5,
                        targets: targets.view(),
                    },
                };
                let intercept = b.row(0);
                let block = ActivationBlock {
                    activation: kind,
                    lambda: 0.7,
                    weights: w.view(),
                    intercept,
                    above: terms,
                };
                let (x, report) = block.solve(z.view(), Stopping::new(tolerance, 20_000)).unwrap();
                assert!(report.converged, "{kind} below {above}: {report:?}");
                let v = x.dot(&w) + intercept;
                let mut g = v.clone();
                for (i, (v, mut g)) in v.rows().into_iter().zip(g.rows_mut()).enumerate() {
                    let g = g.as_slice_mut().unwrap();
                    if output {
                        let loss = LossKind::SOFTMAX.make::<T>();
                        loss.value_and_gradient(&Targets::Classes(&classes), i, g);
                    } else {
                        next.apply(v.to_slice().unwrap(), g);
                        for (g, &y) in g.iter_mut().zip(targets.row(i)) {
                            *g = T::of(1.5) * (*g - y);
                        }
                    }
                }
                // x = φ(z − ∇h(x)/λ).
                let u = &z - &(g.dot(&w.t()) / lambda);
                let mut expected = u.clone();
                for (u, mut x) in u.rows().into_iter().zip(expected.rows_mut()) {
                    phi.apply(u.to_slice().unwrap(), x.as_slice_mut().unwrap());
                }
                let wrong = largest((&x - &expected).view());
                assert!(wrong < 100.0 * tolerance, "{kind} below {above}, {output}: {wrong}");
            }
        }
    }
}

#[test]
fn blocks_that_do_not_fit_are_refused() {
    let (z, w, b) = (normal::<f64>(5, 3, 0), normal::<f64>(3, 2, 1), array![0.0, 1.0]);
    let y = normal::<f64>(5, 2, 2);
    let stopping = Stopping::new(1e-9, 10);
    let hidden =
        |activation, divergence, lambda| Above::Hidden { activation, divergence, lambda, targets: y.view() };
    let solve = |z: &Array2<f64>, lambda, above| {
        let (weights, intercept) = (w.view(), b.view());
        ActivationBlock { activation: ActivationKind::Relu, lambda, weights, intercept, above }
            .solve(z.view(), stopping)
    };
    let fenchel = || hidden(ActivationKind::Relu, Divergence::Fenchel, 1.0);
    assert!(solve(&z, 1.0, fenchel()).is_ok());
    let shape = |result: liftnet::error::Result<_>, name: &str| match result {
        Err(Error::Shape { argument, .. }) => assert_eq!(argument, name),
        other => panic!("{other:?}"),
    };
    shape(solve(&normal(5, 4, 0), 1.0, fenchel()), "W");
    shape(solve(&normal(4, 3, 0), 1.0, fenchel()), "target");
    let classes = |targets, loss| Above::Output { loss, targets: Targets::Classes(targets) };
    shape(solve(&z, 1.0, classes(&[0, 1], LossKind::SOFTMAX)), "target");
    let parameter = |result: liftnet::error::Result<_>, expected: &str| match result {
        Err(Error::Parameter { name, .. }) => assert_eq!(name, expected),
        other => panic!("{other:?}"),
    };
    parameter(solve(&z, 0.0, fenchel()), "penalty_weight");
    parameter(
        solve(&z, 1.0, hidden(ActivationKind::Relu, Divergence::Fenchel, f64::NAN)),
        "next_penalty_weight",
    );
    parameter(solve(&z, 1.0, hidden(ActivationKind::Tanh, Divergence::Euclidean, 1.0)), "divergence");
    let poisson = Above::Output { loss: LossKind::Poisson, targets: Targets::Values(y.view()) };
    parameter(solve(&z, 1.0, poisson), "loss");
    let labels = solve(&z, 1.0, classes(&[0, 1, 2, 0, 0], LossKind::SOFTMAX));
    assert!(matches!(labels, Err(Error::Labels { row: 2, got: 2, classes: 2 })));
}

/// The slope vanishes in every output, the loss is that of the logits found, and known cases come out.
#[test]
fn best_constant_is_stationary() {
    let n = 9000;
    let noise = normal::<f64>(n, 2, 41).mapv(|v| 3.0 * v.exp() + 2.0);
    let weights: Array1<f64> = (0..n).map(|i| [0.0, 0.5, 1.0, 2.5][i % 4]).collect();
    let total: f64 = weights.sum();
    let classes: Vec<u32> = (0..n).map(|i| u32::from(i % 7 == 0) + u32::from(i % 3 == 0)).collect();
    let binary: Vec<u32> = classes.iter().map(|&class| class.min(1)).collect();
    let labels = noise.mapv(|v| if v > 4.0 { 1.0 } else { 0.0 });
    for kind in losses() {
        let (targets, n_outputs) = match kind {
            LossKind::Softmax { .. } => (Targets::Classes(&classes), 3),
            LossKind::Logistic { .. } => (Targets::Classes(&binary), 1),
            LossKind::Multilabel { .. } => (Targets::Values(labels.view()), 2),
            _ => (Targets::Values(noise.view()), 2),
        };
        let loss = kind.make::<f64>();
        let best = best_constant(&*loss, &targets, Some(weights.view()), n_outputs);
        let (mut value, mut slopes) = (0.0, vec![0.0; n_outputs]);
        for (row, weight) in weights.iter().enumerate() {
            let mut z = best.logits.clone();
            value += weight * loss.value_and_gradient(&targets, row, &mut z) / total;
            slopes.iter_mut().zip(z).for_each(|(slope, z)| *slope += weight * z / total);
        }
        assert!((value - best.loss).abs() <= 1e-10 * value, "{kind:?}: {value} not {}", best.loss);
        assert!(slopes.iter().all(|slope| slope.abs() <= 1e-4), "{kind:?}: {slopes:?}");
        let mean = (0..n).map(|i| weights[i] * noise[[i, 1]]).sum::<f64>() / total;
        match kind {
            LossKind::Multilabel { smoothing } => {
                let share = (0..n).map(|i| weights[i] * labels[[i, 1]]).sum::<f64>() / total;
                let share = share + smoothing * (0.5 - share);
                assert!((best.logits[1] - (share / (1.0 - share)).ln()).abs() <= 1e-4);
            }
            LossKind::Squared => assert!((best.logits[1] - mean).abs() <= 1e-5),
            LossKind::Poisson => assert!((best.logits[1] - mean.ln()).abs() <= 1e-5),
            _ => {}
        }
    }
    // One class alone: nothing is lost.
    let alone = vec![1; 5];
    let best = best_constant(&*LossKind::SOFTMAX.make::<f32>(), &Targets::Classes(&alone), None, 3);
    assert!(best.loss == 0.0 && best.logits.iter().all(|z| z.is_finite()) && best.logits[1] > 40.0);
    assert!(best.logits.iter().sum::<f64>().abs() <= 1e-12, "{best:?}");
    // A label that all samples have, and one that none has.
    let sure = Array2::from_shape_fn((5, 2), |(_, j)| j as f64);
    let best = best_constant(&*LossKind::MULTILABEL.make::<f64>(), &Targets::Values(sure.view()), None, 2);
    assert!(best.loss <= 1e-20 && best.logits[0] < -40.0 && best.logits[1] > 40.0, "{best:?}");
    assert!(best.logits.iter().all(|z| z.abs() < 1000.0), "{best:?}");
    // Targets far from 0, and all the same.
    let far = Array2::from_elem((5, 1), 1e7);
    let best = best_constant(
        &*LossKind::Huber { epsilon: 1.0 }.make::<f64>(),
        &Targets::Values(far.view()),
        None,
        1,
    );
    assert!(best.loss <= 1e-9 && (best.logits[0] - 1e7).abs() <= 1e-4, "{best:?}");
}
