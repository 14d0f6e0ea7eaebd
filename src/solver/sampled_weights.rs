//! First-layer weights from the data: whitened differences of samples.
//!
//! ```text
//! w = c M Mᵀ (x_i − x_j),   b = −wᵀ(x_i + x_j)/2,   y_i ≠ y_j
//! ```
//!
//! with MMᵀ the inverse of the damped covariance (see `input_map.rs`), so that each unit starts as
//! Fisher's discriminant between two samples of other targets: it looks where the data vary and the
//! targets do. Of few features the units differ by their intercepts above all (of one, by nothing else).
//! Among many, where directions differ enough, planes through the mean of the data do better than those
//! between pairs (`docs/defaults.md`), and intercepts start at 0. In mapped coordinates the weight is the normalised difference of the mapped samples.
//! Bolager, Burak, Datar, Sun and Dietrich (2023, *Sampling weights of deep neural networks*,
//! arXiv:2306.16830) draw hidden weights from pairs of samples and keep them; here they are a start.

use super::input_map::InputMap;
use crate::loss::Targets;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::NARROW;
use ndarray::{Array2, ArrayViewMut1, Axis, s};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Values of the samples that are mapped at a time, and the least number of their units.
const VALUES: usize = 1 << 20;
const UNITS: usize = 16;

/// Draws of a second sample with another target; then whatever was drawn last serves.
const DRAWS: usize = 64;

/// Weights of `units` units for mapped inputs, `(k + 1, units)`: directions between samples of other
/// targets, of the given length in the metric of the map, and their intercepts.
///
/// A pair that differs in nothing gives way to a random direction.
pub(super) fn sampled_weights<T: Real>(
    problem: &Problem<'_, T>,
    map: &InputMap<T>,
    units: usize,
    length: f64,
    rng: &mut Xoshiro256PlusPlus,
) -> Array2<T> {
    let k = map.n_components();
    let rows = problem.counting_rows();
    let mut weights = Array2::zeros((k + 1, units));
    let block = UNITS.max(VALUES / (2 * problem.n_features()));
    for start in (0..units).step_by(block) {
        let end = (start + block).min(units);
        let pairs: Vec<usize> = (start..end).flat_map(|_| pair(problem.targets(), &rows, rng)).collect();
        let mut samples = Array2::zeros((pairs.len(), problem.n_features()));
        for (&row, sample) in pairs.iter().zip(samples.rows_mut()) {
            problem.x().copy(row, sample);
        }
        let mapped = map.apply(samples.view());
        for (unit, pair) in (start..end).zip(mapped.axis_chunks_iter(Axis(0), 2)) {
            let mut weight = weights.slice_mut(s![..k, unit]);
            weight.assign(&pair.slice(s![0, ..k]));
            weight -= &pair.slice(s![1, ..k]);
            if !rescale(weight.view_mut(), length) {
                weight.map_inplace(|v| *v = T::of(StandardNormal.sample(rng)));
                rescale(weight.view_mut(), length);
            }
            if problem.n_features() <= NARROW {
                let ends = pair.slice(s![.., ..k]);
                let product =
                    |row| ends.row(row).iter().zip(&weight).map(|(x, w)| x.f64() * w.f64()).sum::<f64>();
                let intercept = -0.5 * (product(0) + product(1));
                weights[[k, unit]] = T::of(intercept);
            }
        }
    }
    weights
}

/// Two of these rows, of other targets where some are soon found.
fn pair<T: Real>(targets: &Targets<'_, T>, rows: &[usize], rng: &mut impl Rng) -> [usize; 2] {
    let mut draw = || rows[rng.random_range(..rows.len())];
    let first = draw();
    let mut second = draw();
    for _ in 1..DRAWS {
        if differ(targets, first, second) {
            break;
        }
        second = draw();
    }
    [first, second]
}

fn differ<T: Real>(targets: &Targets<'_, T>, a: usize, b: usize) -> bool {
    match targets {
        Targets::Classes(classes) => classes[a] != classes[b],
        Targets::Values(values) => values.row(a) != values.row(b),
    }
}

/// Gives a vector this length; `false`, and nothing done, where it has none.
fn rescale<T: Real>(mut vector: ArrayViewMut1<'_, T>, length: f64) -> bool {
    let norm = vector.iter().map(|v| v.f64() * v.f64()).sum::<f64>().sqrt();
    let usable = norm > 0.0 && norm.is_finite();
    if usable {
        vector.map_inplace(|v| *v = T::of(v.f64() * (length / norm)));
    }
    usable
}
