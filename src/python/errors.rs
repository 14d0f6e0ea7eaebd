//! One exhaustive map from [`Error`] to Python's exceptions.

use crate::error::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyFloatingPointError, PyMemoryError, PyRuntimeError, PyValueError};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Shape { .. }
            | Error::NonFinite { .. }
            | Error::Parameter { .. }
            | Error::UnknownName { .. }
            | Error::NotAnArgmin { .. }
            | Error::Labels { .. }
            | Error::Domain { .. } => PyValueError::new_err(message),
            Error::Memory { .. } => PyMemoryError::new_err(message),
            Error::Factorisation { .. } | Error::Diverged { .. } => PyFloatingPointError::new_err(message),
            Error::Internal(_) => PyRuntimeError::new_err(message),
        }
    }
}
