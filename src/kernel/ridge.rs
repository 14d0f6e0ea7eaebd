//! Ridge regression with a factor that serves any number of right sides.
//!
//! ```text
//! min over W, b:  Σ_i s_i ‖y_i − Wᵀx_i − b‖²  +  Σ_j α_j ‖W_j‖²      (W_j is row j of W)
//! ```
//!
//! With at least as many rows as columns the factor is that of the centred, weighted XᵀX + diag(α);
//! with fewer rows and a positive α it is that of the smaller dual matrix X diag(α)⁻¹Xᵀ + I. Where
//! neither is numerically definite, W is the least-norm solution from the eigenvectors of the
//! former. Everything is computed in double precision whatever the caller's; the residual comes
//! from X itself and is improved by iterative refinement, because the squared matrix that is
//! factored has squared the condition number.

use super::{Report, check_vector, check_weights};
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, Threads, add_upper_gram, mirror, product, pseudo_inverse};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, CowArray, Ix2, Zip, s};

/// Rows that are converted, centred and weighted at a time.
const CHUNK: usize = 1024;
/// Steps of refinement at most; one does unless the squared matrix is nearly singular.
const REFINEMENTS: usize = 3;

/// What [`RidgeFactor::solve`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeSolution<T> {
    /// W, `(n_features, n_targets)`.
    pub coef: Array2<T>,
    /// b, `(n_targets,)`; zeros without an intercept.
    pub intercept: Array1<T>,
    /// `n_iter` counts refinements. The residual is ‖S r‖ / (‖S c‖ + ‖S⁻¹W‖) with the gradient
    /// r = c − (XᵀX + diag α)W, c = XᵀY, all weighted and centred, and S the diagonal matrix that
    /// gives the squared matrix a unit diagonal.
    pub report: Report,
}

/// The factored left side.
#[derive(Debug)]
pub struct RidgeFactor<'a, T: Clone> {
    x: CowArray<'a, T, Ix2>,
    alpha: Array1<f64>,
    /// √s_i, or `None` for ones.
    root_weights: Option<Array1<f64>>,
    /// Weighted mean of the rows, with an intercept.
    mean: Option<Array1<f64>>,
    /// Diagonal of S.
    scale: Array1<f64>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Of S(XᵀX + diag α)S.
    Primal(Cholesky<f64>),
    /// Of X diag(α)⁻¹Xᵀ + I, with the centred, weighted X.
    Dual(Array2<f64>, Cholesky<f64>),
    /// The pseudo-inverse of XᵀX + diag α.
    Spectral(Array2<f64>),
}

impl<'a, T: Real> RidgeFactor<'a, T> {
    /// Factors once; uses the current thread pool.
    ///
    /// * `x`: `(n_samples, n_features)`, borrowed or owned, finite;
    /// * `alpha`: `(n_features,)`, finite and ≥ 0;
    /// * `sample_weight`: `(n_samples,)`, finite, ≥ 0 and not all 0.
    ///
    /// # Errors
    /// [`Error::Shape`] where shapes differ, [`Error::Parameter`] for a negative or non-finite
    /// `alpha` or `sample_weight`, [`Error::Factorisation`] when XᵀX overflows.
    pub fn new(
        x: CowArray<'a, T, Ix2>,
        alpha: ArrayView1<'_, T>,
        sample_weight: Option<ArrayView1<'_, T>>,
        fit_intercept: bool,
    ) -> Result<Self> {
        let (n, d) = x.dim();
        check_vector("alpha", alpha, d)?;
        if let Some(weights) = sample_weight {
            check_weights(weights, n)?;
        }
        let alpha = alpha.mapv(T::f64);
        let root_weights = sample_weight.map(|weights| weights.mapv(|w| w.f64().sqrt()));
        let mut factor = Self {
            scale: Array1::ones(d),
            form: Form::Spectral(Array2::zeros((0, 0))),
            mean: None,
            x,
            alpha,
            root_weights,
        };
        if fit_intercept {
            let x = factor.x.view();
            factor.mean = Some(factor.mean_of(x));
        }
        factor.scale = factor.unit_diagonal();
        factor.form = factor.choose_form()?;
        Ok(factor)
    }

