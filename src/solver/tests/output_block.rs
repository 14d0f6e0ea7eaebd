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

    /// Loss and score of the network on its data.
    fn means(&mut self) -> (f64, f64) {
        let options = self.options.clone();
        self.run(|layers, data| {
            let rows: Vec<usize> = (0..data.inputs.nrows()).collect();
            let totals = Batch::new(layers, &options).evaluate(layers, data, &rows);
            (totals.mean_loss(), totals.mean_score())
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

/// What is below the constant by no more than chance is not right less often than it; what gains more is
/// left alone, and so are regressions and runs that were cut short.
#[test]
fn guesses_become_the_constant() {
    const UNITS: usize = 4;
    let tanh = |spec: &mut Spec| spec.activations = vec![ActivationKind::Tanh];
    // Loss and score of the start, at the end, and of the constant; whether the start was left alone.
    let run = |loss, n: usize, seed: u64, status| {
        let mut setup = setup(loss, n, &[UNITS], tanh);
        setup.weights = None;
        let classes = &mut setup.labels.classes;
        let chosen = normal::<f64>(n, 1, seed);
        classes.iter_mut().zip(&chosen).for_each(|(class, &v)| *class = u32::from(v > 0.1));
        let random = normal::<f64>(UNITS + 1, setup.layers[1].weights.ncols(), seed + 1) * 0.1;
        setup.layers[1].weights.assign(&random);
        let mut constant = Setup { labels: setup.labels.clone(), ..self::setup(loss, n, &[UNITS], tanh) };
        constant.weights = None;
        constant.layers[1].weights *= 30.0;
        constant.end(None, Status::Interrupted, |_| ());
        let start = setup.means();
        setup.end(None, status, |_| ());
        let kept = setup.output() == random;
        (start, setup.means(), constant.means(), kept)
    };
    let mut replaced = 0;
    for loss in [LossKind::LOGISTIC, LossKind::SOFTMAX] {
        for n in [30, 100] {
            for seed in 0..200 {
                let (start, end, constant, kept) = run(loss, n, 3 * seed, Status::MaxIter);
                // Where two classes are about even, whatever the number of outputs.
                let chance = (UNITS as f64 / n as f64).min(0.03 * constant.0);
                let gain = |means: (f64, f64)| constant.0 - means.0;
                let fails = |means| gain(means) < 0.8 * chance && means.1 < constant.1;
                assert!(!fails(end), "{loss:?}, {n}, {seed}: {end:?}, constant {constant:?}");
                if gain(start) > 1.05 * chance || gain(start) > 0.01 && start.1 >= constant.1 {
                    assert!(kept, "{loss:?}, {n}, {seed}: {start:?}, constant {constant:?}");
                }
                let could_stay = gain(start) > 0.001 * constant.0;
                replaced += usize::from(fails(start) && could_stay && end == constant);
                if could_stay {
                    assert!(run(loss, n, 3 * seed, Status::Callback).3, "{loss:?}, {n}, {seed}");
                }
            }
        }
    }
    assert!(replaced > 5, "{replaced}");
}
