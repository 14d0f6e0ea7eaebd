//! The activation block: the lifted variables of one hidden layer, the samples independent.
//!
//! ```text
//! min over x:  λ [f(x) − ⟨x, z⟩] + h(x),   h the terms of the layer above
//! ```
//!
//! f is strongly convex relative to itself, so h may be replaced by its linearisation at
//! x₀ = φ(z) (a Bregman proximal-gradient step; Bauschke, Bolte, Teboulle 2017). The minimiser is
//! then closed-form in pre-activation space, x = φ(z − ∇h(x₀)/λ). It needs φ and never φ′:
//! [`pull_back`].
//!
//! [`ActivationBlock`] solves exactly, with more such steps from x = φ(u):
//!
//! ```text
//! u ← (λ z − ∇h(x) + κ u) / (λ + κ),   κ = sup φ′ · (a bound of the curvature of h)
//! ```
//!
//! never raises the objective, and ends at u = z − ∇h(x)/λ. Where f and h are quadratic between
//! bounds, the block is a [`BoundedLeastSquares`] problem and is handed over.

use super::bounded_least_squares::{BoundedLeastSquares, Bounds};
use super::{Report, Stopping, swap_rows};
use crate::activation::{ActivationKind, Divergence, Moments, Tie};
use crate::error::{Error, Result};
use crate::linalg::{Threads, product, singular_values};
use crate::loss::{Loss, LossKind, Targets};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// Samples that are solved together on one thread.
const TILE: usize = 64;

/// Solves the linearised block for every row and returns what the weight block below needs.
///
/// * `z`: pre-activations, `(n_samples, n_units)`;
/// * `x`: φ(z), `(n_samples, n_units)`;
/// * `g`: on entry ∇h at x, on exit ∂(λD)/∂z at the solution x*, λ(φ(z) − x*) for the Fenchel
///   divergence, `(n_samples, n_units)`.
///
/// Rows must be contiguous. As λ → ∞ the result tends to φ′(z)·g: the back-propagated gradient.
/// Returns what the block of the activation's parameter is made of, where that is a variable of the
/// tie, at x* and summed over the rows with the weights `weight(row)`.
pub fn pull_back<T: Real>(
    tie: &Tie<T>,
    z: ArrayView2<'_, T>,
    x: ArrayView2<'_, T>,
    lambda: T,
    mut g: ArrayViewMut2<'_, T>,
    weight: impl Fn(usize) -> f64,
) -> Moments {
    let mut moments = Moments::default();
    for (row, ((z, x), mut g)) in z.rows().into_iter().zip(x.rows()).zip(g.rows_mut()).enumerate() {
        if let (Some(z), Some(x), Some(g)) = (z.as_slice(), x.as_slice(), g.as_slice_mut()) {
            moments.add(weight(row), tie.pull_back(z, x, lambda, g));
        }
    }
    moments
}

/// u ← (λ z − g + κ u)/(λ + κ) over a row: a Bregman proximal-gradient step on the block, from the
/// point x = φ(u) at which `gradient` is ∇h.
///
/// Never raises the block's objective when κ is at least sup φ′ times the Lipschitz constant of ∇h:
/// h is then smooth relative to κ f (Bauschke, Bolte, Teboulle 2017).
pub fn bregman_step<T: Real>(z: &[T], gradient: &[T], lambda: T, kappa: T, u: &mut [T]) {
    let scale = (lambda + kappa).recip();
    for ((u, &z), &g) in u.iter_mut().zip(z).zip(gradient) {
        *u = (lambda * z - g + kappa * *u) * scale;
    }
}

/// The terms of the layer above, as a function of its pre-activations v = Wᵀx + b.
#[derive(Debug)]
pub enum Above<'a, T> {
    /// λ [F(v) − ⟨target, v⟩], F = f* or ‖v‖²/2 by the divergence.
    Hidden {
        /// Activation of the layer above.
        activation: ActivationKind,
        /// What ties it to its pre-activations.
        divergence: Divergence,
        /// Its λ > 0.
        lambda: f64,
        /// Its lifted variables, `(n_samples, n_above)`.
        targets: ArrayView2<'a, T>,
    },
    /// ℓ(target, v).
    Output {
        /// The loss.
        loss: LossKind,
        /// What is to be predicted.
        targets: Targets<'a, T>,
    },
}

