//! What is refused before the first block is solved, and networks as plain weights.

use crate::common::spec;
use liftnet::activation::ActivationKind;
use liftnet::error::Error;
use liftnet::linalg::Threads;
use liftnet::loss::{LossKind, Targets};
use liftnet::network::Network;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::rows::{Rows, first_non_finite};
use liftnet::spec::{Components, Scaling, Spec};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, array, s};

for_both!(
    good_problems_pass,
    shapes_are_checked,
    non_finite_data_are_found_where_they_are,
    targets_must_suit_the_loss,
    sample_weights_are_checked,
    sample_weights_get_mean_one,
    networks_are_checked,
    decision_function_is_the_network,
);

/// A good case; each test breaks exactly one thing of it.
fn problem<'a, T: Real>(
    x: &'a Array2<T>,
    targets: Targets<'a, T>,
    weights: Option<&'a Array1<T>>,
    n_outputs: usize,
    loss: LossKind,
) -> Result<Problem<'a, T>, Error> {
    Problem::new(x.view(), targets, weights.map(|weights| weights.view()), n_outputs, loss)
}

fn ones<T: Real>(rows: usize, columns: usize) -> Array2<T> {
    Array2::ones((rows, columns))
}

const CLASSES: [u32; 4] = [0, 1, 2, 1];
const BINARY: [u32; 4] = [0, 1, 0, 1];

fn good_problems_pass<T: Real>() {
    let (x, y, weights) = (ones::<T>(4, 2), ones::<T>(4, 3), Array1::ones(4));
    let softmax = problem(&x, Targets::Classes(&CLASSES), Some(&weights), 3, LossKind::SOFTMAX).unwrap();
    assert_eq!((softmax.n_samples(), softmax.n_features(), softmax.n_outputs()), (4, 2, 3));
    assert!(matches!(softmax.x(), Rows::Dense(rows) if rows == x.view()));
    assert_eq!(softmax.targets().len(), 4);
    let unweighted = problem(&x, Targets::Classes(&BINARY), None, 1, LossKind::LOGISTIC).unwrap();
    assert!(unweighted.weights().is_none());
    problem(&x, Targets::Values(y.view()), None, 3, LossKind::Squared).unwrap();
}

/// Destructures [`Error::Shape`].
fn shape_error<V>(result: Result<V, Error>) -> (String, Vec<usize>) {
    match result {
        Err(Error::Shape { argument, got, .. }) => (argument, got),
        Err(other) => panic!("not a shape error: {other}"),
        Ok(_) => panic!("no error"),
    }
}

fn shapes_are_checked<T: Real>() {
    for (rows, columns) in [(0, 2), (4, 0), (0, 0)] {
        let x = ones::<T>(rows, columns);
        let refused = problem(&x, Targets::Classes(&CLASSES[..rows]), None, 3, LossKind::SOFTMAX);
        assert_eq!(shape_error(refused), ("X".into(), vec![rows, columns]));
    }
    let (x, y) = (ones::<T>(4, 2), ones::<T>(4, 3));
    let refused = problem(&x, Targets::Classes(&CLASSES[..3]), None, 3, LossKind::SOFTMAX);
    assert_eq!(shape_error(refused), ("y".into(), vec![3]));
    let refused = problem(&x, Targets::Values(y.slice(s![..3, ..])), None, 3, LossKind::Squared);
    assert_eq!(shape_error(refused), ("y".into(), vec![3]));
    let refused = problem(&x, Targets::Values(y.view()), None, 2, LossKind::Squared);
    assert_eq!(shape_error(refused), ("y".into(), vec![4, 3]));
    for count in [3, 5, 0] {
        let weights = Array1::ones(count);
        let refused = problem(&x, Targets::Classes(&CLASSES), Some(&weights), 3, LossKind::SOFTMAX);
        assert_eq!(shape_error(refused), ("sample_weight".into(), vec![count]));
    }
}

/// Destructures [`Error::NonFinite`].
fn place<V>(result: Result<V, Error>) -> (String, Vec<usize>) {
    match result {
        Err(Error::NonFinite { argument, index, value }) => {
            assert!(!value.is_finite());
            (argument, index)
        }
        Err(other) => panic!("not a non-finite value: {other}"),
        Ok(_) => panic!("no error"),
    }
}

