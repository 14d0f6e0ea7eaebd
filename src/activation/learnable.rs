//! Parameters of activations as variables of the lifted problem.
//!
//! With x and z fixed, D(x, z) = f(x) + f*(z) − xz depends on the parameter through f and f* alone.
//! In a coordinate r in which f is linear, f* is a supremum of linear functions, so that D is convex
//! in r; for elu both are convex. By the envelope theorem ∂f*/∂r (z) = −∂f/∂r (φ(z)), and hence
//!
//! ```text
//! ∂D/∂r = ∂f/∂r (x) − ∂f/∂r (φ(z)),   0 at x = φ(z).
//! ```
//!
//! | activation | r | ∂f/∂r | ∂²D/∂r² |
//! |---|---|---|---|
//! | leaky_relu | 1/slope | x²/2 for x < 0 | φ(z)²/r for z < 0 |
//! | hard_sigmoid | 1/slope | (x − ½)²/2 | (φ(z) − ½)²/r for 0 < φ(z) < 1 |
//! | elu | alpha | ln(1 + x/r) − x/r for x < 0 | x²/(r²(r + x)) for x < 0 |
//! | soft_threshold | threshold | \|x\| | 1 for φ(z) ≠ 0 |
//!
//! The limit of clipped_relu bounds the domain of f, and D is concave in it: there is no such block.

use super::{ActivationKind, Clip, Elementwise, Elu, LeakyRelu, Separate, SoftThreshold};
use crate::error::{Error, Result};
use crate::real::Real;

/// An activation with its parameter as a variable, by its coordinate r.
pub trait Parametric<T: Real>: Elementwise<T> {
    /// ∂D/∂r, |∂f/∂r (x)| + |∂f/∂r (φ(z))| and ∂²D/∂r² at x = φ(u) and z, with `phi` = φ(z).
    fn sensitivity(&self, x: T, u: T, phi: T, z: T) -> [T; 3];

    /// Some u with φ(u) = x, to rounding, for x in the domain of f.
    fn inverse(&self, x: T) -> T;

    /// Least r for which x is in the domain of f.
    fn least_coordinate(&self, _x: T) -> T {
        T::zero()
    }

    /// Where a model of Σ D that has these derivatives at `r`, the coordinate of `self`, is least:
    /// of a parabola here, so that this is Newton's step.
    fn model_minimiser(&self, r: f64, moments: &Moments) -> f64 {
        r - moments.slope / moments.curvature
    }
}

/// What the parameter block is made of: sums over entries, or their weighted mean over samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Σ ∂D/∂r.
    pub slope: f64,
    /// Σ |∂f/∂r (x)| + |∂f/∂r (φ(z))|: the size of the terms that cancel at the optimum.
    pub size: f64,
    /// Σ ∂²D/∂r².
    pub curvature: f64,
}

impl Moments {
    /// Adds `weight` times others.
    pub fn add(&mut self, weight: f64, other: Self) {
        self.slope += weight * other.slope;
        self.size += weight * other.size;
        self.curvature += weight * other.curvature;
    }

    /// From sums over samples to means over `n` of them.
    pub fn divide(&mut self, n: f64) {
        self.slope /= n;
        self.size /= n;
        self.curvature /= n;
    }

    /// What is left of the condition of optimality within the range, relative to the size of its terms.
    pub fn residual(&self) -> f64 {
        if self.slope == 0.0 { 0.0 } else { self.slope.abs() / self.size }
    }
}

/// [`Parametric`] on the units of one layer and sample.
pub trait Learnable<T: Real>: Send + Sync + std::fmt::Debug {
    /// Moments of a row, with `phi` = φ(z).
    fn moments(&self, x: &[T], phi: &[T], z: &[T]) -> Moments;

    /// g ← λ(φ(z) − φ(z − g/λ)) with `phi` = φ(z), and the moments at the x = φ(z − g/λ) of the linearised
    /// activation block.
    fn pull_back(&self, z: &[T], phi: &[T], lambda: T, g: &mut [T]) -> Moments;

    /// u ← some u with φ(u) = x, for x = `u` on entry.
    fn invert(&self, u: &mut [T]);

    /// Least r for which all of x is in the domain of f.
    fn least_coordinate(&self, x: &[T]) -> f64;

    /// See [`Parametric::model_minimiser`].
    fn model_minimiser(&self, r: f64, moments: &Moments) -> f64;
}

/// Numbers that are summed apart, so that the compiler can keep them in vector registers.
const LANES: usize = 16;

/// Three sums over a row.
struct Sums<T>([[T; LANES]; 3]);

impl<T: Real> Sums<T> {
    fn new() -> Self {
        Self([[T::zero(); LANES]; 3])
    }

    fn add(&mut self, lane: usize, terms: [T; 3]) {
        self.0[0][lane] += terms[0];
        self.0[1][lane] += terms[1];
        self.0[2][lane] += terms[2];
    }

    fn moments(self) -> Moments {
        let [slope, size, curvature] = self.0.map(|sums| sums.into_iter().map(T::f64).sum());
        Moments { slope, size, curvature }
    }
}

