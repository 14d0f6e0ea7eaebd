//! The noise block: within its ball, and no noise of the ball is worse.

use super::super::noise::InputNoise;
use super::super::pass::{Batch, Data};
use super::{Setup, distance, for_both, normal, rng};
use crate::activation::{ActivationKind, Divergence};
use crate::loss::LossKind;
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, s};
use rand_distr::{Distribution, StandardNormal};

const DEPTHS: [&[usize]; 3] = [&[], &[4], &[4, 3]];
const K: usize = Setup::<f64>::INPUTS;
/// Features: more than mapped coordinates.
const D: usize = 5;

for_both!(
    gradients_are_those_at_the_moved_inputs,
    evaluation_meets_all_of_the_noise,
    no_gradient_no_noise,
    noise_is_the_same_for_every_divergence_and_weight,
    confident_samples_have_noise_too,
    diagonal_metrics_are_metrics,
);

/// M, `(D, K)`, as an input map has it.
fn forward<T: Real>() -> Array2<T> {
    normal(D, K, 91)
}

fn noise<T: Real>(radius: f64) -> InputNoise<T> {
    InputNoise::with_metric(radius, Some(forward::<T>().t().dot(&forward())))
}

/// Mapped inputs moved by their worst noise.
fn disturbed<T: Real>(setup: &mut Setup<T>, noise: InputNoise<T>) -> Array2<T> {
    let mut inputs = setup.inputs.clone();
    let mut batch = Batch::new(&setup.layers, &setup.options).with_noise(Some(noise));
    setup.run(|layers, data| batch.disturbed(layers, data, inputs.view_mut()));
    inputs
}

/// Loss of the network at each of the given inputs.
fn losses(setup: &mut Setup<f64>, inputs: &Array2<f64>) -> Vec<f64> {
    let mut batch = Batch::new(&setup.layers, &setup.options);
    setup.run(|layers, data| {
        let data = Data { inputs, ..data };
        (0..inputs.nrows()).map(|row| batch.evaluate(layers, data, &[row]).mean_loss()).collect()
    })
}

fn norm(row: ArrayView1<'_, f64>) -> f64 {
    row.dot(&row).sqrt()
}

/// For every activation, loss and depth, at a λ where pulling back is differentiating: the noise is
/// Mᵀu with |u| = ρ, and to first order no other u of the ball raises a sample's loss as far.
#[test]
fn noise_is_the_worst_of_its_ball() {
    const RADIUS: f64 = 1e-5;
    let n = 12;
    let (forward, mut rng) = (forward::<f64>(), rng(92));
    for &activation in ActivationKind::ALL.iter().filter(|kind| kind.lifted() == **kind) {
        for &loss in LossKind::ALL {
            for hidden in DEPTHS {
                let case = format!("{activation:?}, {loss:?}, {hidden:?}");
                let mut setup = Setup::<f64>::new(loss, hidden, n, false, |spec| {
                    (spec.activations, spec.penalty_weight) = (vec![activation], Some(1e7));
                });
                let plain = setup.inputs.clone();
                let moved = disturbed(&mut setup, noise(RADIUS));
                let before = losses(&mut setup, &plain);
                let worst = losses(&mut setup, &moved);
                let steps = (&moved - &plain).slice(s![.., ..K]).to_owned();
                assert_eq!(moved.column(K), plain.column(K), "{case}: the ones moved");
                for (i, step) in steps.rows().into_iter().enumerate() {
                    if norm(step) == 0.0 {
                        // No unit is active: the loss does not depend on the input.
                        continue;
                    }
                    // The least u with Mᵀu = step.
                    let inverse = invert(&forward.t().dot(&forward));
                    let length = step.dot(&inverse.dot(&step)).sqrt();
                    assert!((length / RADIUS - 1.0).abs() <= 1e-5, "{case}: |u| = {length}");
                    let rise = worst[i] - before[i];
                    for _ in 0..20 {
                        let u = Array2::from_shape_simple_fn((D, 1), || StandardNormal.sample(&mut rng));
                        let u: Array2<f64> = &u * (RADIUS / norm(u.column(0)));
                        let mut other = plain.clone();
                        let mut row = other.slice_mut(s![i, ..K]);
                        row += &forward.t().dot(&u).column(0);
                        let rise_there = losses(&mut setup, &other)[i] - before[i];
                        let allowed = 1e-4 * rise.abs() + 1e-11;
                        assert!(rise_there <= rise + allowed, "{case}: {rise_there} exceeds {rise}");
                    }
                    assert!(rise >= -1e-11, "{case}: the loss falls by {rise}");
                }
                assert!(steps.rows().into_iter().any(|step| norm(step) > 0.0), "{case}: no noise");
            }
        }
    }
}

