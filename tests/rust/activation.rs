//! Every activation of `ActivationKind::ALL` against the properties of an argmin.

use liftnet::activation::{ActivationKind, Divergence, Elementwise, Parameter, Tie};
use liftnet::real::Real;
use proptest::prelude::*;

for_both!(
    divergence_is_never_negative_nor_nan,
    divergence_vanishes_at_phi,
    divergence_is_strongly_convex_about_phi,
    divergence_is_that_of_the_potentials,
    potentials_are_conjugate,
    phi_is_the_slope_of_the_conjugate,
    phi_is_monotone_and_its_slope_bound_tight,
    potential_is_infinite_outside_the_domain,
    slices_agree_with_elements,
    pull_back_stays_within_the_slope_bound,
    pull_back_tends_to_the_derivative,
);

/// Every activation with its default parameter, and with values about its range.
fn kinds() -> Vec<ActivationKind> {
    let mut kinds = ActivationKind::ALL.to_vec();
    for &kind in ActivationKind::ALL {
        if let Some(Parameter { range: (low, high), .. }) = kind.parameter() {
            let least = low.max(1e-2);
            let values = [low, least, 0.3, 1.0, 1.7, high.min(20.0)].into_iter();
            kinds.extend(values.filter(|v| (low..=high).contains(v)).map(|v| kind.with_parameter(v)));
        }
    }
    kinds
}

fn every<T: Real>(mut test: impl FnMut(ActivationKind, &dyn Elementwise<T>)) {
    for kind in kinds() {
        if let Some(phi) = kind.elementwise::<T>() {
            test(kind, phi.as_ref());
        }
    }
}

/// Step and sign have no bounded slope.
fn every_smooth<T: Real>(mut test: impl FnMut(ActivationKind, &dyn Elementwise<T>)) {
    every::<T>(|kind, phi| {
        if kind.lifted() == kind {
            test(kind, phi);
        }
    });
}

fn eps<T: Real>() -> f64 {
    T::epsilon().f64()
}

/// 0, ±1e-30 .. ±1e30, and the places where activations bend.
fn wide<T: Real>() -> Vec<T> {
    let mut values = vec![0.0, 0.02, 0.5, 1.0, 1.0 + 1e-6, 20.0, 88.0, 104.0, 709.0, 746.0];
    values.extend((-30..=30).map(|exponent| 10f64.powi(exponent)));
    values.iter().flat_map(|&v| [T::of(v), T::of(-v)]).collect()
}

/// Moderate values, dense about 0.
fn moderate<T: Real>() -> Vec<T> {
    let mut values: Vec<T> = (-400..=400).map(|i| T::of(f64::from(i) * 0.0137)).collect();
    values.extend([-30.0, -12.5, -1e-3, 1e-3, 12.5, 30.0].map(T::of));
    values
}

/// The values that lie in the domain, the ends of the domain, and points near them.
fn inside<T: Real>(phi: &dyn Elementwise<T>, values: Vec<T>) -> Vec<T> {
    let (low, high) = phi.domain();
    let shares = [1e-30, 1e-8, 1e-3, 0.2, 0.5, 0.77, 0.999, 1.0 - 1e-7].map(T::of);
    let between = shares.into_iter().map(|share| low + share * (high - low));
    let ends = [low, high].into_iter().chain(between).filter(|v| v.is_finite());
    values.into_iter().chain(ends).filter(|&x| low <= x && x <= high).collect()
}

fn divergence_is_never_negative_nor_nan<T: Real>() {
    every::<T>(|kind, phi| {
        for x in inside(phi, wide()) {
            for z in wide::<T>() {
                let d = phi.divergence(x, z);
                assert!(d >= T::zero(), "{kind:?}: D({x}, {z}) = {d}");
                // Squares up to 1e32 over the least slope are in the range of single precision.
                let moderate = x.abs().max(z.abs()).f64() <= 1e16;
                let inside = phi.potential(x).is_finite();
                assert!(d.is_finite() || !moderate || !inside, "{kind:?}: D({x}, {z}) = {d}");
            }
        }
    });
}

fn divergence_vanishes_at_phi<T: Real>() {
    every::<T>(|kind, phi| {
        for z in wide::<T>().into_iter().chain(moderate()) {
            let d = phi.divergence(phi.phi(z), z).f64();
            // D = δ²/(2φ′) for an error δ of x, and φ′ = 1/z² far out.
            let rounding = match kind {
                ActivationKind::Softsign | ActivationKind::Arctan => (eps::<T>() * z.f64()).powi(2),
                _ => 0.0,
            };
            assert!(d <= 4.0 * eps::<T>() + rounding, "{kind:?}: D(φ({z}), {z}) = {d}");
        }
    });
}

