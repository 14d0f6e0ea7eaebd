//! The block of an activation's parameter: one number a layer, its units and samples together.
//!
//! ```text
//! min over r in an interval:  mean_i s_i Σ_j D_r(x_ij, z_ij),   D_r(x, z) = f_r(x) + f_r*(z) − xz
//! ```
//!
//! with r the coordinate of the parameter in which D is convex ([`crate::activation::Parametric`]). The
//! interval is the parameter's range, and for elu bounded by the domain of f: r ≥ −min x. The slope
//! of leaky_relu has a closed form, √(Σ x₋² / Σ z₋²); the others take Newton's steps on the derivative,
//! kept within the interval in which it changes sign. What is returned never has a greater
//! objective than the start, however early it stops.

use super::{Report, Stopping, check_weights};
use crate::activation::{ActivationKind, Learnable, Moments};
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Samples in one sum: fixed, so that the bits do not depend on the threads.
const ROWS: usize = 256;

/// Learns the parameter of `activation`, which is where the search starts, from lifted variables and
/// pre-activations.
///
/// * `x`: lifted variables, in the domain of f for some parameter, `(n_samples, n_units)`;
/// * `z`: pre-activations, `(n_samples, n_units)`;
/// * `weights`: of the samples, `(n_samples,)`, or equal ones.
///
/// Returns the parameter, not its coordinate. The residual is |Σ ∂D/∂r| / Σ (|∂f/∂r (x)| + |∂f/∂r (φ(z))|),
/// 0 at an end of the interval beyond which D would fall. Where D does not depend on the parameter it
/// stays as it is. Uses the current thread pool.
///
/// # Errors
/// [`Error::Shape`]; [`Error::Parameter`] named `activation` where there is no such parameter, named `X`
/// for lifted variables outside the domain, and for weights that are negative or all 0.
pub fn activation_parameter<T: Real>(
    x: ArrayView2<'_, T>,
    z: ArrayView2<'_, T>,
    weights: Option<ArrayView1<'_, T>>,
    activation: ActivationKind,
    stopping: Stopping<'_>,
) -> Result<(f64, Report)> {
    activation.check_learnable()?;
    if x.dim() != z.dim() {
        let (got, expected) = (z.shape().to_vec(), format!("{:?}, as X has", x.shape()));
        return Err(Error::Shape { argument: "Z".into(), got, expected });
    }
    if let Some(weights) = weights {
        check_weights(weights, x.nrows())?;
    }
    check_domain(x, activation)?;
    let (x, z) = (x.as_standard_layout(), z.as_standard_layout());
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row].f64());
    let least = match activation.learnable::<T>() {
        Some(learnable) => least_coordinate(learnable.as_ref(), x.view()),
        None => 0.0,
    };
    let (kind, report) = minimise(activation, least, stopping, |kind| {
        let Some(learnable) = kind.learnable::<T>() else { return Moments::default() };
        let phi = kind.make::<T>();
        let part = |(part, (x, z)): (usize, (ArrayView2<'_, T>, ArrayView2<'_, T>))| {
            let mut at = vec![T::zero(); x.ncols()];
            let mut sum = Moments::default();
            for (i, (x, z)) in x.rows().into_iter().zip(z.rows()).enumerate() {
                if let (Some(x), Some(z)) = (x.as_slice(), z.as_slice()) {
                    phi.apply(z, &mut at);
                    sum.add(weight(part * ROWS + i), learnable.moments(x, &at, z));
                }
            }
            sum
        };
        let x = x.axis_chunks_iter(Axis(0), ROWS).into_par_iter();
        let parts: Vec<Moments> =
            x.zip(z.axis_chunks_iter(Axis(0), ROWS)).enumerate().with_max_len(1).map(part).collect();
        total(parts)
    });
    Ok((kind.parameter().map_or(f64::NAN, |parameter| parameter.value), report))
}

/// Least r for which all of x is in the domain of f.
pub fn least_coordinate<T: Real>(learnable: &dyn Learnable<T>, x: ArrayView2<'_, T>) -> f64 {
    let rows = x.rows().into_iter();
    rows.filter_map(|row| row.to_slice()).fold(0.0, |least, row| learnable.least_coordinate(row).max(least))
}

