//! Training in single precision on data in double: what must not be lost by it.

use crate::common::normal;
use liftnet::activation::ActivationKind;
use liftnet::error::{Error, Result};
use liftnet::linalg::Threads;
use liftnet::loss::{LossKind, Targets};
use liftnet::network::Network;
use liftnet::penalty::{Penalty, PenaltyKind, RankLimit};
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::solver::{Silent, Solution, stochastic, with_standard_targets};
use liftnet::spec::{Components, Options, Scaling, Spec};
use ndarray::{Array1, Array2, Axis, s};

fn options(x: &Array2<f64>, change: impl FnOnce(&mut Spec)) -> Options {
    let mut spec = Spec {
        hidden_layer_sizes: vec![16],
        alpha: Some(0.01),
        components: Components::All,
        damping: Some((1e-3, 1e-2)),
        batch_size: Some(32),
        max_iter: Some(20),
        learning_rate: Some(0.3),
        tol: 0.0,
        n_iter_no_change: 1000,
        early_stopping: false,
        seed: 1,
        ..crate::common::spec()
    };
    change(&mut spec);
    spec.check(x.nrows(), x.ncols()).unwrap()
}

/// A regression of `y` on `x`, trained in C.
fn fit<C: Real>(x: &Array2<f64>, y: &Array2<f64>, options: &Options) -> Result<Solution<f64>> {
    let problem = Problem::new(x.view(), Targets::Values(y.view()), None, y.ncols(), options.loss)?;
    with_standard_targets(&problem, options, None, None, |problem, options, start, held_out| {
        stochastic::<C, _>(problem, options, start, held_out, &mut Silent)
    })
}

/// Share of the variance of the targets that is not explained.
fn unexplained(network: &Network<f64>, x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    let residual = network.decision_function(x.view(), Threads::One).unwrap() - y;
    let spread = y - &y.mean_axis(Axis(0)).unwrap();
    residual.mapv(|r| r * r).sum() / spread.mapv(|r| r * r).sum()
}

fn surface(x: &Array2<f64>) -> Array2<f64> {
    let rows = x.rows().into_iter();
    let values: Array1<f64> = rows.map(|row| (1.5 * row[0]).sin() + row[1] * row[2]).collect();
    values.insert_axis(Axis(1))
}

#[test]
fn predictions_are_those_of_double_precision() {
    let x = normal::<f64>(600, 4, 1);
    let y = surface(&x);
    let options = options(&x, |_| {});
    let (single, double) = (fit::<f32>(&x, &y, &options).unwrap(), fit::<f64>(&x, &y, &options).unwrap());
    let [single, double] = [single, double].map(|solution| unexplained(&solution.network, &x, &y));
    assert!(double < 0.2, "{double} unexplained in double precision");
    assert!((single - double).abs() < 0.02, "{single} unexplained, {double} in double precision");
}

/// Time stamps and account numbers: 2e9 with a spread of one is a constant in single precision.
#[test]
fn large_offsets_of_inputs_and_targets_cost_nothing() {
    let x = normal::<f64>(600, 4, 2);
    let y = surface(&x);
    let (far_x, far_y) = (&x + 2e9, &y * 1e-3 + 1e8);
    let options = options(&x, |_| {});
    let near = unexplained(&fit::<f32>(&x, &y, &options).unwrap().network, &x, &y);
    let far = unexplained(&fit::<f32>(&far_x, &far_y, &options).unwrap().network, &far_x, &far_y);
    assert!(near < 0.2, "{near} unexplained");
    assert!((near - far).abs() < 0.02, "{far} unexplained with offsets, {near} without");
}

/// Neither range nor squares of such values lie in single precision.
#[test]
fn units_beyond_single_precision_cost_nothing() {
    let x = normal::<f64>(400, 4, 3);
    let y = surface(&x);
    let choose = |spec: &mut Spec| spec.scaling = Scaling::Feature;
    let units = Array1::from(vec![2f64.powi(200), 2f64.powi(-200), 2f64.powi(90), 1.0]);
    let (scaled, huge) = (&x * &units, &y * 2f64.powi(300));
    let near = unexplained(&fit::<f32>(&x, &y, &options(&x, choose)).unwrap().network, &x, &y);
    let network = fit::<f32>(&scaled, &huge, &options(&scaled, choose)).unwrap().network;
    let far = unexplained(&network, &scaled, &huge);
    assert!((near - far).abs() < 1e-3, "{far} unexplained, {near} in units of one");
}

/// What holds weights in a set is applied once more in the precision of the data.
#[test]
fn constraints_hold_to_the_precision_of_the_data() {
    let x = normal::<f64>(300, 6, 4);
    let y = surface(&x);
    let solve = |kind: PenaltyKind| {
        let options = options(&x, |spec| {
            (spec.penalties, spec.hidden_layer_sizes) = (vec![kind], vec![12, 8]);
            (spec.activations, spec.max_iter) = (vec![ActivationKind::Relu], Some(5));
        });
        fit::<f32>(&x, &y, &options).unwrap().network.coefs
    };
    let weights = |coefs: &[Array2<f64>]| coefs.iter().flatten().copied().collect::<Vec<_>>();
    let boxed = weights(&solve(PenaltyKind::Box { lower: -0.1, upper: 0.3 }));
    assert!(boxed.iter().all(|w| (-0.1..=0.3).contains(w)));
    assert!(boxed.contains(&0.3), "the bound must be reached, not its neighbour in f32");
    assert!(weights(&solve(PenaltyKind::NonNegative)).iter().all(|&w| w >= 0.0));
    let sparse = solve(PenaltyKind::Sparse { share: 0.75 });
    for coef in &sparse {
        let zeros = coef.iter().filter(|&&w| w == 0.0).count();
        assert!(zeros as f64 >= 0.75 * coef.len() as f64, "{zeros} of {}", coef.len());
    }
    for coef in &solve(PenaltyKind::Rank { limit: 2 }) {
        let mut nearest = coef.clone();
        RankLimit::new(2).prox(1.0, nearest.view_mut()).unwrap();
        let beyond = (&nearest - coef).fold(0.0, |top: f64, v| top.max(v.abs()));
        let size = coef.fold(0.0, |top: f64, v| top.max(v.abs()));
        assert!(beyond <= 1e-13 * size, "{beyond} of {size} are of a higher rank");
    }
}

#[test]
fn starts_beyond_single_precision_are_refused() {
    let x = normal::<f64>(100, 3, 5);
    let y = surface(&x);
    let options = options(&x, |_| {});
    let mut start = fit::<f32>(&x, &y, &options).unwrap().network;
    start.coefs[1].slice_mut(s![0, ..]).fill(1e200);
    let problem = Problem::new(x.view(), Targets::Values(y.view()), None, 1, LossKind::Squared).unwrap();
    let refused = stochastic::<f32, _>(&problem, &options, Some(&start), None, &mut Silent);
    let Err(error @ Error::Parameter { name: "starting weights", .. }) = refused else {
        panic!("{refused:?}")
    };
    let message = error.to_string();
    assert!(message.contains("got 1e200 in layer 2") && message.contains("single precision"), "{message}");
}
