//! Every loss of `LossKind::ALL`: gradient, convexity, curvature, stability, score.

use crate::common::losses;
use liftnet::loss::{Loss, LossKind, Targets};
use liftnet::real::Real;
use ndarray::Array2;
use proptest::prelude::*;

for_both!(
    gradient_is_the_slope_of_the_value,
    loss_is_convex_and_its_gradient_cocoercive,
    curvature_bound_is_the_largest_eigenvalue,
    huge_logits_stay_finite,
    value_at_zero_is_the_value_there,
    best_prediction_scores_best,
    targets_are_read_by_row,
);

/// Targets of a few samples, owned.
struct Case<T> {
    kind: LossKind,
    outputs: usize,
    classes: Vec<u32>,
    values: Array2<T>,
}

impl<T: Real> Case<T> {
    fn targets(&self) -> Targets<'_, T> {
        match self.kind.has_values() {
            true => Targets::Values(self.values.view()),
            false => Targets::Classes(&self.classes),
        }
    }

    fn rows(&self) -> usize {
        self.targets().len()
    }
}

/// Targets for each loss and some numbers of outputs; a new loss needs a line here.
fn cases<T: Real>() -> Vec<Case<T>> {
    let mut cases = Vec::new();
    for kind in losses() {
        let (outputs, classes): (&[usize], &[u32]) = match kind {
            LossKind::Softmax { .. } => (&[2, 3, 10], &[1, 0, 1]),
            LossKind::Logistic { .. } => (&[1], &[1, 0]),
            LossKind::Multilabel { .. } => (&[1, 4], &[]),
            regression if regression.is_regression() => (&[1, 4], &[]),
            other => panic!("no targets for {other:?}"),
        };
        for &outputs in outputs {
            let mut classes = classes.to_vec();
            if matches!(kind, LossKind::Softmax { .. }) {
                classes.push(outputs as u32 - 1);
            }
            let mut values =
                Array2::from_shape_fn((3, outputs), |(i, j)| T::of(0.7 * i as f64 - 0.4 * j as f64));
            if kind == LossKind::Poisson {
                // Counts: 0 among them.
                values.mapv_inplace(|v| v.max(T::zero()));
            }
            if matches!(kind, LossKind::Multilabel { .. }) {
                values.mapv_inplace(|v| if v > T::of(0.2) { T::one() } else { T::zero() });
            }
            cases.push(Case { kind, outputs, classes, values });
        }
    }
    cases
}

fn every<T: Real>(mut test: impl FnMut(&Case<T>, &dyn Loss<T>)) {
    for case in cases::<T>() {
        test(&case, case.kind.make::<T>().as_ref());
    }
}

/// Logits at 0, at moderate and at large values; a fixed pseudo-random pattern.
fn points<T: Real>(outputs: usize) -> Vec<Vec<T>> {
    let pattern = |seed: usize, j: usize| ((seed * 7919 + j * 104_729 + 13) % 1000) as f64 / 500.0 - 1.0;
    let mut points = vec![vec![T::zero(); outputs]];
    for (seed, size) in [0.1, 0.5, 1.0, 1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
        points.push((0..outputs).map(|j| T::of(size * pattern(seed, j))).collect());
    }
    points
}

fn value_and_gradient<T: Real>(loss: &dyn Loss<T>, case: &Case<T>, row: usize, z: &[T]) -> (T, Vec<T>) {
    let mut logits = z.to_vec();
    let value = loss.value_and_gradient(&case.targets(), row, &mut logits);
    (value, logits)
}

fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum()
}

fn difference<T: Real>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(&a, &b)| a - b).collect()
}

