//! The spectral input map: centred, scaled inputs in coordinates where the first layer's metric
//! is the identity.
//!
//! With S the diagonal scaling, μ the mean, G = mean S(x−μ)(x−μ)ᵀS and damping δ = ε·mean
//! eigenvalue, the first layer is trained on x̃ = Mᵀ S (x − μ), where MᵀGM + δMᵀM = I:
//!
//! * every direction: M = L⁻ᵀ for the Cholesky factor L of G + δI;
//! * the leading k: M = V_k diag(e_i + δ)^{−1/2} for the eigenpairs (e_i, v_i) of G.
//!
//! A plain gradient step on W̃ is then the step of the weight block in the metric G + δI, and
//! ‖W̃‖² is the ridge penalty in that metric. `fold` writes z = W̃ᵀx̃ + b as z = Wᵀx + b′.

use crate::error::Result;
use crate::linalg::{LeadingEigen, Threads, add_upper_gram, leading_eigen, lower_factor, mirror, product};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{AUTO_SHARE, Components, NARROW, Options, Scaling};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rand::seq::index;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// Rows that one task standardises at a time.
const ROWS: usize = 256;
/// Features up to which the Gram matrix is formed; beyond, it is only applied.
const GRAM_MAX: usize = 2048;
/// Steps of the subspace iteration.
const ITERATIONS: usize = 4;
/// Least damping, which keeps the map of data without any variance finite.
const TINY: f64 = 1e-12;
/// First guess at the number of leading directions.
const FIRST_BLOCK: usize = 192;

/// An affine map of the inputs, fitted to data.
#[derive(Debug, Clone)]
pub struct InputMap<T> {
    center: Array1<T>,
    scale: Array1<T>,
    /// M, `(n_features, k)`.
    forward: Array2<T>,
    /// A left inverse of M, `(k, n_features)`.
    inverse: Array2<T>,
}

impl<T: Real> InputMap<T> {
    /// Fits centre, scale and directions.
    ///
    /// `keep_all` keeps every direction, for a start from weights that need them all.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`].
    pub fn fit(
        problem: &Problem<'_, T>,
        options: &Options,
        keep_all: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Self> {
        let (center, scale) = standardisation(problem, options.scaling);
        let d = problem.n_features();
        let standard = Standard { x: problem.x(), center: center.view(), scale: scale.view() };
        let components = match options.components {
            Components::Auto if d <= NARROW => Components::All,
            Components::Auto => Components::Share(AUTO_SHARE),
            chosen => chosen,
        };
        let keep_all = keep_all || components == Components::All || components == Components::Count(d);
        let covariance = Covariance::estimate(problem, standard, keep_all, rng);
        let directions = match components {
            _ if keep_all => None,
            Components::Count(k) => Some((k, covariance.leading(k + k / 4 + 16, rng)?)),
            Components::Share(share) => covariance.share(share, rng)?,
            Components::Auto | Components::All => None,
        };
        let damping = (options.input_damping * covariance.mean_eigenvalue()).max(TINY);
        let (forward, inverse) = match directions {
            Some((k, eigen)) => leading_map(&eigen, k, damping),
            None => full_map(covariance.dense(), damping)?,
        };
        Ok(Self { center, scale, forward, inverse })
    }

    /// Number of directions kept.
    pub fn n_components(&self) -> usize {
        self.forward.ncols()
    }

    /// x̃ with a trailing column of ones, `(n_samples, k + 1)`.
    pub fn apply(&self, x: ArrayView2<'_, T>) -> Array2<T> {
        let k = self.n_components();
        let standard = Standard { x, center: self.center.view(), scale: self.scale.view() };
        let mut mapped = Array2::ones((x.nrows(), k + 1));
        mapped.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate().for_each_init(
            || Array2::zeros((ROWS, x.ncols())),
            |buffer, (chunk, mut out)| {
                let rows = out.nrows();
                let start = chunk * ROWS;
                let block = standard.rows(start..start + rows, None, buffer);
                product(
                    T::one(),
                    block,
                    self.forward.view(),
                    T::zero(),
                    out.slice_mut(s![.., ..k]),
                    Threads::One,
                );
            },
        );
        mapped
    }

    /// Weights and intercept for raw inputs from `(k + 1, n_units)` weights for mapped ones.
    pub fn fold(&self, weights: ArrayView2<'_, T>) -> (Array2<T>, Array1<T>) {
        let k = self.n_components();
        let mut coef = Array2::zeros((self.forward.nrows(), weights.ncols()));
        product(
            T::one(),
            self.forward.view(),
            weights.slice(s![..k, ..]),
            T::zero(),
            coef.view_mut(),
            Threads::All,
        );
        coef *= &self.scale.view().insert_axis(Axis(1));
        let mut intercept = weights.row(k).to_owned();
        for (row, &center) in coef.rows().into_iter().zip(&self.center) {
            intercept.scaled_add(-center, &row);
        }
        (coef, intercept)
    }

    /// The opposite of [`InputMap::fold`]; weight outside the kept directions is dropped.
    pub fn unfold(&self, coef: ArrayView2<'_, T>, intercept: ArrayView1<'_, T>) -> Array2<T> {
        let mut scaled = coef.to_owned();
        for (mut row, &scale) in scaled.rows_mut().into_iter().zip(&self.scale) {
            // A constant feature has scale 0 and acts through the intercept alone.
            let inverse = if scale > T::zero() { scale.recip() } else { T::zero() };
            row.map_inplace(|v| *v *= inverse);
        }
        let mut weights = self.restrict(scaled.view());
        let mut last = weights.row_mut(self.n_components());
        last.assign(&intercept);
        for (row, &center) in coef.rows().into_iter().zip(&self.center) {
            last.scaled_add(center, &row);
        }
        weights
    }

    /// Share of the weights, as they act on scaled inputs, that `unfold` dropped.
    pub fn lost_share(&self, coef: ArrayView2<'_, T>, mapped: ArrayView2<'_, T>) -> f64 {
        let kept = self.fold(mapped).0;
        let (mut lost, mut total) = (0.0, 0.0);
        for ((given, kept), &scale) in coef.rows().into_iter().zip(kept.rows()).zip(&self.scale) {
            if scale > T::zero() {
                let squared = |v: T| (v / scale).f64().powi(2);
                lost += given.iter().zip(kept).map(|(&g, &k)| squared(g - k)).sum::<f64>();
                total += given.iter().map(|&g| squared(g)).sum::<f64>();
            }
        }
        if total > 0.0 { lost / total } else { 0.0 }
    }

    /// Weights for mapped inputs from weights for centred, scaled ones; intercepts zero.
    pub fn restrict(&self, scaled: ArrayView2<'_, T>) -> Array2<T> {
        let k = self.n_components();
        let mut weights = Array2::zeros((k + 1, scaled.ncols()));
        let target = weights.slice_mut(s![..k, ..]);
        product(T::one(), self.inverse.view(), scaled, T::zero(), target, Threads::All);
        weights
    }
}

/// Rows of X, centred and scaled on the way into a buffer.
struct Standard<'a, T> {
    x: ArrayView2<'a, T>,
    center: ArrayView1<'a, T>,
    scale: ArrayView1<'a, T>,
}

