//! From weights to layers in mapped coordinates and back.

use super::super::start::{fold, start};
use super::{Labels, distance, for_both, normal, options, rng};
use crate::activation::ActivationKind;
use crate::error::Error;
use crate::linalg::Threads;
use crate::loss::{LossKind, Targets};
use crate::network::Network;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Components, NARROW, Scaling, Solver};
use ndarray::{Array1, Array2, Axis, s};
use std::collections::HashSet;

for_both!(
    a_start_folds_back_to_itself,
    a_start_outside_the_leading_directions_keeps_them_all,
    a_start_inside_the_leading_directions_keeps_them,
    a_constant_feature_moves_into_the_intercept,
    a_start_must_fit,
    random_starts_have_the_variance_of_their_activation,
    sampled_starts_are_whitened_differences_of_samples_of_other_targets,
    sampled_starts_of_many_features_have_no_intercepts,
    starts_of_samples_that_are_all_alike_are_random,
);

const N: usize = 300;
const D: usize = 12;

/// Features of falling variance, shifted.
fn inputs<T: Real>() -> Array2<T> {
    let mut x = normal::<T>(N, D, 1);
    for (j, mut column) in x.columns_mut().into_iter().enumerate() {
        column.mapv_inplace(|v| v * T::of(0.6f64.powi(j as i32)) + T::of(1.0 - 0.2 * j as f64));
    }
    x
}

fn network<T: Real>(sizes: &[usize]) -> Network<T> {
    Network {
        coefs: sizes.windows(2).map(|pair| normal(pair[0], pair[1], 2 + pair[1] as u64)).collect(),
        intercepts: sizes[1..].iter().map(|&units| normal::<T>(1, units, 9).remove_axis(Axis(0))).collect(),
        activations: vec![ActivationKind::Tanh; sizes.len() - 2],
    }
}

fn problem<'a, T: Real>(x: &'a Array2<T>, labels: &'a Labels<T>) -> Problem<'a, T> {
    Problem::new(x.view(), labels.targets(), None, 3, LossKind::Squared).unwrap()
}

fn a_start_folds_back_to_itself<T: Real>() {
    let (x, labels) = (inputs::<T>(), Labels::new(LossKind::Squared, N, 3));
    for hidden in [vec![], vec![5], vec![5, 4]] {
        let mut sizes = vec![D];
        sizes.extend(&hidden);
        sizes.push(3);
        let given = network::<T>(&sizes);
        let options = options(N, D, |spec| spec.hidden_layer_sizes = hidden.clone());
        let (map, layers) =
            start::<T, T>(&problem(&x, &labels), &options, Some(&given), &mut rng(3)).unwrap();
        let back = fold(&layers, &options.activations, &map, &options).unwrap();
        let tolerance = 2e3 * T::epsilon().f64();
        for l in 0..sizes.len() - 1 {
            assert!(distance(back.coefs[l].view(), given.coefs[l].view()) <= tolerance, "{hidden:?}, {l}");
            let (got, expected) = (back.intercepts[l].view(), given.intercepts[l].view());
            let wrong = distance(got.insert_axis(Axis(0)), expected.insert_axis(Axis(0)));
            assert!(wrong <= tolerance, "{hidden:?}, {l}: intercept off by {wrong}");
        }
        assert_eq!(back.activations, given.activations);
    }
}

/// Logits of the given network and of the one it starts as, and the directions kept.
fn started<T: Real>(x: &Array2<T>, given: &Network<T>, k: usize) -> (f64, usize) {
    let labels = Labels::new(LossKind::Squared, N, 3);
    let options = options(N, x.ncols(), |spec| {
        (spec.hidden_layer_sizes, spec.components) = (vec![5], Components::Count(k));
        spec.scaling = Scaling::None;
    });
    let (map, layers) = start::<T, T>(&problem(x, &labels), &options, Some(given), &mut rng(4)).unwrap();
    let logits = |network: &Network<T>| network.decision_function(x.view(), Threads::One).unwrap();
    let wrong = distance(
        logits(&fold(&layers, &options.activations, &map, &options).unwrap()).view(),
        logits(given).view(),
    );
    (wrong, map.n_components())
}

