//! Learned parameters of activations: their gradient, their steps, their blocks.

use super::super::activations::Activations;
use super::super::lifted::Lifted;
use super::super::pass::Batch;
use super::{Setup, distance, for_both, options};
use crate::activation::{ActivationKind, Moments};
use crate::loss::LossKind;
use crate::real::Real;

for_both!(parameter_blocks_keep_the_lifted_variables);

const ALL: [ActivationKind; 4] = [
    ActivationKind::LeakyRelu { slope: 0.3 },
    ActivationKind::HardSigmoid { slope: 0.25 },
    ActivationKind::Elu { alpha: 0.6 },
    ActivationKind::SoftThreshold { threshold: 0.4 },
];

fn setup<T: Real>(kind: ActivationKind, weighted: bool, lambda: f64) -> Setup<T> {
    Setup::new(LossKind::SOFTMAX, &[4, 3], 150, weighted, |spec| {
        (spec.activations, spec.penalty_weight) = (vec![kind], Some(lambda));
        (spec.learn_activation, spec.batch_size) = (true, Some(150));
    })
}

/// Newton's steps of a batch times (1 + ε) times the metric: the gradients in r.
fn gradients(batch: &mut Batch<f64>, kind: ActivationKind) -> Vec<f64> {
    const RATE: f64 = 1e-9;
    let before: Vec<f64> = batch.activations.kinds().iter().filter_map(|kind| kind.coordinate()).collect();
    let length = batch.solve_parameters(150, 0.0);
    batch.activations.advance(RATE, 0.0, 1.0);
    let after = batch.activations.kinds().iter().filter_map(|kind| kind.coordinate());
    let steps: Vec<f64> = before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect();
    assert!(length > 0.0, "{kind:?}");
    steps
}

/// As λ → ∞ the step is along the derivative of the plain network's loss in r: against central
/// differences, layer by layer, up to the metric, which is positive and the same for both signs.
#[test]
fn steps_tend_to_the_derivative_of_the_network() {
    for kind in ALL {
        for weighted in [false, true] {
            let mut setup = setup::<f64>(kind, weighted, 1e6);
            let mut batch = Batch::new(&setup.layers, &setup.options);
            let rows: Vec<usize> = (0..150).collect();
            setup.run(|layers, data| {
                batch.gradients(layers, data, &rows, 0.0);
                let curvatures = curvature(&batch, kind, weighted, layers.len() - 1);
                let steps = gradients(&mut batch, kind);
                for l in 0..2 {
                    let r = kind.coordinate().unwrap();
                    let h = 1e-5 * r.max(0.1);
                    let mut loss = |r: f64| {
                        batch.activations.restore(&[kind, kind]);
                        batch.activations.set(l, kind.at_coordinate(r));
                        batch.evaluate(layers, data, &rows).mean_loss()
                    };
                    let expected = (loss(r + h) - loss(r - h)) / (2.0 * h);
                    // The default damping of the hidden layers in these options is 1.
                    let got = steps[l] * 2.0 * curvatures[l];
                    let wrong = (got - expected).abs();
                    let case = format!("{kind:?}, weighted {weighted}, layer {l}");
                    assert!(wrong <= 2e-3 * (1e-3 + expected.abs()), "{case}: {got} not {expected}");
                }
            });
        }
    }
}

/// Mean of s_i Σ_j ∂²D/∂r² of each layer.
fn curvature(batch: &Batch<f64>, kind: ActivationKind, weighted: bool, n_hidden: usize) -> Vec<f64> {
    let moments = batch.parameter_moments(150);
    assert_eq!(moments.len(), n_hidden);
    for one in &moments {
        assert!(one.curvature > 0.0 && one.size >= one.slope.abs(), "{kind:?}, weighted {weighted}: {one:?}");
    }
    moments.iter().map(|moments| moments.curvature).collect()
}

