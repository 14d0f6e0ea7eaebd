//! Every activation of `ActivationKind::ALL` against the properties of an argmin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use liftnet::activation::{ActivationKind, Divergence, Elementwise, Tie};
use liftnet::real::Real;
use proptest::prelude::*;

/// Runs generic tests for both float types.
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

fn every<T: Real>(mut test: impl FnMut(ActivationKind, &dyn Elementwise<T>)) {
    for &kind in ActivationKind::ALL {
        test(kind, kind.elementwise::<T>().as_ref());
    }
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
                assert!(d.is_finite() || !moderate, "{kind:?}: D({x}, {z}) = {d}");
            }
        }
    });
}

fn divergence_vanishes_at_phi<T: Real>() {
    every::<T>(|kind, phi| {
        for z in wide::<T>().into_iter().chain(moderate()) {
            let d = phi.divergence(phi.phi(z), z).f64();
            assert!(d <= 4.0 * eps::<T>(), "{kind:?}: D(φ({z}), {z}) = {d}");
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
        let reference = kind.elementwise::<f64>();
        for z in wide::<f32>().into_iter().chain(moderate()).filter(|z| z.abs() < 1e15) {
            for (what, got, expected) in [
                ("φ", phi.phi(z), reference.phi(z.into())),
                ("f*", phi.conjugate(z), reference.conjugate(z.into())),
            ] {
                let allowed = 4.0 * eps::<f32>() * expected.abs() + 1e-37;
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
            assert!(most - least <= slack, "{kind:?}: φ jumps at {z}");
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
            let rounding = 4.0 * eps::<T>() * phi.phi(pair[0]).abs().max(phi.phi(pair[1]).abs()).f64();
            assert!(rise <= bound * run + rounding, "{kind:?}: slope {} at {}", rise / run, pair[0]);
            if run > 1e-3 {
                steepest = steepest.max(rise / run);
            }
        }
        assert!(steepest >= 0.99 * bound, "{kind:?}: steepest slope {steepest}, bound {bound}");
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
        rows.apply(&z, &mut x);
        let given = gradients::<T>(z.len());
        for lambda in [0.5, 1.0, 10.0].map(T::of) {
            let mut g = given.clone();
            tie.pull_back(&z, &x, lambda, &mut g);
            for i in 0..z.len() {
                assert_eq!(x[i], phi.phi(z[i]), "{kind:?}: φ({})", z[i]);
                let moved = phi.phi(z[i] - given[i] / lambda);
                let expected = lambda.f64() * (x[i].f64() - moved.f64());
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
        let given = gradients::<T>(z.len());
        let mut g = given.clone();
        Tie::new(kind, Divergence::Fenchel).pull_back(&z, &x, T::of(3.0), &mut g);
        for i in 0..z.len() {
            let (before, after) = (given[i].f64(), g[i].f64());
            let rounding = 32.0 * eps::<T>() * (1.0 + z[i].abs().f64());
            assert!(after * before >= -rounding * before.abs(), "{kind:?}: {after} from {before}");
            let most = phi.slope_bound().f64() * before.abs() + rounding;
            assert!(after.abs() <= most, "{kind:?}: {after} from {before}");
        }
    });
}

/// λ(φ(z) − φ(z − g/λ)) → φ′(z) g as λ → ∞, away from kinks.
fn pull_back_tends_to_the_derivative<T: Real>() {
    every::<T>(|kind, phi| {
        let (reference, tie) = (kind.elementwise::<f64>(), Tie::<T>::new(kind, Divergence::Fenchel));
        let lambda = eps::<T>().sqrt().recip();
        // Farther than any of the steps g/λ below reaches.
        let h = (2.0 / lambda).max(1e-4);
        let mut compared = 0;
        for z in moderate::<T>() {
            let at = |shift: f64| reference.phi(z.f64() + shift);
            let (left, right) = ((at(0.0) - at(-h)) / h, (at(h) - at(0.0)) / h);
            if (left - right).abs() > 1e-2 {
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
    let at = [-2.0, -0.5, 0.0, 0.25, 3.0];
    let table: [(ActivationKind, [f64; 5]); 6] = [
        (ActivationKind::Identity, at),
        (ActivationKind::Relu, [0.0, 0.0, 0.0, 0.25, 3.0]),
        (ActivationKind::LeakyRelu { slope: 0.01 }, [-0.02, -0.005, 0.0, 0.25, 3.0]),
        (
            ActivationKind::Logistic,
            [
                0.119_202_922_022_117_6,
                0.377_540_668_798_145_4,
                0.5,
                0.562_176_500_885_798_1,
                0.952_574_126_822_433_2,
            ],
        ),
        (
            ActivationKind::Tanh,
            [
                -0.964_027_580_075_816_9,
                -0.462_117_157_260_009_8,
                0.0,
                0.244_918_662_403_709_13,
                0.995_054_753_686_730_4,
            ],
        ),
        (ActivationKind::HardTanh, [-1.0, -0.5, 0.0, 0.25, 1.0]),
    ];
    for (kind, expected) in table {
        let (single, double) = (kind.elementwise::<f32>(), kind.elementwise::<f64>());
        for (z, expected) in at.into_iter().zip(expected) {
            assert!((double.phi(z) - expected).abs() <= 1e-15, "{kind:?}: φ({z}) = {}", double.phi(z));
            let single = f64::from(single.phi(z as f32));
            assert!((single - expected).abs() <= 2e-7, "{kind:?}: φ({z}) = {single}");
        }
    }
}

#[test]
fn initial_gains_are_positive() {
    for kind in ActivationKind::ALL {
        assert!(kind.init_gain() > 0.0 && kind.init_gain().is_finite());
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
    for kind in ActivationKind::ALL {
        let phi = kind.elementwise::<T>();
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