fn gradient_is_the_slope_of_the_value<T: Real>() {
    every::<T>(|case, loss| {
        let h = T::epsilon().f64().cbrt();
        for z in points::<T>(case.outputs) {
            for row in 0..case.rows() {
                let (value, gradient) = value_and_gradient(loss, case, row, &z);
                for j in 0..case.outputs {
                    let (mut above, mut below) = (z.clone(), z.clone());
                    above[j] += T::of(h);
                    below[j] -= T::of(h);
                    let run = (above[j] - below[j]).f64();
                    let rise = value_and_gradient(loss, case, row, &above).0.f64()
                        - value_and_gradient(loss, case, row, &below).0.f64();
                    let allowed = 4.0 * h * h * (1.0 + value.f64());
                    let wrong = (rise / run - gradient[j].f64()).abs();
                    assert!(wrong <= allowed, "{:?} row {row} at {z:?}: off by {wrong}", case.kind);
                }
            }
        }
    });
}

/// ⟨g(a) − g(b), a − b⟩ ≥ ‖g(a) − g(b)‖² / curvature bound: convex, with a Lipschitz gradient.
fn loss_is_convex_and_its_gradient_cocoercive<T: Real>() {
    every::<T>(|case, loss| {
        let bound = loss.curvature_bound().f64();
        let points = points::<T>(case.outputs);
        for row in 0..case.rows() {
            for a in &points {
                for b in &points {
                    let (value_a, gradient_a) = value_and_gradient(loss, case, row, a);
                    let (value_b, gradient_b) = value_and_gradient(loss, case, row, b);
                    let (step, change) = (difference(a, b), difference(&gradient_a, &gradient_b));
                    let slack = 64.0 * T::epsilon().f64() * (1.0 + dot(&step, &step));
                    let inner = dot(&change, &step);
                    assert!(inner >= dot(&change, &change) / bound - slack, "{:?}: {a:?} {b:?}", case.kind);
                    let tangent = value_b.f64() + dot(&gradient_b, &step);
                    assert!(value_a.f64() >= tangent - slack, "{:?}: {a:?} under a tangent", case.kind);
                }
            }
        }
    });
}

/// Over the points, which include equal logits, the Hessian reaches the bound and never exceeds it.
fn curvature_bound_is_the_largest_eigenvalue<T: Real>() {
    every::<T>(|case, loss| {
        let bound = loss.curvature_bound().f64();
        if bound.is_infinite() {
            assert_eq!(case.kind, LossKind::Poisson);
            return;
        }
        let mut largest = 0.0f64;
        for z in points::<T>(case.outputs) {
            for row in 0..case.rows() {
                let hessian = hessian(loss, case, row, &z);
                let eigenvalue = top_eigenvalue(&hessian);
                assert!(eigenvalue <= bound * 1.01, "{:?}: {eigenvalue} above {bound}", case.kind);
                largest = largest.max(eigenvalue);
            }
        }
        if case.outputs <= 2 {
            assert!(largest >= 0.99 * bound, "{:?}: {largest} far below {bound}", case.kind);
        }
    });
}

/// Central differences of the gradient.
fn hessian<T: Real>(loss: &dyn Loss<T>, case: &Case<T>, row: usize, z: &[T]) -> Array2<f64> {
    let h = T::of(T::epsilon().f64().cbrt());
    let mut hessian = Array2::zeros((z.len(), z.len()));
    for j in 0..z.len() {
        let (mut above, mut below) = (z.to_vec(), z.to_vec());
        above[j] += h;
        below[j] -= h;
        let run = (above[j] - below[j]).f64();
        let rise = difference(
            &value_and_gradient(loss, case, row, &above).1,
            &value_and_gradient(loss, case, row, &below).1,
        );
        for (i, rise) in rise.into_iter().enumerate() {
            hessian[[i, j]] = rise.f64() / run;
        }
    }
    hessian
}

/// Power iteration from a start that no eigenvector of interest is orthogonal to.
fn top_eigenvalue(matrix: &Array2<f64>) -> f64 {
    let mut v = ndarray::Array1::from_shape_fn(matrix.nrows(), |i| (1.0 + i as f64).sin() + 0.1 * i as f64);
    let mut value = 0.0;
    for _ in 0..500 {
        let image = matrix.dot(&v);
        value = image.dot(&image).sqrt();
        if value == 0.0 {
            return 0.0;
        }
        v = image / value;
    }
    value
}

