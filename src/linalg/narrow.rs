//! Products with few columns: C ← α A B + β C with A (m, k), B (k, n), n small.
//!
//! A general product packs A and fills its tiles with columns that are not there; for the logits of a
//! few classes that takes several times the arithmetic. Here a row of C, padded to whole registers,
//! stays in them while its row of A is read once, in place, together with those of the next rows.

use super::Threads;
use crate::lanes::Lanes;
use ndarray::{ArrayView2, ArrayViewMut2};
use pulp::{Arch, Simd, WithSimd};
use std::array::from_fn;
use std::hint::black_box;
use std::marker::PhantomData;

/// Most columns.
const MOST: usize = 16;
/// Longest sums: of longer ones B, padded, leaves the caches.
const LONGEST: usize = 4096;
/// Most numbers in A where there are several threads, which then pay.
const MOST_OF_A: usize = 3 << 16;
/// Products that are summed by themselves before they join a sum: a sum of many in one go is off by
/// several times the rounding of its own.
const RUN: usize = 64;

/// Computes C if this is a product for it; `false`, and nothing done, if not. `b` and `c` must be in row
/// order. Without `Threads::All` that does not depend on the number of rows, so that a row of C does not
/// depend on those beside it.
pub(super) fn narrow_product<T: Lanes>(
    alpha: T,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    c: &mut ArrayViewMut2<'_, T>,
    threads: Threads,
) -> bool {
    let n = c.ncols();
    let shared = threads == Threads::All && a.len() > MOST_OF_A;
    if !(2..=MOST).contains(&n) || a.ncols() > LONGEST || shared {
        return false;
    }
    let (a, Some(b), Some(c)) = (Strided::new(a), b.to_slice(), c.as_slice_mut()) else { return false };
    // What calls `dispatch` is compiled for any processor, what it calls for this one.
    T::with_scratch(a.shape.1 * MOST, |padded| {
        Arch::new().dispatch(Narrow { alpha, a, b, padded, beta, c, n })
    })
}

/// A, by its strides, as [`ArrayView2`] has it, but for a lifetime that can be shortened.
#[derive(Clone, Copy)]
struct Strided<'a, T> {
    first: *const T,
    shape: (usize, usize),
    strides: (isize, isize),
    borrowed: PhantomData<&'a T>,
}

impl<'a, T> Strided<'a, T> {
    fn new(a: ArrayView2<'a, T>) -> Self {
        let strides = (a.strides()[0], a.strides()[1]);
        Self { first: a.as_ptr(), shape: a.dim(), strides, borrowed: PhantomData }
    }
}

struct Narrow<'a, T> {
    alpha: T,
    a: Strided<'a, T>,
    b: &'a [T],
    /// Room for B with [`MOST`] columns.
    padded: &'a mut [T],
    beta: T,
    c: &'a mut [T],
    n: usize,
}

impl<T: Lanes> WithSimd for Narrow<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        if S::IS_SCALAR {
            return false;
        }
        // Registers that a row of C takes, and as many rows as leave all sums in them.
        match (self.n.div_ceil(T::lanes::<S>()), S::REGISTER_COUNT) {
            (1, _) => self.tiles::<S, 1, 8>(simd),
            (2, 32..) => self.tiles::<S, 2, 8>(simd),
            (2, _) => self.tiles::<S, 2, 4>(simd),
            (3 | 4, 32..) => self.tiles::<S, 4, 4>(simd),
            (3 | 4, _) => self.tiles::<S, 4, 2>(simd),
            _ => return false,
        }
        true
    }
}

impl<T: Lanes> Narrow<'_, T> {
    /// By tiles of R rows of V registers.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const R: usize>(self, simd: S) {
        let Self { alpha, a, b, padded, beta, c, n } = self;
        let width = V * T::lanes::<S>();
        let padded = &mut padded[..a.shape.1 * width];
        for (padded, b) in padded.chunks_exact_mut(width).zip(b.chunks_exact(n)) {
            let (values, rest) = padded.split_at_mut(n);
            values.iter_mut().zip(b).for_each(|(padded, &b)| *padded = b);
            rest.fill(T::zero());
        }
        let (b, _) = T::vectors::<S>(padded).as_chunks::<V>();
        let mut row = 0;
        let mut tiles = c.chunks_exact_mut(R * n);
        for c in &mut tiles {
            store::<T, S, V>(&a.rows_times::<S, V, R>(simd, row, b), alpha, beta, c, n);
            row += R;
        }
        for c in tiles.into_remainder().chunks_exact_mut(n) {
            store::<T, S, V>(&a.rows_times::<S, V, 1>(simd, row, b), alpha, beta, c, n);
            row += 1;
        }
    }
}

impl<T: Lanes> Strided<'_, T> {
    /// R rows of A, from row `start` on, times B.
    #[inline(always)]
    fn rows_times<S: Simd, const V: usize, const R: usize>(
        self,
        simd: S,
        start: usize,
        b: &[[T::Vector<S>; V]],
    ) -> [[T::Vector<S>; V]; R] {
        assert!(start + R <= self.shape.0 && b.len() == self.shape.1, "rows of a narrow product");
        let zero = [[T::splat(simd, T::zero()); V]; R];
        let mut totals = zero;
        // SAFETY: within the asserted rows and columns of a view that is still borrowed.
        unsafe {
            let mut first = self.first.offset(start as isize * self.strides.0);
            for b in b.chunks(RUN) {
                let mut sums = zero;
                if self.strides.0 == 1 {
                    for (p, b) in b.iter().enumerate() {
                        let column = first.offset(p as isize * self.strides.1);
                        for (r, sums) in sums.iter_mut().enumerate() {
                            add_multiple(simd, sums, *column.add(r), b);
                        }
                    }
                } else {
                    // Unknown to the compiler, or it adds stride to stride in every step.
                    let rows: [_; R] = from_fn(|r| black_box(first.offset(r as isize * self.strides.0)));
                    for (p, b) in b.iter().enumerate() {
                        for (row, sums) in rows.iter().zip(&mut sums) {
                            add_multiple(simd, sums, *row.offset(p as isize * self.strides.1), b);
                        }
                    }
                }
                totals
                    .iter_mut()
                    .zip(&sums)
                    .for_each(|(total, sum)| add_multiple(simd, total, T::one(), sum));
                first = first.wrapping_offset(RUN as isize * self.strides.1);
            }
        }
        totals
    }
}

#[inline(always)]
fn add_multiple<T: Lanes, S: Simd, const V: usize>(
    simd: S,
    sums: &mut [T::Vector<S>; V],
    a: T,
    b: &[T::Vector<S>; V],
) {
    let a = T::splat(simd, a);
    for (sum, &b) in sums.iter_mut().zip(b) {
        *sum = T::fused(simd, a, b, *sum);
    }
}

#[inline(always)]
fn store<T: Lanes, S: Simd, const V: usize>(
    sums: &[[T::Vector<S>; V]],
    alpha: T,
    beta: T,
    c: &mut [T],
    n: usize,
) {
    for (sums, c) in sums.iter().zip(c.chunks_exact_mut(n)) {
        let sums = T::values::<S>(sums);
        for (c, &sum) in c.iter_mut().zip(sums) {
            *c = if beta.is_zero() { alpha * sum } else { alpha * sum + beta * *c };
        }
    }
}