/// A metric without entries beside the diagonal has a path of its own: beside the identity, which has
/// another, and beside a matrix that is diagonal but for a little more than rounding.
fn diagonal_metrics_are_metrics<T: Real>() {
    let moved = |metric: Option<Array2<T>>| {
        let mut setup = Setup::<T>::new(LossKind::SOFTMAX, &[5], 40, false, |spec| {
            spec.activations = vec![ActivationKind::Tanh];
        });
        disturbed(&mut setup, InputNoise::with_metric(0.7, metric))
    };
    let plain = moved(None);
    assert!(distance(plain.view(), moved(Some(Array2::eye(K))).view()) <= 8.0 * T::epsilon().f64());
    let diagonal = Array2::from_diag(&Array1::from_shape_fn(K, |j| T::of(0.2 + j as f64)));
    let mut nearly = diagonal.clone();
    nearly[[0, 1]] = T::of(1e-4);
    let (diagonal, nearly) = (moved(Some(diagonal)), moved(Some(nearly)));
    assert!(distance(diagonal.view(), nearly.view()) <= 1e-3);
    assert_ne!(diagonal, nearly);
    assert!(distance(diagonal.view(), plain.view()) > 1e-2);
}

fn invert(a: &Array2<f64>) -> Array2<f64> {
    crate::linalg::pseudo_inverse(a).unwrap()
}

fn gradients_are_those_at_the_moved_inputs<T: Real>() {
    for divergence in [Divergence::Fenchel, Divergence::Euclidean] {
        // Two chunks, the second partly filled.
        let mut setup = Setup::<T>::new(LossKind::SOFTMAX, &[5, 4], 150, true, |spec| {
            (spec.activations, spec.divergence) = (vec![ActivationKind::Relu], divergence);
        });
        let rows: Vec<usize> = (0..150).collect();
        let moved = disturbed(&mut setup, noise(0.7));
        assert!(distance(moved.view(), setup.inputs.view()) > 0.1);
        let mut robust = Batch::new(&setup.layers, &setup.options).with_noise(Some(noise(0.7)));
        let mut plain = Batch::new(&setup.layers, &setup.options);
        let mut gradients = |batch: &mut Batch<T>, inputs: Option<&Array2<T>>| {
            setup.run(|layers, data| {
                let data = Data { inputs: inputs.unwrap_or(data.inputs), ..data };
                let loss = batch.gradients(layers, data, &rows, 0.1).mean_loss();
                (loss, layers.iter().map(|layer| layer.gradient.clone()).collect::<Vec<_>>())
            })
        };
        assert_eq!(gradients(&mut robust, None), gradients(&mut plain, Some(&moved)));
        assert_ne!(gradients(&mut robust, None), gradients(&mut plain, None));
    }
}

/// Whatever share of it gradients see.
fn evaluation_meets_all_of_the_noise<T: Real>() {
    let mut setup = Setup::<T>::new(LossKind::SOFTMAX, &[5], 150, true, |_| {});
    let rows: Vec<usize> = (0..150).collect();
    let moved = disturbed(&mut setup, noise(0.7));
    let mut robust = Batch::new(&setup.layers, &setup.options).with_noise(Some(noise(0.7)));
    assert_eq!(robust.set_noise_share(0.25), Some(0.25 * 0.7));
    let mut plain = Batch::new(&setup.layers, &setup.options);
    setup.run(|layers, data| {
        let there = robust.evaluate(layers, data, &rows).mean_loss();
        assert_eq!(there, plain.evaluate(layers, Data { inputs: &moved, ..data }, &rows).mean_loss());
        let partly = robust.gradients(layers, data, &rows, 0.0).mean_loss();
        let none = plain.evaluate(layers, data, &rows).mean_loss();
        assert!(none < partly && partly < there, "{none}, {partly}, {there}");
    });
}

/// The weights that training starts from have no worst noise.
fn no_gradient_no_noise<T: Real>() {
    let mut setup = Setup::<T>::new(LossKind::SOFTMAX, &[5, 4], 40, false, |_| {});
    setup.layers[2].weights.fill(T::zero());
    assert_eq!(disturbed(&mut setup, noise(1e6)), setup.inputs);
}

fn noise_is_the_same_for_every_divergence_and_weight<T: Real>() {
    let moved = |divergence, weighted| {
        let mut setup = Setup::<T>::new(LossKind::SOFTMAX, &[5, 4], 40, weighted, |spec| {
            (spec.activations, spec.divergence) = (vec![ActivationKind::HardTanh], divergence);
        });
        disturbed(&mut setup, noise(0.7))
    };
    let one = moved(Divergence::Fenchel, false);
    assert_eq!(one, moved(Divergence::Euclidean, false));
    assert_eq!(one, moved(Divergence::Fenchel, true));
}

/// A gradient far below the rounding of the activations still has a direction.
fn confident_samples_have_noise_too<T: Real>() {
    let moved = |scale: f64| {
        let mut setup = Setup::<T>::new(LossKind::LOGISTIC, &[5], 30, false, |_| {});
        let last = &mut setup.layers[1].weights;
        last.fill(T::of(0.1));
        // The intercept decides: every sample of one class is certain.
        last.row_mut(5).fill(T::of(scale));
        setup.labels.classes.fill(1);
        disturbed(&mut setup, noise(0.7))
    };
    let wrong = distance(moved(30.0).view(), moved(0.0).view());
    assert!(wrong <= 1e3 * T::epsilon().f64(), "off by {wrong}");
}
