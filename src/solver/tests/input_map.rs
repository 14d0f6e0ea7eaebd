//! The spectral input map: a metric, its folding, its directions, its scales.

use super::super::input_map::InputMap;
use super::{distance, for_both, normal, options, rng, spectrum};
use crate::linalg::Threads;
use crate::loss::{LossKind, Targets};
use crate::network::Network;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Components, Options, Scaling, Spec};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, concatenate, s};

for_both!(
    mapped_inputs_have_the_identity_as_metric,
    leading_directions_hold_the_leading_variance,
    folded_weights_take_raw_inputs,
    unfold_is_the_opposite_of_fold,
    lost_share_is_what_the_directions_miss,
    weights_are_repetitions,
    few_rows_of_many_count,
    constant_features_get_exactly_nothing,
    scale_is_chosen_by_the_ranges,
    large_means_do_not_cancel,
    maps_have_the_same_bits_in_every_pool,
);

/// ε of the input layer's damping.
const DAMPING: f64 = 0.5;

fn fit<T: Real>(
    x: ArrayView2<'_, T>,
    weights: Option<ArrayView1<'_, T>>,
    change: impl FnOnce(&mut Spec),
) -> InputMap<T> {
    let classes = vec![0; x.nrows()];
    let problem = Problem::new(x, Targets::Classes(&classes), weights, 2, LossKind::SOFTMAX).unwrap();
    let options: Options = options(x.nrows(), x.ncols(), |spec| {
        spec.damping = Some((DAMPING, 1.0));
        change(spec);
    });
    InputMap::fit::<T>(&problem, &options, false, &mut rng(8)).unwrap()
}

/// Correlated features of falling variance, off centre; rank min(rows, columns).
fn correlated<T: Real>(n: usize, d: usize, decay: f64) -> Array2<T> {
    let x = normal::<f64>(n, d, 9);
    Array2::from_shape_fn((n, d), |(i, j)| {
        T::of(decay.powi(j as i32) * (x[[i, j]] + 0.5 * x[[i, (j + 1) % d]]) + 0.7)
    })
}

/// Weighted covariance of centred columns, in double precision.
fn covariance<T: Real>(x: ArrayView2<'_, T>, weights: Option<ArrayView1<'_, T>>) -> Array2<f64> {
    let x = x.mapv(T::f64);
    let weights = weights.map_or(Array1::ones(x.nrows()), |weights| weights.mapv(T::f64));
    let total = weights.sum();
    let mean = x.t().dot(&weights) / total;
    let centred = x - &mean;
    let weighted = &centred * &weights.insert_axis(Axis(1));
    centred.t().dot(&weighted) / total
}

/// S M from the map's own folding, with S the scales: the rows of M times their scale.
fn matrix<T: Real>(map: &InputMap<T>) -> Array2<f64> {
    let k = map.n_components();
    let mut identity = Array2::zeros((k + 1, k));
    identity.slice_mut(s![..k, ..]).assign(&Array2::<T>::eye(k));
    map.fold(identity.view()).0.mapv(T::f64)
}

/// MᵀGM + δMᵀM = I, with δ = ε·mean eigenvalue: for every direction and for the leading ones, of
/// few and of many features, of more and of fewer rows than features, formed or not.
fn mapped_inputs_have_the_identity_as_metric<T: Real>() {
    let small = correlated::<T>(300, 12, 0.8);
    let flat = correlated::<T>(20, 30, 0.9);
    let wide = correlated::<T>(40, 2100, 0.999);
    let weights: Vec<T> = (0..300).map(|i| T::of([0.0, 0.5, 1.0, 2.5][i % 4])).collect();
    let weights = Array1::from(weights);
    for (x, weights, components) in [
        (&small, None, Components::All),
        (&small, Some(weights.view()), Components::All),
        (&small, None, Components::Count(5)),
        (&small, Some(weights.view()), Components::Count(5)),
        (&flat, None, Components::All),
        (&flat, None, Components::Count(7)),
        (&wide, None, Components::Count(6)),
        (&wide, None, Components::Share(0.9)),
    ] {
        for scaling in [Scaling::None, Scaling::Feature, Scaling::Global] {
            let map = fit(x.view(), weights, |spec| (spec.components, spec.scaling) = (components, scaling));
            let k = map.n_components();
            let mapped = map.apply::<T>(x.view());
            assert_eq!(mapped.dim(), (x.nrows(), k + 1));
            assert!(mapped.column(k).iter().all(|&one| one == T::one()), "trailing ones");

            let variances: Array1<f64> = x
                .axis_iter(Axis(1))
                .map(|column| covariance(column.insert_axis(Axis(1)), weights)[[0, 0]])
                .collect();
            let scale = match scaling {
                Scaling::Feature => variances.mapv(|v| v.sqrt().recip()),
                Scaling::Global => Array1::from_elem(x.ncols(), variances.mean().unwrap().sqrt().recip()),
                _ => Array1::ones(x.ncols()),
            };
            let trace = (&variances * &scale * &scale).mean().unwrap();
            let unscaled = matrix(&map) / &scale.insert_axis(Axis(1));
            let metric = covariance(mapped.slice(s![.., ..k]), weights)
                + unscaled.t().dot(&unscaled) * (DAMPING * trace);
            let wrong = distance(metric.view(), Array2::<f64>::eye(k).view());
            let case = format!("{:?}, {components:?}, {scaling:?}", x.dim());
            assert!(wrong <= 1e3 * T::epsilon().f64(), "{case}: off by {wrong}");
        }
    }
}