/// The block of one layer, all but its pre-activations.
#[derive(Debug)]
pub struct ActivationBlock<'a, T> {
    /// Activation of the layer.
    pub activation: ActivationKind,
    /// Its λ > 0.
    pub lambda: f64,
    /// W of the layer above, `(n_units, n_above)`.
    pub weights: ArrayView2<'a, T>,
    /// Its b, `(n_above,)`.
    pub intercept: ArrayView1<'a, T>,
    /// What the layer above asks for.
    pub above: Above<'a, T>,
}

impl<'a, T: Real> ActivationBlock<'a, T> {
    /// Minimises over the rows of x, `(n_samples, n_units)`, for the rows of `z`.
    ///
    /// Steps and signs are represented by their smooth neighbours ([`ActivationKind::lifted`]).
    /// The residual of a sample is ‖λ(u − z) + ∇h(x)‖ / (λ‖z‖ + λ‖u‖ + ‖∇h(x)‖), or that of
    /// [`BoundedLeastSquares::solve`]. The samples are shared out over the current thread pool; the
    /// bits do not depend on it.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Labels`]; [`Error::Parameter`] for a λ that is not positive, for
    /// a divergence that is not defined for the activation, and for a loss without a bound of its
    /// curvature.
    pub fn solve(&self, z: ArrayView2<'_, T>, stopping: Stopping<'_>) -> Result<(Array2<T>, Report)> {
        let above = self.check(z)?;
        if let (true, Some((curvature, pull))) = (self.activation.lifted().is_projection(), above.quadratic())
        {
            return self.solve_quadratic(z, curvature, pull, stopping);
        }
        let tie = Tie::<T>::new(self.activation, Divergence::Fenchel);
        let norm = singular_values(self.weights)?.first().copied().unwrap_or(0.0);
        let kappa = above.curvature() * norm * norm * tie.lifted().slope_bound().f64();
        let step = Step { block: self, tie, above, lambda: T::of(self.lambda), kappa: T::of(kappa) };
        let mut x = Array2::zeros(z.raw_dim());
        let report = x
            .axis_chunks_iter_mut(Axis(0), TILE)
            .into_par_iter()
            .zip(z.axis_chunks_iter(Axis(0), TILE))
            .enumerate()
            .with_max_len(1)
            .map(|(tile, (x, z))| step.solve(tile * TILE, z, x, stopping))
            .reduce(|| Report::DONE, Report::and);
        Ok((x, report))
    }

    /// min ½xᵀ(λI + c WWᵀ)x − ⟨λz + W(p − c b), x⟩ between the bounds of the domain of f, the
    /// terms above being c‖v‖²/2 − ⟨p, v⟩.
    fn solve_quadratic(
        &self,
        z: ArrayView2<'_, T>,
        curvature: f64,
        mut pull: Array2<T>,
        stopping: Stopping<'_>,
    ) -> Result<(Array2<T>, Report)> {
        let (units, curvature, lambda) = (z.ncols(), T::of(curvature), T::of(self.lambda));
        let mut gram = Array2::zeros((units, units));
        product(curvature, self.weights, self.weights.t(), T::zero(), gram.view_mut(), Threads::All);
        gram.diag_mut().mapv_inplace(|v| v + lambda);
        pull -= &(&self.intercept * curvature);
        let mut rhs = &z * lambda;
        product(T::one(), pull.view(), self.weights.t(), T::one(), rhs.view_mut(), Threads::All);
        let (low, high) = self.activation.lifted().make::<T>().domain();
        let bounds = Bounds::new(Array1::from_elem(units, low), Array1::from_elem(units, high))?;
        let mut x = Array2::zeros(z.raw_dim());
        let report =
            BoundedLeastSquares::new(gram.view(), bounds)?.solve(rhs.view(), x.view_mut(), stopping)?;
        Ok((x, report))
    }