fn huge_logits_stay_finite<T: Real>() {
    every::<T>(|case, loss| {
        for size in [50.0, 90.0, 710.0, 1e4] {
            for pattern in 0..1 << case.outputs.min(4) {
                let z: Vec<T> = (0..case.outputs)
                    .map(|j| T::of(if pattern >> (j % 4) & 1 == 1 { size } else { -size }))
                    .collect();
                for row in 0..case.rows() {
                    let (value, gradient) = value_and_gradient(loss, case, row, &z);
                    let name = case.kind;
                    assert!(value >= T::zero() && value.is_finite(), "{name:?}: {value} at {z:?}");
                    assert!(gradient.iter().all(|g| g.is_finite()), "{name:?}: {gradient:?} at {z:?}");
                    assert!(loss.score(&case.targets(), row, &z).is_finite());
                    if !name.is_regression() {
                        assert!(gradient.iter().all(|g| g.abs() <= T::one()), "{name:?}: {gradient:?}");
                        // No logit is farther than 2·size from another; of labels each counts.
                        assert!(
                            value.f64() <= (2.0 * size + 3.0) * case.outputs as f64,
                            "{name:?}: {value} at {z:?}"
                        );
                    }
                }
            }
        }
    });
}

fn value_at_zero_is_the_value_there<T: Real>() {
    every::<T>(|case, loss| {
        for row in 0..case.rows() {
            let (value, _) = value_and_gradient(loss, case, row, &vec![T::zero(); case.outputs]);
            let null = loss.value_at_zero(&case.targets(), row, case.outputs);
            assert!(
                (value - null).abs() <= T::of(4.0) * T::epsilon(),
                "{:?}: {null}, not {value}",
                case.kind
            );
        }
    });
}

/// A score is highest where the loss is lowest: at the target.
fn best_prediction_scores_best<T: Real>() {
    every::<T>(|case, loss| {
        for row in 0..case.rows() {
            let towards = |sign: f64| -> Vec<T> {
                (0..case.outputs)
                    .map(|j| match (case.kind, case.classes.get(row)) {
                        // Before the smallest rate that is right to rounding, for a count of 0.
                        (LossKind::Poisson, _) if case.values[[row, j]] == T::zero() => T::of(-60.0 * sign),
                        (LossKind::Poisson, _) => case.values[[row, j]].ln() + T::of((1.0 - sign) * 2.0),
                        (kind, _) if kind.is_regression() => {
                            case.values[[row, j]] + T::of((1.0 - sign) * 2.0)
                        }
                        (LossKind::Multilabel { .. }, _) => {
                            T::of(sign) * (case.values[[row, j]] - T::of(0.5))
                        }
                        (LossKind::Logistic { .. }, Some(&class)) => {
                            T::of(sign * (2.0 * f64::from(class) - 1.0))
                        }
                        (_, Some(&class)) if class as usize == j => T::of(sign),
                        _ => T::zero(),
                    })
                    .collect()
            };
            let targets = case.targets();
            let (right, wrong) = (towards(1.0), towards(-1.0));
            let (best, worst) = (loss.score(&targets, row, &right), loss.score(&targets, row, &wrong));
            assert!(best > worst, "{:?} row {row}: {best} and {worst}", case.kind);
            let value = |z: &[T]| value_and_gradient(loss, case, row, z).0;
            assert!(value(&right) < value(&wrong), "{:?} row {row}", case.kind);
            if case.kind.is_regression() {
                assert_eq!((best, worst), (-value(&right), -value(&wrong)));
                assert!(value(&right).f64() <= 1e-12, "{:?} row {row}: {}", case.kind, value(&right));
            } else {
                assert_eq!((best, worst), (T::one(), T::zero()), "{:?} row {row}", case.kind);
            }
        }
    });
}

