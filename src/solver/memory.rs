//! Whether a fit can fit into memory, before anything is allocated.

use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::Options;

/// Compares an estimate of the working memory with the limit of the options.
///
/// # Errors
/// [`Error::Memory`].
pub(super) fn check_memory<T: Real>(problem: &Problem<'_, T>, options: &Options) -> Result<()> {
    let needed = working_memory(problem, options);
    match options.memory_limit {
        Some(limit) if needed > limit => Err(Error::Memory { needed, limit }),
        // Sizes beyond this overflow the arithmetic of an allocation.
        _ if needed > isize::MAX as u64 => Err(Error::Memory { needed, limit: isize::MAX as u64 }),
        _ => Ok(()),
    }
}

/// Bytes: an upper estimate that takes every direction of the inputs to be kept.
fn working_memory<T: Real>(problem: &Problem<'_, T>, options: &Options) -> u64 {
    let size = std::mem::size_of::<T>() as u64;
    let (n, d) = (problem.n_samples() as u64, problem.n_features() as u64);
    let units = options.hidden_layer_sizes.iter().map(|&units| units as u64);
    let mut inputs = d;
    // Mapped data, and the map with its inverse.
    let mut numbers = n.saturating_mul(d + 1);
    for (l, units) in units.chain([problem.n_outputs() as u64]).enumerate() {
        let weights = (inputs + 1).saturating_mul(units);
        // Weights, gradient, step, velocity, snapshot, best and folded copies.
        numbers = numbers.saturating_add(weights.saturating_mul(7));
        if l > 0 {
            // Gram matrix, its inverse, and temporaries of the inversion.
            numbers = numbers.saturating_add((inputs + 1).saturating_mul(inputs + 1).saturating_mul(3));
        }
        // x, z and δ of a batch.
        numbers = numbers.saturating_add((options.batch_size as u64).saturating_mul(units).saturating_mul(3));
        inputs = units;
    }
    numbers.saturating_mul(size)
}
