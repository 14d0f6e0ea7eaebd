//! # liftnet: multi-layer perceptrons trained as lifted neural networks
//!
//! ## The problem
//!
//! Layers l = 1..L with z_l = W_lᵀx_{l−1} + b_l, hidden x_l = φ(z_l), logits z_L, loss ℓ. Any
//! non-decreasing φ is an argmin, φ(z) = argmin_x f(x) − x·z with f convex, so the constraint
//! x_l = φ(z_l) may be replaced by the divergence D(x, z) = f(x) + f*(z) − x·z ≥ 0, which vanishes
//! exactly there. The *lifted* problem has the activations as variables of their own:
//!
//! ```text
//! min over W, b, x   mean_i s_i [ ℓ(y_i, W_Lᵀx_{L−1,i} + b_L) + λ Σ_{l<L} D(x_{l,i}, W_lᵀx_{l−1,i} + b_l) ]
//!                    + α/2 Σ_l ‖W_l‖²
//! ```
//!
//! It is convex in each block (one layer's weights, or one layer's activations) with the others
//! fixed. Training is block-coordinate descent: no back-propagation, no derivative of φ.
//!
//! ## Modules
//!
//! ```text
//! lanes, real            a float's registers; the float abstraction
//! error, notation        everything that can go wrong; `name(value)`
//! ├─ linalg              products, Gram matrices, factors, spectra (all of gemm and LAPACK)
//! ├─ activation, loss    f, f*, φ, D of each activation; value and gradient of each loss
//! ├─ penalty             value and prox of each penalty on weights, or of a set of them
//! ├─ spec                what a user chooses → checked options, defaults with their rationale
//! ├─ kernel              one convex sub-problem a file: matrices in, matrix out
//! ├─ rows                inputs, dense or sparse
//! ├─ problem             borrowed, checked data
//! ├─ solver              the algorithm, and what it is made of
//! ├─ network             forward passes from weights alone
//! └─ python              the module liftnet._core (feature `python`)
//! ```
//!
//! Imports run down this list only.
//!
//! ## Where to start
//!
//! * *Using it from Rust:* [`problem::Problem::new`], [`spec::Spec::check`],
//!   [`solver::stochastic()`] or [`solver::batch()`] (for real targets within
//!   [`solver::with_standard_targets`]) inside `rayon::ThreadPool::install`, then
//!   [`network::Network::decision_function`].
//! * *Understanding the method:* [`activation`], the files of [`kernel`],
//!   `solver/stochastic.rs`, `solver/batch.rs`, `solver/lifted.rs`, `solver/input_map.rs`.
//! * *Adding an activation, a loss or a penalty:* [`activation::Activation`], [`loss::Loss`],
//!   [`penalty::Penalty`].
//! * *Tuning:* the table of [`spec`].
//!
//! ## References
//!
//! * Askari, Negiar, Sambharya, El Ghaoui 2018, *Lifted neural networks*, arXiv:1805.01532
//! * Gu, Askari, El Ghaoui 2020, *Fenchel lifted networks*, arXiv:1811.08039
//! * Wang, Benning 2023, *Lifted Bregman training of neural networks*, arXiv:2208.08772
//! * Benzing 2022, *Gradient descent on neurons*, arXiv:2201.12250
//! * Amid, Anil, Warmuth 2022, *LocoProp*, arXiv:2106.06199
//! * Bauschke, Bolte, Teboulle 2017, *A descent lemma beyond Lipschitz gradient continuity*

pub mod activation;
pub mod error;
pub mod kernel;
pub mod lanes;
pub mod linalg;
pub mod loss;
pub mod network;
pub mod notation;
pub mod penalty;
pub mod problem;
#[cfg(feature = "python")]
mod python;
pub mod real;
pub mod rows;
pub mod solver;
pub mod spec;