/// Value and gradient differ where the targets do.
fn targets_are_read_by_row<T: Real>() {
    every::<T>(|case, loss| {
        let z: Vec<T> = (0..case.outputs).map(|j| T::of(0.3 * j as f64 + 0.1)).collect();
        let all: Vec<(T, Vec<T>)> =
            (0..case.rows()).map(|row| value_and_gradient(loss, case, row, &z)).collect();
        for (a, first) in all.iter().enumerate() {
            for (b, second) in all.iter().enumerate() {
                let same = match case.kind.has_values() {
                    true => case.values.row(a) == case.values.row(b),
                    false => case.classes[a] == case.classes[b],
                };
                assert_eq!(first == second, same, "{:?} rows {a}, {b}", case.kind);
            }
        }
    });
}

/// As the largest logit is predicted: of equal ones the first; with NaN none is right.
#[test]
fn equal_logits_score_as_predicted() {
    let score =
        |class: u32, z: &[f64]| LossKind::SOFTMAX.make::<f64>().score(&Targets::Classes(&[class]), 0, z);
    for (z, predicted) in [([2.0, 2.0, 1.0], 0), ([1.0, 2.0, 2.0], 1), ([0.0; 3], 0), ([0.0, 1.0, 2.0], 2)] {
        for class in 0..3 {
            assert_eq!(score(class, &z), if class == predicted { 1.0 } else { 0.0 }, "{z:?}, {class}");
        }
    }
    assert!((0..3).all(|class| score(class, &[f64::NAN; 3]) == 0.0));
}

/// ℓ(y, z) from its formula, at logits for which the formula is accurate.
#[test]
fn values_are_those_of_the_formulas() {
    let z = [0.3, -1.2, 0.8];
    let sum: f64 = z.iter().map(|z: &f64| z.exp()).sum();
    let mut logits = z;
    let value = LossKind::SOFTMAX.make::<f64>().value_and_gradient(&Targets::Classes(&[2]), 0, &mut logits);
    assert!((value - (sum.ln() - 0.8)).abs() < 1e-15);
    for (j, gradient) in logits.into_iter().enumerate() {
        let expected = z[j].exp() / sum - if j == 2 { 1.0 } else { 0.0 };
        assert!((gradient - expected).abs() < 1e-15);
    }

    for (class, expected) in [(0, (1.0 + 0.3f64.exp()).ln()), (1, (1.0 + (-0.3f64).exp()).ln())] {
        let value =
            LossKind::LOGISTIC.make::<f64>().value_and_gradient(&Targets::Classes(&[class]), 0, &mut [0.3]);
        assert!((value - expected).abs() < 1e-15);
    }

    let y = ndarray::array![[1.0, -2.0]];
    let mut logits = [0.5, 1.0];
    let value =
        LossKind::Squared.make::<f64>().value_and_gradient(&Targets::Values(y.view()), 0, &mut logits);
    assert_eq!((value, logits), (0.5 * (0.25 + 9.0), [-0.5, 3.0]));
}

/// The mean of the plain losses of all classes, weighted by the smoothed label.
#[test]
fn smoothed_losses_are_mixtures_of_plain_ones() {
    let z = [0.3, -1.2, 0.8];
    let value = |kind: LossKind, class: u32, z: &[f64]| {
        let mut logits = z.to_vec();
        (kind.make::<f64>().value_and_gradient(&Targets::Classes(&[class]), 0, &mut logits), logits)
    };
    for smoothing in [0.0, 0.1, 0.7] {
        for (smoothed, plain, z) in [
            (LossKind::Softmax { smoothing }, LossKind::SOFTMAX, &z[..]),
            (LossKind::Logistic { smoothing }, LossKind::LOGISTIC, &z[..1]),
        ] {
            let count = z.len().max(2);
            for class in 0..count as u32 {
                let (got, slopes) = value(smoothed, class, z);
                let (mut expected, mut gradient) = (0.0, vec![0.0; z.len()]);
                for other in 0..count as u32 {
                    let share =
                        smoothing / count as f64 + f64::from(u8::from(other == class)) * (1.0 - smoothing);
                    let (loss, slopes) = value(plain, other, z);
                    expected += share * loss;
                    gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += share * slope);
                }
                assert!((got - expected).abs() <= 1e-14, "{smoothed:?}, {class}: {got}, not {expected}");
                assert!(slopes.iter().zip(gradient).all(|(a, b)| (a - b).abs() <= 1e-15), "{smoothed:?}");
            }
        }
    }
}

