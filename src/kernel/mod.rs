//! The convex sub-problems, one per file: matrices in, matrix out, no layers.

pub mod activation_block;
pub mod weight_block;
