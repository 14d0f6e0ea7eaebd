//! Dropout: its masks, the gradients of thinned networks, the expected metrics.

use super::super::dropout::{Dropout, generators};
use super::super::noise::InputNoise;
use super::super::pass::Batch;
use super::{Setup, distance, for_both, losses, normal};
use crate::activation::{ActivationKind, Divergence};
use crate::loss::LossKind;
use crate::real::Real;
use crate::spec::Spec;
use ndarray::{Array2, Axis, concatenate, s};

const RATES: [f64; 2] = [0.4, 0.25];
const N: usize = 40;

for_both!(
    masks_have_mean_one,
    gradients_follow_the_recursion_of_the_thinned_network,
    grams_are_those_expected_of_thinned_inputs,
    nothing_is_left_out_in_evaluations,
    noise_is_the_worst_for_the_thinned_network,
);

fn setup<T: Real>(loss: LossKind, weighted: bool, change: impl FnOnce(&mut Spec)) -> Setup<T> {
    Setup::new(loss, &[5, 4], N, weighted, |spec| {
        spec.dropout = RATES.to_vec();
        change(spec);
    })
}

fn batch<T: Real>(setup: &Setup<T>) -> Batch<T> {
    Batch::new(&setup.layers, &setup.options).with_dropout(
        &setup.layers,
        &setup.options.dropout,
        setup.options.seed,
    )
}

fn rows() -> Vec<usize> {
    (0..N).collect()
}

/// Mean loss and gradients over the first masks that are drawn.
fn thinned<T: Real>(setup: &mut Setup<T>, batch: &mut Batch<T>) -> (f64, Vec<Array2<T>>) {
    setup.run(|layers, data| {
        let loss = batch.gradients(layers, data, &rows(), 0.0).mean_loss();
        (loss, layers.iter().map(|layer| layer.gradient.clone()).collect())
    })
}

/// The first masks that such a batch draws, of the hidden layers.
fn masks<T: Real>(setup: &Setup<T>) -> Vec<Array2<T>> {
    let generator = generators(setup.options.seed).next().unwrap();
    let mut dropout = Dropout::new(&setup.layers, &setup.options.dropout, 128, generator).unwrap();
    dropout.draw(N);
    let hidden = &setup.layers[..setup.layers.len() - 1];
    let mask = |(l, units)| {
        let mut ones = Array2::ones((N, units));
        dropout.thin(l, ones.view_mut());
        ones
    };
    hidden.iter().map(|layer| layer.weights.ncols()).enumerate().map(mask).collect()
}

fn masks_have_mean_one<T: Real>() {
    let setup = setup::<T>(LossKind::Squared, false, |spec| spec.dropout = vec![0.3, 0.0]);
    let generator = generators(7).nth(3).unwrap();
    let mut dropout = Dropout::new(&setup.layers, &setup.options.dropout, 100, generator).unwrap();
    let (mut left_out, mut total) = (0, 0);
    let mut last = Array2::<T>::zeros((100, 5));
    for _ in 0..200 {
        dropout.draw(100);
        let mut ones = Array2::<T>::ones((100, 5));
        dropout.thin(0, ones.view_mut());
        assert_ne!(ones, last, "drawn anew");
        assert!(ones.iter().all(|&m| m == T::zero() || m == T::of(1.0 / 0.7)));
        left_out += ones.iter().filter(|m| **m == T::zero()).count();
        total += ones.len();
        last = ones;
    }
    // Within five deviations of a binomial count.
    let n = total as f64;
    assert!((left_out as f64 - 0.3 * n).abs() <= 5.0 * (n * 0.3 * 0.7).sqrt(), "{left_out} of {total}");
    // A layer whose rate is 0 is whole.
    let mut x = normal::<T>(100, 4, 1);
    dropout.thin(1, x.view_mut());
    assert_eq!(x, normal::<T>(100, 4, 1));
    assert!(dropout.whole(1, 100).is_none());
    // No two chunks share a generator.
    let firsts: Vec<_> = generators(7).take(4).collect();
    assert!((1..4).all(|i| !firsts[..i].contains(&firsts[i])));
}