/// max over p of p·r − μp²/2 and of p·r − p²/2, by search; half the deviance from its definition.
#[test]
fn values_of_the_regression_losses_are_those_of_their_definitions() {
    let value = |kind: LossKind, y: f64, z: f64| {
        let y = ndarray::array![[y]];
        kind.make::<f64>().value_and_gradient(&Targets::Values(y.view()), 0, &mut [z])
    };
    let search = |radius: f64, curvature: f64, r: f64| {
        let points = (0..=20_000).map(|i| radius * (i as f64 / 1e4 - 1.0));
        points.map(|p| p * r - 0.5 * curvature * p * p).fold(f64::NEG_INFINITY, f64::max)
    };
    for r in [-3.0, -1.0, -0.4, -0.05, 0.0, 0.02, 0.3, 0.7, 1.0, 2.5] {
        let smoothed = value(LossKind::Absolute { smoothing: 0.3 }, 0.5, 0.5 + r);
        assert!((smoothed - search(1.0, 0.3, r)).abs() <= 1e-7, "{r}: {smoothed}");
        // At most μ/2 below the absolute value, and never above.
        assert!(smoothed <= r.abs() + 1e-15 && smoothed >= r.abs() - 0.15 - 1e-15, "{r}: {smoothed}");
        let huber = value(LossKind::Huber { epsilon: 0.7 }, -1.0, r - 1.0);
        assert!((huber - search(0.7, 1.0, r)).abs() <= 1e-7, "{r}: {huber}");
    }
    for (y, z) in [(3.0f64, 0.2f64), (0.5, -2.0), (1e-3, 1.0), (20.0, 3.0), (1.0, 40.0)] {
        let deviance = z.exp() - y + y * (y.ln() - z);
        let got = value(LossKind::Poisson, y, z);
        assert!((got - deviance).abs() <= 1e-13 * (1.0 + deviance), "{y}, {z}: {got}, not {deviance}");
    }
    assert_eq!(value(LossKind::Poisson, 0.0, -1.5), (-1.5f64).exp());
    // Digits are kept where the prediction is nearly perfect: y t²/2.
    let near = value(LossKind::Poisson, 7.0, 7f64.ln() + 1e-6);
    assert!((near - 3.5e-12).abs() <= 1e-17, "{near}");
}

/// A NaN must not be mistaken for a number by a clipped or capped loss.
#[test]
fn nan_logits_give_nan() {
    every::<f64>(|case, loss| {
        for row in 0..case.rows() {
            let (value, _) = value_and_gradient(loss, case, row, &vec![f64::NAN; case.outputs]);
            assert!(value.is_nan(), "{:?}: {value}", case.kind);
        }
    });
}

