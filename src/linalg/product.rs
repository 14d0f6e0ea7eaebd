//! Matrix products.

use super::narrow::narrow_product;
use crate::real::Real;
use gemm::Parallelism;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// Whether one product may use all threads of the current pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Stay on this thread: for work already split over samples.
    One,
    /// Use the pool.
    All,
}

/// C ← β C + α A B; A is (m, k), B is (k, n), C is (m, n), any strides.
///
/// The order of summation does not depend on the number of threads.
pub fn product<T: Real>(
    alpha: T,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    mut c: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert_eq!((k, (m, n)), (b.nrows(), c.dim()), "shapes of a product");
    if narrow_product(alpha, a, b, beta, &mut c, threads) {
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    let (a_strides, b_strides) = (a.strides(), b.strides());
    let c_strides = [c.strides()[0], c.strides()[1]];
    // SAFETY: pointers and strides come from live views of the asserted shapes, and C is borrowed
    // mutably, so it overlaps neither A nor B.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_strides[1],
            c_strides[0],
            beta != T::zero(),
            a.as_ptr(),
            a_strides[1],
            a_strides[0],
            b.as_ptr(),
            b_strides[1],
            b_strides[0],
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// G ← G + α XᵀX for rows X of samples, on and above the diagonal; [`mirror`] completes G.
pub fn add_upper_gram<T: Real>(
    alpha: T,
    x: ArrayView2<'_, T>,
    mut gram: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    // Blocks of columns down to the diagonal: little more than half of the full product.
    const BLOCK: usize = 128;
    let tile = |(j, mut columns): (usize, ArrayViewMut2<'_, T>)| {
        let start = j * BLOCK;
        let end = start + columns.ncols();
        let (rows, columns_of_x) = (x.slice(s![.., ..end]), x.slice(s![.., start..end]));
        product(alpha, rows.t(), columns_of_x, T::one(), columns.slice_mut(s![..end, ..]), Threads::One);
    };
    let tiles = gram.axis_chunks_iter_mut(Axis(1), BLOCK);
    match threads {
        Threads::One => tiles.into_iter().enumerate().for_each(tile),
        // The longest columns first, so that the threads end together.
        Threads::All => tiles.into_par_iter().enumerate().rev().with_max_len(1).for_each(tile),
    }
}

/// Copies the upper triangle onto the lower.
pub fn mirror<T: Real>(gram: &mut Array2<T>) {
    for i in 0..gram.nrows() {
        for j in 0..i {
            gram[[i, j]] = gram[[j, i]];
        }
    }
}
