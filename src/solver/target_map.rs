//! Real targets in units in which every loss, step and tolerance is of order one.
//!
//! ```text
//! y ↦ (y − shift)/divisor,   logits z ↦ gain·z + offset,   output by output
//! ```
//!
//! | loss | shift = offset | divisor = gain |
//! |---|---|---|
//! | squared | mean | standard deviation |
//! | absolute, Huber | median | 1.4826 × median distance from the median: half of the targets may be wild |
//! | Poisson | shift 0, offset ln(mean): the log link turns a factor into an offset | divisor mean, gain 1 |
//!
//! Where more than half of the targets are equal, the median distance is 0 and 1.2533 × the mean
//! distance stands in; both are the standard deviation of normal targets. The map of the logits is
//! folded into the last layer: networks take and give targets in their own units. All in double
//! precision, relative to the largest target, so that no square leaves the range.

use super::start::in_target_units;
use super::stochastic::Solution;
use crate::error::{Error, Result};
use crate::loss::{LossKind, Targets};
use crate::network::Network;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::Options;
use ndarray::{Array2, ArrayView1, ArrayView2};

/// An affine map of each output, fitted to targets.
#[derive(Debug, Clone)]
pub struct TargetMap {
    columns: Vec<Column>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    shift: f64,
    divisor: f64,
    gain: f64,
    offset: f64,
}

impl TargetMap {
    /// Fits the map of every output with the sample weights of `problem`; `None` for classes and labels.
    ///
    /// # Errors
    /// [`Error::Parameter`] when an output has no positive target for the Poisson loss.
    pub fn fit<T: Real>(problem: &Problem<'_, T>, loss: LossKind) -> Result<Option<Self>> {
        let Targets::Values(values) = problem.targets() else { return Ok(None) };
        if !loss.is_regression() {
            return Ok(None);
        }
        let columns = values.columns().into_iter();
        let columns =
            columns.map(|column| Column::fit(column, problem.weights(), loss)).collect::<Result<_>>()?;
        Ok(Some(Self { columns }))
    }

    /// Standardised targets, `(n_samples, n_outputs)`.
    pub fn apply<T: Real>(&self, values: ArrayView2<'_, T>) -> Array2<T> {
        let mut standard = Array2::zeros(values.raw_dim());
        for (row, mut out) in values.rows().into_iter().zip(standard.rows_mut()) {
            for ((&y, out), column) in row.iter().zip(&mut out).zip(&self.columns) {
                *out = T::of(y.f64() / column.divisor - column.shift / column.divisor);
            }
        }
        standard
    }

    /// The network whose logits are for the original targets, from one for standardised ones.
    pub fn fold<T: Real>(&self, network: Network<T>) -> Network<T> {
        self.change(network, |column| (column.gain, column.offset))
    }

    /// The opposite of [`TargetMap::fold`].
    pub fn unfold<T: Real>(&self, network: Network<T>) -> Network<T> {
        self.change(network, |column| (column.gain.recip(), -column.offset / column.gain))
    }

    fn change<T: Real>(&self, mut network: Network<T>, map: impl Fn(&Column) -> (f64, f64)) -> Network<T> {
        network.map_outputs(self.columns.iter().map(map));
        network
    }
}

impl Column {
    fn fit<T: Real>(
        values: ArrayView1<'_, T>,
        weights: Option<ArrayView1<'_, T>>,
        loss: LossKind,
    ) -> Result<Self> {
        let sample = Sample::new(values, weights);
        let unit = sample.unit;
        if loss == LossKind::Poisson {
            let mean = sample.mean();
            if mean <= 0.0 {
                return Err(Error::Parameter {
                    name: "y",
                    got: "zeros only".into(),
                    allowed: "above 0 for at least one sample in each output for the poisson loss".into(),
                });
            }
            return Ok(Self { shift: 0.0, divisor: unit * mean, gain: 1.0, offset: unit.ln() + mean.ln() });
        }
        let (center, spread) = match loss {
            LossKind::Absolute { .. } | LossKind::Huber { .. } => {
                let center = sample.median();
                let distances = sample.distances(center);
                let median = 1.4826 * distances.median();
                (center, if median > sample.noise(center) { median } else { 1.2533 * distances.mean() })
            }
            _ => {
                let center = sample.mean();
                let square = sample.distances(center).entries.iter().map(|&(v, w)| w * v * v).sum::<f64>();
                (center, (square / sample.total).sqrt())
            }
        };
        // Constant targets: any spread will do, and this one suits a start from other weights.
        let spread = if spread > sample.noise(center) { spread } else { 1.0 };
        let (center, spread) = (unit * center, unit * spread);
        Ok(Self { shift: center, divisor: spread, gain: spread, offset: center })
    }
}

