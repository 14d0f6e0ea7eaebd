//! From a start to weights in mapped coordinates, and back to a network.

use super::covariance::GRAM_MAX;
use super::input_map::InputMap;
use super::layers::{Layer, random_weights};
use super::sampled_weights::sampled_weights;
use crate::activation::ActivationKind;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::penalty::Penalty;
use crate::problem::Problem;
use crate::real::{Real, cast};
use crate::spec::{NARROW, Options, Solver};
use ndarray::{Array1, Array2, Zip, s};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Share of the first layer's weight, in the metric of the inputs, that the map may lose.
const LOSS_ALLOWED: f64 = 1e-3;

/// Length of a weight that is drawn from samples, in the metric of the inputs, over the root of the gain:
/// longer for few features, where units must bend within the data.
fn sampled_length(n_features: usize) -> f64 {
    if n_features <= NARROW { SQRT_2 } else { FRAC_1_SQRT_2 }
}

/// The input map and the layers' weights at the start: random, or those of `network`.
///
/// Hidden weights are drawn for centred, scaled inputs, those of the first layer of the stochastic
/// solver from differences of samples (`sampled_weights.rs`); output weights are 0, so that training starts
/// from the constant prediction. The map is in the precision of the data, T, but fitted by products in C, in
/// which weights are trained.
///
/// # Errors
/// [`Error::Shape`] when the network does not fit the problem, [`Error::Parameter`] when it leaves the
/// range of C.
pub(super) fn start<C: Real, T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    network: Option<&Network<T>>,
    rng: &mut Xoshiro256PlusPlus,
) -> Result<(InputMap<T>, Vec<Layer<C>>)> {
    let (mut map, metric) = if options.penalties[0].is_elementwise() {
        let (map, gram, damping) = InputMap::fit_features::<C>(problem, options, rng);
        (map, Some((gram, damping)))
    } else {
        (InputMap::fit::<C>(problem, options, false, rng)?, None)
    };
    let weights = match network {
        None => random_weights_of_all(problem, options, &map, rng),
        Some(network) => given_weights::<C, T>(network, problem, options, &mut map, rng)?,
    };
    let mut layers = assemble(in_precision(&weights)?, options, &map, metric.as_ref())?;
    for layer in &mut layers {
        // The batch solver, whose objective never rises, keeps to one problem.
        if network.is_none() && options.solver != Solver::Batch {
            layer.tighten(0.0);
        }
        layer.project()?;
    }
    Ok((map, layers))
}

/// Weights in the precision that they are trained in.
///
/// # Errors
/// [`Error::Parameter`] when they leave its range.
pub(super) fn in_precision<C: Real, T: Real>(weights: &[Array2<T>]) -> Result<Vec<Array2<C>>> {
    let cast = |(l, weights): (usize, &Array2<T>)| {
        let narrow: Array2<C> = cast(weights);
        match weights.iter().zip(&narrow).find(|(_, narrow)| !narrow.is_finite()) {
            Some((value, _)) => Err(Error::Parameter {
                name: "starting weights",
                got: format!("{:e} in layer {}, for standardised inputs", value.f64(), l + 1),
                allowed: "within the range of single precision, in which solver='stochastic' trains".into(),
            }),
            None => Ok(narrow),
        }
    };
    weights.iter().enumerate().map(cast).collect()
}

