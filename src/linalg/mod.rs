//! Products, factors and spectra; the only importer of `gemm` and of `ndarray_linalg`.
//!
//! Products of few columns are our own (`narrow.rs`), all others `gemm`'s. They and the factors of
//! [`Cholesky`] run in the caller's precision. What LAPACK does is small and runs on one thread, in
//! double precision whatever the caller's, which keeps its bounds inside this module.

mod cholesky;
mod lapack;
mod narrow;
mod product;
mod singular;
mod spd;
mod spectrum;
mod sums;

pub use cholesky::{Cholesky, axpy, dot, factor_upper, solve_upper, solve_upper_vector};
pub use product::{Threads, add_upper_gram, mirror, product};
pub use singular::{filter_singular_values, singular_values};
pub use spd::{damped_inverse, lower_factor};
pub use spectrum::{LeadingEigen, leading_eigen, pseudo_inverse, spectral_bound};
pub use sums::sum_of_pairs;