/// At λ = 1e7 the activation blocks back-propagate through the thinned network, in which the same units
/// are left out whatever the weights.
#[test]
fn large_lambda_gives_the_gradient_of_the_thinned_network() {
    const H: f64 = 1e-5;
    for activation in [ActivationKind::Tanh, ActivationKind::Softplus, ActivationKind::Softmax] {
        for loss in losses() {
            for weighted in [false, true] {
                let mut setup = setup::<f64>(loss, weighted, |spec| {
                    (spec.activations, spec.penalty_weight) = (vec![activation], Some(1e7));
                });
                let mut fresh = batch(&setup);
                let gradients = thinned(&mut setup, &mut fresh).1;
                for (l, gradient) in gradients.iter().enumerate() {
                    for (place, &got) in gradient.indexed_iter() {
                        let mut moved = |step: f64| {
                            setup.layers[l].weights[place] += step;
                            let mut fresh = batch(&setup);
                            let loss = thinned(&mut setup, &mut fresh).0;
                            setup.layers[l].weights[place] -= step;
                            loss
                        };
                        let expected = (moved(H) - moved(-H)) / (2.0 * H);
                        let wrong = (got - expected).abs();
                        assert!(
                            wrong <= 2e-6 * (1.0 + expected.abs()),
                            "{activation:?}, {loss:?}, {weighted}, layer {l}: {got} not {expected}"
                        );
                    }
                }
            }
        }
    }
}

/// The sweep of the algorithm box with masks, at a λ that is far from its limit.
fn gradients_follow_the_recursion_of_the_thinned_network<T: Real>() {
    for (activation, divergence) in [
        (ActivationKind::Relu, Divergence::Fenchel),
        (ActivationKind::Tanh, Divergence::Fenchel),
        (ActivationKind::Sign, Divergence::Fenchel),
        (ActivationKind::Relu, Divergence::Euclidean),
    ] {
        for weighted in [false, true] {
            let choose = |spec: &mut Spec| {
                (spec.activations, spec.divergence) = (vec![activation], divergence);
                spec.penalty_weight = Some(1.5);
            };
            let mut setup_of_t = setup::<T>(LossKind::SOFTMAX, weighted, choose);
            let mut batch_of_t = batch(&setup_of_t);
            let got = thinned(&mut setup_of_t, &mut batch_of_t).1;
            let expected = by_hand(&mut setup::<f64>(LossKind::SOFTMAX, weighted, choose), divergence);
            for (l, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let wrong = distance(got.view(), expected.view());
                let case = format!("{activation:?}, {divergence:?}, {weighted}, layer {l}");
                assert!(wrong <= 300.0 * T::epsilon().f64(), "{case}: off by {wrong}");
            }
        }
    }
}

fn by_hand(setup: &mut Setup<f64>, divergence: Divergence) -> Vec<Array2<f64>> {
    let (kind, lambda) = (setup.options.activations[0], setup.options.penalty_weight);
    let masks = masks(setup);
    let phi = kind.elementwise::<f64>().unwrap();
    let lifted = kind.lifted().elementwise::<f64>().unwrap();
    let loss = setup.options.loss.make::<f64>();
    let ones = Array2::ones((N, 1));
    let mut inputs = vec![setup.inputs.clone()];
    let mut z = Vec::new();
    for (l, layer) in setup.layers.iter().enumerate() {
        z.push(inputs[l].dot(&layer.weights));
        if l < masks.len() {
            let seen = &masks[l] * &z[l].mapv(|z| phi.phi(z));
            inputs.push(concatenate![Axis(1), seen, ones]);
        }
    }
    let mut delta = z.pop().unwrap();
    for (row, mut z) in delta.rows_mut().into_iter().enumerate() {
        loss.value_and_gradient(&setup.labels.targets(), row, z.as_slice_mut().unwrap());
    }
    let mut gradients = Vec::new();
    for l in (0..setup.layers.len()).rev() {
        let mut weighted = &delta / N as f64;
        if let Some(weights) = &setup.weights {
            weighted *= &weights.view().insert_axis(Axis(1));
        }
        gradients.push(inputs[l].t().dot(&weighted));
        if l > 0 {
            let weights = setup.layers[l].weights.slice(s![..-1, ..]).to_owned();
            let g = &masks[l - 1] * &delta.dot(&weights.t());
            let z = &z[l - 1];
            let target = (z - &(g / lambda)).mapv(|z| lifted.phi(z));
            let link = match divergence {
                Divergence::Fenchel => z.mapv(|z| lifted.phi(z)),
                Divergence::Euclidean => z.clone(),
            };
            delta = (link - target) * lambda;
        }
    }
    gradients.reverse();
    gradients
}

