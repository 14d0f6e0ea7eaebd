//! The crate by its public interface. One program: as many programs as files would take many times as
//! long to compile and link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[macro_use]
mod common;

mod activation;
mod activation_parameter;
mod batch;
mod kernels;
mod linalg;
mod loss;
mod output_block;
mod penalty;
mod precision;
mod problem;
mod sparse;
mod stochastic;
mod targets;
