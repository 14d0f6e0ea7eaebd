//! Cholesky factors by blocks, with products from this crate.
//!
//! Many small factors are made side by side, one a thread; LAPACK's would start threads of their
//! own. Positive semidefinite matrices have factors too: see [`factor_upper`].

use super::product::{Threads, product};
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

/// Columns of a panel: below, vectors are cheaper than products.
const PANEL: usize = 32;

/// A = UᵀU of a symmetric positive definite matrix, to solve with again and again.
#[derive(Debug, Clone)]
pub struct Cholesky<T> {
    upper: Array2<T>,
}

impl<T: Real> Cholesky<T> {
    /// Factors `a`, of which only the upper triangle counts.
    ///
    /// # Errors
    /// [`Error::Factorisation`] when A is not finite or not numerically positive definite: a pivot
    /// at most n·ε times its diagonal entry.
    pub fn new(a: Array2<T>, threads: Threads) -> Result<Self> {
        let n = a.nrows();
        let a = a.as_standard_layout().into_owned();
        let failed = |reason: &str| Error::Factorisation { size: n, reason: reason.into() };
        if !a.iter().all(|v| v.is_finite()) {
            return Err(failed("not finite"));
        }
        let tolerance = T::of(n as f64) * T::epsilon();
        let mut upper = a.into_raw_vec_and_offset().0;
        let dropped = factor_upper(&mut upper, n, tolerance, threads);
        let upper = Array2::from_shape_vec((n, n), upper).map_err(|error| failed(&error.to_string()))?;
        if dropped == 0 { Ok(Self { upper }) } else { Err(failed("not positive definite")) }
    }

    /// B ← A⁻¹B, each column of B `(n, k)` a right side.
    pub fn solve(&self, b: ArrayViewMut2<'_, T>, threads: Threads) {
        solve_upper(self.upper.view(), b, threads);
    }

    /// Order of the matrix.
    pub fn order(&self) -> usize {
        self.upper.nrows()
    }
}

/// Writes U of A = UᵀU over the upper triangle of A `(n, n)`, row after row in `a`, and returns the
/// number of dropped pivots; the lower triangle is left undefined.
///
/// A pivot of at most `tolerance` times its diagonal entry belongs to a column that depends on
/// those before. It becomes +∞, which makes [`solve_upper`] give 0 to that unknown and solve the
/// rest exactly: a solution of the whole system wherever it has one.
pub fn factor_upper<T: Real>(a: &mut [T], n: usize, tolerance: T, threads: Threads) -> usize {
    let floor: Vec<T> = (0..n).map(|j| a[j * n + j].abs() * tolerance).collect();
    let mut dropped = 0;
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        let (top, rest) = a.split_at_mut(end * n);
        let panel = &mut top[start * n..];
        dropped += factor_panel(panel, n, start, &floor[start..end]);
        // Trailing update by blocks of columns, down to the diagonal only.
        let panel = ArrayView2::from_shape((end - start, n), panel);
        let rest = ArrayViewMut2::from_shape((n - end, n), rest);
        if let (Ok(panel), Ok(mut rest)) = (panel, rest) {
            let width = if threads == Threads::All { 256 } else { 96 };
            for column in (end..n).step_by(width) {
                let next = (column + width).min(n);
                let (left, right) = (panel.slice(s![.., end..next]), panel.slice(s![.., column..next]));
                let target = rest.slice_mut(s![..next - end, column..next]);
                product(-T::one(), left.t(), right, T::one(), target, threads);
            }
        }
    }
    dropped
}

