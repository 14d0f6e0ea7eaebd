//! Second moments of the standardised inputs, and their leading directions.

use super::standardisation::Standard;
use crate::error::Result;
use crate::linalg::{LeadingEigen, Threads, add_upper_gram, leading_eigen, mirror, product};
use crate::problem::Problem;
use crate::real::Real;
use crate::rows::{Rows, SparseRows, add_combination};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::seq::index;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Rows that are read at a time.
const ROWS: usize = 512;
/// Features up to which the Gram matrix is formed; beyond, it is only applied.
pub(super) const GRAM_MAX: usize = 2048;
/// Columns that one task takes of a product with sparse rows.
const COLUMNS: usize = 32;
/// Steps of the subspace iteration.
const ITERATIONS: usize = 4;
/// First guess at the number of leading directions.
const FIRST_BLOCK: usize = 192;

/// G, estimated from a random subset of the rows: formed, or for very wide inputs only applied. Dense rows
/// of T are multiplied in C, or where their squares leave its range, in T.
pub(super) struct Covariance<'a, T, C> {
    standard: Standard<'a, T>,
    rows: Vec<usize>,
    root_weights: Option<Array1<T>>,
    total: f64,
    trace: f64,
    gram: Option<Array2<f64>>,
    /// Directions that may have any variance.
    rank: usize,
    precision: PhantomData<C>,
}

impl<'a, T: Real, C: Real> Covariance<'a, T, C> {
    /// Ten rows a feature where G is inverted, half of them for its leading directions, at least 4,096;
    /// sorted, so that X is read in order. `all` directions are wanted, or the leading ones.
    pub fn estimate(
        problem: &Problem<'_, T>,
        standard: Standard<'a, T>,
        all: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let d = problem.n_features();
        let size = (d * if all { 10 } else { 5 }).clamp(4096, 32_768);
        let mut rows = problem.counting_rows();
        if size < rows.len() {
            rows = index::sample(rng, rows.len(), size).into_iter().map(|i| rows[i]).collect();
        }
        rows.sort_unstable();
        let total = match problem.weights() {
            Some(weights) => rows.iter().map(|&row| weights[row].f64()).sum(),
            None => rows.len() as f64,
        };
        let root_weights = problem.weights().map(|weights| weights.mapv(T::sqrt));
        let rank = d.min(rows.len());
        let precision = PhantomData;
        let mut covariance =
            Self { standard, rows, root_weights, total, trace: 0.0, gram: None, rank, precision };
        if all || d <= GRAM_MAX {
            let gram = covariance.form();
            covariance.trace = gram.diag().sum();
            covariance.gram = Some(gram);
        } else {
            covariance.trace = match covariance.standard.x {
                Rows::Dense(_) => {
                    let mut sum = 0.0;
                    covariance
                        .blocks::<C>(|block| sum += block.iter().map(|v| v.f64() * v.f64()).sum::<f64>());
                    sum / total
                }
                Rows::Sparse(x) => covariance.sparse_trace(x),
            };
        }
        covariance
    }

    /// From what is known of G.
    pub fn known(standard: Standard<'a, T>, gram: Array2<f64>) -> Self {
        let (trace, rank) = (gram.diag().sum(), gram.nrows());
        let precision = PhantomData;
        Self {
            standard,
            rows: vec![],
            root_weights: None,
            total: 1.0,
            trace,
            gram: Some(gram),
            rank,
            precision,
        }
    }

