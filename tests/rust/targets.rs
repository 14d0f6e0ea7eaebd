//! Standardised targets: what each loss gets, and networks that are back in the targets' units.

use liftnet::activation::ActivationKind;
use liftnet::error::Error;
use liftnet::loss::{LossKind, Targets};
use liftnet::network::Network;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::solver::TargetMap;
use ndarray::{Array1, Array2, array};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

for_both!(
    spread_of_normal_targets_becomes_one,
    extreme_units_do_not_matter,
    weights_count_as_repetitions,
    constant_targets_become_zero,
    mostly_equal_targets_have_a_spread,
    half_of_the_targets_may_be_wild,
    fold_and_unfold_are_inverse,
);

const HUBER: LossKind = LossKind::Huber { epsilon: 1.35 };
const ABSOLUTE: LossKind = LossKind::Absolute { smoothing: 0.05 };

fn regression() -> Vec<LossKind> {
    LossKind::ALL.iter().copied().filter(|kind| kind.is_regression()).collect()
}

fn fit<T: Real>(y: &Array2<T>, weights: Option<&Array1<T>>, loss: LossKind) -> Result<TargetMap, Error> {
    let x = Array2::ones((y.nrows(), 1));
    let weights = weights.map(|weights| weights.view());
    let problem = Problem::new(x.view(), Targets::Values(y.view()), weights, y.ncols(), loss).unwrap();
    TargetMap::fit(&problem, loss).map(|map| map.expect("a map of real targets"))
}

/// Two outputs: positive, of different centre and spread.
fn sample<T: Real>(n: usize) -> Array2<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    Array2::from_shape_fn((n, 2), |(_, j)| {
        let normal: f64 = StandardNormal.sample(&mut rng);
        T::of([40.0 + 3.0 * normal, 7.0 + normal][j])
    })
}

fn means<T: Real>(y: &Array2<T>, f: impl Fn(f64) -> f64) -> Vec<f64> {
    y.columns()
        .into_iter()
        .map(|column| column.iter().map(|v| f(v.f64())).sum::<f64>() / y.nrows() as f64)
        .collect()
}

fn median<T: Real>(values: impl Iterator<Item = T>) -> f64 {
    let mut values: Vec<f64> = values.map(T::f64).collect();
    values.sort_by(f64::total_cmp);
    0.5 * (values[values.len() / 2] + values[(values.len() - 1) / 2])
}

fn close(got: f64, expected: f64, allowed: f64, case: &str) {
    assert!((got - expected).abs() <= allowed, "{case}: {got}, not {expected}");
}

/// A network of which only the last layer matters here.
fn network<T: Real>(outputs: usize) -> Network<T> {
    let value = |i: usize, j: usize| T::of((1.3 * i as f64 - 0.7 * j as f64).sin());
    Network {
        coefs: vec![Array2::ones((1, 3)), Array2::from_shape_fn((3, outputs), |(i, j)| value(i, j))],
        intercepts: vec![Array1::ones(3), Array1::from_shape_fn(outputs, |j| value(9, j))],
        activations: vec![ActivationKind::Relu],
    }
}

fn spread_of_normal_targets_becomes_one<T: Real>() {
    let rounding = 100.0 * T::epsilon().f64();
    for n in [2000, 2001] {
        let y = sample::<T>(n);
        let squared = fit(&y, None, LossKind::Squared).unwrap().apply(y.view());
        for j in 0..2 {
            close(means(&squared, |v| v)[j], 0.0, rounding, "mean");
            close(means(&squared, |v| v * v)[j], 1.0, rounding, "variance");
        }
        for loss in [HUBER, ABSOLUTE] {
            let robust = fit(&y, None, loss).unwrap().apply(y.view());
            for column in robust.columns() {
                close(median(column.iter().copied()), 0.0, rounding, "median");
                close(1.4826 * median(column.iter().map(|v| v.abs())), 1.0, rounding, "median distance");
            }
            // On normal targets the robust spread is the standard deviation.
            means(&robust, |v| v * v).into_iter().for_each(|square| close(square, 1.0, 0.1, "variance"));
        }
        let counts = fit(&y, None, LossKind::Poisson).unwrap().apply(y.view());
        means(&counts, |v| v).into_iter().for_each(|mean| close(mean, 1.0, rounding, "mean count"));
        close((counts[[3, 0]] / counts[[9, 0]]).f64(), (y[[3, 0]] / y[[9, 0]]).f64(), rounding, "ratio");
    }
}

fn extreme_units_do_not_matter<T: Real>() {
    let y = sample::<T>(300);
    for loss in regression() {
        let plain = fit(&y, None, loss).unwrap();
        let standard = plain.apply(y.view());
        for unit in [1e30, 1e-30, 1e36] {
            let scaled = y.mapv(|v| T::of(v.f64() * unit));
            let map = fit(&scaled, None, loss).unwrap();
            for (got, expected) in map.apply(scaled.view()).iter().zip(&standard) {
                close(got.f64(), expected.f64(), 1e3 * T::epsilon().f64(), &format!("{loss:?}, {unit}"));
            }
            let (folded, reference) = (map.fold(network::<T>(2)), plain.fold(network::<T>(2)));
            let (got, expected) = (folded.intercepts[1][1].f64(), reference.intercepts[1][1].f64());
            let expected = if loss == LossKind::Poisson { expected + unit.ln() } else { expected * unit };
            close(got / expected, 1.0, 100.0 * T::epsilon().f64(), &format!("{loss:?}, {unit}"));
        }
    }
    // Up to the ends of the range.
    let (most, least) = (T::max_value(), T::min_value());
    for loss in [LossKind::Squared, ABSOLUTE, HUBER] {
        let y = Array2::from_shape_fn((7, 1), |(i, _)| if i % 2 == 0 { most } else { least });
        assert!(fit(&y, None, loss).unwrap().apply(y.view()).iter().all(|v| v.is_finite()), "{loss:?}");
    }
}