/// f* has curvature at most sup φ′, so D(x, z) ≥ (x − φ(z))² / (2 sup φ′).
fn divergence_is_strongly_convex_about_phi<T: Real>() {
    every::<T>(|kind, phi| {
        let slope = phi.slope_bound().f64();
        for x in inside(phi, moderate()) {
            for z in moderate::<T>() {
                let d = phi.divergence(x, z).f64();
                let least = (x - phi.phi(z)).f64().powi(2) / (2.0 * slope);
                let rounding = 16.0 * eps::<T>() * (1.0 + least);
                assert!(d >= least - rounding, "{kind:?}: D({x}, {z}) = {d} < {least}");
            }
        }
    });
}

fn divergence_is_that_of_the_potentials<T: Real>() {
    every::<T>(|kind, phi| {
        for x in inside(phi, moderate()) {
            for z in moderate::<T>() {
                let (f, conjugate, product) = (phi.potential(x), phi.conjugate(z), x * z);
                let (d, plain) = (phi.divergence(x, z).f64(), (f + conjugate - product).f64());
                if !f.is_finite() {
                    assert_eq!(d, f64::INFINITY, "{kind:?}: D({x}, {z}), but f({x}) = {f}");
                    continue;
                }
                let size = 1.0 + (f.abs() + conjugate.abs() + product.abs()).f64();
                let wrong = (d - plain).abs();
                assert!(wrong <= 8.0 * eps::<T>() * size, "{kind:?}: D({x}, {z}) = {d}, not {plain}");
            }
        }
    });
}

/// f*(z) ≥ x z − f(x) for every x, with equality at x = φ(z).
fn potentials_are_conjugate<T: Real>() {
    every::<T>(|kind, phi| {
        let gap = |x: T, z: T| {
            let (f, conjugate, product) = (phi.potential(x), phi.conjugate(z), x * z);
            let size = 1.0 + (f.abs() + conjugate.abs() + product.abs()).f64();
            ((f + conjugate - product).f64(), 8.0 * eps::<T>() * size)
        };
        for z in moderate::<T>() {
            let (attained, rounding) = gap(phi.phi(z), z);
            assert!(attained.abs() <= rounding, "{kind:?}: gap {attained} at x = φ({z})");
            for x in inside(phi, moderate()) {
                let (value, rounding) = gap(x, z);
                assert!(value >= -rounding, "{kind:?}: gap {value} at x = {x}, z = {z}");
            }
        }
    });
}

/// Single precision against double at the same argument, relative to the value itself.
#[test]
fn potentials_keep_their_relative_accuracy() {
    every::<f32>(|kind, phi| {
        let reference = kind.elementwise::<f64>().unwrap();
        for z in wide::<f32>().into_iter().chain(moderate()).filter(|z| z.abs() < 1e15) {
            for (what, got, expected) in [
                ("φ", phi.phi(z), reference.phi(z.into())),
                ("f*", phi.conjugate(z), reference.conjugate(z.into())),
            ] {
                // ½ + slope·z and |z| − threshold cancel where φ leaves 0.
                let cancelled = match kind {
                    ActivationKind::HardSigmoid { .. } => 0.5,
                    ActivationKind::SoftThreshold { .. } => z.abs().into(),
                    _ => 0.0,
                };
                let allowed = 4.0 * eps::<f32>() * expected.abs().max(cancelled) + 1e-37;
                let wrong = (f64::from(got) - expected).abs();
                assert!(wrong <= allowed, "{kind:?}: {what}({z}) = {got}, not {expected}");
            }
        }
    });
}

/// A difference quotient of f* lies between the values of φ at its ends, at kinks too.
fn phi_is_the_slope_of_the_conjugate<T: Real>() {
    every::<T>(|kind, phi| {
        let h = T::of(eps::<T>().cbrt());
        for z in moderate::<T>() {
            let (below, above) = (z - h, z + h);
            let (low, high) = (phi.conjugate(below), phi.conjugate(above));
            let quotient = ((high - low) / (above - below)).f64();
            let rounding = 4.0 * eps::<T>() * (1.0 + high.abs().max(low.abs()).f64()) / h.f64();
            let (least, most) = (phi.phi(below).f64() - rounding, phi.phi(above).f64() + rounding);
            assert!((least..=most).contains(&quotient), "{kind:?}: f*' = {quotient} about {z}");
            let slack = 2.0 * h.f64() * phi.slope_bound().f64() + 4.0 * rounding;
            assert!(most - least <= slack, "{kind:?}: φ jumps at {z}"); // infinite for step and sign
        }
    });
}