impl<T: Real> Standard<'_, T> {
    fn standardise(&self, row: &mut [T]) {
        if let (Some(center), Some(scale)) = (self.center.as_slice(), self.scale.as_slice()) {
            for ((v, &center), &scale) in row.iter_mut().zip(center).zip(scale) {
                *v = (*v - center) * scale;
            }
        }
    }

    fn rows<'b>(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        root_weights: Option<ArrayView1<'_, T>>,
        buffer: &'b mut Array2<T>,
    ) -> ArrayView2<'b, T> {
        let count = rows.len();
        for (row, mut out) in rows.zip(buffer.rows_mut()) {
            out.assign(&self.x.row(row));
            if let Some(out) = out.as_slice_mut() {
                self.standardise(out);
                if let Some(roots) = root_weights {
                    out.iter_mut().for_each(|v| *v *= roots[row]);
                }
            }
        }
        buffer.slice(s![..count, ..])
    }
}

/// G, estimated from a random subset of the rows: formed, or for very wide inputs only applied.
struct Covariance<'a, T> {
    standard: Standard<'a, T>,
    rows: Vec<usize>,
    root_weights: Option<Array1<T>>,
    total: f64,
    trace: f64,
    gram: Option<Array2<f64>>,
}

impl<'a, T: Real> Covariance<'a, T> {
    /// Ten rows a feature, at least 4,096; sorted, so that X is read in order.
    fn estimate(
        problem: &Problem<'_, T>,
        standard: Standard<'a, T>,
        form: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let (n, d) = problem.x().dim();
        let size = (10 * d).clamp(4096, 32_768).min(n);
        let mut rows = if size < n { index::sample(rng, n, size).into_vec() } else { (0..n).collect() };
        rows.sort_unstable();
        let total = match problem.weights() {
            Some(weights) => rows.iter().map(|&row| weights[row].f64()).sum(),
            None => rows.len() as f64,
        };
        let root_weights = problem.weights().map(|weights| weights.mapv(T::sqrt));
        let mut covariance = Self { standard, rows, root_weights, total, trace: 0.0, gram: None };
        if form || d <= GRAM_MAX {
            let gram = covariance.form();
            covariance.trace = gram.diag().sum();
            covariance.gram = Some(gram);
        } else {
            let mut sum = 0.0;
            covariance.blocks(|block| sum += block.iter().map(|v| v.f64() * v.f64()).sum::<f64>());
            covariance.trace = sum / total;
        }
        covariance
    }