fn non_finite_data_are_found_where_they_are<T: Real>() {
    for bad in [T::nan(), T::infinity(), T::neg_infinity()] {
        let classes = vec![0; 2500];
        for (row, column) in [(0, 0), (2499, 18), (1500, 3), (1023, 18), (1024, 0)] {
            // A second bad value later must not be the one reported.
            let mut x = ones::<T>(2500, 19);
            (x[[2499, 18]], x[[row, column]]) = (bad, bad);
            let refused = problem(&x, Targets::Classes(&classes), None, 2, LossKind::SOFTMAX);
            assert_eq!(place(refused), ("X".into(), vec![row, column]));
            // Found in any layout.
            let transposed = x.t().as_standard_layout().to_owned();
            let mut wide = Array2::from_elem((2500, 38), T::nan());
            wide.slice_mut(s![.., ..;2]).assign(&x);
            for view in [x.view(), transposed.t(), wide.slice(s![.., ..;2])] {
                for threads in [Threads::One, Threads::All] {
                    assert_eq!(first_non_finite(view, threads), Some((row, column)));
                }
            }
        }
        let mut y = ones::<T>(4, 3);
        y[[2, 1]] = bad;
        let x = ones::<T>(4, 2);
        let refused = problem(&x, Targets::Values(y.view()), None, 3, LossKind::Squared);
        assert_eq!(place(refused), ("y".into(), vec![2, 1]));
        let weights = array![T::one(), T::one(), T::one(), bad];
        let refused = problem(&x, Targets::Classes(&CLASSES), Some(&weights), 3, LossKind::SOFTMAX);
        assert_eq!(place(refused), ("sample_weight".into(), vec![3]));
    }
    // What is finite stays so, however large, small or signed.
    let extremes = [T::max_value(), T::min_value(), T::min_positive_value(), -T::zero()];
    let x = Array2::from_shape_fn((1100, 21), |(i, j)| extremes[(i + j) % 4]);
    assert_eq!(first_non_finite(x.view(), Threads::All), None);
}

/// The name in [`Error::Parameter`].
fn parameter<V>(result: Result<V, Error>) -> &'static str {
    match result {
        Err(Error::Parameter { name, .. }) => name,
        Err(other) => panic!("not a parameter error: {other}"),
        Ok(_) => panic!("no error"),
    }
}

fn targets_must_suit_the_loss<T: Real>() {
    let (x, y) = (ones::<T>(4, 2), ones::<T>(4, 3));
    let (classes, values) = (Targets::Classes(&CLASSES), Targets::Values(y.view()));
    let labels = |result: Result<Problem<'_, T>, Error>| match result {
        Err(Error::Labels { row, got, classes }) => (row, got, classes),
        other => panic!("no label error: {other:?}"),
    };
    assert_eq!(labels(problem(&x, classes, None, 2, LossKind::SOFTMAX)), (2, 2, 2));
    assert_eq!(labels(problem(&x, classes, None, 1, LossKind::LOGISTIC)), (2, 2, 2));
    let huge = Targets::Classes(&[0, 1, 0, u32::MAX]);
    assert_eq!(labels(problem(&x, huge, None, 3, LossKind::SOFTMAX)), (3, u32::MAX as usize, 3));
    for (targets, n_outputs, loss, name) in [
        (Targets::Classes(&[0; 4]), 1, LossKind::SOFTMAX, "n_outputs"),
        (Targets::Classes(&[0; 4]), 0, LossKind::SOFTMAX, "n_outputs"),
        (Targets::Classes(&BINARY), 2, LossKind::LOGISTIC, "n_outputs"),
        (Targets::Classes(&BINARY), 0, LossKind::LOGISTIC, "n_outputs"),
        (Targets::Values(y.slice(s![.., ..0])), 0, LossKind::Squared, "n_outputs"),
        (classes, 3, LossKind::Squared, "y"),
        (values, 3, LossKind::SOFTMAX, "y"),
        (values, 1, LossKind::LOGISTIC, "y"),
        (classes, 3, LossKind::Poisson, "y"),
        (classes, 3, LossKind::Huber { epsilon: 1.0 }, "y"),
    ] {
        assert_eq!(parameter(problem(&x, targets, None, n_outputs, loss)), name, "{loss:?}, {n_outputs}");
    }
    // Counts are not negative, and 0 is one.
    let mut counts = y.clone();
    (counts[[1, 0]], counts[[2, 1]], counts[[3, 0]]) = (T::zero(), T::of(-2.0), T::of(-1.0));
    let refused = problem(&x, Targets::Values(counts.view()), None, 3, LossKind::Poisson).unwrap_err();
    let allowed = "values of at least 0";
    assert_eq!(refused, Error::Domain { row: 2, got: -2.0, allowed, loss: "poisson" });
    problem(&x, Targets::Values(counts.view()), None, 3, LossKind::Squared).unwrap();
    problem(&x, Targets::Values(Array2::zeros((4, 3)).view()), None, 3, LossKind::Poisson).unwrap();
    // Labels are there or not.
    let labels = Array2::from_shape_fn((4, 3), |(i, j)| T::of((i == j).into()));
    problem(&x, Targets::Values(labels.view()), None, 3, LossKind::MULTILABEL).unwrap();
    let allowed = "0 or 1";
    for wrong in [-1.0, 0.5, 2.0] {
        let mut labels = labels.clone();
        labels[[3, 1]] = T::of(wrong);
        let refused = problem(&x, Targets::Values(labels.view()), None, 3, LossKind::MULTILABEL).unwrap_err();
        assert_eq!(refused, Error::Domain { row: 3, got: wrong, allowed, loss: "multilabel" });
    }
}

