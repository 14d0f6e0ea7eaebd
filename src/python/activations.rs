//! What Python shows of activations: names, parameters, and the values of their functions.

use crate::activation::ActivationKind;
use crate::error::Error;
use ndarray::{Array1, Array2};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;

/// An activation as the core knows it.
#[pyclass(frozen, get_all, module = "liftnet._core")]
pub struct ActivationInfo {
    /// In canonical notation.
    text: String,
    name: &'static str,
    /// Name, value, default and range of the parameter.
    parameter: Option<(&'static str, f64, f64, (f64, f64))>,
    slope_bound: f64,
    domain: (f64, f64),
    /// The activation whose potentials the lifted problem uses.
    lifted: String,
}

/// Reads an activation in the notation of users.
#[pyfunction]
pub fn activation_info(text: &str) -> PyResult<ActivationInfo> {
    let kind = ActivationKind::parse(text)?;
    let phi = kind.make::<f64>();
    Ok(ActivationInfo {
        text: kind.to_string(),
        name: kind.name(),
        parameter: kind.parameter().map(|p| (p.name, p.value, p.default, p.range)),
        slope_bound: phi.slope_bound(),
        domain: phi.domain(),
        lifted: kind.lifted().to_string(),
    })
}

#[pyfunction]
pub fn activation_names() -> Vec<&'static str> {
    ActivationKind::ALL.iter().map(|kind| kind.name()).collect()
}

type Values<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

/// φ(z) and, for each row, f(x), f*(z) and D(x, z).
#[pyfunction]
pub fn activation_values<'py>(
    py: Python<'py>,
    text: &str,
    x: PyReadonlyArray2<'py, f64>,
    z: PyReadonlyArray2<'py, f64>,
) -> PyResult<Values<'py>> {
    let (x, z) = (x.as_array(), z.as_array());
    if x.dim() != z.dim() {
        let expected = format!("{:?}, the shape of z", z.shape());
        return Err(Error::Shape { argument: "x".into(), got: x.shape().to_vec(), expected }.into());
    }
    let activation = ActivationKind::parse(text)?.make::<f64>();
    let (x, z) = (x.as_standard_layout(), z.as_standard_layout());
    let mut phi = Array2::zeros(z.raw_dim());
    let mut columns = [(); 3].map(|()| Array1::zeros(z.nrows()));
    for (i, (x, z)) in x.rows().into_iter().zip(z.rows()).enumerate() {
        if let (Some(x), Some(z), Some(phi)) = (x.as_slice(), z.as_slice(), phi.row_mut(i).as_slice_mut()) {
            activation.apply(z, phi);
            columns[0][i] = activation.potential(x);
            columns[1][i] = activation.conjugate(z);
            columns[2][i] = activation.divergence(x, z);
        }
    }
    let [potential, conjugate, divergence] = columns.map(|column| column.into_pyarray(py));
    Ok((phi.into_pyarray(py), potential, conjugate, divergence))
}
