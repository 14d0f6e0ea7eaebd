//! The gradients of a batch: of the plain network as λ → ∞, of the recursion at finite λ.

use super::super::pass::Batch;
use super::{Setup, distance, for_both, losses};
use crate::activation::{Activation, ActivationKind};
use crate::real::Real;
use ndarray::Array2;

const DEPTHS: [&[usize]; 4] = [&[], &[4], &[4, 3], &[4, 3, 5]];

for_both!(gradients_follow_the_recursion);

fn gradients<T: Real>(setup: &mut Setup<T>, ridge: f64) -> Vec<Array2<T>> {
    let mut batch = Batch::new(&setup.layers, &setup.options);
    let rows: Vec<usize> = (0..setup.inputs.nrows()).collect();
    setup.run(|layers, data| {
        batch.gradients(layers, data, &rows, ridge);
        layers.iter().map(|layer| layer.gradient.clone()).collect()
    })
}

/// At λ = 1e7 the activation blocks back-propagate: against central differences of mean loss plus
/// ridge, for every smooth activation and loss; kinks are nowhere near the pre-activations drawn.
#[test]
fn large_lambda_gives_the_gradient_of_the_network() {
    let ridge = 0.07;
    for &activation in ActivationKind::ALL.iter().filter(|kind| kind.lifted() == **kind) {
        for loss in losses() {
            for hidden in DEPTHS {
                for weighted in [false, true] {
                    let mut setup = Setup::<f64>::new(loss, hidden, 150, weighted, |spec| {
                        (spec.activations, spec.penalty_weight) = (vec![activation], Some(1e7));
                    });
                    let gradients = gradients(&mut setup, ridge);
                    let wrong = differences_disagree(&mut setup, &gradients, ridge);
                    let case = format!("{activation:?}, {loss:?}, hidden {hidden:?}, weighted {weighted}");
                    assert!(wrong <= 1e-6, "{case}: off by {wrong}");
                }
            }
        }
    }
}

fn differences_disagree(setup: &mut Setup<f64>, gradients: &[Array2<f64>], ridge: f64) -> f64 {
    const H: f64 = 1e-5;
    let mut batch = Batch::new(&setup.layers, &setup.options);
    let rows: Vec<usize> = (0..setup.inputs.nrows()).collect();
    setup.run(|layers, data| {
        let steepest = gradients.iter().flatten().fold(0.0, |top: f64, g| top.max(g.abs()));
        let mut worst = 0.0f64;
        for (l, gradient) in gradients.iter().enumerate() {
            for (place, &analytic) in gradient.indexed_iter() {
                let mut objective = |shift: f64| {
                    layers[l].weights[place] += shift;
                    let loss = batch.evaluate(layers, data, &rows).mean_loss();
                    let penalty: f64 = layers.iter().map(|layer| layer.half_square()).sum();
                    layers[l].weights[place] -= shift;
                    loss + ridge * penalty
                };
                let numeric = (objective(H) - objective(-H)) / (2.0 * H);
                worst = worst.max((numeric - analytic).abs());
            }
        }
        // The terms in 1/λ and H² grow with the gradient.
        worst / (1.0 + steepest)
    })
}

/// The sweep of the algorithm box, sample by sample, at a λ that is far from its limit.
fn gradients_follow_the_recursion<T: Real>() {
    let (lambda, ridge) = (1.5, 0.05);
    for &activation in ActivationKind::ALL {
        for loss in losses() {
            for hidden in DEPTHS {
                for weighted in [false, true] {
                    let choose = |spec: &mut crate::spec::Spec| {
                        (spec.activations, spec.penalty_weight) = (vec![activation], Some(lambda));
                    };
                    let got = gradients(&mut Setup::<T>::new(loss, hidden, 40, weighted, choose), ridge);
                    let expected = by_hand(&Setup::<f64>::new(loss, hidden, 40, weighted, choose), ridge);
                    for (l, (got, expected)) in got.iter().zip(&expected).enumerate() {
                        let wrong = distance(got.view(), expected.view());
                        let case = format!("{activation:?}, {loss:?}, {hidden:?}, {weighted}, layer {l}");
                        assert!(wrong <= 300.0 * T::epsilon().f64(), "{case}: off by {wrong}");
                    }
                }
            }
        }
    }
}

fn by_hand(setup: &Setup<f64>, ridge: f64) -> Vec<Array2<f64>> {
    // A linear model has none.
    let kind = setup.options.activations.first().copied().unwrap_or(ActivationKind::Identity);
    let (phi, lifted) = (kind.make::<f64>(), kind.lifted().make::<f64>());
    let loss = setup.options.loss.make::<f64>();
    let lambda = setup.options.penalty_weight;
    let n = setup.inputs.nrows();
    let mut gradients: Vec<Array2<f64>> = setup.layers.iter().map(|layer| &layer.weights * ridge).collect();
    for gradient in &mut gradients {
        let intercept = gradient.nrows() - 1;
        gradient.row_mut(intercept).fill(0.0);
    }
    for row in 0..n {
        let (inputs, z) = forward(setup, phi.as_ref(), row);
        let mut delta = z[z.len() - 1].clone();
        loss.value_and_gradient(&setup.labels.targets(), row, &mut delta);
        let weight = setup.weights.as_ref().map_or(1.0, |weights| weights[row]) / n as f64;
        for l in (0..setup.layers.len()).rev() {
            for (i, x) in inputs[l].iter().enumerate() {
                for (j, delta) in delta.iter().enumerate() {
                    gradients[l][[i, j]] += weight * x * delta;
                }
            }
            if l > 0 {
                // x* = φ(z − W δ / λ), δ = λ (φ(z) − x*).
                let weights = &setup.layers[l].weights;
                let moved = z[l - 1].iter().zip(weights.rows()).map(|(z, weights)| {
                    let g: f64 = weights.iter().zip(&delta).map(|(w, d)| w * d).sum();
                    z - g / lambda
                });
                let targets = applied(lifted.as_ref(), &moved.collect::<Vec<_>>());
                let values = applied(lifted.as_ref(), &z[l - 1]);
                delta = values.iter().zip(targets).map(|(x, target)| lambda * (x - target)).collect();
            }
        }
    }
    gradients
}

/// Inputs of every layer with their trailing one, and all pre-activations, of one sample.
fn forward(setup: &Setup<f64>, phi: &dyn Activation<f64>, row: usize) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let mut inputs = vec![setup.inputs.row(row).to_vec()];
    let mut z = Vec::new();
    for (l, layer) in setup.layers.iter().enumerate() {
        let affine: Vec<f64> = layer
            .weights
            .columns()
            .into_iter()
            .map(|column| column.iter().zip(&inputs[l]).map(|(w, x)| w * x).sum())
            .collect();
        let mut x = applied(phi, &affine);
        x.push(1.0);
        inputs.push(x);
        z.push(affine);
    }
    (inputs, z)
}

fn applied(phi: &dyn Activation<f64>, z: &[f64]) -> Vec<f64> {
    let mut x = vec![f64::NAN; z.len()];
    phi.apply(z, &mut x);
    x
}
