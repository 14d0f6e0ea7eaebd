//! The block of an activation's parameter: derivatives, convexity, optimality, what it recovers.

use crate::common::normal;
use liftnet::activation::{ActivationKind, Moments};
use liftnet::error::Error;
use liftnet::kernel::Stopping;
use liftnet::kernel::activation_parameter::activation_parameter;
use liftnet::real::Real;
use ndarray::{Array1, Array2, Axis};

for_both!(
    planted_parameters_are_recovered,
    solutions_are_least,
    weights_are_repetitions,
    early_ends_are_no_worse_than_the_start,
    inverses_lead_back,
    a_fused_pull_back_is_the_plain_one,
);

fn eps<T: Real>() -> f64 {
    T::epsilon().f64()
}

fn stopping<T: Real>() -> Stopping<'static> {
    Stopping::new(500.0 * eps::<T>(), 200)
}

/// Every learnable activation with values all over the range.
fn kinds() -> Vec<ActivationKind> {
    let values = [0.02, 0.1, 0.25, 0.6, 1.0, 1.7, 8.0];
    let kinds = ActivationKind::all_learnable().flat_map(|kind| {
        let (low, high) = kind.parameter().unwrap().range;
        values.into_iter().filter(move |v| (low..=high).contains(v)).map(move |v| kind.with_parameter(v))
    });
    let kinds: Vec<_> = kinds.collect();
    assert!(kinds.len() >= 20);
    kinds
}

fn value(kind: ActivationKind) -> f64 {
    kind.parameter().unwrap().value
}

fn phi<T: Real>(kind: ActivationKind, z: &Array2<T>) -> Array2<T> {
    let phi = kind.elementwise::<T>().unwrap();
    z.mapv(|z| phi.phi(z))
}

/// x and z that no parameter fits, x in the domain of every one from that of `kind` on.
fn misfit<T: Real>(kind: ActivationKind) -> (Array2<T>, Array2<T>) {
    let (z, noise) = (normal::<T>(300, 5, 1) * T::of(3.0), normal::<T>(300, 5, 2));
    (phi(kind, &(&z + &noise)), z)
}

fn objective<T: Real>(
    kind: ActivationKind,
    x: &Array2<T>,
    z: &Array2<T>,
    weights: Option<&Array1<T>>,
) -> f64 {
    let phi = kind.elementwise::<f64>().unwrap();
    let rows = x.rows().into_iter().zip(z.rows()).enumerate();
    let row = |(i, (x, z)): (usize, (ndarray::ArrayView1<'_, T>, ndarray::ArrayView1<'_, T>))| {
        let sum: f64 = x.iter().zip(z).map(|(x, z)| phi.divergence(x.f64(), z.f64())).sum();
        // Samples of weight 0 are in the domain too.
        if sum.is_finite() { weights.map_or(1.0, |weights| weights[i].f64()) * sum } else { sum }
    };
    rows.map(row).sum::<f64>() / x.nrows() as f64
}

fn moments(kind: ActivationKind, x: f64, z: f64) -> Moments {
    let at = kind.elementwise::<f64>().unwrap().phi(z);
    kind.learnable::<f64>().unwrap().moments(&[x], &[at], &[z])
}

/// ∂D/∂r and ∂²D/∂r² against central differences of D itself and of the first, entry by entry.
#[test]
fn derivatives_are_those_of_the_divergence() {
    for kind in kinds() {
        let (r, (low, high)) = (kind.coordinate().unwrap(), kind.coordinate_range().unwrap());
        let h = 1e-5 * r;
        if r - h < low || r + h > high {
            continue;
        }
        let at = |r| kind.at_coordinate(r).elementwise::<f64>().unwrap();
        let (x, z) = misfit::<f64>(kind);
        let mut seen = 0;
        for (&x, &z) in x.iter().zip(&z) {
            let divergence = |r| at(r).divergence(x, z);
            let (below, here, above) = (divergence(r - h), divergence(r), divergence(r + h));
            if !below.is_finite() {
                continue; // the domain of elu ends between
            }
            let got = moments(kind, x, z);
            let expected = (above - below) / (2.0 * h);
            let rounding = 1e-15 * (1.0 + here) / h;
            assert!(got.size >= got.slope.abs());
            // The second difference of D at a bend of ∂D/∂r.
            let bend = 4.0 * h * (got.curvature + 1.0 + got.size / r);
            let wrong = (got.slope - expected).abs();
            assert!(wrong <= rounding + bend, "{kind:?} at ({x}, {z}): {} not {expected}", got.slope);
            let slope = |r| moments(kind.at_coordinate(r), x, z).slope;
            let expected = (slope(r + h) - slope(r - h)) / (2.0 * h);
            let bent = {
                let curvature = |r| moments(kind.at_coordinate(r), x, z).curvature;
                let (a, b) = (curvature(r - h), curvature(r + h));
                (a - b).abs() > 1e-3 * (a + b)
            };
            if !bent {
                let wrong = (got.curvature - expected).abs();
                let allowed = 1e-4 * got.curvature + 1e-13 * (1.0 + got.size) / h;
                assert!(wrong <= allowed, "{kind:?} at ({x}, {z}): {} not {expected}", got.curvature);
                seen += 1;
            }
        }
        assert!(seen > 1000, "{kind:?}: {seen}");
    }
}

