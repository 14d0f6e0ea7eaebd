//! Products, factors and spectra; the only importer of `gemm` and of `ndarray_linalg`.
//!
//! Products run in the caller's precision. Factorisations are small and run in double precision
//! whatever the caller's, which keeps the LAPACK bounds inside this module.

mod product;
mod singular;
mod spd;
mod spectrum;

pub use product::{Threads, add_upper_gram, mirror, product};
pub use singular::{filter_singular_values, singular_values};
pub use spd::{damped_inverse, lower_factor};
pub use spectrum::{LeadingEigen, leading_eigen};
