//! The output block at the plain activations: solved, and only where it should be.

use super::super::activations::Activations;
use super::super::control::Status;
use super::super::layers::Layer;
use super::super::output_block::{Ending, keep_below_constant};
use super::super::pass::{Batch, Data};
use super::{Labels, Setup, normal};
use crate::activation::ActivationKind;
use crate::linalg::Threads;
use crate::loss::{LossKind, Targets};
use crate::penalty::PenaltyKind;
use crate::spec::{Options, Solver, Spec};
use ndarray::{Array2, s};

const N: usize = 60;

/// A random network that jumps, as the batch solver would end with it.
fn setup(loss: LossKind, n: usize, hidden: &[usize], change: impl FnOnce(&mut Spec)) -> Setup<f64> {
    Setup::new(loss, hidden, n, true, |spec| {
        (spec.solver, spec.alpha) = (Solver::Batch, Some(0.5));
        spec.activations = vec![ActivationKind::Sign];
        change(spec);
    })
}

impl Setup<f64> {
    /// Ends a run of this kind, then calls `task`.
    fn end(&mut self, running: Option<f64>, status: Status, task: impl FnOnce(&mut Objective<'_, '_, '_>)) {
        let options = self.options.clone();
        let activations = Activations::new(&options);
        self.run(|layers, data| {
            let memory = options.memory_limit.unwrap_or(u64::MAX);
            let ending = Ending { status, running, held_out: None, memory };
            keep_below_constant(layers, &activations, data, &options, &ending).unwrap();
            task(&mut Objective { layers, data, options: &options })
        })
    }

    fn output(&self) -> Array2<f64> {
        self.layers.last().unwrap().weights.clone()
    }
}

/// F of the output layer, by the solver's own forward pass.
struct Objective<'o, 'a, 't> {
    layers: &'o mut Vec<Layer<f64>>,
    data: Data<'a, 't, f64>,
    options: &'o Options,
}

impl Objective<'_, '_, '_> {
    fn value(&mut self) -> f64 {
        let rows: Vec<usize> = (0..self.data.inputs.nrows()).collect();
        let loss = Batch::new(self.layers, self.options).evaluate(self.layers, self.data, &rows).mean_loss();
        loss + self.layers.last_mut().unwrap().penalty(self.options.ridge, Threads::One).unwrap()
    }

    /// The least increase of F over moves of the output weights by `size`.
    fn least_rise(&mut self, size: f64) -> f64 {
        let (here, weights) = (self.value(), self.layers.last().unwrap().weights.clone());
        let mut least = f64::INFINITY;
        for seed in 0..40 {
            let mut away = normal::<f64>(weights.nrows(), weights.ncols(), 100 + seed);
            if seed % 2 == 0 {
                // One weight alone.
                let kept = [seed as usize / 2 % weights.nrows(), seed as usize % weights.ncols()];
                let value = away[kept];
                away.fill(0.0);
                away[kept] = value;
            }
            self.layers.last_mut().unwrap().restore(&(&weights + &(away * size)));
            least = least.min(self.value() - here);
        }
        self.layers.last_mut().unwrap().restore(&weights);
        least
    }
}

#[test]
fn block_is_solved() {
    for &loss in LossKind::ALL {
        for hidden in [vec![4], vec![6, 5]] {
            for (penalty, tolerance) in [("ridge", 1e-9), ("l1(1)", 1e-5), ("elastic_net(1)", 1e-5)] {
                let mut setup = setup(loss, N, &hidden, |spec| {
                    spec.penalties = vec![PenaltyKind::Ridge; hidden.len()];
                    spec.penalties.push(PenaltyKind::parse(penalty).unwrap());
                });
                let penalty = setup.options.penalties[hidden.len()];
                let ridge = setup.options.ridge;
                let last = setup.layers.pop().unwrap();
                setup.layers.push(Layer::new(last.weights).with_penalty(penalty.make(None, None), ridge));
                setup.end(None, Status::MaxIter, |objective| {
                    for size in [1e-3, 1e-2, 0.3] {
                        let rise = objective.least_rise(size);
                        assert!(rise >= -tolerance, "{loss:?}, {hidden:?}, {penalty}: {rise} at {size}");
                    }
                });
            }
        }
    }
}