fn sample_weights_are_checked<T: Real>() {
    let x = ones::<T>(4, 2);
    for weights in [[1.0, -0.5, 1.0, 1.0], [0.0; 4], [-1.0; 4]] {
        let weights = Array1::from(weights.map(T::of).to_vec());
        let refused = problem(&x, Targets::Classes(&CLASSES), Some(&weights), 3, LossKind::SOFTMAX);
        assert_eq!(parameter(refused), "sample_weight");
    }
}

fn sample_weights_get_mean_one<T: Real>() {
    let x = ones::<T>(4, 2);
    let large = T::max_value() / T::of(4.0);
    let small = T::min_positive_value() * T::of(64.0);
    for unit in [T::one(), T::of(1e-20), large, small] {
        let weights = array![unit, T::zero(), unit * T::of(3.0), unit * T::of(4.0)];
        let weighted = problem(&x, Targets::Classes(&CLASSES), Some(&weights), 3, LossKind::SOFTMAX).unwrap();
        let scaled = weighted.weights().unwrap();
        for (got, expected) in scaled.iter().zip([0.5, 0.0, 1.5, 2.0]) {
            let wrong = (got.f64() - expected).abs();
            assert!(wrong <= 1e-5, "{got} not {expected} at unit {unit}");
        }
    }
}

/// Weights 2-3-1.
fn network<T: Real>(activation: ActivationKind) -> Network<T> {
    Network {
        coefs: vec![
            array![[1.0, -0.5, 0.3], [0.2, 0.7, -2.0]].mapv(T::of),
            array![[1.5], [-1.0], [0.4]].mapv(T::of),
        ],
        intercepts: vec![array![0.1, 0.0, -0.2].mapv(T::of), array![0.25].mapv(T::of)],
        activations: vec![activation],
    }
}