fn phi_is_monotone_and_its_slope_bound_tight<T: Real>() {
    every::<T>(|kind, phi| {
        let bound = phi.slope_bound().f64();
        let mut points: Vec<T> = wide::<T>().into_iter().chain(moderate()).collect();
        points.sort_by(|a, b| a.f64().total_cmp(&b.f64()));
        let mut steepest = 0.0f64;
        for pair in points.windows(2) {
            let rise = phi.phi(pair[1]).f64() - phi.phi(pair[0]).f64();
            let run = pair[1].f64() - pair[0].f64();
            assert!(rise >= 0.0, "{kind:?}: φ falls by {rise} after {}", pair[0]);
            if bound.is_infinite() {
                continue;
            }
            // The terms of φ may be larger than φ.
            let terms = phi.phi(pair[0]).abs().max(phi.phi(pair[1]).abs()).max(T::one());
            let rounding = 4.0 * eps::<T>() * terms.f64();
            assert!(rise <= bound * run + rounding, "{kind:?}: slope {} at {}", rise / run, pair[0]);
            if run > 1e-3 {
                steepest = steepest.max(rise / run);
            }
        }
        let tight = steepest >= 0.98 * bound || bound.is_infinite();
        assert!(tight, "{kind:?}: steepest slope {steepest}, bound {bound}");
    });
}

fn potential_is_infinite_outside_the_domain<T: Real>() {
    every::<T>(|kind, phi| {
        let (low, high) = phi.domain();
        assert!(low < high);
        for distance in [1e-3, 1.0, 1e6, 1e30].map(T::of) {
            for x in [low - distance, high + distance].into_iter().filter(|x| x.is_finite()) {
                assert_eq!(phi.potential(x), T::infinity(), "{kind:?}: f({x})");
                assert_eq!(phi.divergence(x, T::of(0.3)), T::infinity(), "{kind:?}: D({x}, 0.3)");
            }
        }
        for z in wide::<T>().into_iter().chain(moderate()) {
            let x = phi.phi(z);
            assert!(low <= x && x <= high, "{kind:?}: φ({z}) = {x}");
            if z.abs().f64() < 16.0 {
                assert!(phi.potential(x).is_finite(), "{kind:?}: f(φ({z}))");
            }
        }
    });
}

/// Gradients of several sizes and signs, one for each element.
fn gradients<T: Real>(count: usize) -> Vec<T> {
    (0..count).map(|i| T::of([0.3, -2.0, 0.0, -1e-3, 7.0, 1e-8][i % 6] * (1.0 + i as f64 * 0.01))).collect()
}

fn slices_agree_with_elements<T: Real>() {
    every::<T>(|kind, phi| {
        let z = moderate::<T>();
        let mut x = vec![T::nan(); z.len()];
        let (rows, tie) = (kind.make::<T>(), Tie::<T>::new(kind, Divergence::Fenchel));
        let lifted = kind.lifted().elementwise::<T>().unwrap();
        rows.apply(&z, &mut x);
        let given = gradients::<T>(z.len());
        for lambda in [0.5, 1.0, 10.0].map(T::of) {
            let mut g = given.clone();
            tie.pull_back(&z, &x, lambda, &mut g);
            for i in 0..z.len() {
                assert_eq!(x[i], phi.phi(z[i]), "{kind:?}: φ({})", z[i]);
                let moved = lifted.phi(z[i] - given[i] / lambda);
                let expected = lambda.f64() * (lifted.phi(z[i]).f64() - moved.f64());
                let size = 1.0 + x[i].abs().f64() + z[i].abs().f64() + given[i].abs().f64() / lambda.f64();
                let rounding = 4.0 * eps::<T>() * lambda.f64() * size;
                let wrong = (g[i].f64() - expected).abs();
                assert!(wrong <= rounding, "{kind:?}: {} instead of {expected} at {}", g[i], z[i]);
            }
        }
    });
}

/// φ is monotone and Lipschitz: the result has the sign of g and is no longer than sup φ′·|g|.
fn pull_back_stays_within_the_slope_bound<T: Real>() {
    every::<T>(|kind, phi| {
        let z = moderate::<T>();
        let x: Vec<T> = z.iter().map(|&z| phi.phi(z)).collect();
        let lifted = kind.lifted().elementwise::<T>().unwrap();
        let given = gradients::<T>(z.len());
        let mut g = given.clone();
        Tie::new(kind, Divergence::Fenchel).pull_back(&z, &x, T::of(3.0), &mut g);
        for i in 0..z.len() {
            let (before, after) = (given[i].f64(), g[i].f64());
            let rounding = 32.0 * eps::<T>() * (1.0 + z[i].abs().f64());
            assert!(after * before >= -rounding * before.abs(), "{kind:?}: {after} from {before}");
            let most = lifted.slope_bound().f64() * before.abs() + rounding;
            assert!(after.abs() <= most, "{kind:?}: {after} from {before}");
        }
    });
}