/// D is convex in the coordinate: the derivative rises with it, over the whole range.
#[test]
fn divergence_is_convex_in_the_coordinate() {
    for kind in kinds() {
        let (low, high) = kind.coordinate_range().unwrap();
        let (x, z) = misfit::<f64>(kind);
        for (&x, &z) in x.iter().zip(&z).take(300) {
            let mut last = f64::NEG_INFINITY;
            for step in 0..=40 {
                let r = low.max(1e-6) * (high / low.max(1e-6)).powf(step as f64 / 40.0);
                let at = kind.at_coordinate(r);
                if !at.elementwise::<f64>().unwrap().potential(x).is_finite() {
                    continue;
                }
                let got = moments(at, x, z);
                assert!(got.curvature >= 0.0);
                assert!(got.slope >= last - 1e-9 * (1.0 + got.size), "{kind:?} at ({x}, {z}), r = {r}");
                last = got.slope;
            }
        }
    }
}

/// x = φ(z) gives the parameter back, from anywhere.
fn planted_parameters_are_recovered<T: Real>() {
    let z = normal::<T>(300, 5, 1) * T::of(4.0);
    for kind in kinds() {
        let x = phi(kind, &z);
        // How far a rounded derivative may move its zero.
        let (mut size, mut curvature, r) = (0.0, 0.0, kind.coordinate().unwrap());
        for (x, z) in x.iter().zip(&z) {
            let at = moments(kind, x.f64(), z.f64());
            (size, curvature) = (size + at.size, curvature + at.curvature);
        }
        for start in kinds().into_iter().filter(|start| start.name() == kind.name()) {
            let (found, report) =
                activation_parameter(x.view(), z.view(), None, start, stopping::<T>()).unwrap();
            let wrong = (found / value(kind) - 1.0).abs();
            let allowed = 1e3 * eps::<T>() * (1.0 + size / (curvature * r));
            let case = format!("{kind:?} from {start:?}: {found}, {report:?}");
            assert!(wrong <= allowed, "{case}");
            assert!(report.converged && report.n_iter <= 20, "{case}");
        }
    }
}

/// No other parameter has a smaller objective, near or far; where D is smooth the derivative is 0.
fn solutions_are_least<T: Real>() {
    for kind in kinds() {
        let (x, z) = misfit::<T>(kind);
        let weights = Array1::from_shape_fn(300, |i| T::of([0.0, 1.0, 2.5][i % 3]));
        for weights in [None, Some(&weights)] {
            let (found, report) =
                activation_parameter(x.view(), z.view(), weights.map(|w| w.view()), kind, stopping::<T>())
                    .unwrap();
            let least = objective(kind.with_parameter(found), &x, &z, weights);
            assert!(least <= objective(kind, &x, &z, weights) * (1.0 + 10.0 * eps::<T>()), "{kind:?}");
            assert!(report.converged && report.residual <= 500.0 * eps::<T>(), "{kind:?}: {report:?}");
            for factor in [0.5, 0.9, 0.99, 1.01, 1.1, 2.0] {
                let other = objective(kind.with_parameter(found * factor), &x, &z, weights);
                let rounding = 1e3 * eps::<T>().powi(2) + 10.0 * eps::<T>() * least;
                assert!(other >= least - rounding, "{kind:?}: {least} at {found}, {other} at {factor} of it");
            }
        }
    }
}