/// k columns, and in them nearly as much variance as any k directions can hold.
fn leading_directions_hold_the_leading_variance<T: Real>() {
    let x = correlated::<T>(500, 40, 0.9);
    let values = spectrum(&covariance(x.view(), None));
    let mean = values.iter().sum::<f64>() / 40.0;
    for k in [1, 7, 20, 39] {
        let map = fit(x.view(), None, |spec| {
            (spec.components, spec.scaling) = (Components::Count(k), Scaling::None);
        });
        assert_eq!(map.n_components(), k);
        assert_eq!(map.apply::<T>(x.view()).dim(), (500, k + 1));
        // Column i of the mapped data has variance e_i / (e_i + δ).
        let mapped = covariance(map.apply::<T>(x.view()).slice(s![.., ..k]), None);
        let held: f64 = mapped.diag().iter().map(|v| DAMPING * mean * v / (1.0 - v)).sum();
        let most: f64 = values[..k].iter().sum();
        assert!(held >= 0.999 * most && held <= 1.001 * most, "{k}: {held} of {most}");
    }
    for count in [40, 41, 1000] {
        assert_eq!(fit(x.view(), None, |spec| spec.components = Components::Count(count)).n_components(), 40);
    }
}

/// As many directions as a full eigendecomposition needs for the share. Ritz values lie below
/// eigenvalues, so it may be one more, or a few of many.
fn share_keeps_what_it_takes(n: usize, d: usize, decay: f64) {
    let x = correlated::<f64>(n, d, decay);
    let values = spectrum(&covariance(x.view(), None));
    let total: f64 = values.iter().sum();
    for share in [0.5, 0.8, 0.95] {
        let mut held = 0.0;
        let needed = values.iter().take_while(|&&value| {
            let short = held < share * total;
            held += value;
            short
        });
        let needed = needed.count();
        let map = fit(x.view(), None, |spec| {
            (spec.components, spec.scaling) = (Components::Share(share), Scaling::None);
        });
        let kept = map.n_components();
        let most = needed + 1 + needed / 30;
        assert!((needed..=most).contains(&kept), "{share} of {d} features: {kept} kept, {needed} needed");
    }
}

#[test]
fn share_of_a_wide_table() {
    share_keeps_what_it_takes(600, 420, 0.97);
}

#[test]
fn share_of_a_middling_table() {
    share_keeps_what_it_takes(600, 200, 0.95);
}

#[test]
fn share_of_a_narrow_table() {
    share_keeps_what_it_takes(300, 20, 0.7);
}

#[test]
fn share_of_more_features_than_rows() {
    share_keeps_what_it_takes(60, 500, 0.98);
}

/// A nearly flat spectrum needs more than the first block of directions.
#[test]
fn share_of_a_flat_spectrum() {
    share_keeps_what_it_takes(900, 450, 0.9999);
}