fn a_start_outside_the_leading_directions_keeps_them_all<T: Real>() {
    let (wrong, kept) = started(&inputs::<T>(), &network(&[D, 5, 3]), 3);
    assert_eq!(kept, D);
    assert!(wrong <= 5e3 * T::epsilon().f64(), "logits off by {wrong}");
}

/// The last features hardly vary, so weights on the first alone lie in the leading directions.
fn a_start_inside_the_leading_directions_keeps_them<T: Real>() {
    let mut x = inputs::<T>();
    x.columns_mut().into_iter().skip(3).for_each(|mut column| column *= T::of(1e-4));
    let mut given = network::<T>(&[D, 5, 3]);
    given.coefs[0].rows_mut().into_iter().skip(3).for_each(|mut row| row.fill(T::zero()));
    let (wrong, kept) = started(&x, &given, 3);
    assert_eq!(kept, 3);
    assert!(wrong <= 1e-2, "logits off by {wrong}");
}

fn a_constant_feature_moves_into_the_intercept<T: Real>() {
    let mut x = inputs::<T>();
    x.column_mut(2).fill(T::of(3.5));
    for k in [D, 3] {
        let (wrong, _) = started(&x, &network(&[D, 5, 3]), k);
        assert!(wrong <= 5e3 * T::epsilon().f64(), "logits off by {wrong}");
    }
}

fn a_start_must_fit<T: Real>() {
    let (x, labels) = (inputs::<T>(), Labels::new(LossKind::Squared, N, 3));
    let options = options(N, D, |spec| spec.hidden_layer_sizes = vec![5]);
    for sizes in [vec![D, 4, 3], vec![D, 5, 2], vec![D, 3], vec![D, 5, 5, 3], vec![D + 1, 5, 3]] {
        let given = network::<T>(&sizes);
        let refused = start::<T, T>(&problem(&x, &labels), &options, Some(&given), &mut rng(5));
        assert!(matches!(refused, Err(Error::Shape { .. })), "{sizes:?}");
    }
    let mut broken = network::<T>(&[D, 5, 3]);
    broken.intercepts[1][0] = T::nan();
    let refused = start::<T, T>(&problem(&x, &labels), &options, Some(&broken), &mut rng(5));
    assert!(matches!(refused, Err(Error::NonFinite { .. })));
}

/// Pre-activations of scaled inputs have variance init_gain; the output layer starts at zero.
fn random_starts_have_the_variance_of_their_activation<T: Real>() {
    let x = normal::<T>(N, D, 6) + &Array1::from_elem(D, T::of(5.0));
    let labels = Labels::new(LossKind::Squared, N, 3);
    for activation in [ActivationKind::Relu, ActivationKind::Tanh, ActivationKind::Softmax] {
        let options = options(N, D, |spec| {
            (spec.hidden_layer_sizes, spec.activations) = (vec![400, 300], vec![activation]);
            spec.solver = Solver::Batch;
        });
        let (map, layers) = start::<T, T>(&problem(&x, &labels), &options, None, &mut rng(7)).unwrap();
        let z = map.apply::<T>(x.view()).dot(&layers[0].weights).mapv(T::f64);
        let variance = z.mapv(|v| v * v).mean().unwrap();
        let gain = activation.init_gain();
        assert!((variance / gain - 1.0).abs() <= 0.1, "{activation:?}: variance {variance}");
        let second = layers[1].weights.mapv(|w| w.f64() * w.f64()).sum() / 300.0;
        let expected = gain / activation.output_scale(400).powi(2);
        assert!((second / expected - 1.0).abs() <= 0.1, "{activation:?}: {second}");
        assert!(layers[2].weights.iter().all(|&w| w == T::zero()));
        assert!(layers[1].weights.row(400).iter().all(|&w| w == T::zero()), "intercepts start at 0");
    }
}