fn networks_are_checked<T: Real>() {
    let good = network::<T>(ActivationKind::Relu);
    good.check(2).unwrap();
    assert_eq!(shape_error(good.check(3)), ("coefs[0]".into(), vec![2, 3]));

    let broken = |change: &dyn Fn(&mut Network<T>)| {
        let mut network = good.clone();
        change(&mut network);
        network.check(2)
    };
    let shape = |change: &dyn Fn(&mut Network<T>)| shape_error(broken(change)).0;
    assert_eq!(shape(&|network| network.intercepts.truncate(1)), "coefs");
    assert_eq!(shape(&|network| network.coefs.truncate(1)), "coefs");
    assert_eq!(shape(&|network| (network.coefs, network.intercepts) = (vec![], vec![])), "coefs");
    assert_eq!(shape(&|network| network.activations.clear()), "activations");
    assert_eq!(shape(&|network| network.coefs[1] = ones(2, 1)), "coefs[1]");
    assert_eq!(shape(&|network| network.coefs[1] = ones(3, 2)), "coefs[1]");
    assert_eq!(shape(&|network| network.intercepts[0] = Array1::zeros(2)), "coefs[0]");
    let no_outputs = |network: &mut Network<T>| {
        (network.coefs[1], network.intercepts[1]) = (ones(3, 0), Array1::zeros(0));
    };
    assert_eq!(shape(&no_outputs), "coefs[1]");
    for bad in [T::nan(), T::infinity()] {
        assert!(place(broken(&|network| network.coefs[1][[2, 0]] = bad)).0.contains("coefs[1]"));
        assert!(place(broken(&|network| network.intercepts[0][1] = bad)).0.contains("intercepts[0]"));
    }
}

fn decision_function_is_the_network<T: Real>() {
    let x = Array2::from_shape_fn((600, 2), |(i, j)| T::of(((i * 7 + j * 3) % 11) as f64 * 0.3 - 1.5));
    for &activation in ActivationKind::ALL {
        let network = network::<T>(activation);
        let phi = activation.make::<f64>();
        let logits = network.decision_function(x.view(), Threads::All).unwrap();
        for (row, logit) in x.rows().into_iter().zip(&logits) {
            let expected = by_hand(&network, phi.as_ref(), row);
            let wrong = (logit.f64() - expected).abs();
            assert!(wrong <= 40.0 * T::epsilon().f64(), "{activation:?}: {logit} not {expected}");
        }
        assert_eq!(logits, network.decision_function(x.view(), Threads::One).unwrap());
        let columns = x.t().as_standard_layout().to_owned();
        assert_eq!(logits, network.decision_function(columns.t(), Threads::All).unwrap());
        assert_eq!(network.decision_function(x.slice(s![..0, ..]), Threads::All).unwrap().dim(), (0, 1));
    }
    let refused = network::<T>(ActivationKind::Tanh).decision_function(ones::<T>(4, 3).view(), Threads::All);
    assert_eq!(shape_error(refused).0, "coefs[0]");
}

fn by_hand<T: Real>(
    network: &Network<T>,
    phi: &dyn liftnet::activation::Activation<f64>,
    x: ArrayView1<'_, T>,
) -> f64 {
    let affine = |l: usize, x: &[f64], j: usize| -> f64 {
        let column = network.coefs[l].column(j);
        network.intercepts[l][j].f64() + column.iter().zip(x).map(|(w, x)| w.f64() * x).sum::<f64>()
    };
    let x: Vec<f64> = x.iter().map(|v| v.f64()).collect();
    let z: Vec<f64> = (0..3).map(|j| affine(0, &x, j)).collect();
    let mut hidden = vec![f64::NAN; 3];
    phi.apply(&z, &mut hidden);
    affine(1, &hidden, 0)
}

#[test]
fn every_parameter_has_its_range() {
    let refused = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec();
        change(&mut spec);
        parameter(spec.check(100, 4))
    };
    let nan = f64::NAN;
    let infinity = f64::INFINITY;
    assert_eq!(refused(&|spec| spec.hidden_layer_sizes = vec![3, 0]), "hidden_layer_sizes");
    assert_eq!(refused(&|spec| spec.learn_activation = true), "learn_activation");
    for bad in [-1e-9, nan, infinity] {
        assert_eq!(refused(&|spec| spec.alpha = Some(bad)), "alpha");
        assert_eq!(refused(&|spec| spec.input_noise = Some(bad)), "input_noise");
    }
    for bad in [0.0, -1.0, nan, infinity] {
        assert_eq!(refused(&|spec| spec.penalty_weight = Some(bad)), "penalty_weight");
        assert_eq!(refused(&|spec| spec.learning_rate = Some(bad)), "learning_rate_init");
        assert_eq!(refused(&|spec| spec.damping = Some((bad, 1.0))), "damping");
        assert_eq!(refused(&|spec| spec.damping = Some((1.0, bad))), "damping");
    }
    for bad in [-0.1, 1.0, nan, infinity] {
        assert_eq!(refused(&|spec| spec.momentum = bad), "momentum");
    }
    for bad in [-1e-9, nan] {
        assert_eq!(refused(&|spec| spec.tol = bad), "tol");
    }
    for bad in [0.0, 1.0, -0.5, nan] {
        assert_eq!(refused(&|spec| spec.components = Components::Share(bad)), "n_components");
    }
    assert_eq!(refused(&|spec| spec.components = Components::Count(0)), "n_components");
    assert_eq!(refused(&|spec| spec.n_iter_no_change = 0), "n_iter_no_change");
    assert_eq!(refused(&|spec| spec.threads = 0), "n_jobs");
    assert_eq!(refused(&|spec| spec.batch_size = Some(0)), "batch_size");
    assert_eq!(refused(&|spec| spec.max_iter = Some(0)), "max_iter");
}