fn weights_count_as_repetitions<T: Real>() {
    let y = sample::<T>(60);
    let times: Vec<usize> = (0..60).map(|i| [0, 1, 2, 5][i % 4]).collect();
    let rows: Vec<usize> = (0..60).flat_map(|i| std::iter::repeat_n(i, times[i])).collect();
    let weights = times.iter().map(|&w| T::of(0.3 * w as f64)).collect();
    let repeated = y.select(ndarray::Axis(0), &rows);
    for loss in regression() {
        let weighted = fit(&y, Some(&weights), loss).unwrap().apply(y.view());
        let repeated = fit(&repeated, None, loss).unwrap().apply(y.view());
        for (one, other) in weighted.iter().zip(&repeated) {
            close(one.f64(), other.f64(), 300.0 * T::epsilon().f64(), &format!("{loss:?}"));
        }
    }
}

/// Nothing but the rounding of a mean is left; the folded network predicts the constant.
fn constant_targets_become_zero<T: Real>() {
    for loss in regression() {
        for value in [0.0, 0.1, 1e30, 1e-30, -3.0] {
            if loss == LossKind::Poisson && value <= 0.0 {
                continue;
            }
            let y = Array2::from_elem((11, 1), T::of(value));
            let map = fit(&y, None, loss).unwrap();
            let (standard, case) = (map.apply(y.view()), format!("{loss:?}, {value}"));
            let target = if loss == LossKind::Poisson { 1.0 } else { 0.0 };
            standard.iter().for_each(|v| close(v.f64(), target, 4.0 * T::epsilon().f64(), &case));
            let mut silent = network::<T>(1);
            silent.coefs[1].fill(T::zero());
            silent.intercepts[1].fill(T::zero());
            let constant = map.fold(silent).intercepts[1][0].f64();
            let constant = if loss == LossKind::Poisson { constant.exp() } else { constant };
            close(constant, value, 100.0 * T::epsilon().f64() * value.abs(), &case);
        }
    }
}

/// More than half of the targets equal: the median distance says nothing.
fn mostly_equal_targets_have_a_spread<T: Real>() {
    let y = Array2::from_shape_fn((100, 1), |(i, _)| T::of(if i % 10 < 7 { 2.0 } else { i as f64 }));
    for loss in [HUBER, ABSOLUTE] {
        let standard = fit(&y, None, loss).unwrap().apply(y.view());
        let mean = means(&standard, f64::abs)[0];
        close(1.2533 * mean, 1.0, 100.0 * T::epsilon().f64(), "mean distance");
        assert_eq!(standard[[0, 0]], T::zero());
    }
}

fn half_of_the_targets_may_be_wild<T: Real>() {
    let y = sample::<T>(101);
    let wild = Array2::from_shape_fn((101, 2), |(i, j)| if i % 5 < 2 { T::of(1e20) } else { y[[i, j]] });
    for loss in [HUBER, ABSOLUTE] {
        let (calm, wild) = (fit(&y, None, loss).unwrap(), fit(&wild, None, loss).unwrap());
        let (calm, wild) = (calm.apply(y.view()), wild.apply(y.view()));
        // The spread moves by less than the factor 4 that two fifths of outliers on one side allow.
        let ratio = (calm[[2, 0]] - calm[[3, 0]]).f64() / (wild[[2, 0]] - wild[[3, 0]]).f64();
        assert!(ratio > 0.9 && ratio < 4.0, "{loss:?}: {ratio}");
    }
}

fn fold_and_unfold_are_inverse<T: Real>() {
    let y = sample::<T>(50);
    for loss in regression() {
        let map = fit(&y, None, loss).unwrap();
        let there = map.unfold(network::<T>(2));
        let back = map.fold(there.clone());
        let original = network::<T>(2);
        for (one, other) in back.coefs.iter().flatten().zip(original.coefs.iter().flatten()) {
            close(one.f64(), other.f64(), 10.0 * T::epsilon().f64(), "coefs");
        }
        for (one, other) in back.intercepts.iter().flatten().zip(original.intercepts.iter().flatten()) {
            close(one.f64(), other.f64(), 300.0 * T::epsilon().f64(), "intercepts");
        }
        assert_eq!(there.coefs[0], original.coefs[0]);
    }
}

#[test]
fn counts_must_not_be_all_zero() {
    let y = array![[1.0, 0.0], [2.0, 0.0]];
    let error = fit(&y, None, LossKind::Poisson).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "y", .. }), "{error}");
    // Nor where it counts.
    let y = array![[1.0], [0.0]];
    fit(&y, Some(&array![0.0, 1.0]), LossKind::Poisson).unwrap_err();
    fit(&y, Some(&array![1.0, 0.0]), LossKind::Poisson).unwrap();
}

#[test]
fn classes_are_left_alone() {
    let x = Array2::<f64>::ones((3, 1));
    let problem = Problem::new(x.view(), Targets::Classes(&[0, 1, 1]), None, 2, LossKind::SOFTMAX).unwrap();
    assert!(TargetMap::fit(&problem, LossKind::SOFTMAX).unwrap().is_none());
}
