//! Kernels: optimality conditions, degenerate problems, errors, both precisions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use liftnet::error::Error;
use liftnet::kernel::Stopping;
use liftnet::kernel::bounded_least_squares::{BoundedLeastSquares, Bounds, bounded_least_squares};
use liftnet::kernel::ridge::RidgeFactor;
use liftnet::linalg::{Cholesky, Threads, factor_upper, pseudo_inverse, solve_upper_vector};
use liftnet::real::Real;
use ndarray::{Array1, Array2, ArrayView2, CowArray, array};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

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

for_both!(
    factors_solve,
    semidefinite_matrices_have_factors,
    indefinite_matrices_have_none,
    box_solutions_are_optimal,
    ridge_solutions_are_stationary,
);

fn normal<T: Real>(rows: usize, columns: usize, seed: u64) -> Array2<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(&mut rng);
        T::of(value)
    })
}

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
