//! Schedule, safeguard and layers: what moves the weights and what holds them.

use super::super::activations::Activations;
use super::super::layers::Layer;
use super::super::pass::Totals;
use super::super::safeguard::Safeguard;
use super::super::schedule::Schedule;
use super::{distance, for_both, normal, options};
use crate::activation::ActivationKind;
use crate::error::Error;
use crate::linalg::Threads;
use crate::real::Real;
use ndarray::Array2;

for_both!(heavy_ball_is_followed, restoring_forgets_the_momentum, safeguard_returns_to_good_weights);

/// v ← β v + c·step, W ← W − η v, without a metric: step = gradient. Few weights, and more than a
/// thread takes at a time.
fn heavy_ball_is_followed<T: Real>() {
    for (rows, columns) in [(4, 3), (230, 101)] {
        for threads in [Threads::One, Threads::All] {
            let start = normal::<T>(rows, columns, 1);
            let mut layer = Layer::new(start.clone());
            let (mut expected, mut velocity) = (start.mapv(T::f64), Array2::<f64>::zeros((rows, columns)));
            for step in 0..5 {
                let gradient = normal::<T>(rows, columns, 2 + step);
                layer.gradient.assign(&gradient);
                let length = layer.solve(0.0, threads);
                let gradient = gradient.mapv(T::f64);
                let square = (&gradient * &gradient).sum();
                assert!(
                    (length - square).abs() <= 50.0 * T::epsilon().f64() * square,
                    "{length} not {square}"
                );
                layer.descend(T::of(0.25), T::of(0.5), T::of(0.75), threads);
                velocity = velocity * 0.5 + gradient * 0.75;
                expected -= &(&velocity * 0.25);
                assert!(distance(layer.weights.view(), expected.view()) <= 20.0 * T::epsilon().f64());
            }
            let penalised = expected.rows().into_iter().take(rows - 1);
            let half: f64 = penalised.map(|row| row.dot(&row)).sum::<f64>() * 0.5;
            let wrong = (layer.half_square() - half).abs();
            assert!(wrong <= 50.0 * T::epsilon().f64() * half, "intercepts are left out");
        }
    }
}

fn restoring_forgets_the_momentum<T: Real>() {
    let good = normal::<T>(4, 3, 3);
    let mut layer = Layer::new(normal::<T>(4, 3, 4));
    layer.gradient.fill(T::one());
    layer.solve(0.0, Threads::One);
    layer.descend(T::one(), T::of(0.9), T::one(), Threads::One);
    layer.restore(&good);
    layer.gradient.fill(T::zero());
    layer.solve(0.0, Threads::One);
    layer.descend(T::one(), T::of(0.9), T::one(), Threads::One);
    assert_eq!(layer.weights, good);
}

/// One activation whose parameter is learned, from 0.5 on.
fn learned<T: Real>() -> Activations<T> {
    Activations::new(&options(100, 3, |spec| {
        (spec.hidden_layer_sizes, spec.learn_activation) = (vec![3], true);
        spec.activations = vec![ActivationKind::SoftThreshold { threshold: 0.5 }];
    }))
}

/// One row of this loss, for which logits 0 cost `null`.
fn totals(loss: f64, null: f64) -> Totals {
    Totals { loss, null, score: 0.0, rows: 1 }
}

/// The level of a healthy run is the worst of the start, of logits 0 there, and of logits 0 on the
/// rows in question: a batch that holds an outlier is not divergence.
#[test]
fn safeguard_measures_rows_by_their_own_targets() {
    let layers = vec![Layer::new(normal::<f64>(4, 3, 6))];
    let activations = learned::<f64>();
    let calm = Safeguard::new(&layers, &activations, totals(0.3, 0.5));
    assert!(calm.batch_is_good(totals(3.9, 0.1)) && !calm.batch_is_good(totals(4.1, 0.1)));
    assert!(calm.batch_is_good(totals(7e3, 1e3)) && !calm.batch_is_good(totals(9e3, 1e3)));
    let mut far = Safeguard::new(&layers, &activations, totals(20.0, 0.5));
    assert!(far.batch_is_good(totals(159.0, 0.5)) && !far.batch_is_good(totals(161.0, 0.5)));
    assert!(
        far.keep(&layers, &activations, totals(20.9, 0.5))
            && !far.keep(&layers, &activations, totals(21.1, 0.5))
    );
    assert!(
        far.keep(&layers, &activations, totals(1e3, 1e3))
            && !far.keep(&layers, &activations, totals(1.1e3, 1e3))
    );
}