fn weights_are_repetitions<T: Real>() {
    let counts = Array1::from_shape_fn(300, |i| T::of((i % 4) as f64));
    let rows: Vec<usize> = (0..300).flat_map(|i| vec![i; i % 4]).collect();
    for kind in kinds() {
        let (x, z) = misfit::<T>(kind);
        let (repeated_x, repeated_z) = (x.select(Axis(0), &rows), z.select(Axis(0), &rows));
        // Samples that do not count still bound the domain of elu.
        let x = if kind.name() == "elu" { x.mapv(|x| x.max(T::of(-0.5 * value(kind)))) } else { x };
        let repeated_x = if kind.name() == "elu" {
            repeated_x.mapv(|x| x.max(T::of(-0.5 * value(kind))))
        } else {
            repeated_x
        };
        let (one, _) =
            activation_parameter(x.view(), z.view(), Some(counts.view()), kind, stopping::<T>()).unwrap();
        let (other, _) =
            activation_parameter(repeated_x.view(), repeated_z.view(), None, kind, stopping::<T>()).unwrap();
        assert!((one - other).abs() <= 2e3 * eps::<T>() * other, "{kind:?}: {one}, {other}");
    }
}

fn early_ends_are_no_worse_than_the_start<T: Real>() {
    for kind in kinds() {
        let (x, z) = misfit::<T>(kind);
        let start = kind.at_coordinate(kind.coordinate().unwrap() * 1.6);
        let before = objective(start, &x, &z, None);
        for max_iter in 1..6 {
            let stopping = Stopping::new(0.0, max_iter);
            let (found, report) = activation_parameter(x.view(), z.view(), None, start, stopping).unwrap();
            let after = objective(kind.with_parameter(found), &x, &z, None);
            assert!(
                after <= before * (1.0 + 20.0 * eps::<T>()),
                "{kind:?} after {max_iter}: {before}, {after}"
            );
            assert!(report.n_iter <= max_iter);
        }
    }
}

fn inverses_lead_back<T: Real>() {
    for kind in kinds() {
        let (phi, learnable) = (kind.elementwise::<T>().unwrap(), kind.learnable::<T>().unwrap());
        let x = self::phi(kind, &(normal::<T>(100, 5, 3) * T::of(3.0)));
        let mut u: Vec<T> = x.iter().copied().collect();
        learnable.invert(&mut u);
        for (&u, &x) in u.iter().zip(&x) {
            let wrong = (phi.phi(u) - x).f64().abs();
            assert!(wrong <= 4.0 * eps::<T>() * (1.0 + x.f64().abs()), "{kind:?}: {x} became {}", phi.phi(u));
        }
    }
}