#[test]
fn limits_of_the_ranges_pass() {
    let passes = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec();
        change(&mut spec);
        spec.check(100, 4).unwrap()
    };
    passes(&|spec| spec.hidden_layer_sizes = vec![]);
    passes(&|spec| (spec.alpha, spec.momentum, spec.tol) = (Some(0.0), 0.0, 0.0));
    passes(&|spec| spec.components = Components::Count(1000));
    passes(&|spec| spec.components = Components::Share(0.999));
}

/// Whatever the tuned defaults are, they are valid, and what the user says is kept.
#[test]
fn automatic_choices_are_valid_and_given_ones_kept() {
    for n in [1, 2, 31, 100, 1000, 60_000, 10_000_000] {
        for d in [1, 20, 784, 10_000] {
            let options = spec().check(n, d).unwrap();
            assert!((1..=n).contains(&options.batch_size), "{n}");
            assert!(options.max_iter >= 1 && options.learning_rate > 0.0);
            assert!(options.input_damping > 0.0 && options.hidden_damping > 0.0);
            assert!(options.ridge >= 0.0 && options.ridge.is_finite());
        }
    }
    let given = Spec {
        alpha: Some(2.0),
        batch_size: Some(48),
        max_iter: Some(7),
        learning_rate: Some(0.125),
        damping: Some((0.5, 0.25)),
        seed: 9,
        memory_limit: Some(1 << 30),
        ..spec()
    };
    let options = given.clone().check(1000, 4).unwrap();
    assert_eq!((options.batch_size, options.max_iter, options.learning_rate), (48, 7, 0.125));
    assert_eq!((options.input_damping, options.hidden_damping), (0.5, 0.25));
    assert_eq!(options.ridge, 2.0 / 1000.0, "alpha is divided by n");
    assert_eq!((options.seed, options.memory_limit), (9, Some(1 << 30)));
    assert_eq!(options.hidden_layer_sizes, [5]);
    // No batch is larger than the data.
    assert_eq!(given.check(30, 4).unwrap().batch_size, 30);
}

#[test]
fn automatic_alpha_follows_samples_and_few_features() {
    let alpha = liftnet::spec::auto_alpha;
    let classes = LossKind::SOFTMAX;
    assert_eq!(alpha(100.0, 15, classes), 3.0);
    assert_eq!(alpha(5000.0, 784, classes), 3.0);
    assert!((alpha(100.0, 5, classes) - 1.0).abs() < 1e-12);
    assert!((alpha(100.0, 1, classes) - 0.3).abs() < 1e-12, "a tenth at least");
    assert!((alpha(20_000.0, 784, classes) - 6.0).abs() < 1e-12);
    assert_eq!(alpha(100.0, 2, LossKind::Squared), 3.0);
}

#[test]
fn batches_of_short_runs_are_smaller() {
    let size = liftnet::spec::auto_batch_size;
    assert_eq!([1, 2, 3, 4, 9].map(|passes| size(60_000, passes)), [128, 256, 256, 512, 512]);
    // At least 600 steps, to a power of two: no fewer than 600/√2.
    for passes in 1..=8 {
        assert!(60_000 * passes >= 424 * size(60_000, passes));
    }
    assert_eq!([100, 5_000, 20_000, 10_000_000].map(|n| size(n, 30)), [32, 64, 256, 512]);
}