/// λ(φ(z) − φ(z − g/λ)) → φ′(z) g as λ → ∞, away from kinks.
fn pull_back_tends_to_the_derivative<T: Real>() {
    every_smooth::<T>(|kind, phi| {
        let (reference, tie) = (kind.elementwise::<f64>().unwrap(), Tie::<T>::new(kind, Divergence::Fenchel));
        let lambda = eps::<T>().sqrt().recip();
        // Farther than any of the steps g/λ below reaches.
        let h = (2.0 / lambda).max(1e-4);
        let mut compared = 0;
        for z in moderate::<T>() {
            let at = |shift: f64| reference.phi(z.f64() + shift);
            let (left, right) = ((at(0.0) - at(-h)) / h, (at(h) - at(0.0)) / h);
            // A kink of φ, and for two of them one of φ′.
            let bent = ["elu", "softsign"].contains(&kind.name()) && z.abs().f64() < h;
            if (left - right).abs() > 1e-2 || bent {
                continue;
            }
            compared += 1;
            for given in [0.7, -1.3].map(T::of) {
                let mut g = [given];
                tie.pull_back(&[z], &[phi.phi(z)], T::of(lambda), &mut g);
                let expected = 0.5 * (left + right) * given.f64();
                // Rounding of φ times λ, and the curvature of φ times g²/λ.
                let allowed = 4.0 * (1.0 + z.abs().f64()) / lambda + 1e-6;
                let wrong = (g[0].f64() - expected).abs();
                assert!(wrong <= allowed, "{kind:?}: {} instead of {expected} at {z}", g[0]);
            }
        }
        assert!(compared > 600, "{kind:?}: only {compared} smooth points");
    });
}