fn folded_weights_take_raw_inputs<T: Real>() {
    // More rows than a task takes, in any layout.
    let x = correlated::<T>(600, 12, 0.8);
    for components in [Components::All, Components::Count(5)] {
        for scaling in [Scaling::None, Scaling::Feature, Scaling::Global] {
            let map = fit(x.view(), None, |spec| (spec.components, spec.scaling) = (components, scaling));
            let weights = normal::<T>(map.n_components() + 1, 4, 11);
            let mapped = map.apply::<T>(x.view()).dot(&weights);
            let (coef, intercept) = map.fold(weights.view());
            let raw = x.dot(&coef) + &intercept;
            let wrong = distance(raw.view(), mapped.view());
            assert!(wrong <= 500.0 * T::epsilon().f64(), "{components:?}, {scaling:?}: off by {wrong}");
            let columns = x.t().as_standard_layout().to_owned();
            assert_eq!(map.apply::<T>(columns.t()), map.apply::<T>(x.view()));
        }
    }
}

fn unfold_is_the_opposite_of_fold<T: Real>() {
    let x = correlated::<T>(300, 12, 0.8);
    let tolerance = 1e3 * T::epsilon().f64();
    for scaling in [Scaling::None, Scaling::Feature, Scaling::Global] {
        for components in [Components::All, Components::Count(5)] {
            let map = fit(x.view(), None, |spec| (spec.components, spec.scaling) = (components, scaling));
            let weights = normal::<T>(map.n_components() + 1, 4, 12);
            let (coef, intercept) = map.fold(weights.view());
            let back = map.unfold(coef.view(), intercept.view());
            let wrong = distance(back.view(), weights.view());
            assert!(wrong <= tolerance, "{components:?}, {scaling:?}: off by {wrong}");
            assert!(map.lost_share(coef.view(), back.view()) <= 1e-9);
        }
        let map = fit(x.view(), None, |spec| spec.scaling = scaling);
        let (coef, intercept) = (normal::<T>(12, 4, 13), Array1::ones(4));
        let (coef_back, intercept_back) = map.fold(map.unfold(coef.view(), intercept.view()).view());
        assert!(distance(coef_back.view(), coef.view()) <= tolerance);
        let (got, given) = (intercept_back.insert_axis(Axis(0)), intercept.insert_axis(Axis(0)));
        assert!(distance(got.view(), given.view()) <= tolerance);
    }
}