fn safeguard_returns_to_good_weights<T: Real>() {
    let schedule = || Schedule::new(&options(100, 3, |_| {}), 100);
    let good = normal::<T>(4, 3, 5);
    let mut layers = vec![Layer::new(normal::<T>(4, 3, 6))];
    let mut activations = learned::<T>();
    let mut safeguard = Safeguard::new(&layers, &activations, totals(2.0, 0.7));
    layers[0].weights.assign(&good);
    let threshold = |threshold| ActivationKind::SoftThreshold { threshold };
    activations.set(0, threshold(0.25));
    let fine = totals(1.0, 0.7);
    // Twice: after the first pass these weights have not been seen to be good.
    assert!(safeguard.keep(&layers, &activations, fine) && safeguard.keep(&layers, &activations, fine));

    // A loss far above the reference, NaN, or weights that are not finite: not kept.
    layers[0].weights.fill(T::of(7.0));
    activations.set(0, threshold(7.0));
    for loss in [2e3, f64::NAN, f64::INFINITY] {
        let bad = totals(loss, 0.7);
        assert!(!safeguard.keep(&layers, &activations, bad) && !safeguard.batch_is_good(bad), "{loss}");
    }
    assert!(safeguard.batch_is_good(fine));
    for bad in [T::nan(), T::infinity()] {
        layers[0].weights[[3, 0]] = T::one();
        layers[0].weights[[0, 1]] = bad;
        assert!(!safeguard.keep(&layers, &activations, fine), "{bad}");
    }

    let mut plan = schedule();
    let rate = plan.rate();
    safeguard.recover(&mut layers, &mut activations, &mut plan, 1).unwrap();
    assert_eq!((&layers[0].weights, safeguard.retries()), (&good, 1));
    assert_eq!(activations.kinds(), [threshold(0.25)]);
    assert_eq!(plan.rate(), 0.5 * rate);
    layers[0].weights[[0, 0]] = T::nan();
    activations.set(0, threshold(7.0));
    safeguard.drop_non_finite(&mut layers, &mut activations);
    assert_eq!(layers[0].weights, good);
    assert_eq!(activations.kinds(), [threshold(0.25)]);

    // Not for ever.
    let error =
        (0..10_000).find_map(|_| safeguard.recover(&mut layers, &mut activations, &mut plan, 3).err());
    assert!(matches!(error, Some(Error::Diverged { pass: 3, .. })), "{error:?}");
}

/// The intercepts are weights too: NaN there must not be kept either.
#[test]
fn safeguard_sees_intercepts() {
    let mut layers = vec![Layer::new(normal::<f64>(4, 3, 6))];
    let mut activations = learned::<f64>();
    let mut safeguard = Safeguard::new(&layers, &activations, totals(2.0, 2.0));
    let good = layers[0].weights.clone();
    layers[0].weights[[3, 1]] = f64::NAN;
    assert!(!safeguard.keep(&layers, &activations, totals(1.0, 1.0)), "a NaN intercept was kept");
    safeguard.drop_non_finite(&mut layers, &mut activations);
    assert_eq!(layers[0].weights, good);
}

/// A clipped step is no longer than the trust region, and short steps are left alone.
#[test]
fn clipped_steps_have_bounded_length() {
    let clipped = |rate: f64, length: f64| {
        let factor = Safeguard::<f64>::clip(rate, length);
        assert!(factor > 0.0 && factor <= 1.0, "{factor}");
        factor * factor * rate * rate * length
    };
    let radius = clipped(1.0, 1e12);
    assert!(radius.is_finite() && radius > 0.0);
    for (rate, length) in [(1.0, 1e3), (1e6, 1e6), (1e-3, 1e30), (100.0, 1.0)] {
        let most = clipped(rate, length);
        assert!((most - radius).abs() <= 1e-9 * radius, "{most} beyond {radius}");
    }
    for (rate, length) in [(1.0, 0.5 * radius), (0.1, 10.0 * radius), (1.0, 0.0)] {
        assert_eq!(Safeguard::<f64>::clip(rate, length), 1.0);
    }
}

/// Rates of a whole run: never above the rate asked for, linear to 0 at the end.
#[test]
fn rate_rises_then_falls_linearly_to_zero() {
    let options = options(1000, 3, |spec| {
        (spec.batch_size, spec.max_iter, spec.learning_rate) = (Some(10), Some(5), Some(2.0));
    });
    let mut schedule = Schedule::new(&options, 1000);
    let mut rates = Vec::new();
    while !schedule.finished() {
        rates.push(schedule.rate());
        schedule.advance();
    }
    assert_eq!(rates.len(), 500);
    assert!(rates.iter().all(|&rate| rate > 0.0 && rate <= 2.0));
    assert!(rates[0] < rates[20], "a warm-up");
    for (step, &rate) in rates.iter().enumerate().skip(100) {
        let expected = 2.0 * (1.0 - step as f64 / 500.0);
        assert!((rate - expected).abs() <= 1e-12, "step {step}: {rate} not {expected}");
    }
}

#[test]
fn rate_winds_down_sooner_when_asked() {
    let options = options(1000, 3, |spec| (spec.batch_size, spec.max_iter) = (Some(10), Some(50)));
    let mut schedule = Schedule::new(&options, 1000);
    (0..1000).for_each(|_| schedule.advance());
    let before = schedule.rate();
    schedule.wind_down(3);
    assert!((schedule.rate() - before).abs() <= 1e-12, "no jump");
    let mut steps = 0;
    let mut last = before;
    while !schedule.finished() {
        assert!(schedule.rate() <= last);
        last = schedule.rate();
        steps += 1;
        schedule.advance();
    }
    assert_eq!(steps, 300);
    assert!(last <= before / 299.0, "ends at {last}");
    // A run that ends sooner anyway is left alone.
    let mut ending = Schedule::new(&options, 1000);
    (0..4900).for_each(|_| ending.advance());
    ending.wind_down(3);
    (0..100).for_each(|_| ending.advance());
    assert!(ending.finished());
}

/// Often at first, at least once a pass later, and before the first step.
#[test]
fn metrics_are_refreshed_at_least_once_a_pass() {
    let options = options(1000, 3, |spec| (spec.batch_size, spec.max_iter) = (Some(10), Some(10)));
    let mut schedule = Schedule::new(&options, 1000);
    let mut due = Vec::new();
    for step in 0..1000 {
        if schedule.refresh_due() {
            due.push(step);
        }
        schedule.advance();
    }
    assert_eq!(due[0], 0);
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] <= 100), "{due:?}");
    assert!(due.len() < 60, "too often: {due:?}");
}
