//! The Python module `liftnet._core`: the only importer of `pyo3` and `numpy`.
//!
//! | Python | Rust |
//! |---|---|
//! | 2-d `float32` / `float64` array, any strides, read-only too | `ArrayView2<f32 / f64>`, borrowed |
//! | tuple of row ends (`int64`), columns (`int32`), values and the number of columns | `SparseRows`, borrowed |
//! | 1-d `uint32` array | `&[u32]` class indices |
//! | `dict` of options | [`fit::PySpec`], then [`crate::spec::Spec`] |
//! | list of arrays out | moved, not copied |
//! | `ValueError`, `MemoryError`, `FloatingPointError`, `RuntimeError` | [`crate::error::Error`] |
//!
//! The interpreter is released while anything is computed. Arrays stay borrowed meanwhile: another
//! Python thread that writes to them gets undefined numbers, never a crash.

// `#[pyfunction]` items are private to the crate, and documented for Python in `_core.pyi`.
#![allow(missing_docs)]

mod activations;
mod arrays;
mod errors;
mod fit;
mod kernels;
mod predict;
mod runner;
mod stream;

use pyo3::prelude::*;

#[pymodule]
pub mod _core {
    #[pymodule_export]
    use super::activations::{ActivationInfo, activation_info, activation_names, activation_values};
    #[pymodule_export]
    use super::fit::{FitResult, fit, planned_passes};
    #[pymodule_export]
    use super::kernels::{
        RidgeFactorization, activation_block, activation_parameter, box_least_squares, smooth_regression,
    };
    #[pymodule_export]
    use super::predict::{check_targets, decision_function, first_non_finite, inverse_link};
    #[pymodule_export]
    use super::stream::{StreamResult, stream};
}