fn lost_share_is_what_the_directions_miss<T: Real>() {
    // Uncorrelated features: the leading directions are the first two axes, nearly.
    let mut x = normal::<T>(400, 6, 14);
    x.slice_mut(s![.., 2..]).mapv_inplace(|v| v * T::of(1e-3));
    let map = fit(x.view(), None, |spec| {
        (spec.components, spec.scaling) = (Components::Count(2), Scaling::None);
    });
    for (inside, outside, expected) in [(1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (3.0, 1.0, 0.1)] {
        let coef = Array2::from_shape_fn((6, 1), |(j, _)| T::of([inside, 0.0, outside, 0.0, 0.0, 0.0][j]));
        let mapped = map.unfold(coef.view(), Array1::zeros(1).view());
        let lost = map.lost_share(coef.view(), mapped.view());
        assert!((lost - expected).abs() <= 1e-3, "lost {lost}, not {expected}");
    }
    let nothing = Array2::<T>::zeros((6, 1));
    assert_eq!(
        map.lost_share(nothing.view(), map.unfold(nothing.view(), Array1::zeros(1).view()).view()),
        0.0
    );
}

/// A weight of 2 is a row twice, a weight of 0 no row, whatever stands in it.
fn weights_are_repetitions<T: Real>() {
    let x = correlated::<T>(300, 6, 0.8);
    let tolerance = 1e3 * T::epsilon().f64();
    for components in [Components::All, Components::Count(3)] {
        for scaling in [Scaling::Feature, Scaling::Global, Scaling::None, Scaling::Auto] {
            let choose = |spec: &mut Spec| (spec.components, spec.scaling) = (components, scaling);
            // Signs of eigenvectors are arbitrary: compare products, in which they cancel.
            let products = |map: InputMap<T>| {
                let mapped = map.apply::<T>(x.view());
                mapped.dot(&mapped.t())
            };
            let weights: Array1<T> = (0..300).map(|i| T::of(if i < 100 { 2.0 } else { 1.0 })).collect();
            let doubled = concatenate![Axis(0), x.view(), x.slice(s![..100, ..])];
            let weighted = products(fit(x.view(), Some(weights.view()), choose));
            let wrong = distance(weighted.view(), products(fit(doubled.view(), None, choose)).view());
            assert!(wrong <= tolerance, "{components:?}, {scaling:?}: twice, off by {wrong}");

            let mut wild = x.clone();
            for (j, mut column) in wild.columns_mut().into_iter().enumerate() {
                column.slice_mut(s![..50]).fill(T::of(1e9 / 10f64.powi(j as i32)));
            }
            let weights: Array1<T> = (0..300).map(|i| T::of(if i < 50 { 0.0 } else { 1.0 })).collect();
            let weighted = products(fit(wild.view(), Some(weights.view()), choose));
            let wrong = distance(weighted.view(), products(fit(x.slice(s![50.., ..]), None, choose)).view());
            assert!(wrong <= tolerance, "{components:?}, {scaling:?}: never, off by {wrong}");
        }
    }
}

/// The rows that the metric is estimated from must be rows that count.
fn few_rows_of_many_count<T: Real>() {
    let x = correlated::<T>(9000, 3, 0.9);
    let counting = [17, 4000, 8888];
    let weights: Array1<T> = (0..9000).map(|i| T::of(f64::from(u8::from(counting.contains(&i))))).collect();
    let map = fit(x.view(), Some(weights.view()), |_| {});
    let mapped = map.apply::<T>(x.select(Axis(0), &counting).view());
    let alone = fit(x.select(Axis(0), &counting).view(), None, |_| {});
    let expected = alone.apply::<T>(x.select(Axis(0), &counting).view());
    let wrong = distance(mapped.dot(&mapped.t()).view(), expected.dot(&expected.t()).view());
    assert!(wrong <= 1e3 * T::epsilon().f64(), "off by {wrong}");
}

fn constant_features_get_exactly_nothing<T: Real>() {
    let mut x = correlated::<T>(300, 8, 0.9);
    x.column_mut(2).fill(T::zero());
    x.column_mut(5).fill(T::of(1e6));
    // A spread below the rounding of the values is no spread.
    let last_digit = T::of(1e6) * T::epsilon();
    x.column_mut(7)
        .iter_mut()
        .enumerate()
        .for_each(|(i, v)| *v = T::of(1e6) + last_digit * T::of((i % 2) as f64));
    for scaling in [Scaling::None, Scaling::Feature, Scaling::Global, Scaling::Auto] {
        for components in [Components::All, Components::Count(3)] {
            let map = fit(x.view(), None, |spec| (spec.components, spec.scaling) = (components, scaling));
            let weights = normal::<T>(map.n_components() + 1, 4, 15);
            let (coef, intercept) = map.fold(weights.view());
            for j in [2, 5, 7] {
                assert!(
                    coef.row(j).iter().all(|&w| w == T::zero()),
                    "{scaling:?}, feature {j}: {}",
                    coef.row(j)
                );
            }
            assert!(coef.row(0).iter().all(|&w| w != T::zero()));
            assert!(intercept.iter().all(|b| b.is_finite()));
        }
    }
}

/// Features in one unit keep their relative sizes, features in several do not.
fn scale_is_chosen_by_the_ranges<T: Real>() {
    let chosen = |x: &Array2<T>| {
        let by = |scaling| fit(x.view(), None, |spec| spec.scaling = scaling).apply::<T>(x.view());
        let (auto, global, feature) = (by(Scaling::Auto), by(Scaling::Global), by(Scaling::Feature));
        assert!(global != feature);
        if auto == global {
            Scaling::Global
        } else {
            assert!(auto == feature, "neither");
            Scaling::Feature
        }
    };
    // Ranges within a factor of 3.
    let mut pixels = normal::<T>(200, 13, 16);
    for (j, mut column) in pixels.columns_mut().into_iter().enumerate() {
        column.mapv_inplace(|v| v * T::of(1.0 + (j % 3) as f64 * 0.5) + T::of(2.0));
    }
    assert_eq!(chosen(&pixels), Scaling::Global);
    // A constant among them says nothing about units.
    pixels.column_mut(3).fill(T::of(1e3));
    assert_eq!(chosen(&pixels), Scaling::Global);
    // Ranges from 1e-6 to 1e6.
    let mut table = normal::<T>(200, 13, 17);
    for (j, mut column) in table.columns_mut().into_iter().enumerate() {
        column *= T::of(10f64.powi(j as i32 - 6));
    }
    assert_eq!(chosen(&table), Scaling::Feature);
}

/// A mean of a thousand deviations and more leaves the covariance as it was.
fn large_means_do_not_cancel<T: Real>() {
    let shift = 1e-2 / T::epsilon().f64().sqrt();
    let x = correlated::<T>(300, 5, 0.9);
    let shifted = &x + T::of(shift * 1e2);
    let products = |x: &Array2<T>| {
        let mapped = fit(x.view(), None, |_| {}).apply::<T>(x.view());
        mapped.dot(&mapped.t())
    };
    let wrong = distance(products(&shifted).view(), products(&x).view());
    // The shifted values themselves are rounded to this.
    let rounding = 60.0 * shift * 1e2 * T::epsilon().f64();
    assert!(wrong <= rounding, "off by {wrong}, rounding {rounding}");
}

/// Of double-precision rows for a loop in single precision: only what is centred is rounded to it, and
/// all later steps are of its accuracy.
#[test]
fn double_rows_for_single_precision() {
    let x = correlated::<f64>(300, 12, 0.9) + 1e8;
    let classes = vec![0; 300];
    let problem = Problem::new(x.view(), Targets::Classes(&classes), None, 2, LossKind::SOFTMAX).unwrap();
    for components in [Components::All, Components::Count(6)] {
        let options = options(300, 12, |spec| spec.components = components);
        let double = InputMap::fit::<f64>(&problem, &options, false, &mut rng(8)).unwrap();
        let single = InputMap::fit::<f32>(&problem, &options, false, &mut rng(8)).unwrap();
        let exact = double.apply::<f64>(x.view());
        let mapped = single.apply::<f32>(x.view()).mapv(f64::from);
        // Directions may turn: lengths and angles of rows do not.
        let wrong = distance(mapped.dot(&mapped.t()).view(), exact.dot(&exact.t()).view());
        assert!(wrong > 0.0 && wrong <= 1e2 * f64::from(f32::EPSILON), "{components:?}: off by {wrong}");
    }
}

/// Unscaled values of which the squares are beyond single precision, formed and only applied.
#[test]
fn large_double_rows_for_single_precision() {
    for (n, d, components) in [(300, 12, Components::All), (40, 2100, Components::Count(6))] {
        let x = correlated::<f64>(n, d, 0.9);
        let classes = vec![0; n];
        let options = options(n, d, |spec| (spec.components, spec.scaling) = (components, Scaling::None));
        let lengths = |x: &Array2<f64>| {
            let targets = Targets::Classes(&classes);
            let problem = Problem::new(x.view(), targets, None, 2, LossKind::SOFTMAX).unwrap();
            let map = InputMap::fit::<f32>(&problem, &options, false, &mut rng(8)).unwrap();
            let mapped = map.apply::<f32>(x.view()).mapv(f64::from);
            mapped.dot(&mapped.t())
        };
        let wrong = distance(lengths(&(&x * 1e25)).view(), lengths(&x).view());
        assert!(wrong <= 1e2 * f64::from(f32::EPSILON), "{n} x {d}: off by {wrong}");
    }
}

fn maps_have_the_same_bits_in_every_pool<T: Real>() {
    for (x, components) in [
        (correlated::<T>(700, 30, 0.95), Components::All),
        (correlated::<T>(700, 420, 0.99), Components::Share(0.9)),
        (correlated::<T>(60, 2100, 0.999), Components::Count(20)),
    ] {
        let run = || fit(x.view(), None, |spec| spec.components = components).apply::<T>(x.view());
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let first = pool(1).install(run);
        for threads in [2, 3] {
            assert!(pool(threads).install(run) == first, "{:?} on {threads} threads", x.dim());
        }
    }
}

/// What was folded is a network for raw inputs.
#[test]
fn folded_map_is_a_linear_network() {
    let x = correlated::<f64>(50, 7, 0.9);
    let map = fit(x.view(), None, |_| {});
    let weights = normal::<f64>(8, 2, 18);
    let (coef, intercept) = map.fold(weights.view());
    let network = Network { coefs: vec![coef], intercepts: vec![intercept], activations: vec![] };
    let logits = network.decision_function(x.view(), Threads::One).unwrap();
    assert!(distance(logits.view(), map.apply::<f64>(x.view()).dot(&weights).view()) <= 1e-12);
}