    fn check(&self, z: ArrayView2<'_, T>) -> Result<Terms<'a, T>> {
        let (samples, units) = z.dim();
        let outputs = self.intercept.len();
        let shape = |argument: &str, got: &[usize], expected: [usize; 2]| match got == expected {
            true => Ok(()),
            false => Err(Error::Shape {
                argument: argument.into(),
                got: got.to_vec(),
                expected: format!("{expected:?}"),
            }),
        };
        shape("W", self.weights.shape(), [units, outputs])?;
        positive("penalty_weight", self.lambda)?;
        match &self.above {
            Above::Hidden { activation, divergence, lambda, targets } => {
                shape("target", targets.shape(), [samples, outputs])?;
                positive("next_penalty_weight", *lambda)?;
                divergence.check(*activation)?;
                Ok(Terms::Hidden {
                    tie: Tie::new(*activation, *divergence),
                    // ∇F(v) = v for both.
                    linear: *divergence == Divergence::Euclidean || *activation == ActivationKind::Identity,
                    lambda: *lambda,
                    targets: *targets,
                })
            }
            Above::Output { loss: kind, targets } => {
                let loss = kind.make::<T>();
                if !loss.curvature_bound().is_finite() {
                    return Err(Error::Parameter {
                        name: "loss",
                        got: format!("'{}'", kind.name()),
                        allowed: "one whose curvature is bounded".into(),
                    });
                }
                match targets {
                    Targets::Values(values) => {
                        shape("target", values.shape(), [samples, outputs])?;
                        if let Some(((row, _), value)) =
                            values.indexed_iter().find(|(_, v)| !kind.allows(**v))
                        {
                            return Err(Error::Domain {
                                row,
                                got: value.f64(),
                                allowed: kind.domain(),
                                loss: kind.name(),
                            });
                        }
                    }
                    Targets::Classes(classes) => {
                        shape("target", &[classes.len(), outputs], [samples, outputs])?;
                        let count = if matches!(kind, LossKind::Logistic { .. }) { 2 } else { outputs };
                        if let Some(row) = classes.iter().position(|&class| class as usize >= count) {
                            return Err(Error::Labels { row, got: classes[row] as usize, classes: count });
                        }
                    }
                }
                Ok(Terms::Output { loss, squared: *kind == LossKind::Squared, targets: *targets })
            }
        }
    }
}

fn positive(name: &'static str, value: f64) -> Result<()> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::Parameter { name, got: value.to_string(), allowed: "finite and above 0".into() }),
    }
}

/// [`Above`], checked and made.
enum Terms<'a, T> {
    Hidden { tie: Tie<T>, linear: bool, lambda: f64, targets: ArrayView2<'a, T> },
    Output { loss: Box<dyn Loss<T>>, squared: bool, targets: Targets<'a, T> },
}

impl<T: Real> Terms<'_, T> {
    /// Bound of the curvature in v.
    fn curvature(&self) -> f64 {
        match self {
            Terms::Hidden { tie, lambda, .. } => lambda * tie.curvature().f64(),
            Terms::Output { loss, .. } => loss.curvature_bound().f64(),
        }
    }

    /// c and p where the terms are c‖v‖²/2 − ⟨p, v⟩.
    fn quadratic(&self) -> Option<(f64, Array2<T>)> {
        match self {
            Terms::Hidden { linear: true, lambda, targets, .. } => Some((*lambda, targets * T::of(*lambda))),
            Terms::Output { squared: true, targets: Targets::Values(values), .. } => {
                Some((1.0, values.to_owned()))
            }
            _ => None,
        }
    }

    /// v ← the gradient at v.
    fn gradient(&self, row: usize, v: &mut [T], scratch: &mut Vec<T>) {
        match self {
            Terms::Hidden { tie, lambda, targets, .. } => {
                scratch.clear();
                scratch.extend_from_slice(v);
                tie.link(scratch, v);
                for (v, &target) in v.iter_mut().zip(targets.row(row)) {
                    *v = T::of(*lambda) * (*v - target);
                }
            }
            Terms::Output { loss, targets, .. } => {
                loss.value_and_gradient(targets, row, v);
            }
        }
    }
}