/// Values that identify each function, from its definition.
#[test]
fn phi_is_the_function_of_its_name() {
    type Named = (&'static str, fn(f64) -> f64);
    let table: [Named; 22] = [
        ("identity", |z| z),
        ("relu", |z| z.max(0.0)),
        ("leaky_relu", |z| if z > 0.0 { z } else { 0.01 * z }),
        ("leaky_relu(slope=0.2)", |z| if z > 0.0 { z } else { 0.2 * z }),
        ("clipped_relu", |z| z.clamp(0.0, 6.0)),
        ("clipped_relu(limit=1.5)", |z| z.clamp(0.0, 1.5)),
        ("hard_tanh", |z| z.clamp(-1.0, 1.0)),
        ("hard_sigmoid", |z| (0.5 + z / 4.0).clamp(0.0, 1.0)),
        ("hard_sigmoid(slope=0.16666666666666666)", |z| (0.5 + z / 6.0).clamp(0.0, 1.0)),
        ("logistic", |z| 1.0 / (1.0 + (-z).exp())),
        ("tanh", f64::tanh),
        ("softplus", |z| (1.0 + z.exp()).ln()),
        ("elu", |z| if z > 0.0 { z } else { z.exp() - 1.0 }),
        ("elu(alpha=0.3)", |z| if z > 0.0 { z } else { 0.3 * (z.exp() - 1.0) }),
        ("softsign", |z| z / (1.0 + z.abs())),
        ("arctan", f64::atan),
        ("soft_threshold", |z| z.signum() * (z.abs() - 0.5).max(0.0)),
        ("soft_threshold(threshold=2)", |z| z.signum() * (z.abs() - 2.0).max(0.0)),
        ("soft_threshold(threshold=0)", |z| z),
        ("step", |z| f64::from(u8::from(z > 0.0))),
        ("sign", |z| if z == 0.0 { 0.0 } else { z.signum() }),
        ("softmax", |_| 1.0),
    ];
    for kind in ActivationKind::ALL {
        assert!(table.iter().any(|(name, _)| *name == kind.to_string()), "{kind} has no row here");
    }
    for (text, expected) in table {
        let kind = ActivationKind::parse(text).unwrap();
        let (single, double) = (kind.make::<f32>(), kind.make::<f64>());
        for z in [-7.0, -2.5, -1.5, -0.5, 0.0, 0.25, 1.25, 3.0, 6.5] {
            let (mut x, mut short) = ([f64::NAN], [f32::NAN]);
            double.apply(&[z], &mut x);
            single.apply(&[z as f32], &mut short);
            assert!((x[0] - expected(z)).abs() <= 1e-15, "{text}: φ({z}) = {}", x[0]);
            assert!((f64::from(short[0]) - expected(z)).abs() <= 5e-7, "{text}: φ({z}) = {}", short[0]);
        }
    }
}

/// f* from its integral: Simpson's rule over φ, piecewise between the places where φ bends.
#[test]
fn conjugate_is_the_integral_of_phi() {
    every::<f64>(|kind, phi| {
        let integral = |from: f64, to: f64| {
            let steps = 200_000;
            let h = (to - from) / f64::from(steps);
            let middle = (0..steps).map(|i| phi.phi(from + (f64::from(i) + 0.5) * h)).sum::<f64>();
            middle * h
        };
        for (from, to) in [(-9.0, -2.0), (-2.0, -0.3), (-0.3, 0.4), (0.4, 1.1), (1.1, 8.0)] {
            let (expected, got) = (integral(from, to), phi.conjugate(to) - phi.conjugate(from));
            let size = 1.0 + phi.phi(to).abs() + phi.phi(from).abs();
            assert!((got - expected).abs() <= 5e-5 * size, "{kind:?}: {got}, not {expected} from {from}");
        }
    });
}

const NEAR_POINTS: [(&str, f64, f64, f64); 41] = [
    ("softsign", 0.5, 1.001, 1.2495834895205843e-07),
    ("softsign", -0.5, -1.001, 1.2495834895205843e-07),
    ("softsign", 0.001, 0.0011, 4.890282570026463e-09),
    ("softsign", 0.9, 9.01, 4.996669164665898e-07),
    ("softsign", 0.999, 1000.0, 4.996669164677213e-07),
    ("softsign", 0.2, -0.3, 0.12077928684671871),
    ("arctan", 0.5, 0.55, 5.259131353706336e-06),
    ("arctan", -0.5, -0.55, 5.259131353706336e-06),
    ("arctan", 0.001, 0.001001, 4.996662220892109e-13),
    ("arctan", 1.4, 5.8, 6.467634194804714e-08),
    ("arctan", 1.57, 1200.0, 0.0010162180669841439),
    ("arctan", 1.5, -3.0, 9.744628424676176),
    ("arctan", 0.1, 7.0, 7.351291758244291),
    ("elu", -0.5, -0.7, 1.1713511436859845e-05),
    ("elu", -0.9, -2.31, 2.7422602410891494e-06),
    ("elu", -0.001, -0.0011, 4.944977707448239e-09),
    ("elu", -0.999, -6.9, 3.015006637369974e-08),
    ("elu", -0.2, 0.3, 0.1264851589486322),
    ("elu", 0.5, 0.501, 5.000000000000009e-07),
    ("elu", 0.25, -4.0, 4.049565638888734),
    ("elu(alpha=0.3)", -0.29, -3.39, 6.292532501671069e-07),
    ("elu(alpha=0.3)", -0.1, -0.41, 2.0534192629333133e-06),
    ("elu(alpha=0.3)", -0.3, -1.0, 0.1103638323514327),
    ("elu(alpha=0.3)", -0.1, -30.0, 5.718906978378395),
    ("softplus", 1.0, 0.54, 5.546714286593861e-07),
    ("softplus", 0.7, 0.02, 1.0131351502999081e-05),
    ("softplus", 0.01, -4.7, 4.799128888831226e-05),
    ("softplus", 0.001, 3.0, 6.084845841244309),
    ("softplus", 5.0, 5.001, 2.991222570203875e-05),
    ("softplus", 12.0, -7.0, 154.35598375154115),
    ("softplus", 20.0, 20.1, 0.005000000196144844),
    ("softplus", 0.6, -3.0, 1.035679968005016),
    ("softplus", 3.0, 0.1, 3.499810206187832),
    ("soft_threshold", 0.5, 1.001, 4.999999999998899e-07),
    ("soft_threshold", 0.0, 0.3, 0.0),
    ("soft_threshold", 0.2, 0.3, 0.060000000000000005),
    ("soft_threshold", -0.2, 0.9, 0.38),
    ("hard_sigmoid", 0.5, 0.01, 1.25e-05),
    ("hard_sigmoid", 1.0, 2.01, 0.0),
    ("hard_sigmoid", 0.9, 2.5, 0.06999999999999998),
    ("hard_sigmoid", 0.1, 2.5, 2.07),
];

/// Where formulas subtract near numbers, against values to 50 digits.
#[test]
fn divergences_of_near_points_keep_their_digits() {
    for (text, x, z, expected) in NEAR_POINTS {
        let phi = ActivationKind::parse(text).unwrap().elementwise::<f64>().unwrap();
        let d = phi.divergence(x, z);
        assert!((d - expected).abs() <= 1e-8 * expected, "{text}: D({x}, {z}) = {d}, not {expected}");
    }
}

/// −Li₂(−e^z), as scipy.special.spence(1 + e^z) gives it with the sign changed.
const SPENCE: [(f64, f64); 14] = [
    (-40.0, 4.248354255291589e-18),
    (-20.0, 2.061153621376469e-09),
    (-3.0, 0.04918072033882423),
    (-0.7, 0.4456434426919501),
    (-0.001, 0.8217741362018867),
    (0.0, 0.8224670334241132),
    (0.001, 0.8231604306463398),
    (0.4, 1.1423819861584357),
    (0.5, 1.2367167868533453),
    (1.3, 2.234015709011322),
    (2.7, 5.223825195342973),
    (12.0, 73.64492792264531),
    (60.0, 1801.6449340668482),
    (10000.0, 50000001.644934067),
];

#[test]
fn softplus_has_a_dilogarithm_for_its_conjugate() {
    for (z, expected) in SPENCE {
        let single: f32 = ActivationKind::Softplus.elementwise().unwrap().conjugate(z as f32);
        let double = ActivationKind::Softplus.elementwise::<f64>().unwrap().conjugate(z);
        assert!((double - expected).abs() <= 4e-16 * expected.abs(), "f*({z}) = {double}, not {expected}");
        assert!((f64::from(single) - expected).abs() <= 4e-7 * expected.abs(), "f*({z}) = {single}");
    }
}

#[test]
fn jumps_borrow_the_clip_of_their_range() {
    for (kind, expected) in
        [(ActivationKind::Step, "hard_sigmoid(slope=0.5)"), (ActivationKind::Sign, "hard_tanh")]
    {
        assert_eq!(kind.lifted(), ActivationKind::parse(expected).unwrap());
        let (phi, lifted) = (kind.elementwise::<f64>().unwrap(), kind.lifted().elementwise::<f64>().unwrap());
        assert_eq!(phi.domain(), lifted.domain());
        let tie = Tie::<f64>::new(kind, Divergence::Fenchel);
        assert_eq!(tie.curvature(), lifted.slope_bound());
        for z in moderate::<f64>() {
            let mut x = [f64::NAN];
            tie.apply(&[z], &mut x);
            assert_eq!(x[0], phi.phi(z), "the forward pass takes the true jump");
            assert_eq!(tie.divergence(&x, &[z]), lifted.divergence(x[0], z));
            assert!(z.abs() < 1.0 || lifted.phi(z) == phi.phi(z), "they differ near the jump only");
        }
    }
    for &kind in ActivationKind::ALL {
        assert!(kind.lifted().make::<f64>().slope_bound().is_finite(), "{kind}");
    }
}

/// D of a jump is how far z lies on the wrong side, by hand.
#[test]
fn divergences_of_jumps() {
    let (step, sign) = (ActivationKind::Step, ActivationKind::Sign);
    for (kind, x, z, expected) in [
        (step, 0.0, -3.0, 0.0),
        (step, 1.0, -3.0, 3.0),
        (step, 0.25, -2.0, 0.5),
        (step, 0.25, 2.0, 1.5),
        (step, 0.7, 0.0, 0.0),
        (sign, -1.0, -3.0, 0.0),
        (sign, 1.0, -3.0, 6.0),
        (sign, 0.5, 2.0, 1.0),
        (sign, 0.3, 0.0, 0.0),
    ] {
        assert_eq!(kind.elementwise::<f64>().unwrap().divergence(x, z), expected, "{kind}: D({x}, {z})");
        assert_eq!(kind.elementwise::<f32>().unwrap().divergence(x as f32, z as f32).f64(), expected);
    }
}

#[test]
fn euclidean_divergence_is_for_projections_only() {
    let mut projections = Vec::new();
    for kind in kinds() {
        let Err(error) = Divergence::Euclidean.check(kind) else {
            projections.push(kind);
            continue;
        };
        let message = error.to_string();
        for part in ["divergence", "euclidean", &kind.to_string(), "identity, relu, clipped_relu, hard_tanh"]
        {
            assert!(message.contains(part), "{message}");
        }
    }
    assert_eq!(projections.len(), 3 + kinds().iter().filter(|kind| kind.name() == "clipped_relu").count());
    for kind in projections {
        let phi = kind.elementwise::<f64>().unwrap();
        let (low, high) = phi.domain();
        for z in moderate::<f64>() {
            assert_eq!(phi.phi(z), z.max(low).min(high), "{kind}");
        }
    }
}

/// E φ(√g z)² for standard normal z, by the trapezoidal rule: 1 where φ is not bounded.
#[test]
fn initial_gains_keep_the_size_of_signals() {
    every::<f64>(|kind, phi| {
        let gain = kind.init_gain();
        let h = 1e-3;
        let density = |z: f64| (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let size: f64 = (-9000..=9000)
            .map(|i| h * f64::from(i))
            .map(|z| h * density(z) * phi.phi(gain.sqrt() * z).powi(2))
            .sum();
        let (low, high) = phi.domain();
        if high.is_infinite() {
            assert!((0.85..1.25).contains(&size), "{kind}: gain {gain} gives {size}");
        } else {
            assert!(size <= 1.0 + 1e-9, "{kind}: in ({low}, {high}) gain {gain} gives {size}");
        }
    });
    assert_eq!(ActivationKind::Softmax.init_gain(), 1.0);
}

for_both!(
    softmax_rows_are_probabilities,
    softmax_keeps_many_small_terms,
    softmax_is_the_gradient_of_its_conjugate,
    softmax_divergence_is_relative_entropy,
    softmax_slope_is_bounded_by_a_half,
    softmax_pulls_back_towards_its_jacobian,
);

/// Rows of one to seven numbers, small, mixed and far apart.
fn softmax_rows<T: Real>() -> Vec<Vec<T>> {
    let mut rows =
        vec![vec![0.0], vec![1e4], vec![-1e30, 0.0, 1e30], vec![700.0; 3], vec![-0.0, 90.0, -90.0]];
    for units in 2..8 {
        for scale in [1e-6, 0.3, 1.0, 5.0] {
            let value = |j: usize| scale * ((j * 7 + units * 3) % 11) as f64 * 0.4 - 1.5 * scale;
            rows.push((0..units).map(value).collect());
        }
    }
    rows.iter().map(|row| row.iter().map(|&v| T::of(v)).collect()).collect()
}

fn softmax<T: Real>(z: &[T]) -> Vec<T> {
    let mut x = vec![T::nan(); z.len()];
    ActivationKind::Softmax.make::<T>().apply(z, &mut x);
    x
}

fn softmax_rows_are_probabilities<T: Real>() {
    for z in softmax_rows::<T>() {
        let x = softmax(&z);
        let sum: f64 = x.iter().map(|x| x.f64()).sum();
        assert!(x.iter().all(|&x| x >= T::zero()) && (sum - 1.0).abs() <= 4.0 * eps::<T>(), "{z:?}: {x:?}");
        for (i, j) in (0..z.len()).flat_map(|i| (0..z.len()).map(move |j| (i, j))) {
            if x[i].f64() > 1e-30 && x[j].f64() > 1e-30 {
                let (got, expected) = ((x[i] / x[j]).ln().f64(), (z[i] - z[j]).f64());
                assert!((got - expected).abs() <= 8.0 * eps::<T>() * (1.0 + expected.abs()), "{z:?}");
            }
        }
    }
}

/// Each below half the rounding of the largest term in single precision, together 1,000 times of it.
fn softmax_keeps_many_small_terms<T: Real>() {
    let small = T::of((0.25 * eps::<f32>()).ln());
    let z: Vec<T> = (0..4000).map(|j| if j == 7 { T::zero() } else { small }).collect();
    let expected = 1.0 / (1.0 + 3999.0 * small.f64().exp());
    assert!((softmax(&z)[7].f64() - expected).abs() <= 64.0 * eps::<T>());
}

/// Central differences of ln Σ e^z, and f + f* = ⟨x, z⟩ at x = φ(z).
fn softmax_is_the_gradient_of_its_conjugate<T: Real>() {
    let phi = ActivationKind::Softmax.make::<T>();
    let smooth = ActivationKind::Softmax.make::<f64>();
    for z in softmax_rows::<T>() {
        let (x, size) = (softmax(&z), z.iter().fold(1.0, |top: f64, z| top.max(z.abs().f64())));
        let product: f64 = x.iter().zip(&z).map(|(x, z)| x.f64() * z.f64()).sum();
        let gap = phi.potential(&x) + phi.conjugate(&z) - product;
        assert!(gap.abs() <= 16.0 * eps::<T>() * size, "{z:?}: gap {gap}");
        let at: Vec<f64> = z.iter().map(|z| z.f64()).collect();
        for j in 0..z.len() {
            let h = 1e-4;
            let shifted = |h: f64| {
                let mut z = at.clone();
                z[j] += h;
                smooth.conjugate(&z)
            };
            let slope = (shifted(h) - shifted(-h)) / (2.0 * h);
            if size < 1e3 {
                assert!(
                    (slope - x[j].f64()).abs() <= 1e-7 + 4.0 * eps::<T>(),
                    "{z:?}: {slope}, not {}",
                    x[j]
                );
            }
        }
    }
}

fn softmax_divergence_is_relative_entropy<T: Real>() {
    let phi = ActivationKind::Softmax.make::<T>();
    for z in softmax_rows::<T>() {
        let p = softmax(&z);
        let d = phi.divergence(&p, &z);
        let size = z.iter().fold(1.0, |top: f64, z| top.max(z.abs().f64()));
        assert!((0.0..=4.0 * eps::<T>() * size.min(1e3)).contains(&d), "D(φ(z), z) = {d} at {z:?}");
        for other in softmax_rows::<T>().iter().filter(|other| other.len() == z.len()) {
            let x = softmax(other);
            let d = phi.divergence(&x, &z);
            assert!(d >= 0.0 && d.is_finite(), "D({x:?}, {z:?}) = {d}");
            if size < 1e2 {
                let entropy = |x: f64, p: f64| if x > 0.0 { x * (x / p).ln() } else { 0.0 };
                let expected: f64 = x.iter().zip(&p).map(|(x, p)| entropy(x.f64(), p.f64())).sum();
                assert!((d - expected).abs() <= 32.0 * eps::<T>() * (1.0 + expected), "{d}, not {expected}");
            }
        }
        // A corner of the simplex is in the domain, what lies beside the simplex is not.
        let mut corner = vec![T::zero(); z.len()];
        corner[0] = T::one();
        let loss = phi.conjugate(&z) - z[0].f64();
        assert!((phi.divergence(&corner, &z) - loss).abs() <= 1e-6 * (1.0 + loss), "the log-loss");
        corner[0] = T::of(0.9);
        assert_eq!(phi.potential(&corner), f64::INFINITY);
        assert_eq!(phi.divergence(&corner, &z), f64::INFINITY);
        if z.len() > 1 {
            (corner[0], corner[1]) = (T::of(1.1), T::of(-0.1));
            assert_eq!(phi.divergence(&corner, &z), f64::INFINITY);
        }
    }
}

/// |φ(a) − φ(b)| ≤ ½|a − b|, attained for two units near z = 0.
fn softmax_slope_is_bounded_by_a_half<T: Real>() {
    let bound = ActivationKind::Softmax.make::<T>().slope_bound().f64();
    let length =
        |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| (a.f64() - b.f64()).powi(2)).sum::<f64>().sqrt();
    for a in softmax_rows::<T>() {
        for b in softmax_rows::<T>().iter().filter(|b| b.len() == a.len()) {
            let (move_x, move_z) = (length(&softmax(&a), &softmax(b)), length(&a, b));
            assert!(move_x <= bound * move_z + 8.0 * eps::<T>(), "{a:?}, {b:?}");
        }
    }
    let (a, b) = ([T::of(0.01), T::of(-0.01)], [T::of(-0.01), T::of(0.01)]);
    let steepest = length(&softmax(&a), &softmax(&b)) / length(&a, &b);
    assert!((steepest - bound).abs() <= 1e-3, "{steepest}");
}

/// λ(φ(z) − φ(z − g/λ)) → (diag x − x xᵀ) g as λ → ∞, and by its definition before.
fn softmax_pulls_back_towards_its_jacobian<T: Real>() {
    let tie = Tie::<T>::new(ActivationKind::Softmax, Divergence::Fenchel);
    for z in softmax_rows::<T>().iter().filter(|z| z.iter().all(|z| z.abs().f64() < 50.0)) {
        let (x, given) = (softmax(z), gradients::<T>(z.len()));
        let inner: f64 = x.iter().zip(&given).map(|(x, g)| (*x * *g).f64()).sum();
        for lambda in [0.5, eps::<T>().sqrt().recip()] {
            let mut g = given.clone();
            tie.pull_back(z, &x, T::of(lambda), &mut g);
            let moved: Vec<T> = z.iter().zip(&given).map(|(&z, &g)| z - g / T::of(lambda)).collect();
            for (j, moved) in softmax(&moved).into_iter().enumerate() {
                let expected = lambda * (x[j] - moved).f64();
                let wrong = (g[j].f64() - expected).abs();
                assert!(wrong <= 1e-5 * eps::<T>().sqrt() + 4.0 * eps::<T>() * lambda, "{z:?}");
                let limit = x[j].f64() * (given[j].f64() - inner);
                assert!(lambda < 1.0 || (g[j].f64() - limit).abs() <= 200.0 / lambda, "{z:?}: {}", g[j]);
            }
        }
    }
}

fn magnitude() -> impl Strategy<Value = f64> {
    (any::<bool>(), -30.0..30.0f64).prop_map(|(negative, exponent)| {
        let size = 10f64.powf(exponent);
        if negative { -size } else { size }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any x, moved into the domain, and any z: D is a number that is not negative, and at least
    /// the quadratic lower bound where that is well above rounding.
    #[test]
    fn divergence_is_stable_everywhere(x in magnitude(), z in magnitude()) {
        stable::<f32>(x, z)?;
        stable::<f64>(x, z)?;
    }
}

fn stable<T: Real>(x: f64, z: f64) -> Result<(), TestCaseError> {
    for kind in kinds() {
        let Some(phi) = kind.elementwise::<T>() else { continue };
        let (low, high) = phi.domain();
        let (x, z) = (T::of(x).max(low).min(high), T::of(z));
        let d = phi.divergence(x, z);
        prop_assert!(d >= T::zero(), "{:?}: D({}, {}) = {}", kind, x, z, d);
        let away = (x - phi.phi(z)).f64();
        let least = away * away / (2.0 * phi.slope_bound().f64());
        let rounding = 16.0 * eps::<T>() * (1.0 + least);
        prop_assert!(d.f64() >= least - rounding || least > 1e37, "{:?}: D({}, {}) = {}", kind, x, z, d);
    }
    Ok(())
}