/// Sums in the order given.
pub fn total(parts: impl IntoIterator<Item = Moments>) -> Moments {
    parts.into_iter().fold(Moments::default(), |mut sum, part| {
        sum.add(1.0, part);
        sum
    })
}

/// Minimises over the parameter of `start`, with `moments` the derivatives at one choice of it and
/// `least` the least r that the domain of f allows. An activation without such a parameter is
/// returned as it is.
pub fn minimise(
    start: ActivationKind,
    least: f64,
    stopping: Stopping<'_>,
    mut moments: impl FnMut(ActivationKind) -> Moments,
) -> (ActivationKind, Report) {
    let (Some(mut r), Some((low, high))) = (start.coordinate(), start.coordinate_range()) else {
        return (start, Report::DONE);
    };
    let mut kind = start;
    let mut interval = Interval::new(low.max(least), high);
    if r < interval.low {
        r = interval.low;
        kind = start.at_coordinate(r);
    }
    // The last choice on the side of the start: D is convex, so there it is no greater than at the start.
    let (mut best, mut rises) = (kind, None);
    let mut report = Report { n_iter: 0, residual: f64::INFINITY, converged: false };
    loop {
        let at = moments(kind);
        report.residual = if interval.is_optimal_end(r, at.slope) { 0.0 } else { at.residual() };
        report.converged = report.residual <= stopping.tol;
        if report.converged {
            return (kind, report);
        }
        if *rises.get_or_insert(at.slope > 0.0) == (at.slope > 0.0) {
            best = kind;
        }
        interval.cut(r, at.slope);
        let next = kind.learnable::<f64>().map_or(f64::NAN, |model| model.model_minimiser(r, &at));
        let exhausted = report.n_iter == stopping.max_iter || interval.is_point() || (stopping.interrupted)();
        if exhausted {
            return (best, report);
        }
        report.n_iter += 1;
        r = interval.within(next);
        kind = start.at_coordinate(r);
    }
}

/// Where the minimum is, by the sign of the derivative.
struct Interval {
    low: f64,
    high: f64,
    /// Whether the ends have been looked at: then the derivative is negative there, or positive.
    seen: (bool, bool),
}

impl Interval {
    fn new(low: f64, high: f64) -> Self {
        // Rounding may leave nothing between the domain of f and the range.
        Self { low, high: high.max(low), seen: (false, false) }
    }

    fn is_optimal_end(&self, r: f64, slope: f64) -> bool {
        (r <= self.low && !self.seen.0 && slope >= 0.0) || (r >= self.high && !self.seen.1 && slope <= 0.0)
    }

    fn cut(&mut self, r: f64, slope: f64) {
        if slope > 0.0 {
            (self.high, self.seen.1) = (r, true);
        } else {
            (self.low, self.seen.0) = (r, true);
        }
    }

    fn is_point(&self) -> bool {
        self.high - self.low <= 2.0 * f64::EPSILON * self.high
    }

    /// The point wished for; where that is outside, the end if it has not been looked at, or else the
    /// middle.
    fn within(&self, wish: f64) -> f64 {
        if wish > self.low && wish < self.high {
            wish
        } else if wish <= self.low && !self.seen.0 {
            self.low
        } else if wish >= self.high && !self.seen.1 {
            self.high
        } else if self.low > 0.0 {
            // In the middle of the orders of magnitude.
            (self.low * self.high).sqrt()
        } else {
            0.5 * (self.low + self.high)
        }
    }
}

fn check_domain<T: Real>(x: ArrayView2<'_, T>, activation: ActivationKind) -> Result<()> {
    // The domains grow with r, where they depend on it at all.
    let widest = activation.coordinate_range().map_or(activation, |(_, high)| activation.at_coordinate(high));
    let (low, high) = widest.make::<T>().domain();
    match x.indexed_iter().find(|(_, x)| !(**x >= low && **x <= high)) {
        None => Ok(()),
        Some(((row, column), value)) => Err(Error::Parameter {
            name: "X",
            got: format!("{value} at index [{row}, {column}]"),
            allowed: format!("in the domain of activation '{}', [{low}, {high}]", activation.name()).into(),
        }),
    }
}