/// Values and weights of the samples that count, the values divided by `unit`.
struct Sample {
    entries: Vec<(f64, f64)>,
    /// Sum of the weights.
    total: f64,
    /// Largest absolute value, or 1.
    unit: f64,
    /// Relative rounding of a value.
    epsilon: f64,
}

impl Sample {
    fn new<T: Real>(values: ArrayView1<'_, T>, weights: Option<ArrayView1<'_, T>>) -> Self {
        let largest = values.iter().fold(0.0, |top: f64, v| top.max(v.f64().abs()));
        let unit = if largest > 0.0 { largest } else { 1.0 };
        let weight = |row| weights.as_ref().map_or(1.0, |weights: &ArrayView1<'_, T>| weights[row].f64());
        let entries = values.iter().enumerate().map(|(row, v)| (v.f64() / unit, weight(row)));
        let entries: Vec<_> = entries.filter(|&(_, weight)| weight > 0.0).collect();
        let total = entries.iter().map(|&(_, weight)| weight).sum();
        Self { entries, total, unit, epsilon: T::epsilon().f64() }
    }

    /// Spread about `center` that the rounding of values may cause.
    fn noise(&self, center: f64) -> f64 {
        2.0 * self.epsilon * center.abs()
    }

    fn mean(&self) -> f64 {
        // About a value: exact for constant ones.
        let origin = self.entries.first().map_or(0.0, |&(value, _)| value);
        let sum: f64 = self.entries.iter().map(|&(value, weight)| weight * (value - origin)).sum();
        origin + sum / self.total
    }

    /// The middle of the values at which the weights below and above balance.
    fn median(&self) -> f64 {
        let mut sorted = self.entries.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let reaches = |half: &dyn Fn(f64) -> bool| {
            let mut below = 0.0;
            let found = sorted.iter().find(|(_, weight)| {
                below += weight;
                half(below)
            });
            found.or(sorted.last()).map_or(0.0, |&(value, _)| value)
        };
        // The rounding of the sums must not decide whether they are half.
        let (half, slack) = (0.5 * self.total, 1e-9 * self.total);
        0.5 * (reaches(&|below| below >= half - slack) + reaches(&|below| below > half + slack))
    }

    fn distances(&self, center: f64) -> Self {
        let entries = self.entries.iter().map(|&(value, weight)| ((value - center).abs(), weight)).collect();
        Self { entries, ..*self }
    }
}

/// Solves `problem` with standardised targets: `solve` gets it, the start and the validation data
/// in those units, and options that know them; the network returned is in the units of the original targets, as is `start`.
///
/// # Errors
/// As [`TargetMap::fit`] and `solve`.
pub fn with_standard_targets<T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    start: Option<&Network<T>>,
    validation: Option<&Problem<'_, T>>,
    solve: impl FnOnce(
        &Problem<'_, T>,
        &Options,
        Option<&Network<T>>,
        Option<&Problem<'_, T>>,
    ) -> Result<Solution<T>>,
) -> Result<Solution<T>> {
    let Some(map) = TargetMap::fit(problem, options.loss)? else {
        return solve(problem, options, start, validation);
    };
    let gains = map.columns.iter().map(|column| column.gain).collect();
    let offsets = map.columns.iter().map(|column| column.offset).collect();
    let options = Options { output_gains: Some(gains), output_offsets: Some(offsets), ..options.clone() };
    let standard = |problem: &Problem<'_, T>| match problem.targets() {
        Targets::Values(values) => map.apply(*values),
        Targets::Classes(_) => Array2::zeros((0, 0)),
    };
    let y = standard(problem);
    let problem = problem.with_targets(Targets::Values(y.view()));
    let y_val = validation.map(standard);
    let validation = validation
        .zip(y_val.as_ref())
        .map(|(validation, y_val)| validation.with_targets(Targets::Values(y_val.view())));
    let start = start.map(|network| map.unfold(network.clone()));
    let solution = solve(&problem, &options, start.as_ref(), validation.as_ref())?;
    let network = in_target_units(solution.network, &options)?;
    Ok(Solution { network, ..solution })
}
