//! Sums over vectors.

use std::iter::Sum;
use std::ops::AddAssign;

/// Σ term(a_i, b_i) over the shorter of the two, in lanes that the compiler can keep in vector registers.
pub fn sum_of_pairs<A, B, S>(a: &[A], b: &[B], term: impl Fn(A, B) -> S) -> S
where
    A: Copy,
    B: Copy,
    S: Copy + Default + AddAssign + Sum,
{
    const LANES: usize = 16;
    let length = a.len().min(b.len());
    let (a, b) = (a[..length].chunks_exact(LANES), b[..length].chunks_exact(LANES));
    let mut tail = S::default();
    for (&a, &b) in a.remainder().iter().zip(b.remainder()) {
        tail += term(a, b);
    }
    let mut sums = [S::default(); LANES];
    for (a, b) in a.zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += term(a, b);
        }
    }
    tail += sums.into_iter().sum();
    tail
}