    fn blocks(&self, mut visit: impl FnMut(ArrayView2<'_, T>)) {
        let mut buffer = Array2::zeros((2 * ROWS, self.standard.x.ncols()));
        let weights = self.root_weights.as_ref().map(|roots| roots.view());
        for rows in self.rows.chunks(2 * ROWS) {
            visit(self.standard.rows(rows.iter().copied(), weights, &mut buffer));
        }
    }

    fn form(&self) -> Array2<f64> {
        let d = self.standard.x.ncols();
        let mut gram = Array2::zeros((d, d));
        let weight = T::of(1.0 / self.total);
        self.blocks(|block| add_upper_gram(weight, block, gram.view_mut(), Threads::All));
        mirror(&mut gram);
        gram.mapv(T::f64)
    }

    fn mean_eigenvalue(&self) -> f64 {
        self.trace / self.standard.x.ncols() as f64
    }

    /// G, formed now if it was not.
    fn dense(self) -> Array2<f64> {
        match self.gram {
            Some(gram) => gram,
            None => self.form(),
        }
    }

    /// G q.
    fn apply(&self, q: &Array2<f64>) -> Array2<f64> {
        let mut image = Array2::zeros(q.raw_dim());
        if let Some(gram) = &self.gram {
            product(1.0, gram.view(), q.view(), 0.0, image.view_mut(), Threads::All);
            return image;
        }
        let q = q.mapv(T::of);
        let mut sum = Array2::zeros(q.raw_dim());
        let weight = T::of(1.0 / self.total);
        let mut scores = Array2::zeros((2 * ROWS, q.ncols()));
        self.blocks(|block| {
            let mut scores = scores.slice_mut(s![..block.nrows(), ..]);
            product(T::one(), block, q.view(), T::zero(), scores.view_mut(), Threads::All);
            product(weight, block.t(), scores.view(), T::one(), sum.view_mut(), Threads::All);
        });
        sum.mapv(T::f64)
    }

    /// At most `block` leading eigenpairs, the trailing ones inaccurate.
    fn leading(&self, block: usize, rng: &mut Xoshiro256PlusPlus) -> Result<LeadingEigen> {
        let d = self.standard.x.ncols();
        leading_eigen(|q| self.apply(q), d, block.min(d), ITERATIONS, rng)
    }

    /// The leading directions that hold `share` of the variance; `None` when that is most of them.
    fn share(&self, share: f64, rng: &mut Xoshiro256PlusPlus) -> Result<Option<(usize, LeadingEigen)>> {
        let d = self.standard.x.ncols();
        let full = d.min(self.rows.len());
        let mut block = FIRST_BLOCK.min(full);
        loop {
            if 2 * block > d && d <= 2 * GRAM_MAX {
                return Ok(None);
            }
            let eigen = self.leading(block, rng)?;
            let mut held = 0.0;
            for (i, value) in eigen.values.iter().enumerate() {
                held += value;
                if held >= share * self.trace {
                    return Ok(Some((i + 1, eigen)));
                }
            }
            if block == full {
                return Ok(Some((eigen.values.len(), eigen)));
            }
            block = (2 * block).min(full);
        }
    }
}

fn leading_map<T: Real>(eigen: &LeadingEigen, k: usize, damping: f64) -> (Array2<T>, Array2<T>) {
    let k = k.min(eigen.values.len());
    let vectors = eigen.vectors.slice(s![.., ..k]);
    let roots = eigen.values.slice(s![..k]).mapv(|value| (value + damping).sqrt());
    let forward = (&vectors / &roots).mapv(T::of);
    let inverse = (&vectors * &roots).t().as_standard_layout().mapv(T::of);
    (forward, inverse)
}

fn full_map<T: Real>(mut gram: Array2<f64>, damping: f64) -> Result<(Array2<T>, Array2<T>)> {
    gram.diag_mut().map_inplace(|v| *v += damping);
    let (factor, factor_inverse) = lower_factor(&gram)?;
    let forward = factor_inverse.t().as_standard_layout().mapv(T::of);
    let inverse = factor.t().as_standard_layout().mapv(T::of);
    Ok((forward, inverse))
}

/// Weighted moments about an origin, and the range, of each feature.
struct Moments<T> {
    weight: f64,
    sum: Vec<f64>,
    squares: Vec<f64>,
    low: Vec<T>,
    high: Vec<T>,
}

/// Centre and scale of every feature; a constant feature has scale 0.
fn standardisation<T: Real>(problem: &Problem<'_, T>, scaling: Scaling) -> (Array1<T>, Array1<T>) {
    let d = problem.n_features();
    // About the first row: no cancellation for features with a large mean.
    let origin = problem.x().row(0).to_vec();
    let Moments { weight, sum, squares, low, high } = moments(problem, &origin);
    let mean: Vec<f64> = sum.iter().map(|s| s / weight).collect();
    let center = (0..d).map(|j| T::of(origin[j].f64() + mean[j])).collect();
    let range: Vec<f64> = (0..d).map(|j| high[j].f64() - low[j].f64()).collect();
    let variance: Vec<f64> = (0..d)
        .map(|j| {
            // A spread no wider than the rounding of the values is noise.
            let noise = T::epsilon().f64() * low[j].f64().abs().max(high[j].f64().abs());
            let v = squares[j] / weight - mean[j] * mean[j];
            if range[j] > 4.0 * noise && v > 0.0 { v } else { 0.0 }
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
    let scale = (0..d)
        .map(|j| match scaling {
            _ if variance[j] == 0.0 => T::zero(),
            Scaling::None => T::one(),
            Scaling::Feature => T::of(variance[j].sqrt().recip()),
            Scaling::Global | Scaling::Auto => T::of(global.recip()),
        })
        .collect();
    (center, scale)
}

/// Features share a unit when all but the narrowest twentieth have ranges within a factor of 20,
/// and none is narrower than a thousandth of the widest: pixels do, a table of mixed columns not.
fn share_a_unit(mut ranges: Vec<f64>) -> bool {
    ranges.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (ranges.first(), ranges.last()) else { return true };
    let twentieth = ranges[(ranges.len() - 1) / 20];
    twentieth * 20.0 >= most && least * 1000.0 >= most
}

fn moments<T: Real>(problem: &Problem<'_, T>, origin: &[T]) -> Moments<T> {
    let rows = problem.n_samples().div_ceil(64).max(ROWS);
    let parts: Vec<Moments<T>> = problem
        .x()
        .axis_chunks_iter(Axis(0), rows)
        .into_par_iter()
        .enumerate()
        .map(|(chunk, block)| {
            let weights = problem.weights();
            let weights = weights.as_ref().map(|w| w.slice(s![chunk * rows..chunk * rows + block.nrows()]));
            Moments::of(block, weights, origin)
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

    /// Sums of a few rows in the caller's precision, these sums in double.
    fn of(block: ArrayView2<'_, T>, weights: Option<ArrayView1<'_, T>>, origin: &[T]) -> Self {
        const FEW: usize = 32;
        let d = origin.len();
        let mut total = Self::empty(d);
        let mut tile = Array2::zeros((FEW, d));
        let (mut sum, mut squares) = (vec![T::zero(); d], vec![T::zero(); d]);
        for (few, rows) in block.axis_chunks_iter(Axis(0), FEW).enumerate() {
            sum.fill(T::zero());
            squares.fill(T::zero());
            let mut tile = tile.slice_mut(s![..rows.nrows(), ..]);
            tile.assign(&rows);
            for (i, row) in tile.rows().into_iter().enumerate() {
                let weight = weights.map_or(T::one(), |weights| weights[few * FEW + i]);
                let Some(row) = row.as_slice() else { continue };
                total.weight += weight.f64();
                total.widen(row);
                for (((sum, squares), &v), &o) in sum.iter_mut().zip(&mut squares).zip(row).zip(origin) {
                    let v = v - o;
                    *sum += weight * v;
                    *squares += weight * v * v;
                }
            }
            add(&mut total.sum, &sum);
            add(&mut total.squares, &squares);
        }
        total
    }

    fn widen(&mut self, row: &[T]) {
        for ((low, high), &v) in self.low.iter_mut().zip(&mut self.high).zip(row) {
            *low = if v < *low { v } else { *low };
            *high = if v > *high { v } else { *high };
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.weight += other.weight;
        add(&mut self.sum, &other.sum);
        add(&mut self.squares, &other.squares);
        self.widen(&other.low);
        self.widen(&other.high);
        self
    }
}

fn add<T: Real>(total: &mut [f64], part: &[T]) {
    for (total, part) in total.iter_mut().zip(part) {
        *total += part.f64();
    }
}