impl<A> Separate<A> {
    /// Turns g into δ entry by entry, and adds the sensitivities there.
    #[inline(always)]
    fn pull_back_lanes<T: Real>(&self, z: &[T], phi: &[T], lambda: T, g: &mut [T], sums: &mut Sums<T>)
    where
        A: Parametric<T>,
    {
        let step = lambda.recip();
        for (lane, ((g, &phi), &z)) in g.iter_mut().zip(phi).zip(z).enumerate() {
            let u = z - step * *g;
            let x = self.0.phi(u);
            *g = lambda * (phi - x);
            sums.add(lane, self.0.sensitivity(x, u, phi, z));
        }
    }
}

impl<T: Real, A: Parametric<T>> Learnable<T> for Separate<A> {
    fn moments(&self, x: &[T], phi: &[T], z: &[T]) -> Moments {
        let mut sums = Sums::new();
        for ((x, phi), z) in x.chunks(LANES).zip(phi.chunks(LANES)).zip(z.chunks(LANES)) {
            for (lane, ((&x, &phi), &z)) in x.iter().zip(phi).zip(z).enumerate() {
                sums.add(lane, self.0.sensitivity(x, self.0.inverse(x), phi, z));
            }
        }
        sums.moments()
    }

    fn pull_back(&self, z: &[T], phi: &[T], lambda: T, g: &mut [T]) -> Moments {
        let mut sums = Sums::new();
        let whole = z.len() - z.len() % LANES;
        let (blocks, tail) = g.split_at_mut(whole);
        let rows = z.chunks_exact(LANES).zip(phi.chunks_exact(LANES));
        for (g, (z, phi)) in blocks.chunks_exact_mut(LANES).zip(rows) {
            self.pull_back_lanes(z, phi, lambda, g, &mut sums);
        }
        self.pull_back_lanes(&z[whole..], &phi[whole..], lambda, tail, &mut sums);
        sums.moments()
    }

    fn invert(&self, u: &mut [T]) {
        u.iter_mut().for_each(|u| *u = self.0.inverse(*u));
    }

    fn least_coordinate(&self, x: &[T]) -> f64 {
        x.iter().fold(T::zero(), |least, &x| least.max(self.0.least_coordinate(x))).f64()
    }

    fn model_minimiser(&self, r: f64, moments: &Moments) -> f64 {
        self.0.model_minimiser(r, moments)
    }
}

impl ActivationKind {
    /// Every activation whose parameter can be learned.
    pub fn all_learnable() -> impl Iterator<Item = ActivationKind> {
        Self::ALL.iter().copied().filter(|kind| kind.is_learnable())
    }

    /// Whether there is a parameter in which the divergence is convex.
    pub fn is_learnable(self) -> bool {
        self.coordinate().is_some()
    }

    /// The working object with its parameter as a variable, where that can be learned.
    pub fn learnable<T: Real>(self) -> Option<Box<dyn Learnable<T>>> {
        match self {
            ActivationKind::LeakyRelu { slope } => Some(Box::new(Separate(LeakyRelu::new(T::of(slope))))),
            ActivationKind::HardSigmoid { slope } => Some(Box::new(Separate(Clip::sigmoid(T::of(slope))))),
            ActivationKind::Elu { alpha } => Some(Box::new(Separate(Elu::new(T::of(alpha))))),
            ActivationKind::SoftThreshold { threshold } => {
                Some(Box::new(Separate(SoftThreshold::new(T::of(threshold)))))
            }
            _ => None,
        }
    }

    /// r, the coordinate of the parameter in which D is convex, where there is one.
    pub fn coordinate(self) -> Option<f64> {
        match self {
            ActivationKind::LeakyRelu { slope } | ActivationKind::HardSigmoid { slope } => {
                Some(slope.recip())
            }
            ActivationKind::Elu { alpha: value } | ActivationKind::SoftThreshold { threshold: value } => {
                Some(value)
            }
            _ => None,
        }
    }

    /// The same activation at another r, kept within the range of its parameter.
    #[must_use]
    pub fn at_coordinate(self, r: f64) -> Self {
        match self {
            ActivationKind::LeakyRelu { .. } | ActivationKind::HardSigmoid { .. } => {
                self.with_parameter(r.recip())
            }
            _ => self.with_parameter(r),
        }
    }

    /// Least and greatest r.
    pub fn coordinate_range(self) -> Option<(f64, f64)> {
        let (low, high) = self.parameter()?.range;
        let ends = (self.with_parameter(low).coordinate()?, self.with_parameter(high).coordinate()?);
        Some(if ends.0 < ends.1 { ends } else { (ends.1, ends.0) })
    }

    /// Refuses activations without a parameter that can be learned.
    ///
    /// # Errors
    /// [`Error::Parameter`] named `activation`.
    pub fn check_learnable(self) -> Result<()> {
        if self.is_learnable() {
            return Ok(());
        }
        Err(Error::Parameter {
            name: "activation",
            got: format!("'{self}'{}", self.why_not_learnable()),
            allowed: format!("one with a parameter that can be learned ({})", learnable_names()).into(),
        })
    }

    /// More about why a parameter cannot be learned, where it is not for want of one.
    pub fn why_not_learnable(self) -> &'static str {
        match self {
            ActivationKind::ClippedRelu { .. } => {
                ", whose limit bounds the domain of f: the divergence is concave in it"
            }
            _ => "",
        }
    }
}

/// The names of the activations whose parameters can be learned, in words.
pub fn learnable_names() -> String {
    ActivationKind::all_learnable().map(ActivationKind::name).collect::<Vec<_>>().join(", ")
}
