//! liftnet
pub mod activation;
pub mod error;
pub mod kernel;
pub mod linalg;
pub mod loss;
pub mod network;
pub mod problem;
#[cfg(feature = "python")]
mod python;
pub mod real;
pub mod solver;
pub mod spec;
