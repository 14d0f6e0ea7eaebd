//! Centre and scale of the inputs: from one pass over X.

use crate::problem::Problem;
use crate::real::Real;
use crate::rows::{Rows, SparseRows};
use crate::spec::Scaling;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, Zip, s};
use rayon::prelude::*;
use std::ops::Range;

/// Least rows that one task reads.
const ROWS: usize = 256;

/// Rows of X, centred and scaled on the way into a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standard<'a, T> {
    pub x: Rows<'a, T>,
    pub center: ArrayView1<'a, T>,
    pub scale: ArrayView1<'a, T>,
}

impl<T: Real> Standard<'_, T> {
    /// Some rows, times the roots of their weights, rounded to C, in the first rows of `buffer`.
    pub fn rows<'b, C: Real>(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        root_weights: Option<ArrayView1<'_, T>>,
        buffer: &'b mut Array2<C>,
    ) -> ArrayView2<'b, C> {
        let count = rows.len();
        for (row, mut out) in rows.zip(buffer.rows_mut()) {
            let root = root_weights.map(|roots| C::of(roots[row].f64()));
            self.row(row, out.view_mut());
            if let Some(root) = root {
                out.map_inplace(|v| *v *= root);
            }
        }
        buffer.slice(s![..count, ..])
    }

    fn row<C: Real>(&self, row: usize, out: ArrayViewMut1<'_, C>) {
        let Self { x, center, scale } = self;
        // Rounded last: near values far from zero keep their differences.
        let standard = |v: T, center: T, scale: T| C::of(((v - center) * scale).f64());
        let features = Zip::from(out).and(center).and(scale);
        match x {
            Rows::Dense(x) => {
                features
                    .and(x.row(row))
                    .for_each(|out, &center, &scale, &v| *out = standard(v, center, scale));
            }
            Rows::Sparse(x) => {
                let mut entries = x.entries(row).peekable();
                let mut column = 0;
                features.for_each(|out, &center, &scale| {
                    let held = entries.next_if(|&(j, _)| j == column).map_or(T::zero(), |(_, v)| v);
                    *out = standard(held, center, scale);
                    column += 1;
                });
            }
        }
    }
}

/// What is known of the features of a stream so far, `(n_features,)` each.
#[derive(Debug, Clone, Copy)]
pub struct FeatureMoments<'a> {
    /// Means.
    pub mean: ArrayView1<'a, f64>,
    /// Variances.
    pub variance: ArrayView1<'a, f64>,
    /// Smallest values.
    pub low: ArrayView1<'a, f64>,
    /// Largest values.
    pub high: ArrayView1<'a, f64>,
    /// Covariances, `(n_features, n_features)`; `None` where there are too many features.
    pub covariance: Option<ArrayView2<'a, f64>>,
}

/// [`standardisation`] from moments.
pub(super) fn standard_of_moments<T: Real>(
    moments: &FeatureMoments<'_>,
    scaling: Scaling,
) -> (Array1<T>, Array1<T>) {
    let FeatureMoments { mean, variance, low, high, .. } = moments;
    let range = (high - low).to_vec();
    let largest = ndarray::Zip::from(low).and(high).map_collect(|low, high| low.abs().max(high.abs()));
    let scale = scales::<T>(&variance.to_vec(), &range, &largest.to_vec(), scaling);
    (mean.mapv(T::of), scale)
}

/// Centre and scale of every feature; a constant feature has scale 0.
pub(super) fn standardisation<T: Real>(problem: &Problem<'_, T>, scaling: Scaling) -> (Array1<T>, Array1<T>) {
    let d = problem.n_features();
    // About a row of the data: no cancellation for features with a large mean.
    let mut origin = Array1::zeros(d);
    problem.x().copy(problem.counting_rows().first().copied().unwrap_or(0), origin.view_mut());
    let origin = origin.to_vec();
    let Moments { weight, sum, squares, low, high } = moments(problem, &origin);
    let mean: Vec<f64> = sum.iter().map(|s| s / weight).collect();
    let center = (0..d).map(|j| T::of(origin[j].f64() + mean[j])).collect();
    let range: Vec<f64> = (0..d).map(|j| high[j].f64() - low[j].f64()).collect();
    let variance: Vec<f64> = (0..d).map(|j| squares[j] / weight - mean[j] * mean[j]).collect();
    let largest: Vec<f64> = (0..d).map(|j| low[j].f64().abs().max(high[j].f64().abs())).collect();
    (center, scales(&variance, &range, &largest, scaling))
}

/// By what to multiply centred features of these variances, ranges and largest absolute values.
fn scales<T: Real>(variance: &[f64], range: &[f64], largest: &[f64], scaling: Scaling) -> Array1<T> {
    let d = variance.len();
    let variance: Vec<f64> = (0..d)
        .map(|j| {
            // A spread no wider than the rounding of the values is noise.
            let noise = T::epsilon().f64() * largest[j];
            if range[j] > 4.0 * noise && variance[j] > 0.0 { variance[j] } else { 0.0 }
        })
        .collect();
    let varying: Vec<usize> = (0..d).filter(|&j| variance[j] > 0.0).collect();
    let scaling = match scaling {
        Scaling::Auto if share_a_unit(varying.iter().map(|&j| range[j]).collect()) => Scaling::Global,
        Scaling::Auto => Scaling::Feature,
        chosen => chosen,
    };
    let total: f64 = varying.iter().map(|&j| variance[j]).sum();
    let global = (total / varying.len().max(1) as f64).sqrt();
    (0..d)
        .map(|j| match scaling {
            _ if variance[j] == 0.0 => T::zero(),
            Scaling::None => T::one(),
            Scaling::Feature => T::of(variance[j].sqrt().recip()),
            Scaling::Global | Scaling::Auto => T::of(global.recip()),
        })
        .collect()
}

