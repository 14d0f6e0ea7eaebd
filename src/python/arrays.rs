//! Arrays in and out.

use crate::activation::ActivationKind;
use crate::error::Result;
use crate::network::Network;
use crate::real::Real;
use ndarray::{Array1, Array2};
use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

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
