//! Rows of the inputs: of a dense array, or of a compressed sparse one that is never made dense as a
//! whole.

use crate::error::{Error, Result};
use crate::linalg::{Threads, product};
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, s};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that one task looks through.
const ROWS: usize = 1024;

/// Compressed sparse rows: row `i` holds `values[k]` in column `indices[k]` for `k` from `indptr[i]` to
/// `indptr[i + 1]`, and 0 elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct SparseRows<'a, T> {
    indptr: &'a [i64],
    indices: &'a [i32],
    values: &'a [T],
    n_columns: usize,
}

impl<'a, T: Real> SparseRows<'a, T> {
    /// Checks the structure; columns must rise within each row.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn new(indptr: &'a [i64], indices: &'a [i32], values: &'a [T], n_columns: usize) -> Result<Self> {
        let refused = |got: &str, allowed: &'static str| {
            Err(Error::Parameter { name: "X", got: got.into(), allowed: allowed.into() })
        };
        let ends = (indptr.first(), indptr.last());
        if ends != (Some(&0), Some(&(values.len() as i64))) || indices.len() != values.len() {
            return refused(
                "row ends that do not fit the values",
                "a sparse array whose rows hold all values",
            );
        }
        if indptr.windows(2).any(|pair| pair[0] > pair[1]) {
            return refused("row ends that fall", "a sparse array whose row ends do not fall");
        }
        let rows = Self { indptr, indices, values, n_columns };
        for row in 0..rows.n_rows() {
            let columns = &indices[rows.range(row)];
            let outside = |&column: &i32| usize::try_from(column).is_ok_and(|column| column < n_columns);
            if !columns.iter().all(outside) || columns.windows(2).any(|pair| pair[0] >= pair[1]) {
                return refused(
                    &format!("columns of row {row} out of range or order"),
                    "a sparse array in canonical format",
                );
            }
        }
        Ok(rows)
    }

    fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    fn range(&self, row: usize) -> Range<usize> {
        // Checked to be within the values.
        self.indptr[row] as usize..self.indptr[row + 1] as usize
    }

    /// Columns and values of what a row holds.
    pub fn entries(&self, row: usize) -> impl Iterator<Item = (usize, T)> + use<'a, T> {
        let range = self.range(row);
        let (indices, values) = (&self.indices[range.clone()], &self.values[range]);
        indices.iter().zip(values).map(|(&column, &value)| (column as usize, value))
    }
}

/// Inputs of samples, `(n_samples, n_features)`.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a, T> {
    /// In any layout.
    Dense(ArrayView2<'a, T>),
    /// Mostly zeros.
    Sparse(SparseRows<'a, T>),
}

impl<'a, T> From<ArrayView2<'a, T>> for Rows<'a, T> {
    fn from(x: ArrayView2<'a, T>) -> Self {
        Rows::Dense(x)
    }
}

impl<'a, T> From<SparseRows<'a, T>> for Rows<'a, T> {
    fn from(x: SparseRows<'a, T>) -> Self {
        Rows::Sparse(x)
    }
}

impl<'a, T: Real> Rows<'a, T> {
    /// The same for a shorter time.
    pub fn reborrow<'b>(self) -> Rows<'b, T>
    where
        'a: 'b,
    {
        match self {
            Rows::Dense(x) => Rows::Dense(x.reborrow()),
            Rows::Sparse(x) => Rows::Sparse(x),
        }
    }

    /// Number of rows and of columns.
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Rows::Dense(x) => x.dim(),
            Rows::Sparse(x) => (x.n_rows(), x.n_columns),
        }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.dim().0
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.dim().1
    }

    /// Writes a row out in full.
    pub fn copy(&self, row: usize, mut out: ArrayViewMut1<'_, T>) {
        match self {
            Rows::Dense(x) => out.assign(&x.row(row)),
            Rows::Sparse(x) => {
                out.fill(T::zero());
                x.entries(row).for_each(|(column, value)| out[column] = value);
            }
        }
    }

    /// out ← x[rows] b, on this thread. `b` and `out` are in row order.
    pub fn times(&self, rows: Range<usize>, b: ArrayView2<'_, T>, mut out: ArrayViewMut2<'_, T>) {
        match self {
            Rows::Dense(x) => product(T::one(), x.slice(s![rows, ..]), b, T::zero(), out, Threads::One),
            Rows::Sparse(x) => {
                out.fill(T::zero());
                for (row, mut out) in rows.zip(out.rows_mut()) {
                    if let Some(out) = out.as_slice_mut() {
                        add_combination(x.entries(row), b, out);
                    }
                }
            }
        }
    }

    /// Row, column and value of the first NaN or infinity, in row order.
    pub fn first_non_finite(&self, threads: Threads) -> Option<(usize, usize, T)> {
        match self {
            Rows::Dense(x) => {
                first_non_finite(*x, threads).map(|(row, column)| (row, column, x[[row, column]]))
            }
            Rows::Sparse(x) => {
                let place = x.values.iter().position(|v| !v.is_finite())?;
                let row = x.indptr.partition_point(|&start| start as usize <= place) - 1;
                Some((row, x.indices[place] as usize, x.values[place]))
            }
        }
    }
}

/// out ← out + Σ v_j b_j over entries (j, v_j), with b_j the rows of `b`.
pub(crate) fn add_combination<T: Real>(
    entries: impl Iterator<Item = (usize, T)>,
    b: ArrayView2<'_, T>,
    out: &mut [T],
) {
    let Some(values) = b.as_slice() else {
        for (column, value) in entries {
            out.iter_mut().zip(b.row(column)).for_each(|(out, &b)| *out += value * b);
        }
        return;
    };
    let width = out.len();
    for (column, value) in entries {
        let row = &values[column * width..(column + 1) * width];
        out.iter_mut().zip(row).for_each(|(out, &b)| *out += value * b);
    }
}

/// Row and column of the first NaN or infinity, in row order.
pub fn first_non_finite<T: Real>(x: ArrayView2<'_, T>, threads: Threads) -> Option<(usize, usize)> {
    let chunks = x.axis_chunks_iter(Axis(0), ROWS);
    // v·0 is NaN for NaN and ±∞ alone, and a sum cannot lose a NaN.
    let is_bad = |chunk: ArrayView2<'_, T>| match chunk.as_slice_memory_order() {
        Some(values) => sum_of_zeros(values) != T::zero(),
        None => chunk.iter().any(|v| !v.is_finite()),
    };
    let bad = match threads {
        Threads::One => chunks.into_iter().position(is_bad),
        Threads::All => chunks.into_par_iter().position_first(is_bad),
    }?;
    let start = bad * ROWS;
    let (index, _) =
        x.slice(s![start.., ..]).indexed_iter().find(|(_, v)| !v.is_finite()).map(|(i, v)| (i, *v))?;
    Some((start + index.0, index.1))
}

fn sum_of_zeros<T: Real>(values: &[T]) -> T {
    const LANES: usize = 16;
    let mut sums = [T::zero(); LANES];
    let blocks = values.chunks_exact(LANES);
    let tail: T = blocks.remainder().iter().map(|&v| v * T::zero()).sum();
    for block in blocks {
        for (sum, &v) in sums.iter_mut().zip(block) {
            *sum += v * T::zero();
        }
    }
    sums.into_iter().sum::<T>() + tail
}