#[test]
fn parameters_are_read_and_checked() {
    assert_eq!(LossKind::parse("huber(0.5)"), Ok(LossKind::Huber { epsilon: 0.5 }));
    assert_eq!(LossKind::parse("huber(epsilon=2)"), Ok(LossKind::Huber { epsilon: 2.0 }));
    assert_eq!(LossKind::parse("huber"), Ok(LossKind::Huber { epsilon: 1.35 }));
    let smooth = LossKind::Absolute { smoothing: 0.01 };
    assert_eq!(LossKind::parse("absolute_error(smoothing=0.01)"), Ok(smooth));
    for bad in [
        "huber(0)",
        "huber(-1)",
        "huber(nan)",
        "huber(inf)",
        "huber(1, 2)",
        "huber(delta=1)",
        "huber(x)",
        "absolute_error(0)",
        "absolute_error(-inf)",
        "squared_error(1)",
        "poisson(2)",
        "softmax(0.1, 0.2)",
        "logistic(smoothing=0.1)",
    ] {
        let message = LossKind::parse(bad).unwrap_err().to_string();
        assert!(message.starts_with("loss must be"), "{bad}: {message}");
    }
    assert_eq!(LossKind::parse("softmax(0.1)"), Ok(LossKind::Softmax { smoothing: 0.1 }));
    assert_eq!(LossKind::parse("logistic(label_smoothing=0)"), Ok(LossKind::LOGISTIC));
    for bad in ["softmax(1)", "softmax(-0.1)", "logistic(nan)", "logistic(label_smoothing=inf)"] {
        let message = LossKind::parse(bad).unwrap_err().to_string();
        assert!(message.starts_with("label_smoothing must be in the interval [0, 1), got "), "{message}");
    }
    for kind in LossKind::ALL {
        let parsed = LossKind::parse_regression(kind.name());
        assert_eq!(parsed.is_ok(), kind.is_regression(), "{kind:?}");
    }
    let message = LossKind::parse_regression("softmax").unwrap_err().to_string();
    assert!(message.contains("huber, poisson, got 'softmax'") && !message.contains("logistic"), "{message}");
}

/// Asymptotes in single precision: a confident right answer costs e^{−z}, a wrong one costs z.
#[test]
fn confident_logits_keep_their_digits() {
    let logistic = LossKind::LOGISTIC.make::<f32>();
    let right = logistic.value_and_gradient(&Targets::Classes(&[1]), 0, &mut [40.0]);
    assert!((right - (-40.0f32).exp()).abs() <= 1e-5 * (-40.0f32).exp());
    let wrong = logistic.value_and_gradient(&Targets::Classes(&[0]), 0, &mut [1e4]);
    assert_eq!(wrong, 1e4);
    let softmax = LossKind::SOFTMAX.make::<f32>();
    assert_eq!(softmax.value_and_gradient(&Targets::Classes(&[0]), 0, &mut [1e4, -1e4]), 0.0);
    assert_eq!(softmax.value_and_gradient(&Targets::Classes(&[1]), 0, &mut [1e4, -1e4]), 2e4);
}

#[test]
fn targets_count_their_samples() {
    let none: [u32; 0] = [];
    assert!(Targets::<f64>::Classes(&none).is_empty());
    assert_eq!(Targets::<f64>::Classes(&[0, 2]).len(), 2);
    let values = Array2::<f64>::zeros((5, 2));
    assert_eq!(Targets::Values(values.view()).len(), 5);
    assert!(!Targets::Values(values.view()).is_empty());
}

proptest! {
    /// Softmax ignores a shift of all logits; its gradient sums to zero; two classes are the
    /// logistic loss of the difference.
    #[test]
    fn softmax_sees_differences_only(a in -30.0..30.0f64, b in -30.0..30.0f64, shift in -1e3..1e3f64) {
        let softmax = LossKind::SOFTMAX.make::<f64>();
        let logistic = LossKind::LOGISTIC.make::<f64>();
        for class in [0, 1] {
            let targets = Targets::Classes(std::slice::from_ref(&class));
            let (mut plain, mut shifted, mut single) = ([a, b], [a + shift, b + shift], [b - a]);
            let value = softmax.value_and_gradient(&targets, 0, &mut plain);
            let same = softmax.value_and_gradient(&targets, 0, &mut shifted);
            let binary = logistic.value_and_gradient(&targets, 0, &mut single);
            prop_assert!((value - same).abs() <= 1e-12 * (1.0 + value));
            prop_assert!((value - binary).abs() <= 1e-14 * (1.0 + value));
            prop_assert!((plain[0] + plain[1]).abs() <= 1e-15);
            prop_assert!((plain[1] - single[0]).abs() <= 1e-15);
            prop_assert!((plain[0] - shifted[0]).abs() <= 1e-12);
        }
    }
}