/// Features share a unit when all but the narrowest twentieth have ranges within a factor of 20,
/// and none is narrower than a thousandth of the widest: pixels do, a table of mixed columns not.
fn share_a_unit(mut ranges: Vec<f64>) -> bool {
    ranges.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (ranges.first(), ranges.last()) else { return true };
    let twentieth = ranges[(ranges.len() - 1) / 20];
    twentieth * 20.0 >= most && least * 1000.0 >= most
}

/// Weighted moments about an origin, and the range, of each feature.
struct Moments<T> {
    weight: f64,
    sum: Vec<f64>,
    squares: Vec<f64>,
    low: Vec<T>,
    high: Vec<T>,
}

fn moments<T: Real>(problem: &Problem<'_, T>, origin: &[T]) -> Moments<T> {
    let n = problem.n_samples();
    // The sums of a part are dense: of sparse rows there may be more of them than of values.
    let most = if matches!(problem.x(), Rows::Dense(_)) { 64 } else { 8 };
    let rows = n.div_ceil(most).max(ROWS);
    let parts: Vec<Moments<T>> = (0..n.div_ceil(rows))
        .into_par_iter()
        .map(|chunk| {
            let rows = chunk * rows..((chunk + 1) * rows).min(n);
            let weights = problem.weights();
            let weights = weights.as_ref().map(|w| w.slice(s![rows.clone()]));
            match problem.x() {
                Rows::Dense(x) => Moments::of(x.slice(s![rows, ..]), weights, origin),
                Rows::Sparse(x) => Moments::of_sparse(x, rows, weights, origin),
            }
        })
        .collect();
    // Merged in order: the same bits for every number of threads.
    parts.into_iter().fold(Moments::empty(origin.len()), Moments::merge)
}

impl<T: Real> Moments<T> {
    fn empty(d: usize) -> Self {
        Self {
            weight: 0.0,
            sum: vec![0.0; d],
            squares: vec![0.0; d],
            low: vec![T::infinity(); d],
            high: vec![T::neg_infinity(); d],
        }
    }

    /// Sums in double precision: squares of single-precision values may leave their range.
    fn of(block: ArrayView2<'_, T>, weights: Option<ArrayView1<'_, T>>, origin: &[T]) -> Self {
        const FEW: usize = 32;
        let mut total = Self::empty(origin.len());
        let mut tile = Array2::zeros((FEW, origin.len()));
        for (few, rows) in block.axis_chunks_iter(Axis(0), FEW).enumerate() {
            // A copy in row order, whatever the layout of X.
            let mut tile = tile.slice_mut(s![..rows.nrows(), ..]);
            tile.assign(&rows);
            for (i, row) in tile.rows().into_iter().enumerate() {
                let weight = weights.map_or(1.0, |weights| weights[few * FEW + i].f64());
                if let Some(row) = row.as_slice().filter(|_| weight > 0.0) {
                    total.add(weight, row, origin);
                }
            }
        }
        total
    }

    /// Of what the rows hold, and of so many zeros as remain.
    fn of_sparse(
        x: SparseRows<'_, T>,
        rows: Range<usize>,
        weights: Option<ArrayView1<'_, T>>,
        origin: &[T],
    ) -> Self {
        let mut total = Self::empty(origin.len());
        let (mut count, mut held) = (0, vec![(0_usize, 0.0); origin.len()]);
        for (i, row) in rows.enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[i].f64());
            if weight <= 0.0 {
                continue;
            }
            count += 1;
            total.weight += weight;
            for (j, value) in x.entries(row) {
                total.add_to(j, weight, value, origin[j]);
                held[j].0 += 1;
                held[j].1 += weight;
            }
        }
        for (j, (number, weight)) in held.into_iter().enumerate() {
            if number < count {
                total.add_to(j, total.weight - weight, T::zero(), origin[j]);
            }
        }
        total
    }

    fn add_to(&mut self, j: usize, weight: f64, value: T, origin: T) {
        let v = value.f64() - origin.f64();
        self.sum[j] += weight * v;
        self.squares[j] += weight * v * v;
        self.low[j] = self.low[j].min(value);
        self.high[j] = self.high[j].max(value);
    }

    fn add(&mut self, weight: f64, row: &[T], origin: &[T]) {
        self.weight += weight;
        let sums = self.sum.iter_mut().zip(&mut self.squares);
        for ((sum, squares), (&v, &o)) in sums.zip(row.iter().zip(origin)) {
            let v = v.f64() - o.f64();
            *sum += weight * v;
            *squares += weight * v * v;
        }
        for ((low, high), &v) in self.low.iter_mut().zip(&mut self.high).zip(row) {
            *low = if v < *low { v } else { *low };
            *high = if v > *high { v } else { *high };
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.weight += other.weight;
        for j in 0..self.low.len() {
            self.sum[j] += other.sum[j];
            self.squares[j] += other.squares[j];
            self.low[j] = self.low[j].min(other.low[j]);
            self.high[j] = self.high[j].max(other.high[j]);
        }
        self
    }
}