/// Everything that one step needs.
struct Step<'b, 'a, T> {
    block: &'b ActivationBlock<'a, T>,
    tie: Tie<T>,
    above: Terms<'a, T>,
    lambda: T,
    kappa: T,
}

impl<T: Real> Step<'_, '_, T> {
    /// Solves for some samples from row `first` on. Rows that are solved swap places with the
    /// last unsolved one.
    fn solve(
        &self,
        first: usize,
        z: ArrayView2<'_, T>,
        mut x: ArrayViewMut2<'_, T>,
        stopping: Stopping<'_>,
    ) -> Report {
        let phi = self.tie.lifted();
        let z = z.as_standard_layout();
        let (samples, units) = z.dim();
        let mut u = z.to_owned();
        let mut at = Array2::zeros((samples, units));
        let mut origin: Vec<usize> = (0..samples).collect();
        let (mut v, mut g) = (Array2::zeros((samples, self.block.intercept.len())), at.clone());
        let mut scratch = Vec::new();
        let mut report = Report::DONE;
        let mut active = samples;
        loop {
            for (u, mut at) in u.rows().into_iter().zip(at.rows_mut()).take(active) {
                if let (Some(u), Some(at)) = (u.as_slice(), at.as_slice_mut()) {
                    phi.apply(u, at);
                }
            }
            let mut v = v.slice_mut(s![..active, ..]);
            v.assign(&self.block.intercept);
            let at_active = at.slice(s![..active, ..]);
            product(T::one(), at_active, self.block.weights, T::one(), v.view_mut(), Threads::One);
            for (mut v, &row) in v.rows_mut().into_iter().zip(&origin) {
                if let Some(v) = v.as_slice_mut() {
                    self.above.gradient(first + row, v, &mut scratch);
                }
            }
            let mut g_active = g.slice_mut(s![..active, ..]);
            let weights = self.block.weights.t();
            product(T::one(), v.view(), weights, T::zero(), g_active.view_mut(), Threads::One);
            let ended = report.n_iter == stopping.max_iter || (stopping.interrupted)();
            for row in (0..active).rev() {
                let residual = self.residual(u.row(row), z.row(origin[row]), g.row(row));
                if residual <= stopping.tol || ended {
                    x.row_mut(origin[row]).assign(&at.row(row));
                    report.residual = report.residual.max(residual);
                    report.converged &= residual <= stopping.tol;
                    active -= 1;
                    origin.swap(row, active);
                    for rows in [&mut u, &mut g] {
                        swap_rows(rows, row, active);
                    }
                }
            }
            if active == 0 {
                return report;
            }
            report.n_iter += 1;
            for ((mut u, &row), g) in u.rows_mut().into_iter().zip(&origin).zip(g.rows()).take(active) {
                if let (Some(u), Some(z), Some(g)) = (u.as_slice_mut(), z.row(row).to_slice(), g.to_slice()) {
                    bregman_step(z, g, self.lambda, self.kappa, u);
                }
            }
        }
    }

    fn residual(&self, u: ArrayView1<'_, T>, z: ArrayView1<'_, T>, g: ArrayView1<'_, T>) -> f64 {
        let lambda = self.lambda.f64();
        let mut sums = [0.0; 4];
        for ((u, z), g) in u.iter().zip(z).zip(g) {
            let (u, z, g) = (lambda * u.f64(), lambda * z.f64(), g.f64());
            for (sum, v) in sums.iter_mut().zip([u - z + g, u, z, g]) {
                *sum += v * v;
            }
        }
        let [violation, u, z, g] = sums.map(f64::sqrt);
        if violation == 0.0 { 0.0 } else { violation / (u + z + g) }
    }
}