/// The pull-back that sums the moments gives the same numbers as the plain one, and the moments are
/// those of the lifted variables there, whatever the length of the row.
fn a_fused_pull_back_is_the_plain_one<T: Real>() {
    use liftnet::activation::{Divergence, Tie};
    for kind in kinds() {
        for units in [1, 15, 16, 17, 70] {
            let z = normal::<T>(1, units, 4).row(0).to_vec();
            let x: Vec<T> = z.iter().map(|&z| kind.elementwise::<T>().unwrap().phi(z)).collect();
            let gradient = (normal::<T>(1, units, 5) * T::of(2.0)).row(0).to_vec();
            let (lambda, mut plain, mut fused) = (T::of(3.0), gradient.clone(), gradient.clone());
            let nothing = Tie::new(kind, Divergence::Fenchel).pull_back(&z, &x, lambda, &mut plain);
            assert_eq!(nothing, Moments::default());
            let tie = Tie::with_parameter(kind, Divergence::Fenchel);
            let got = tie.pull_back(&z, &x, lambda, &mut fused);
            assert_eq!(plain, fused, "{kind:?}");
            let mut expected = Moments::default();
            for ((&z, &g), &x) in z.iter().zip(&gradient).zip(&x) {
                let lifted = kind.elementwise::<T>().unwrap().phi(z - lambda.recip() * g);
                expected.add(1.0, kind.learnable::<T>().unwrap().moments(&[lifted], &[x], &[z]));
            }
            let pairs = [
                (got.slope, expected.slope, expected.size),
                (got.size, expected.size, expected.size),
                (got.curvature, expected.curvature, 1e2 * expected.curvature),
            ];
            for (got, expected, scale) in pairs {
                let allowed = 100.0 * eps::<T>() * (scale + 1e-3);
                assert!((got - expected).abs() <= allowed, "{kind:?}, {units}: {got} not {expected}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let in_pool = |kind: ActivationKind, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (z, noise) = (normal::<f32>(3000, 9, 1) * 3.0, normal::<f32>(3000, 9, 2));
        let x = phi(kind, &(&z + &noise));
        pool.install(|| activation_parameter(x.view(), z.view(), None, kind, stopping::<f32>()).unwrap())
    };
    for kind in ActivationKind::all_learnable() {
        assert_eq!(in_pool(kind, 1), in_pool(kind, 4), "{kind:?}");
    }
}

/// Where nothing depends on the parameter, it stays; where D falls beyond the range, its end is taken.
#[test]
fn ends_and_indifference() {
    let solve = |kind, x: &Array2<f64>, z: &Array2<f64>| {
        activation_parameter(x.view(), z.view(), None, kind, stopping::<f64>()).unwrap()
    };
    let z = normal::<f64>(50, 3, 1);
    let positive = z.mapv(|z| z.abs() + 0.1);
    for (kind, start) in
        [(ActivationKind::LeakyRelu { slope: 0.3 }, 0.3), (ActivationKind::Elu { alpha: 0.3 }, 0.3)]
    {
        let (found, report) = solve(kind, &positive, &positive);
        assert!(found == start && report.converged && report.residual == 0.0, "{kind:?}: {found}");
    }
    // Twice what the steepest gives.
    let (found, report) = solve(ActivationKind::LeakyRelu { slope: 0.3 }, &(2.0 * &z), &z);
    assert!(found == 1.0 && report.converged, "{found}, {report:?}");
    let (found, report) = solve(ActivationKind::LeakyRelu { slope: 0.3 }, &z.mapv(|z| z.max(0.0)), &z);
    assert!(found == 1e-6 && report.converged, "{found}, {report:?}");
    let (found, _) = solve(ActivationKind::SoftThreshold { threshold: 0.3 }, &(2.0 * &z), &z);
    assert_eq!(found, 0.0);
    let (found, _) = solve(ActivationKind::SoftThreshold { threshold: 0.3 }, &(0.0 * &z), &z);
    assert!(found >= z.iter().fold(0.0, |top: f64, z| top.max(z.abs())), "{found}");
    // No sample and no unit.
    let (found, report) =
        solve(ActivationKind::Elu { alpha: 0.3 }, &Array2::zeros((0, 3)), &Array2::zeros((0, 3)));
    assert!(found == 0.3 && report.converged);
}

/// Least squares on the negative side: √(Σ x₋² / Σ z₋²) in one step.
#[test]
fn leaky_relu_has_a_closed_form() {
    let kind = ActivationKind::LeakyRelu { slope: 0.9 };
    let (x, z) = misfit::<f64>(ActivationKind::LeakyRelu { slope: 0.2 });
    let (found, report) = activation_parameter(x.view(), z.view(), None, kind, stopping::<f64>()).unwrap();
    let square = |m: &Array2<f64>| m.iter().map(|v| v.min(0.0).powi(2)).sum::<f64>();
    assert!((found / (square(&x) / square(&z)).sqrt() - 1.0).abs() < 1e-12);
    assert_eq!(report.n_iter, 1);
}

#[test]
fn bad_input_is_refused() {
    let z = normal::<f64>(4, 3, 1);
    let solve = |x: &Array2<f64>, weights: Option<Array1<f64>>, kind| {
        let weights = weights.as_ref().map(|weights| weights.view());
        activation_parameter(x.view(), z.view(), weights, kind, stopping::<f64>()).unwrap_err().to_string()
    };
    let leaky = ActivationKind::LeakyRelu { slope: 0.1 };
    let names = "leaky_relu, hard_sigmoid, elu, soft_threshold";
    assert_eq!(
        solve(&z, None, ActivationKind::Relu),
        format!("activation must be one with a parameter that can be learned ({names}), got 'relu'")
    );
    assert!(
        solve(&z, None, ActivationKind::ClippedRelu { limit: 6.0 })
            .contains("whose limit bounds the domain of f: the divergence is concave in it")
    );
    assert!(solve(&Array2::zeros((4, 2)), None, leaky).contains("Z has shape [4, 3], expected [4, 2]"));
    assert!(solve(&z, Some(Array1::ones(3)), leaky).contains("sample_weight has shape [3]"));
    assert!(solve(&z, Some(-Array1::ones(4)), leaky).contains("finite and not negative"));
    assert!(solve(&z, Some(Array1::zeros(4)), leaky).contains("positive for some sample"));
    let far = Array2::from_elem((4, 3), -1.5);
    assert!(
        solve(&far, None, ActivationKind::Elu { alpha: 0.5 })
            .starts_with("X must be in the domain of activation 'elu', [-1, inf], got -1.5 at index [0, 0]")
    );
    assert!(solve(&far, None, ActivationKind::HardSigmoid { slope: 0.5 }).contains("[0, 1], got -1.5"));
    let x = Array2::<f64>::zeros((4, 3));
    let error = activation_parameter(x.view(), x.slice(ndarray::s![.., ..2]), None, leaky, stopping::<f64>());
    assert!(matches!(error, Err(Error::Shape { .. })));
}