/// The more curved the loss, the shorter the step.
#[test]
fn automatic_steps_follow_batch_and_loss() {
    let rate = liftnet::spec::auto_learning_rate;
    let absolute = LossKind::Absolute { smoothing: 0.05 };
    for batch in [32, 128, 512] {
        assert_eq!(rate(batch, LossKind::SOFTMAX), rate(batch, LossKind::LOGISTIC));
        assert!(rate(batch, LossKind::SOFTMAX) > rate(batch, LossKind::Squared));
        assert_eq!(rate(batch, LossKind::Squared), rate(batch, LossKind::Huber { epsilon: 1.0 }));
        assert!(rate(batch, LossKind::Squared) > rate(batch, LossKind::Poisson));
        assert!(rate(batch, absolute) <= 0.2);
    }
    assert!(rate(32, absolute) < rate(512, absolute));
    for &loss in LossKind::ALL {
        assert!(rate(32, loss) < rate(512, loss), "{loss:?}");
    }
}

#[test]
fn names_are_looked_up() {
    for &kind in ActivationKind::ALL {
        assert_eq!(ActivationKind::parse(kind.name()), Ok(kind));
    }
    for &kind in LossKind::ALL {
        assert_eq!(LossKind::parse(kind.name()), Ok(kind));
    }
    let scalings = [Scaling::Auto, Scaling::Global, Scaling::Feature, Scaling::None];
    for (name, scaling) in ["auto", "global", "feature", "none"].into_iter().zip(scalings) {
        assert_eq!(Scaling::parse(name), Ok(scaling));
    }
}

#[test]
fn unknown_names_list_the_choices() {
    for unknown in ["", "Relu", "relu ", "sigmoid"] {
        let error = ActivationKind::parse(unknown).unwrap_err();
        let Error::UnknownName { name, got, choices } = &error else { panic!("{error}") };
        assert_eq!((*name, got.as_str(), choices.len()), ("activation", unknown, ActivationKind::ALL.len()));
        assert!(error.to_string().contains("hard_tanh"), "{error}");
    }
    let error = LossKind::parse("hinge").unwrap_err();
    assert!(matches!(&error, Error::UnknownName { name: "loss", .. }));
    for word in ["hinge", "softmax", "logistic", "squared"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = Scaling::parse("robust").unwrap_err();
    assert!(matches!(&error, Error::UnknownName { name: "scale", .. }));
    assert!(error.to_string().contains("global"), "{error}");
}

#[test]
fn activations_that_are_no_argmin_are_named_as_such() {
    for name in ["gelu", "silu", "swish", "mish"] {
        let error = ActivationKind::parse(name).unwrap_err();
        let Error::NotAnArgmin { got, nearest, choices } = &error else { panic!("{error}") };
        assert_eq!((got.as_str(), choices.len()), (name, ActivationKind::ALL.len()));
        assert!(!nearest.is_empty());
        for near in nearest {
            ActivationKind::parse(near).unwrap();
        }
        assert!(error.to_string().contains("not monotone"), "{error}");
    }
}

#[test]
fn messages_name_what_to_mend() {
    let x = array![[1.0, f64::NAN]];
    let view: ArrayView2<'_, f64> = x.view();
    let error = Problem::new(view, Targets::Classes(&[0]), None, 2, LossKind::SOFTMAX).unwrap_err();
    assert_eq!(error.to_string(), "X contains NaN at index [0, 1]; every value must be finite");
    let error = Error::Memory { needed: 3 << 30, limit: 1 << 20 };
    assert!(error.to_string().contains("3.0 GiB") && error.to_string().contains("1.0 MiB"), "{error}");
    let error = Error::Labels { row: 4, got: 7, classes: 3 };
    assert_eq!(error.to_string(), "y holds class index 7 at row 4, expected 0 to 2");
    let allowed = "values of at least 0";
    let error = Error::Domain { row: 4, got: -1.5, allowed, loss: "poisson" };
    let message = "y holds -1.5 at row 4, expected values of at least 0 for the poisson loss";
    assert_eq!(error.to_string(), message);
}
