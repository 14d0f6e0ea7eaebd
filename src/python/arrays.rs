//! Arrays in and out.

use crate::activation::ActivationKind;
use crate::error::Result;
use crate::network::Network;
use crate::real::Real;
use crate::rows::{Rows, SparseRows};
use ndarray::{Array1, Array2};
use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// Inputs in one of the two precisions: the one place where the precision is decided.
pub enum Inputs<'py> {
    F32(PyReadonlyArray2<'py, f32>),
    F64(PyReadonlyArray2<'py, f64>),
}

impl<'py> Inputs<'py> {
    pub fn borrow(name: &str, array: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = array.cast::<PyArray2<f32>>() {
            return Ok(Inputs::F32(array.try_readonly()?));
        }
        if let Ok(array) = array.cast::<PyArray2<f64>>() {
            return Ok(Inputs::F64(array.try_readonly()?));
        }
        Err(wrong_array(name, array, "a 2-d array of float32 or float64"))
    }
}

/// Inputs of samples as borrowed from Python: an array, or the parts of a sparse one.
pub enum Table<'py, T: Element> {
    Dense(PyReadonlyArray2<'py, T>),
    Sparse {
        indptr: PyReadonlyArray1<'py, i64>,
        indices: PyReadonlyArray1<'py, i32>,
        values: PyReadonlyArray1<'py, T>,
        n_columns: usize,
    },
}

/// Inputs in one of the two precisions, as [`Inputs`] for arrays alone.
pub enum Tables<'py> {
    F32(Table<'py, f32>),
    F64(Table<'py, f64>),
}

impl<'py> Tables<'py> {
    pub fn borrow(name: &str, x: &Bound<'py, PyAny>) -> PyResult<Self> {
        let Ok(parts) = x.cast::<PyTuple>() else {
            return Ok(match Inputs::borrow(name, x)? {
                Inputs::F32(array) => Self::F32(Table::Dense(array)),
                Inputs::F64(array) => Self::F64(Table::Dense(array)),
            });
        };
        Ok(match parts.get_item(2)?.cast::<PyArray1<f32>>() {
            Ok(_) => Self::F32(Table::borrow(name, x)?),
            Err(_) => Self::F64(Table::borrow(name, x)?),
        })
    }
}

impl<'py, T: Element + Real> Table<'py, T> {
    pub fn borrow(name: &str, x: &Bound<'py, PyAny>) -> PyResult<Self> {
        let Ok(parts) = x.cast::<PyTuple>() else { return Ok(Self::Dense(matrix(name, x)?)) };
        let (indptr, indices, values, n_columns) =
            parts.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, usize)>()?;
        Ok(Self::Sparse {
            indptr: vector(name, &indptr, "a sparse array with row ends of int64")?,
            indices: vector(name, &indices, "a sparse array with columns of int32")?,
            values: vector(name, &values, "a sparse array of the precision of X")?,
            n_columns,
        })
    }

    pub fn view(&self) -> PyResult<Rows<'_, T>> {
        Ok(match self {
            Self::Dense(x) => x.as_array().into(),
            Self::Sparse { indptr, indices, values, n_columns } => {
                SparseRows::new(indptr.as_slice()?, indices.as_slice()?, values.as_slice()?, *n_columns)?
                    .into()
            }
        })
    }
}

/// Borrows a matrix of a known precision.
pub fn matrix<'py, T: Element>(name: &str, array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray2<'py, T>> {
    match array.cast::<PyArray2<T>>() {
        Ok(array) => Ok(array.try_readonly()?),
        Err(_) => Err(wrong_array(name, array, "a 2-d array of the precision of X")),
    }
}

/// Borrows a vector of a known type.
pub fn vector<'py, T: Element>(
    name: &str,
    array: &Bound<'py, PyAny>,
    expected: &str,
) -> PyResult<PyReadonlyArray1<'py, T>> {
    match array.cast::<PyArray1<T>>() {
        Ok(array) => Ok(array.try_readonly()?),
        Err(_) => Err(wrong_array(name, array, expected)),
    }
}

/// Reads the names of activations.
pub fn activations(names: &[String]) -> Result<Vec<ActivationKind>> {
    names.iter().map(|name| ActivationKind::parse(name)).collect()
}

/// Copies a network's weights in: they are small beside the data, and the solver owns them.
pub fn network<T: Real + Element>(
    coefs: &[Bound<'_, PyAny>],
    intercepts: &[Bound<'_, PyAny>],
    activations: &[ActivationKind],
) -> PyResult<Network<T>> {
    let coefs = coefs
        .iter()
        .enumerate()
        .map(|(l, coef)| Ok(matrix::<T>(&format!("coefs[{l}]"), coef)?.as_array().to_owned()))
        .collect::<PyResult<Vec<Array2<T>>>>()?;
    let intercepts = intercepts
        .iter()
        .enumerate()
        .map(|(l, intercept)| {
            let name = format!("intercepts[{l}]");
            Ok(vector::<T>(&name, intercept, "a 1-d array of the precision of X")?.as_array().to_owned())
        })
        .collect::<PyResult<Vec<Array1<T>>>>()?;
    let activations = match *activations {
        [one] => vec![one; coefs.len().saturating_sub(1)],
        _ => activations.to_vec(),
    };
    Ok(Network { coefs, intercepts, activations })
}

/// Moves a network's weights out.
pub fn into_lists<T: Real + Element>(
    py: Python<'_>,
    network: Network<T>,
) -> PyResult<(Py<PyList>, Py<PyList>)> {
    let coefs = PyList::new(py, network.coefs.into_iter().map(|coef| coef.into_pyarray(py)))?;
    let intercepts = PyList::new(py, network.intercepts.into_iter().map(|b| b.into_pyarray(py)))?;
    Ok((coefs.unbind(), intercepts.unbind()))
}

fn wrong_array(name: &str, array: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let got = match array.cast::<numpy::PyUntypedArray>() {
        Ok(array) => format!("a {}-d array of {}", array.ndim(), array.dtype()),
        Err(_) => array.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string()),
    };
    PyTypeError::new_err(format!("{name} must be {expected}, got {got}"))
}