    /// Minimises for every column of `y`, `(n_samples, n_targets)`; uses the current thread pool.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn solve(&self, y: ArrayView2<'_, T>) -> Result<RidgeSolution<T>> {
        let (n, d) = self.x.dim();
        if y.nrows() != n {
            let expected = format!("{n} rows, as X has");
            return Err(Error::Shape { argument: "Y".into(), got: y.shape().to_vec(), expected });
        }
        let y_mean = self.mean.as_ref().map(|_| self.mean_of(y));
        let targets = self.centred(y, y_mean.as_ref(), 0..n);
        let zero = Array2::zeros((d, y.ncols()));
        let c = self.gradient(&targets, &zero);
        let mut w = self.apply(&c, Some(&targets));
        let mut r = self.gradient(&targets, &w);
        // Corrections shrink by the condition number of the squared matrix times rounding, down
        // to what X itself allows. The residual alone would not tell: it is small from the start.
        let (mut n_iter, mut last) = (0, f64::INFINITY);
        while n_iter < REFINEMENTS {
            let correction = self.apply(&r, None);
            let size = self.norm(&correction, -1) / self.norm(&w, -1);
            let helps = size > 16.0 * f64::EPSILON && size < 0.5 * last;
            if !helps {
                break;
            }
            w += &correction;
            r = self.gradient(&targets, &w);
            (n_iter, last) = (n_iter + 1, size);
        }
        let violation = self.norm(&r, 1);
        let residual = match violation == 0.0 {
            true => 0.0,
            false => violation / (self.norm(&c, 1) + self.norm(&w, -1)),
        };
        let mut intercept = Array1::zeros(y.ncols());
        if let (Some(mean), Some(y_mean)) = (&self.mean, y_mean) {
            intercept = y_mean - mean.dot(&w);
        }
        let converged = residual <= 1e-10;
        Ok(RidgeSolution {
            coef: w.mapv(T::of),
            intercept: intercept.mapv(T::of),
            report: Report { n_iter, residual, converged },
        })
    }

    fn choose_form(&self) -> Result<Form> {
        let (n, d) = self.x.dim();
        if n < d && self.alpha.iter().all(|&alpha| alpha > 0.0) {
            let x = self.centred(self.x.view(), self.mean.as_ref(), 0..n);
            let mut dual = Array2::eye(n);
            let scaled = &x / &self.alpha.mapv(f64::sqrt);
            add_upper_gram(1.0, scaled.t(), dual.view_mut(), Threads::All);
            if let Ok(factor) = Cholesky::new(dual, Threads::All) {
                return Ok(Form::Dual(x, factor));
            }
        }
        let mut gram = Array2::zeros((d, d));
        for chunk in self.chunks() {
            let x = self.centred(self.x.view(), self.mean.as_ref(), chunk);
            add_upper_gram(1.0, x.view(), gram.view_mut(), Threads::All);
        }
        let mut scaled = gram.clone();
        for (j, mut row) in scaled.rows_mut().into_iter().enumerate() {
            row[j] += self.alpha[j];
            let sj = self.scale[j];
            Zip::from(&mut row).and(&self.scale).for_each(|v, &si| *v *= si * sj);
            // A zero column without penalty: its coefficient is 0.
            if row[j] == 0.0 {
                row[j] = 1.0;
            }
        }
        if let Ok(factor) = Cholesky::new(scaled, Threads::All) {
            return Ok(Form::Primal(factor));
        }
        mirror(&mut gram);
        gram.diag_mut().zip_mut_with(&self.alpha, |v, &alpha| *v += alpha);
        Ok(Form::Spectral(pseudo_inverse(&gram)?))
    }

    /// (XᵀX + diag α)⁻¹ r; `targets` where r is Xᵀ targets.
    fn apply(&self, r: &Array2<f64>, targets: Option<&Array2<f64>>) -> Array2<f64> {
        let mut w = r.clone();
        match &self.form {
            Form::Primal(factor) => {
                scale_rows(&mut w, &self.scale, 1);
                factor.solve(w.view_mut(), Threads::All);
                scale_rows(&mut w, &self.scale, 1);
            }
            Form::Spectral(inverse) => {
                product(1.0, inverse.view(), r.view(), 0.0, w.view_mut(), Threads::All);
            }
            // D⁻¹Xᵀ K⁻¹ Y, and by Woodbury D⁻¹(r − Xᵀ K⁻¹ X D⁻¹ r) for any other r.
            Form::Dual(x, factor) => {
                let mut dual = Array2::zeros((x.nrows(), r.ncols()));
                let (sign, beta) = match targets {
                    Some(targets) => {
                        dual.assign(targets);
                        (1.0, 0.0)
                    }
                    None => {
                        scale_rows(&mut w, &self.alpha, -1);
                        product(1.0, x.view(), w.view(), 0.0, dual.view_mut(), Threads::All);
                        w.assign(r);
                        (-1.0, 1.0)
                    }
                };
                factor.solve(dual.view_mut(), Threads::All);
                product(sign, x.t(), dual.view(), beta, w.view_mut(), Threads::All);
                scale_rows(&mut w, &self.alpha, -1);
            }
        }
        w
    }

    /// Xᵀ(Y − X W) − diag(α) W with the centred, weighted X.
    fn gradient(&self, targets: &Array2<f64>, w: &Array2<f64>) -> Array2<f64> {
        let mut r = w.clone();
        scale_rows(&mut r, &self.alpha, 1);
        r.mapv_inplace(|v| -v);
        let fitted = w.iter().any(|&v| v != 0.0);
        for chunk in self.chunks() {
            let x = self.centred(self.x.view(), self.mean.as_ref(), chunk.clone());
            let mut left = targets.slice(s![chunk, ..]).to_owned();
            if fitted {
                product(-1.0, x.view(), w.view(), 1.0, left.view_mut(), Threads::All);
            }
            product(1.0, x.t(), left.view(), 1.0, r.view_mut(), Threads::All);
        }
        r
    }

    fn chunks(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let n = self.x.nrows();
        (0..n).step_by(CHUNK).map(move |start| start..(start + CHUNK).min(n))
    }

    /// √s_i (a_i − mean) for some rows.
    fn centred(
        &self,
        a: ArrayView2<'_, T>,
        mean: Option<&Array1<f64>>,
        rows: std::ops::Range<usize>,
    ) -> Array2<f64> {
        let mut chunk = a.slice(s![rows.clone(), ..]).mapv(T::f64);
        if let Some(mean) = mean {
            chunk -= mean;
        }
        if let Some(roots) = &self.root_weights {
            chunk *= &roots.slice(s![rows]).insert_axis(Axis(1));
        }
        chunk
    }

    /// Weighted mean of the rows, a second time from the first mean: exact to rounding.
    fn mean_of(&self, a: ArrayView2<'_, T>) -> Array1<f64> {
        let weight = |i: usize| self.root_weights.as_ref().map_or(1.0, |roots| roots[i] * roots[i]);
        let total: f64 = (0..a.nrows()).map(weight).sum();
        let mut mean = Array1::zeros(a.ncols());
        for _ in 0..2 {
            let mut sum = Array1::<f64>::zeros(a.ncols());
            for (i, row) in a.rows().into_iter().enumerate() {
                let weight = weight(i);
                Zip::from(&mut sum).and(&row).and(&mean).for_each(|s, v, m| *s += weight * (v.f64() - m));
            }
            mean.scaled_add(1.0 / total, &sum);
        }
        mean
    }

    /// 1/√(Σ s_i x_ij² + α_j), or 1 where that is infinite.
    fn unit_diagonal(&self) -> Array1<f64> {
        let mut diagonal = self.alpha.clone();
        for chunk in self.chunks() {
            let x = self.centred(self.x.view(), self.mean.as_ref(), chunk);
            diagonal += &x.mapv(|v| v * v).sum_axis(Axis(0));
        }
        diagonal.mapv(|v| if v > 0.0 { v.sqrt().recip() } else { 1.0 })
    }

    /// ‖Sᵖ a‖.
    fn norm(&self, a: &Array2<f64>, power: i32) -> f64 {
        let squares = a.rows().into_iter().zip(&self.scale).map(|(row, &s)| {
            let s = s.powi(power);
            row.iter().map(|v| (s * v) * (s * v)).sum::<f64>()
        });
        squares.sum::<f64>().sqrt()
    }
}

fn scale_rows(a: &mut Array2<f64>, scale: &Array1<f64>, power: i32) {
    for (mut row, &s) in a.rows_mut().into_iter().zip(scale) {
        let s = s.powi(power);
        row.mapv_inplace(|v| v * s);
    }
}