/// r ← r − η v with v ← β v + c·g/((1 + ε) h), h with a memory, kept in the range, where momentum ends.
#[test]
fn parameters_follow_the_heavy_ball() {
    let options = options(100, 3, |spec| {
        (spec.hidden_layer_sizes, spec.learn_activation) = (vec![3, 3], true);
        spec.activations = vec![ActivationKind::SoftThreshold { threshold: 1.0 }, ActivationKind::Tanh];
        spec.damping = Some((0.5, 3.0));
    });
    let mut activations = Activations::<f64>::new(&options);
    assert!(activations.learn() && activations.learns(0) && !activations.learns(1));
    let moments = |slope, curvature| [Moments { slope, size: 1.0, curvature }, Moments::default()];
    let value = |activations: &Activations<f64>| activations.kinds()[0].coordinate().unwrap();
    let close = |got: f64, expected: f64| assert!((got - expected).abs() <= 1e-14, "{got} not {expected}");

    let length = activations.solve(moments(0.02, 2.0), 10.0, 0.75);
    close(length, 0.2 * 0.2 / (4.0 * 2.0));
    activations.advance(0.5, 0.5, 0.8);
    let velocity = 0.8 * 0.2 / (4.0 * 2.0);
    close(value(&activations), 1.0 - 0.5 * velocity);
    activations.solve(moments(-0.01, 6.0), 10.0, 0.75);
    activations.advance(0.5, 0.5, 1.0);
    let second = 0.5 * velocity - 0.1 / (4.0 * 3.0);
    close(value(&activations), 1.0 - 0.5 * velocity - 0.5 * second);

    // A fiftieth a step, and no more momentum than that.
    let start = value(&activations);
    activations.solve(moments(1e3, 1.0), 10.0, 0.0);
    activations.advance(1.0, 0.9, 1.0);
    close(value(&activations), 0.98 * start);
    activations.solve(moments(0.0, 1.0), 10.0, 0.0);
    activations.advance(1.0, 0.5, 1.0);
    close(value(&activations), 0.97 * start);

    // The end of the range, from which only a gradient that points inside moves it.
    for _ in 0..300 {
        activations.solve(moments(1e3, 1.0), 10.0, 0.0);
        activations.advance(1.0, 0.9, 1.0);
    }
    close(value(&activations), 0.0);
    close(activations.solve(moments(1e3, 1.0), 10.0, 0.0), 0.0);
    activations.advance(1.0, 0.9, 1.0);
    close(value(&activations), 0.0);
    activations.solve(moments(-0.4, 1.0), 10.0, 0.0);
    activations.advance(1.0, 0.9, 1.0);
    // Near 0, a change counts as one of 0.1.
    close(value(&activations), 0.02 * 0.1);

    // Nothing is known of a parameter that touches nothing.
    activations.restore(&options.activations);
    close(activations.solve(moments(0.0, 0.0), 10.0, 0.0), 0.0);
    activations.advance(1.0, 0.9, 1.0);
    assert_eq!(activations.kinds(), options.activations);
}

/// The block of the parameter: x stays to rounding, the objective does not rise, and at its end the
/// slope is 0 or points out of the interval.
fn parameter_blocks_keep_the_lifted_variables<T: Real>() {
    for kind in ALL {
        let mut fell = 0.0f64;
        for weighted in [false, true] {
            for other in [0.02, 0.1, 0.7, 1.0] {
                let mut setup = setup::<T>(kind, weighted, 0.3);
                let options = setup.options.clone();
                setup.run(|layers, data| {
                    let mut lifted = Lifted::new(layers, data, &options, None);
                    lifted.solve_afresh(layers);
                    lifted.accept();
                    for l in 0..2 {
                        // Lifted variables that the parameter does not fit.
                        lifted.activations.set(l, kind.with_parameter(other));
                        let before = lifted.terms(layers);
                        let x = lifted.variables(l);
                        lifted.parameter_block(l, layers, 512.0 * T::epsilon().f64());
                        let after = lifted.terms(layers);
                        let learned = lifted.activations.kinds()[l];
                        let case =
                            format!("{kind:?} from {other}, weighted {weighted}, layer {l}: {learned:?}");
                        let moved = distance(lifted.variables(l).view(), x.view());
                        assert!(moved <= 64.0 * T::epsilon().f64(), "{case}: x moved by {moved}");
                        let rounding = 64.0 * T::epsilon().f64() * (1.0 + before.divergence[l]);
                        assert!(after.divergence[l] <= before.divergence[l] + rounding, "{case}: rose");
                        fell = fell.max(1.0 - after.divergence[l] / before.divergence[l]);
                        let slope = after.moments[l].residual();
                        let (r, (low, high)) =
                            (learned.coordinate().unwrap(), learned.coordinate_range().unwrap());
                        let inside = r > low * 1.001 && r < high * 0.999;
                        // The domain of elu may end within the range.
                        if inside && !matches!(kind, ActivationKind::Elu { .. }) {
                            assert!(slope <= 1e4 * T::epsilon().f64(), "{case}: slope {slope}");
                        }
                    }
                });
            }
        }
        assert!(fell > 1e-3, "{kind:?}: no block lowered D by more than {fell}");
    }
}