/// A unit of the stochastic solver's first layer is A(x_i - x_j) for two samples of other targets that
/// count, with A the inverse of the damped covariance, of fixed length in that metric, and 0 midway.
fn sampled_starts_are_whitened_differences_of_samples_of_other_targets<T: Real>() {
    let x = inputs::<T>();
    let classes: Vec<u32> = (0..N as u32).map(|i| i % 3).collect();
    // No sample of the last 50 counts.
    let weights = Array1::from_shape_fn(N, |i| if i < N - 50 { T::one() } else { T::zero() });
    let targets = Targets::Classes(&classes);
    let problem = Problem::new(x.view(), targets, Some(weights.view()), 3, LossKind::SOFTMAX).unwrap();
    for (units, activation) in [(300, ActivationKind::Relu), (7, ActivationKind::Tanh)] {
        let options = options(N, D, |spec| {
            (spec.hidden_layer_sizes, spec.activations) = (vec![units, 5], vec![activation]);
            (spec.loss, spec.damping, spec.scaling) = (LossKind::SOFTMAX, Some((0.5, 1.0)), Scaling::Global);
        });
        let (map, layers) = start::<T, T>(&problem, &options, None, &mut rng(8)).unwrap();
        let first = layers[0].weights.mapv(T::f64);
        let mapped = map.apply::<T>(x.view()).mapv(T::f64);
        let k = map.n_components();
        let mut classes_seen = HashSet::new();
        for unit in first.columns() {
            let (unit, intercept) = (unit.slice(s![..k]), unit[k]);
            let squared = unit.dot(&unit);
            assert!((0.5 * squared / activation.init_gain() - 1.0).abs() <= 1e-4, "length {squared}");
            // The difference that the unit is along: its cosine with one pair is 1.
            let mut pairs = (0..N - 50).flat_map(|i| (0..N - 50).map(move |j| (i, j)));
            let pair = pairs.find(|&(i, j)| {
                let difference = &mapped.slice(s![i, ..k]) - &mapped.slice(s![j, ..k]);
                let cosine = difference.dot(&unit) / (difference.dot(&difference) * squared).sqrt();
                cosine > 1.0 - 1e-5
            });
            let (i, j) = pair.expect("a pair of samples that count");
            assert_ne!(classes[i], classes[j]);
            let midpoint = 0.5 * (&mapped.slice(s![i, ..k]) + &mapped.slice(s![j, ..k]));
            let midway = unit.dot(&midpoint) + intercept;
            assert!(midway.abs() <= 1e3 * T::epsilon().f64(), "{midway} between the two");
            classes_seen.insert((classes[i], classes[j]));
        }
        assert!(units < 300 || classes_seen.len() == 6, "every pair of classes is drawn");
    }
}

/// Of many features the planes go through the mean.
fn sampled_starts_of_many_features_have_no_intercepts<T: Real>() {
    for (d, zero) in [(NARROW, false), (NARROW + 1, true)] {
        let (x, labels) = (normal::<T>(40, d, 10), Labels::new(LossKind::Squared, 40, 3));
        let options = options(40, d, |spec| spec.hidden_layer_sizes = vec![6]);
        let (map, layers) = start::<T, T>(&problem(&x, &labels), &options, None, &mut rng(11)).unwrap();
        let intercepts = layers[0].weights.row(map.n_components());
        assert!(intercepts.iter().all(|&b| (b == T::zero()) == zero), "{d}");
    }
}

/// Where no two samples differ there is no direction to take; the start is finite and of the same length.
fn starts_of_samples_that_are_all_alike_are_random<T: Real>() {
    let x = Array2::from_elem((20, D), T::of(2.0));
    let classes: Vec<u32> = (0..20).map(|i| i % 2).collect();
    let problem = Problem::new(x.view(), Targets::Classes(&classes), None, 1, LossKind::LOGISTIC).unwrap();
    let options = options(20, D, |spec| {
        (spec.hidden_layer_sizes, spec.loss) = (vec![6], LossKind::LOGISTIC);
    });
    let (_, layers) = start::<T, T>(&problem, &options, None, &mut rng(9)).unwrap();
    for unit in layers[0].weights.slice(s![..D, ..]).mapv(T::f64).columns() {
        let length = 2.0 * ActivationKind::Tanh.init_gain();
        assert!((unit.dot(&unit) / length - 1.0).abs() <= 1e-4);
    }
}
