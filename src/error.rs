//! Everything that can go wrong, with the data that a caller needs to mend it.
//!
//! | category | variants | when |
//! |---|---|---|
//! | validation | `Shape`, `NonFinite`, `Parameter`, `UnknownName`, `NotAnArgmin`, `Labels`, `Domain`, `Memory` | before the first block is solved |
//! | numerics | `Factorisation`, `Diverged` | while solving |
//! | internal | `Internal` | a defect of this crate, caught at the boundary |

use std::borrow::Cow;

/// Result of this crate.
pub type Result<V> = std::result::Result<V, Error>;

/// Reasons for which nothing was computed; inputs are never changed by a failure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array has the wrong shape.
    #[error("{argument} has shape {got:?}, expected {expected}")]
    Shape {
        /// The argument's name.
        argument: String,
        /// The shape it has.
        got: Vec<usize>,
        /// The shape it should have, in words.
        expected: String,
    },
    /// An array holds NaN or infinity.
    #[error("{argument} contains {value} at index {index:?}; every value must be finite")]
    NonFinite {
        /// The argument's name.
        argument: String,
        /// First place where it happens.
        index: Vec<usize>,
        /// What stands there.
        value: f64,
    },
    /// A parameter is outside its range.
    #[error("{name} must be {allowed}, got {got}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// The value given.
        got: String,
        /// The values allowed, in words.
        allowed: Cow<'static, str>,
    },
    /// A name is none of the choices.
    #[error("{name} must be one of {}, got '{got}'", choices.join(", "))]
    UnknownName {
        /// The parameter's name.
        name: &'static str,
        /// The name given.
        got: String,
        /// All the choices.
        choices: Vec<&'static str>,
    },
    /// A non-monotone activation was asked for.
    #[error(
        "activation '{got}' is not monotone, so it is not the argmin of a convex problem and \
         cannot be lifted; the nearest choices are {}; all choices are {}",
        nearest.join(", "), choices.join(", ")
    )]
    NotAnArgmin {
        /// The name given.
        got: String,
        /// Monotone activations of a similar shape.
        nearest: Vec<&'static str>,
        /// All the choices.
        choices: Vec<&'static str>,
    },
    /// A class index is out of range.
    #[error("y holds class index {got} at row {row}, expected 0 to {}", classes - 1)]
    Labels {
        /// Row of the first offending label.
        row: usize,
        /// The label given.
        got: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A target is outside the domain of the loss.
    #[error("y holds {got} at row {row}, expected {allowed} for the {loss} loss")]
    Domain {
        /// Row of the first offending target.
        row: usize,
        /// The target given.
        got: f64,
        /// What its targets can be.
        allowed: &'static str,
        /// The loss.
        loss: &'static str,
    },
    /// The working memory would exceed the limit.
    #[error(
        "this fit needs about {} of working memory and the limit is {}; reduce \
         hidden_layer_sizes, batch_size or the number of features",
        human(*needed), human(*limit)
    )]
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// LAPACK could not factor a matrix.
    #[error("factorisation of a {size} x {size} matrix failed: {reason}")]
    Factorisation {
        /// Order of the matrix.
        size: usize,
        /// LAPACK's answer.
        reason: String,
    },
    /// The step was shortened again and again and the iterates still left the finite range.
    #[error(
        "training diverged in pass {pass} although the step was shortened {retries} times; \
         try a smaller learning_rate_init or a larger damping"
    )]
    Diverged {
        /// Pass over the data, from 1.
        pass: usize,
        /// How often the solver started again from its last good weights.
        retries: usize,
    },
    /// A defect of this crate.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