/// Layers of given weights with the penalties of the options; `metric` is G and damping of a first layer
/// that keeps to single features.
pub(super) fn assemble<C: Real, T: Real>(
    weights: Vec<Array2<C>>,
    options: &Options,
    map: &InputMap<T>,
    metric: Option<&(Array2<f64>, f64)>,
) -> Result<Vec<Layer<C>>> {
    let mut layers = Vec::with_capacity(weights.len());
    let scale: Option<Array1<C>> = metric.map(|_| cast(&map.scale()));
    for (l, (weights, kind)) in weights.into_iter().zip(&options.penalties).enumerate() {
        let rows = scale.as_ref().filter(|_| l == 0).map(|scale| scale.view());
        let columns = if l + 1 == options.penalties.len() { options.output_gains.as_deref() } else { None };
        let penalty = kind.make(rows, columns);
        let mut layer = Layer::new(weights).with_penalty(penalty, options.ridge);
        if let Some((gram, damping)) = metric.filter(|_| l == 0) {
            layer.fix_metric(gram.view(), *damping, options.ridge)?;
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// The weights of `network` in mapped coordinates, for which the map may have to be fitted again.
fn given_weights<C: Real, T: Real>(
    network: &Network<T>,
    problem: &Problem<'_, T>,
    options: &Options,
    map: &mut InputMap<T>,
    rng: &mut Xoshiro256PlusPlus,
) -> Result<Vec<Array2<T>>> {
    check(network, problem, options)?;
    if loses(map, network) {
        // The given weights reach beyond the leading directions: keep them all, or theirs.
        if problem.n_features() > GRAM_MAX {
            map.widen::<C>(network.coefs[0].view(), problem, options, rng)?;
        } else {
            *map = InputMap::fit::<C>(problem, options, true, rng)?;
        }
    }
    mapped_weights(network, problem, options, map)
}

/// Whether the map drops more of the network's first layer than it may.
pub(super) fn loses<T: Real>(map: &InputMap<T>, network: &Network<T>) -> bool {
    let (Some(coef), Some(intercept)) = (network.coefs.first(), network.intercepts.first()) else {
        return false;
    };
    let first = map.unfold(coef.view(), intercept.view());
    map.lost_share(coef.view(), first.view()) > LOSS_ALLOWED
}

/// The weights of `network` in mapped coordinates.
///
/// # Errors
/// [`Error::Shape`] when it does not fit the problem.
pub(super) fn mapped_weights<T: Real>(
    network: &Network<T>,
    problem: &Problem<'_, T>,
    options: &Options,
    map: &InputMap<T>,
) -> Result<Vec<Array2<T>>> {
    check(network, problem, options)?;
    let first = map.unfold(network.coefs[0].view(), network.intercepts[0].view());
    let rest = network.coefs[1..].iter().zip(&network.intercepts[1..]).map(|(coef, intercept)| {
        let mut weights = with_intercept(coef);
        weights.row_mut(coef.nrows()).assign(intercept);
        weights
    });
    Ok(std::iter::once(first).chain(rest).collect())
}

pub(super) fn random_weights_of_all<T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    map: &InputMap<T>,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<Array2<T>> {
    let (mut n_in, mut input_scale) = (problem.n_features(), 1.0);
    let mut layers = Vec::with_capacity(options.hidden_layer_sizes.len() + 1);
    // Where every sample takes part in each sweep, and where weights of single features are penalised,
    // random weights do as well or better.
    let from_samples = options.solver != Solver::Batch && !options.penalties[0].is_elementwise();
    for (&units, &kind) in options.hidden_layer_sizes.iter().zip(&options.activations) {
        let gain = kind.init_gain().sqrt();
        layers.push(match layers.is_empty() {
            true if from_samples => {
                sampled_weights(problem, map, units, sampled_length(problem.n_features()) * gain, rng)
            }
            true => map.restrict(random_weights(n_in, units, gain / input_scale, rng).view()),
            false => with_intercept(&random_weights(n_in, units, gain / input_scale, rng)),
        });
        (n_in, input_scale) = (units, kind.output_scale(units));
    }
    let inputs = if layers.is_empty() { map.n_components() } else { n_in };
    layers.push(Array2::zeros((inputs + 1, problem.n_outputs())));
    layers
}

fn with_intercept<T: Real>(weights: &Array2<T>) -> Array2<T> {
    let mut augmented = Array2::zeros((weights.nrows() + 1, weights.ncols()));
    augmented.slice_mut(s![..weights.nrows(), ..]).assign(weights);
    augmented
}

fn check<T: Real>(network: &Network<T>, problem: &Problem<'_, T>, options: &Options) -> Result<()> {
    network.check(problem.n_features())?;
    let got: Vec<usize> = network.coefs.iter().map(Array2::ncols).collect();
    let mut expected = options.hidden_layer_sizes.clone();
    expected.push(problem.n_outputs());
    if got == expected {
        return Ok(());
    }
    Err(Error::Shape {
        argument: "the units of the starting network".into(),
        got,
        expected: format!("{expected:?}"),
    })
}

/// The network for raw inputs and the caller's targets: what would be returned of these layers.
///
/// # Errors
/// As [`fold`].
pub(super) fn finish<C: Real, T: Real>(
    layers: &[Layer<C>],
    activations: &[ActivationKind],
    map: &InputMap<T>,
    options: &Options,
) -> Result<Network<T>> {
    in_target_units(fold(layers, activations, map, options)?, options)
}

/// Takes outputs for standardised targets to those of the caller's, by the gains and offsets of the
/// options, if there are any.
///
/// # Errors
/// [`Error::Factorisation`] when LAPACK fails in a projection.
pub(super) fn in_target_units<T: Real>(mut network: Network<T>, options: &Options) -> Result<Network<T>> {
    let (Some(gains), Some(offsets)) = (&options.output_gains, &options.output_offsets) else {
        return Ok(network);
    };
    network.map_outputs(gains.iter().copied().zip(offsets.iter().copied()));
    let penalty = options.penalties.last().and_then(|kind| kind.make::<T>(None, None));
    if let (Some(mut set), Some(coef)) = (penalty, network.coefs.last_mut())
        && set.is_constraint()
        && set.is_elementwise()
    {
        // The rounding must not leave the bounds.
        set.prox(1.0, coef.view_mut())?;
    }
    Ok(network)
}

/// Moves weights into a set of single weights, and onto its bounds those that are as near to these as the
/// rounding of earlier steps.
fn settle_on_bounds<T: Real>(set: &mut dyn Penalty<T>, weights: &mut Array2<T>, rounding: f64) -> Result<()> {
    set.prox(1.0, weights.view_mut())?;
    for factor in [1.0 + rounding, 1.0 - rounding] {
        let tried = weights.mapv(|w| w * T::of(factor));
        let mut kept = tried.clone();
        set.prox(1.0, kept.view_mut())?;
        Zip::from(&mut *weights).and(&tried).and(&kept).for_each(|w, &tried, &kept| {
            if kept != tried {
                *w = kept;
            }
        });
    }
    Ok(())
}

/// The network for raw inputs, which keeps the constraints on single weights to the last bit.
///
/// # Errors
/// [`Error::Factorisation`] when LAPACK fails in a projection.
pub(super) fn fold<C: Real, T: Real>(
    layers: &[Layer<C>],
    activations: &[ActivationKind],
    map: &InputMap<T>,
    options: &Options,
) -> Result<Network<T>> {
    let mut coefs = Vec::with_capacity(layers.len());
    let mut intercepts = Vec::with_capacity(layers.len());
    // What training kept to in a lower precision holds only up to the rounding of that.
    let rounded = T::epsilon().f64() < C::epsilon().f64();
    for (l, layer) in layers.iter().enumerate() {
        let mut weights: Array2<T> = cast(&layer.weights);
        let rows = weights.nrows() - 1;
        let columns = if l + 1 == layers.len() { options.output_gains.as_deref() } else { None };
        let mut set = options.penalties[l].make::<T>(None, columns).filter(|set| set.is_constraint());
        let elementwise = set.as_ref().is_some_and(|set| set.is_elementwise());
        if let Some(set) = set.as_mut().filter(|_| rounded && !elementwise) {
            set.prox(1.0, weights.slice_mut(s![..rows, ..]))?;
        }
        let mut coef = match l {
            0 => map.fold_coef(weights.view()),
            _ => weights.slice(s![..rows, ..]).to_owned(),
        };
        match set.filter(|_| elementwise) {
            Some(mut set) if rounded => settle_on_bounds(&mut *set, &mut coef, 4.0 * C::epsilon().f64())?,
            Some(mut set) if l == 0 => drop(set.prox(1.0, coef.view_mut())?),
            _ => {}
        }
        let intercept = match l {
            0 => map.fold_intercept(weights.view(), coef.view()),
            _ => weights.row(rows).to_owned(),
        };
        coefs.push(coef);
        intercepts.push(intercept);
    }
    Ok(Network { coefs, intercepts, activations: activations.to_vec() })
}
