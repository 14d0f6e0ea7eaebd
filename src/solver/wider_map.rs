//! More directions for an input map: those of given weights which it lacks.
//!
//! Of very many features not all directions can be kept, and a given network may use others than the
//! leading ones. With V the kept eigenvectors of G, the weights W of centred, scaled inputs leave
//! R = W − VVᵀW. Q, an orthonormal basis of R turned such that QᵀGQ is diagonal, is added to V: as
//! VᵀGQ = EVᵀQ = 0, the metric of the first layer stays the identity.

use super::covariance::Covariance;
use super::input_map::{Directions, InputMap, TINY};
use super::standardisation::Standard;
use crate::error::Result;
use crate::linalg::{LeadingEigen, Threads, leading_eigen, product};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::Options;
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Least squared length of a direction of R, as a share of the greatest.
const LEAST: f64 = 1e-10;

impl<T: Real> InputMap<T> {
    /// Adds directions until `coef`, weights for raw inputs, is kept.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`].
    pub(super) fn widen<C: Real>(
        &mut self,
        coef: ArrayView2<'_, T>,
        problem: &Problem<'_, T>,
        options: &Options,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<()> {
        let Directions::Spectral { forward, inverse } = &self.directions else { return Ok(()) };
        let rest = self.rest(coef, forward.mapv(T::f64).view(), inverse.mapv(T::f64).view());
        let lengths = full_eigen(&times(rest.t(), rest.view()), rng)?;
        let most = lengths.values.first().copied().unwrap_or(0.0);
        let kept = lengths.values.iter().take_while(|&&value| value > LEAST * most).count();
        if kept == 0 {
            return Ok(());
        }
        let turn = &lengths.vectors.slice(s![.., ..kept]) / &lengths.values.slice(s![..kept]).mapv(f64::sqrt);
        let basis = times(rest.view(), turn.view());
        let standard = Standard { x: problem.x(), center: self.center.view(), scale: self.scale.view() };
        let covariance = Covariance::<T, C>::estimate(problem, standard, false, rng);
        let damping = (options.input_damping * covariance.mean_eigenvalue()).max(TINY);
        let variances = full_eigen(&times(basis.t(), covariance.apply(&basis).view()), rng)?;
        let basis = times(basis.view(), variances.vectors.view());
        let roots = variances.values.mapv(|value| (value + damping).sqrt());
        let more_forward = (&basis / &roots).mapv(T::of);
        let more_inverse = (&basis * &roots).t().as_standard_layout().mapv(T::of);
        self.directions = Directions::Spectral {
            forward: concatenate![Axis(1), forward.view(), more_forward.view()]
                .as_standard_layout()
                .into_owned(),
            inverse: concatenate![Axis(0), inverse.view(), more_inverse.view()]
                .as_standard_layout()
                .into_owned(),
        };
        Ok(())
    }

    /// R of weights for raw inputs.
    fn rest(
        &self,
        coef: ArrayView2<'_, T>,
        forward: ArrayView2<'_, f64>,
        inverse: ArrayView2<'_, f64>,
    ) -> Array2<f64> {
        let mut rest = coef.mapv(T::f64);
        for (mut row, &scale) in rest.rows_mut().into_iter().zip(&self.scale) {
            // A constant feature acts through the intercept alone.
            row *= if scale > T::zero() { scale.f64().recip() } else { 0.0 };
        }
        // Twice, for what rounding leaves of the first time.
        for _ in 0..2 {
            let kept = times(inverse, rest.view());
            product(-1.0, forward, kept.view(), 1.0, rest.view_mut(), Threads::All);
        }
        rest
    }
}

fn times(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    product(1.0, a, b, 0.0, out.view_mut(), Threads::All);
    out
}

/// Of a small matrix: an iteration of full width is exact.
fn full_eigen(matrix: &Array2<f64>, rng: &mut Xoshiro256PlusPlus) -> Result<LeadingEigen> {
    let size = matrix.nrows();
    leading_eigen(|q| times(matrix.view(), q.view()), size, size, 2, rng)
}