/// Of a run that was interrupted, or that must withstand noise, what was worse than the constant
/// becomes that.
#[test]
fn constant_stands_in_for_a_solution() {
    for &loss in LossKind::ALL {
        for (status, noise) in [(Status::Interrupted, 0.0), (Status::MaxIter, 0.1)] {
            let mut setup = setup(loss, N, &[4], |spec| spec.input_noise = Some(noise));
            setup.layers[1].weights *= 30.0;
            setup.end(None, status, |objective| {
                let weights = &objective.layers[1].weights;
                assert!(weights.slice(s![..4, ..]).iter().all(|w| *w == 0.0), "{loss:?}, {status:?}");
            });
        }
    }
}

/// A good network of continuous activations is left as it is, and so is one whose last pass told enough
/// of it, unless looking costs nothing.
#[test]
fn other_networks_keep_their_bits() {
    let tanh = |spec: &mut Spec| spec.activations = vec![ActivationKind::Tanh];
    for &loss in LossKind::ALL {
        let mut good = setup(loss, N, &[20], tanh);
        good.layers[1].weights.fill(0.0);
        good.end(None, Status::MaxIter, |_| ());
        // Far below the constant, and the solution no longer.
        good.layers[1].weights *= 0.9;
        let kept = good.output();
        good.end(None, Status::MaxIter, |_| ());
        assert_eq!(good.output(), kept, "{loss:?}");
    }
    for (hidden, looked_at) in [(vec![4], true), (vec![400, 400], false)] {
        let mut bad = setup(LossKind::SOFTMAX, 1000, &hidden, tanh);
        bad.layers.last_mut().unwrap().weights *= 30.0;
        let before = bad.output();
        bad.end(Some(0.01), Status::MaxIter, |_| ());
        assert_eq!(bad.output() != before, looked_at);
        bad.end(Some(1.0), Status::MaxIter, |_| ());
        assert!(bad.output() != before, "what is not far below is looked at");
    }
}

/// With too little memory for all samples, some of them serve, and what is left is no worse than the
/// constant on all.
#[test]
fn little_memory_is_enough() {
    let mut setup = setup(LossKind::Squared, 5000, &[30], |spec| spec.memory_limit = Some(1));
    setup.labels = Labels::new(LossKind::Squared, 5000, 3);
    setup.layers[1].weights *= 30.0;
    setup.end(None, Status::MaxIter, |objective| {
        let reached = objective.value();
        for layer in objective.layers.iter_mut() {
            layer.weights.fill(0.0);
        }
        let constant = objective.value();
        assert!(reached < constant, "{reached} not below {constant}");
    });
}

/// Held-out data choose: a solution that fits noise gives way to the constant.
#[test]
fn held_out_data_choose() {
    for same in [true, false] {
        let mut setup = setup(LossKind::SOFTMAX, 40, &[25], |spec| spec.alpha = Some(1e-3));
        let activations = Activations::new(&setup.options);
        let classes = &setup.labels.classes;
        let reversed: Vec<u32> = classes.iter().rev().copied().collect();
        let (own, other) = (Targets::Classes(classes), Targets::Classes(&reversed));
        let on = |targets| Data { inputs: &setup.inputs, targets, weights: None };
        let held_out = Some(on(if same { &own } else { &other }));
        let ending = Ending { status: Status::MaxIter, running: None, held_out, memory: u64::MAX };
        keep_below_constant(&mut setup.layers, &activations, on(&own), &setup.options, &ending).unwrap();
        let constant = setup.layers[1].weights.slice(s![..25, ..]).iter().all(|w| *w == 0.0);
        assert_eq!(constant, !same);
    }
}
