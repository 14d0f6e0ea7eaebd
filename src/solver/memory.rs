//! Whether a fit can fit into memory, before anything is allocated.

use super::input_map::most_directions;
use crate::error::{Error, Result};
use crate::penalty::PenaltyKind;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Options, Solver};

/// Compares an estimate of the working memory with the limit of the options.
///
/// # Errors
/// [`Error::Memory`].
pub(super) fn check_memory<C: Real, T: Real>(problem: &Problem<'_, T>, options: &Options) -> Result<()> {
    let needed = working_memory::<C, T>(problem, options);
    match options.memory_limit {
        Some(limit) if needed > limit => Err(Error::Memory { needed, limit }),
        // Sizes beyond this overflow the arithmetic of an allocation.
        _ if needed > isize::MAX as u64 => Err(Error::Memory { needed, limit: isize::MAX as u64 }),
        _ => Ok(()),
    }
}

/// Bytes that the limit leaves beside what a fit needs.
pub(super) fn spare_memory<C: Real, T: Real>(problem: &Problem<'_, T>, options: &Options) -> u64 {
    let limit = options.memory_limit.unwrap_or(isize::MAX as u64);
    limit.saturating_sub(working_memory::<C, T>(problem, options))
}

/// Features beyond which the input map is far from square.
const WIDE: u64 = 4096;

/// Bytes: an upper estimate that takes as many directions of the inputs to be kept as may be. The solver
/// computes in C on data of T.
fn working_memory<C: Real, T: Real>(problem: &Problem<'_, T>, options: &Options) -> u64 {
    let sizes = [std::mem::size_of::<C>() as u64, std::mem::size_of::<T>() as u64];
    let (n, d) = (problem.n_samples() as u64, problem.n_features() as u64);
    let units = options.hidden_layer_sizes.iter().map(|&units| units as u64);
    let most = most_directions(options, problem.n_samples(), problem.n_features()) as u64;
    let mut inputs = most;
    // Mapped data, and values of the targets.
    let values = if options.loss.has_values() { problem.n_outputs() as u64 } else { 0 };
    let mut numbers = n.saturating_mul((most + 1).saturating_add(values));
    // The map, its inverse, and the second moments in double precision.
    let map = d.saturating_mul(if most < d { most } else { d.min(WIDE) });
    let mut given = map.saturating_mul(8);
    if options.input_noise > 0.0 {
        // The metric of the noise, work space, and in the batch solver the moved inputs, twice.
        let rows = if options.solver == Solver::Batch { n } else { options.batch_size as u64 };
        numbers = numbers.saturating_add(rows.saturating_add(d).saturating_mul(d + 1).saturating_mul(2));
    }
    for (l, units) in units.chain([problem.n_outputs() as u64]).enumerate() {
        let folded = if l == 0 { d } else { inputs };
        let weights = folded.saturating_add(1).saturating_mul(units);
        // Weights, gradient, step, velocity, snapshot and best; folded copies.
        numbers = numbers.saturating_add(weights.saturating_mul(6));
        given = given.saturating_add(weights);
        let penalised = options.penalties[l] != PenaltyKind::Ridge;
        if penalised {
            // Four buffers of the proximal block, the weights in double precision, a mask.
            numbers = numbers.saturating_add(weights.saturating_mul(8));
        }
        if l > 0 || options.penalties[0].is_elementwise() {
            // Gram matrix, its inverse, and temporaries of the inversion; the metric of a penalty.
            let order = inputs.saturating_add(1);
            numbers = numbers.saturating_add(order.saturating_mul(order).saturating_mul(if penalised {
                5
            } else {
                3
            }));
        }
        // x, z and δ of a batch.
        numbers = numbers.saturating_add((options.batch_size as u64).saturating_mul(units).saturating_mul(3));
        if options.dropout.get(l).is_some_and(|&rate| rate > 0.0) {
            // Masks, and x of all units.
            let batch = options.batch_size as u64;
            numbers = numbers.saturating_add(batch.saturating_mul(units).saturating_mul(2));
        }
        inputs = units;
    }
    numbers.saturating_mul(sizes[0]).saturating_add(given.saturating_mul(sizes[1]))
}
