//! Solvers: block-coordinate descent on the lifted problem.
//!
//! [`stochastic()`] and [`batch()`] read like the algorithm box; the files beside them hold what
//! they name.

mod activations;
mod batch;
mod control;
mod covariance;
mod deadline;
mod descent;
mod diagnosis;
mod dropout;
mod held_out;
mod history;
mod input_map;
mod layers;
mod lifted;
mod memory;
mod noise;
mod output_block;
mod pass;
mod progress;
mod safeguard;
mod sampled_weights;
mod schedule;
mod shard;
mod standardisation;
mod start;
mod stochastic;
mod stream;
mod target_map;
#[cfg(test)]
mod tests;
mod wider_map;

pub use batch::batch;
pub use control::{Control, PassReport, Silent, Status};
pub use history::History;
pub use input_map::{InputMap, MapParts};
pub use standardisation::FeatureMoments;
pub use stochastic::{Solution, stochastic};
pub use stream::{Chunk, Stream, stream};
pub use target_map::{TargetMap, with_standard_targets};