    fn blocks<P: Real>(&self, mut visit: impl FnMut(ArrayView2<'_, P>)) {
        let mut buffer = Array2::zeros((ROWS, self.standard.x.ncols()));
        let weights = self.root_weights.as_ref().map(|roots| roots.view());
        for rows in self.rows.chunks(ROWS) {
            visit(self.standard.rows(rows.iter().copied(), weights, &mut buffer));
        }
    }

    fn form(&self) -> Array2<f64> {
        in_range(self.form_in::<C>()).unwrap_or_else(|| self.form_in::<T>())
    }

    fn form_in<P: Real>(&self) -> Array2<f64> {
        let d = self.standard.x.ncols();
        let mut gram = Array2::zeros((d, d));
        let weight = P::of(1.0 / self.total);
        self.blocks(|block| add_upper_gram(weight, block, gram.view_mut(), Threads::All));
        mirror(&mut gram);
        gram.mapv(P::f64)
    }

    pub fn n_features(&self) -> usize {
        self.standard.x.ncols()
    }

    /// Directions that may have any variance, at most.
    pub fn rank(&self) -> usize {
        self.rank
    }

    pub fn mean_eigenvalue(&self) -> f64 {
        self.trace / self.standard.x.ncols() as f64
    }

    /// G, formed now if it was not.
    pub fn dense(self) -> Array2<f64> {
        match self.gram {
            Some(gram) => gram,
            None => self.form(),
        }
    }

    fn weight(&self, row: usize) -> f64 {
        self.root_weights.as_ref().map_or(1.0, |roots| roots[row].f64().powi(2))
    }

    /// Of what the rows hold: a zero is as far from the centre as all others of its feature.
    fn sparse_trace(&self, x: SparseRows<'_, T>) -> f64 {
        let Standard { center, scale, .. } = self.standard;
        let square = |value: T, j: usize| ((value - center[j]) * scale[j]).f64().powi(2);
        let zeros: f64 = (0..scale.len()).map(|j| square(T::zero(), j)).sum();
        let of_row =
            |row| zeros + x.entries(row).map(|(j, v)| square(v, j) - square(T::zero(), j)).sum::<f64>();
        self.rows.iter().map(|&row| self.weight(row) * of_row(row)).sum::<f64>() / self.total
    }

    /// G q for a few columns of q, from what the rows hold:
    /// S (mean x sᵀ − μ mean sᵀ) with s = qᵀS (x − μ) of each row.
    fn sparse_image(&self, x: SparseRows<'_, T>, q: ArrayView2<'_, f64>) -> Array2<f64> {
        let Standard { center, scale, .. } = self.standard;
        let mut scaled = q.to_owned();
        for (mut row, &scale) in scaled.rows_mut().into_iter().zip(&scale) {
            row *= scale.f64();
        }
        let mut base = Array1::<f64>::zeros(q.ncols());
        for (row, &center) in scaled.rows().into_iter().zip(&center) {
            base.scaled_add(-center.f64(), &row);
        }
        let mut image = Array2::<f64>::zeros(q.raw_dim());
        let mut sum = Array1::<f64>::zeros(q.ncols());
        let mut scores = base.clone();
        for &row in &self.rows {
            scores.assign(&base);
            if let Some(scores) = scores.as_slice_mut() {
                add_combination(x.entries(row).map(|(j, v)| (j, v.f64())), scaled.view(), scores);
            }
            scores *= self.weight(row) / self.total;
            sum += &scores;
            for (j, value) in x.entries(row) {
                image.row_mut(j).scaled_add(value.f64(), &scores);
            }
        }
        for ((mut row, &center), &scale) in image.rows_mut().into_iter().zip(&center).zip(&scale) {
            row.scaled_add(-center.f64(), &sum);
            row *= scale.f64();
        }
        image
    }

    /// G q.
    pub fn apply(&self, q: &Array2<f64>) -> Array2<f64> {
        let mut image = Array2::zeros(q.raw_dim());
        if let (None, Rows::Sparse(x)) = (&self.gram, self.standard.x) {
            image
                .axis_chunks_iter_mut(Axis(1), COLUMNS)
                .into_par_iter()
                .zip(q.axis_chunks_iter(Axis(1), COLUMNS))
                .for_each(|(mut image, q)| image.assign(&self.sparse_image(x, q)));
            return image;
        }
        if let Some(gram) = &self.gram {
            product(1.0, gram.view(), q.view(), 0.0, image.view_mut(), Threads::All);
            return image;
        }
        in_range(self.image_in::<C>(q)).unwrap_or_else(|| self.image_in::<T>(q))
    }

    fn image_in<P: Real>(&self, q: &Array2<f64>) -> Array2<f64> {
        let q = q.mapv(P::of);
        let mut sum = Array2::zeros(q.raw_dim());
        let weight = P::of(1.0 / self.total);
        let mut scores = Array2::zeros((ROWS, q.ncols()));
        self.blocks(|block| {
            let mut scores = scores.slice_mut(s![..block.nrows(), ..]);
            product(P::one(), block, q.view(), P::zero(), scores.view_mut(), Threads::All);
            product(weight, block.t(), scores.view(), P::one(), sum.view_mut(), Threads::All);
        });
        sum.mapv(P::f64)
    }

    /// At most `block` leading eigenpairs, the trailing ones inaccurate.
    pub fn leading(&self, block: usize, rng: &mut Xoshiro256PlusPlus) -> Result<LeadingEigen> {
        let d = self.standard.x.ncols();
        leading_eigen(|q| self.apply(q), d, block.min(d), ITERATIONS, rng)
    }

    /// The leading directions that hold `share` of the variance: their number, and at least as
    /// many eigenpairs. `None` when a search among `most` of them is not enough.
    pub fn share(
        &self,
        share: f64,
        most: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<(usize, LeadingEigen)>> {
        // More rows than this do not exist, nor do more directions with any variance.
        let full = self.rank;
        let mut block = FIRST_BLOCK.min(full);
        while block <= most {
            let eigen = self.leading(block, rng)?;
            if let Some(k) = self.enough(&eigen, share) {
                return Ok(Some((k, eigen)));
            }
            if block == full {
                return Ok(Some((eigen.values.len(), eigen)));
            }
            block = (2 * block).min(full);
        }
        Ok(None)
    }

    /// As [`Covariance::share`], but the `most` leading directions where these do not hold it.
    pub fn share_among(
        &self,
        share: f64,
        most: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<(usize, LeadingEigen)> {
        if let Some(found) = self.share(share, most / 2, rng)? {
            return Ok(found);
        }
        let eigen = self.leading(more(most).min(self.rank), rng)?;
        let k = self.enough(&eigen, share).unwrap_or(eigen.values.len()).min(most);
        Ok((k, eigen))
    }

    /// How many of these hold `share` of the variance; `None` when all do not.
    fn enough(&self, eigen: &LeadingEigen, share: f64) -> Option<usize> {
        let mut held = 0.0;
        let reached = eigen.values.iter().position(|value| {
            held += value;
            held >= share * self.trace
        });
        reached.map(|last| last + 1)
    }
}

fn in_range(values: Array2<f64>) -> Option<Array2<f64>> {
    values.iter().all(|v| v.is_finite()).then_some(values)
}

/// Pairs to look for where the leading `k` shall be accurate.
pub(super) fn more(k: usize) -> usize {
    k + k / 4 + 16
}