/// Factors the square block of a panel at its column `start` and solves for the rest of its rows.
fn factor_panel<T: Real>(panel: &mut [T], n: usize, start: usize, floor: &[T]) -> usize {
    let mut dropped = 0;
    for (j, &floor) in floor.iter().enumerate() {
        let (done, rest) = panel.split_at_mut(j * n);
        let row = &mut rest[start + j..n];
        // Four rows at a time: the row itself is read and written less often.
        let mut k = 0;
        while k + 4 <= j {
            let from = |k: usize| &done[k * n + start + j..(k + 1) * n];
            subtract_four([from(k), from(k + 1), from(k + 2), from(k + 3)], row);
            k += 4;
        }
        for k in k..j {
            let from = &done[k * n + start + j..(k + 1) * n];
            axpy(-from[0], from, row);
        }
        let pivot = row[0];
        let root = if pivot > floor {
            pivot.sqrt()
        } else {
            dropped += 1; // NaN too
            T::infinity()
        };
        let inverse = root.recip();
        for v in row.iter_mut() {
            *v *= inverse;
        }
        row[0] = root;
    }
    dropped
}

/// y ← y − Σ x₀ x over four vectors x, x₀ being the first entry of each.
fn subtract_four<T: Real>([a, b, c, d]: [&[T]; 4], y: &mut [T]) {
    let first = [a[0], b[0], c[0], d[0]];
    for ((((y, &a), &b), &c), &d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *y -= first[0] * a + first[1] * b + (first[2] * c + first[3] * d);
    }
}

/// B ← U⁻¹U⁻ᵀB, each column of B `(n, k)` a right side; rows of both must be contiguous.
pub fn solve_upper<T: Real>(u: ArrayView2<'_, T>, mut b: ArrayViewMut2<'_, T>, threads: Threads) {
    let n = u.nrows();
    let starts: Vec<usize> = (0..n).step_by(PANEL).collect();
    for &start in &starts {
        let end = (start + PANEL).min(n);
        let (top, rest) = b.view_mut().split_at(Axis(0), end);
        let mut block = top.slice_move(s![start.., ..]);
        for j in 0..end - start {
            let (mut solved, mut below) = block.view_mut().split_at(Axis(0), j + 1);
            let mut row = solved.row_mut(j);
            let inverse = u[[start + j, start + j]].recip();
            row.mapv_inplace(|v| v * inverse);
            for (i, mut other) in below.rows_mut().into_iter().enumerate() {
                other.scaled_add(-u[[start + j, start + j + 1 + i]], &row);
            }
        }
        product(-T::one(), u.slice(s![start..end, end..]).t(), block.view(), T::one(), rest, threads);
    }
    for &start in starts.iter().rev() {
        let end = (start + PANEL).min(n);
        let (top, rest) = b.view_mut().split_at(Axis(0), end);
        let mut block = top.slice_move(s![start.., ..]);
        product(-T::one(), u.slice(s![start..end, end..]), rest.view(), T::one(), block.view_mut(), threads);
        for j in (0..end - start).rev() {
            let (mut above, mut solved) = block.view_mut().split_at(Axis(0), j);
            let mut row = solved.row_mut(0);
            let inverse = u[[start + j, start + j]].recip();
            row.mapv_inplace(|v| v * inverse);
            for (i, mut other) in above.rows_mut().into_iter().enumerate() {
                other.scaled_add(-u[[start + i, start + j]], &row);
            }
        }
    }
}

/// b ← U⁻¹U⁻ᵀb for one right side, where products do not pay; U row after row.
pub fn solve_upper_vector<T: Real>(u: &[T], b: &mut [T]) {
    let n = b.len();
    for j in 0..n {
        let row = &u[j * n + j..(j + 1) * n];
        let (solved, rest) = b.split_at_mut(j + 1);
        solved[j] /= row[0];
        axpy(-solved[j], &row[1..], rest);
    }
    for j in (0..n).rev() {
        let row = &u[j * n + j..(j + 1) * n];
        let (head, rest) = b.split_at_mut(j + 1);
        head[j] = (head[j] - dot(&row[1..], rest)) / row[0];
    }
}

/// y ← y + a x.
pub fn axpy<T: Real>(a: T, x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// xᵀy, in lanes so that it runs in vector registers.
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    const LANES: usize = 8;
    let mut sums = [T::zero(); LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let tail: T = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.into_iter().sum::<T>() + tail
}
