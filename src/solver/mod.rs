//! Solvers: block-coordinate descent on the lifted problem.
//!
//! [`stochastic`] reads like the algorithm box; the files beside it hold what it names.

mod control;
mod covariance;
mod input_map;
mod layers;
mod memory;
mod pass;
mod progress;
mod safeguard;
mod schedule;
mod standardisation;
mod start;
mod stochastic;
mod target_map;
#[cfg(test)]
mod tests;

pub use control::{Control, PassReport, Silent, Status};
pub use input_map::InputMap;
pub use stochastic::{Solution, stochastic};
pub use target_map::{TargetMap, with_standard_targets};