/// The mean over many masks, and the plain Gram matrix with a wider diagonal.
fn grams_are_those_expected_of_thinned_inputs<T: Real>() {
    for weighted in [false, true] {
        let mut setup = setup::<T>(LossKind::SOFTMAX, weighted, |_| {});
        let mut whole = Batch::new(&setup.layers, &setup.options);
        let mut fresh = batch(&setup);
        let plain = setup.run(|layers, data| whole.grams(layers, data, &rows()));
        let grams = setup.run(|layers, data| fresh.grams(layers, data, &rows()));
        for (l, (gram, plain)) in grams.iter().zip(&plain).enumerate() {
            let mut expected = plain.mapv(T::f64);
            let units = expected.nrows() - 1;
            expected.diag_mut().iter_mut().take(units).for_each(|square| *square /= 1.0 - RATES[l]);
            assert!(distance(gram.view(), expected.view()) <= 50.0 * T::epsilon().f64(), "layer {l}");
        }
        // What the layer above sees of one sample: m ∘ x, for x of all ones, whose Gram matrix is 1.
        let generator = generators(5).next().unwrap();
        let mut dropout = Dropout::new(&setup.layers, &setup.options.dropout, 100, generator).unwrap();
        let mut mean = Array2::<f64>::zeros((6, 6));
        for _ in 0..400 {
            dropout.draw(100);
            let mut x = Array2::<T>::ones((100, 6));
            dropout.thin(0, x.slice_mut(s![.., ..5]));
            let x = x.mapv(T::f64);
            mean += &(x.t().dot(&x) / 40_000.0);
        }
        let mut expected = Array2::<T>::ones((6, 6));
        dropout.widen(0, expected.view_mut());
        assert!(distance(mean.view(), expected.view()) < 0.03, "{mean}");
    }
}

fn nothing_is_left_out_in_evaluations<T: Real>() {
    let mut setup = setup::<T>(LossKind::SOFTMAX, true, |_| {});
    let (mut whole, mut fresh) = (Batch::new(&setup.layers, &setup.options), batch(&setup));
    let plain = setup.run(|layers, data| whole.evaluate(layers, data, &rows()).mean_loss());
    let loss = thinned(&mut setup, &mut fresh).0;
    assert_ne!(loss, plain);
    let again = setup.run(|layers, data| fresh.evaluate(layers, data, &rows()).mean_loss());
    assert_eq!(again, plain);
    assert_ne!(thinned(&mut setup, &mut fresh).0, loss, "other units every time");
}

/// The inputs move against the network of the step: its loss rises, more than at the noise that is worst
/// for the whole network.
fn noise_is_the_worst_for_the_thinned_network<T: Real>() {
    let mut setup = setup::<T>(LossKind::SOFTMAX, false, |spec| {
        (spec.activations, spec.penalty_weight) = (vec![ActivationKind::Tanh], Some(1e3));
    });
    let noise = InputNoise::with_metric(0.3, None);
    let mut fresh = batch(&setup);
    let plain = thinned(&mut setup, &mut fresh).0;
    let mut robust = batch(&setup).with_noise(Some(noise.clone()));
    let worst = thinned(&mut setup, &mut robust).0;
    let mut moved = setup.inputs.clone();
    let mut whole = Batch::new(&setup.layers, &setup.options).with_noise(Some(noise));
    setup.run(|layers, data| whole.disturbed(layers, data, moved.view_mut()));
    setup.inputs = moved;
    let mut fresh = batch(&setup);
    let other = thinned(&mut setup, &mut fresh).0;
    assert!(plain < other && other < worst, "{plain}, {other}, {worst}");
}

/// λ times the slope in the parameter is the derivative of the thinned network's loss.
#[test]
fn learned_parameters_follow_the_thinned_network() {
    const H: f64 = 1e-5;
    for kind in [
        ActivationKind::LeakyRelu { slope: 0.3 },
        ActivationKind::HardSigmoid { slope: 0.25 },
        ActivationKind::Elu { alpha: 0.6 },
        ActivationKind::SoftThreshold { threshold: 0.4 },
    ] {
        let mut setup = setup::<f64>(LossKind::SOFTMAX, true, |spec| {
            (spec.activations, spec.penalty_weight) = (vec![kind], Some(1e6));
            spec.learn_activation = true;
        });
        let mut fresh = batch(&setup);
        thinned(&mut setup, &mut fresh);
        for (l, moments) in fresh.parameter_moments(N).iter().enumerate() {
            let r = kind.coordinate().unwrap();
            let mut loss = |r: f64| {
                let mut moved = batch(&setup);
                moved.activations.set(l, kind.at_coordinate(r));
                thinned(&mut setup, &mut moved).0
            };
            let expected = (loss(r + H) - loss(r - H)) / (2.0 * H);
            let got = 1e6 * moments.slope;
            assert!(
                (got - expected).abs() <= 2e-3 * (1e-3 + expected.abs()),
                "{kind:?}, {l}: {got} not {expected}"
            );
        }
    }
}
