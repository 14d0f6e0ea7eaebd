//! The spectral input map: centred, scaled inputs in coordinates where the first layer's metric
//! is the identity.
//!
//! With S the diagonal scaling, μ the mean, G = mean S(x−μ)(x−μ)ᵀS and damping δ = ε·mean
//! eigenvalue, the first layer is trained on x̃ = Mᵀ S (x − μ), where MᵀGM + δMᵀM = I:
//!
//! * every direction: M = L⁻ᵀ for the Cholesky factor L of G + δI;
//! * the leading k: M = V_k diag(e_i + δ)^{−1/2} for the eigenpairs (e_i, v_i) of G.
//!
//! A plain gradient step on W̃ is then the step of the weight block in the metric G + δI, and
//! ‖W̃‖² is the ridge penalty in that metric. `fold` writes z = W̃ᵀx̃ + b as z = Wᵀx + b′.

use super::covariance::{Covariance, GRAM_MAX, more};
use super::standardisation::{FeatureMoments, Standard, standard_of_moments, standardisation};
use crate::error::Result;
use crate::linalg::{LeadingEigen, Threads, lower_factor, product};
use crate::problem::Problem;
use crate::real::{Real, cast};
use crate::rows::{Rows, SparseRows, add_combination};
use crate::spec::{AUTO_SHARE, Components, NARROW, Options};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// Rows that one task maps at a time.
const ROWS: usize = 256;
/// Most directions that are kept of inputs whose Gram matrix is not formed, unless more are asked for.
const MOST: usize = 1024;
/// Rank up to which the eigenvectors of all directions with any variance cost next to nothing.
const RANK_MAX: usize = 512;
/// Least damping, which keeps the map of data without any variance finite.
pub(super) const TINY: f64 = 1e-12;

/// An affine map of the inputs, fitted to data.
#[derive(Debug, Clone)]
pub struct InputMap<T> {
    pub(super) center: Array1<T>,
    pub(super) scale: Array1<T>,
    pub(super) directions: Directions<T>,
}

/// Coordinates of the centred, scaled inputs.
#[derive(Debug, Clone)]
pub(super) enum Directions<T> {
    /// The features themselves.
    Features,
    Spectral {
        /// M, `(n_features, k)`.
        forward: Array2<T>,
        /// A left inverse of M, `(k, n_features)`.
        inverse: Array2<T>,
    },
}

impl<T: Real> InputMap<T> {
    /// Fits centre, scale and directions, for mapped inputs in C.
    ///
    /// `keep_all` keeps every direction, for a start from weights that need them all.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`].
    pub fn fit<C: Real>(
        problem: &Problem<'_, T>,
        options: &Options,
        keep_all: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Self> {
        let (center, scale) = standardisation(problem, options.scaling);
        let standard = Standard { x: problem.x(), center: center.view(), scale: scale.view() };
        let components = components(options, keep_all, problem.n_features());
        let covariance = Covariance::<T, C>::estimate(problem, standard, components == Components::All, rng);
        let directions = Self::directions(covariance, components, options, rng)?;
        Ok(Self { center, scale, directions })
    }

    /// [`InputMap::fit`] from the moments of all data so far, of which `problem` is the last chunk.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`].
    pub fn from_moments<C: Real>(
        problem: &Problem<'_, T>,
        moments: &FeatureMoments<'_>,
        options: &Options,
        keep_all: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Self> {
        let (center, scale) = standard_of_moments(moments, options.scaling);
        let standard = Standard { x: problem.x(), center: center.view(), scale: scale.view() };
        let components = components(options, keep_all, problem.n_features());
        let covariance = match moments.covariance {
            Some(known) => Covariance::<T, C>::known(standard, scaled(known, scale.view())),
            None => Covariance::estimate(problem, standard, components == Components::All, rng),
        };
        let directions = Self::directions(covariance, components, options, rng)?;
        Ok(Self { center, scale, directions })
    }

    /// [`InputMap::fit_features`] from the moments of all data so far.
    pub fn features_from_moments<C: Real>(
        problem: &Problem<'_, T>,
        moments: &FeatureMoments<'_>,
        options: &Options,
        rng: &mut Xoshiro256PlusPlus,
    ) -> (Self, Array2<f64>, f64) {
        let (center, scale) = standard_of_moments(moments, options.scaling);
        let standard = Standard { x: problem.x(), center: center.view(), scale: scale.view() };
        let covariance = match moments.covariance {
            Some(known) => Covariance::<T, C>::known(standard, scaled(known, scale.view())),
            None => Covariance::estimate(problem, standard, true, rng),
        };
        let damping = (options.input_damping * covariance.mean_eigenvalue()).max(TINY);
        let gram = covariance.dense();
        (Self { center, scale, directions: Directions::Features }, gram, damping)
    }

    /// A map as [`InputMap::parts`] gave it.
    pub fn from_parts(parts: MapParts<T>) -> Self {
        let MapParts { center, scale, directions } = parts;
        let directions = match directions {
            Some((forward, inverse)) => Directions::Spectral { forward, inverse },
            None => Directions::Features,
        };
        Self { center, scale, directions }
    }

    /// What it is made of.
    pub fn parts(&self) -> MapParts<T> {
        let directions = match &self.directions {
            Directions::Features => None,
            Directions::Spectral { forward, inverse } => Some((forward.clone(), inverse.clone())),
        };
        MapParts { center: self.center.clone(), scale: self.scale.clone(), directions }
    }

    fn directions<C: Real>(
        covariance: Covariance<'_, T, C>,
        components: Components,
        options: &Options,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Directions<T>> {
        let d = covariance.n_features();
        let directions = match components {
            Components::All => None,
            Components::Auto if d > GRAM_MAX => {
                Some(covariance.share_among(AUTO_SHARE, MOST.min(d / 2), rng)?)
            }
            Components::Auto => match covariance.share(AUTO_SHARE, d / 2, rng)? {
                // Beyond the rank there is nothing to learn, only weights that the ridge lets down.
                None if covariance.rank() < d.min(RANK_MAX) => {
                    Some((covariance.rank(), covariance.leading(covariance.rank(), rng)?))
                }
                found => found,
            },
            Components::Share(share) => covariance.share(share, d, rng)?,
            Components::Count(k) => Some((k, covariance.leading(more(k), rng)?)),
        };
        let damping = (options.input_damping * covariance.mean_eigenvalue()).max(TINY);
        let (forward, inverse) = match directions {
            Some((k, eigen)) => leading_map(&eigen, k, damping),
            None => full_map(covariance.dense(), damping)?,
        };
        Ok(Directions::Spectral { forward, inverse })
    }

    /// Fits centre and scale alone, for penalties on the weights of single features. Returns the map,
    /// and G and δ for the metric that the first layer then needs.
    pub fn fit_features<C: Real>(
        problem: &Problem<'_, T>,
        options: &Options,
        rng: &mut Xoshiro256PlusPlus,
    ) -> (Self, Array2<f64>, f64) {
        let (center, scale) = standardisation(problem, options.scaling);
        let standard = Standard { x: problem.x(), center: center.view(), scale: scale.view() };
        let covariance = Covariance::<T, C>::estimate(problem, standard, true, rng);
        let damping = (options.input_damping * covariance.mean_eigenvalue()).max(TINY);
        let gram = covariance.dense();
        (Self { center, scale, directions: Directions::Features }, gram, damping)
    }

    /// By what the centred inputs are multiplied, `(n_features,)`; 0 for a constant feature.
    pub fn scale(&self) -> ArrayView1<'_, T> {
        self.scale.view()
    }

    /// Number of directions kept.
    pub fn n_components(&self) -> usize {
        match &self.directions {
            Directions::Features => self.scale.len(),
            Directions::Spectral { forward, .. } => forward.ncols(),
        }
    }

    /// MᵀM over the features that vary, `(k, k)`, by which noise on them moves mapped inputs; `None` for the identity.
    pub(super) fn noise_metric(&self) -> Option<Array2<T>> {
        let Directions::Spectral { forward, .. } = &self.directions else { return None };
        let mut forward = forward.clone();
        // No noise on a constant feature, whose weights the fold drops.
        for (mut row, _) in forward.rows_mut().into_iter().zip(&self.scale).filter(|(_, s)| s.is_zero()) {
            row.fill(T::zero());
        }
        let mut metric = Array2::zeros((forward.ncols(), forward.ncols()));
        product(T::one(), forward.t(), forward.view(), T::zero(), metric.view_mut(), Threads::All);
        Some(metric)
    }

    /// x̃ with a trailing column of ones, `(n_samples, k + 1)`. Dense rows are centred and scaled in T and
    /// multiplied in C.
    pub fn apply<'x, C: Real>(&self, x: impl Into<Rows<'x, T>>) -> Array2<C> {
        let (x, k) = (x.into(), self.n_components());
        let mut mapped = Array2::ones((x.nrows(), k + 1));
        if let (Rows::Sparse(x), Directions::Spectral { forward, .. }) = (x, &self.directions) {
            self.apply_sparse(x, forward.view(), mapped.view_mut());
            return mapped;
        }
        let standard = Standard { x: x.reborrow(), center: self.center.view(), scale: self.scale.view() };
        let forward = match &self.directions {
            Directions::Features => None,
            Directions::Spectral { forward, .. } => Some(cast::<T, C, _, _>(forward)),
        };
        mapped.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate().for_each_init(
            || Array2::zeros((ROWS, x.ncols())),
            |buffer, (chunk, mut out)| {
                let start = chunk * ROWS;
                let block = standard.rows(start..start + out.nrows(), None, buffer);
                let mut out = out.slice_mut(s![.., ..k]);
                match &forward {
                    None => out.assign(&block),
                    Some(forward) => {
                        product(C::one(), block, forward.view(), C::zero(), out, Threads::One);
                    }
                }
            },
        );
        mapped
    }

    /// Of what the rows hold: Mᵀ S x, moved by −Mᵀ S μ.
    fn apply_sparse<C: Real>(
        &self,
        x: SparseRows<'_, T>,
        forward: ArrayView2<'_, T>,
        mut mapped: ArrayViewMut2<'_, C>,
    ) {
        let k = forward.ncols();
        let mut scaled = forward.to_owned();
        scaled *= &self.scale.view().insert_axis(Axis(1));
        let mut base = vec![0.0; k];
        for (row, &center) in scaled.rows().into_iter().zip(&self.center) {
            base.iter_mut().zip(row).for_each(|(base, &v)| *base -= center.f64() * v.f64());
        }
        let base: Vec<T> = base.into_iter().map(T::of).collect();
        mapped.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate().for_each_init(
            || base.clone(),
            |image, (chunk, mut out)| {
                for (i, mut out) in out.rows_mut().into_iter().enumerate() {
                    image.copy_from_slice(&base);
                    add_combination(x.entries(chunk * ROWS + i), scaled.view(), image);
                    out.iter_mut().zip(image.iter()).for_each(|(out, v)| *out = C::of(v.f64()));
                }
            },
        );
    }

    /// Weights and intercept for raw inputs from `(k + 1, n_units)` weights for mapped ones.
    pub fn fold(&self, weights: ArrayView2<'_, T>) -> (Array2<T>, Array1<T>) {
        let coef = self.fold_coef(weights);
        let intercept = self.fold_intercept(weights, coef.view());
        (coef, intercept)
    }

    /// The weights of [`InputMap::fold`].
    pub fn fold_coef(&self, weights: ArrayView2<'_, T>) -> Array2<T> {
        let weights = weights.slice(s![..self.n_components(), ..]);
        let mut coef = match &self.directions {
            Directions::Features => weights.to_owned(),
            Directions::Spectral { forward, .. } => {
                let mut coef = Array2::zeros((forward.nrows(), weights.ncols()));
                product(T::one(), forward.view(), weights, T::zero(), coef.view_mut(), Threads::All);
                coef
            }
        };
        coef *= &self.scale.view().insert_axis(Axis(1));
        coef
    }

    /// The intercept that goes with weights for raw inputs.
    pub fn fold_intercept(&self, weights: ArrayView2<'_, T>, coef: ArrayView2<'_, T>) -> Array1<T> {
        let k = self.n_components();
        let mut intercept = weights.row(k).to_owned();
        for (row, &center) in coef.rows().into_iter().zip(&self.center) {
            intercept.scaled_add(-center, &row);
        }
        intercept
    }

    /// The opposite of [`InputMap::fold`]; weight outside the kept directions is dropped.
    pub fn unfold(&self, coef: ArrayView2<'_, T>, intercept: ArrayView1<'_, T>) -> Array2<T> {
        let mut scaled = coef.to_owned();
        for (mut row, &scale) in scaled.rows_mut().into_iter().zip(&self.scale) {
            // A constant feature has scale 0 and acts through the intercept alone.
            let inverse = if scale > T::zero() { scale.recip() } else { T::zero() };
            row.map_inplace(|v| *v *= inverse);
        }
        let mut weights = self.restrict(scaled.view());
        let mut last = weights.row_mut(self.n_components());
        last.assign(&intercept);
        for (row, &center) in coef.rows().into_iter().zip(&self.center) {
            last.scaled_add(center, &row);
        }
        weights
    }

    /// Share of the weights, as they act on scaled inputs, that `unfold` dropped.
    pub fn lost_share(&self, coef: ArrayView2<'_, T>, mapped: ArrayView2<'_, T>) -> f64 {
        let kept = self.fold(mapped).0;
        let (mut lost, mut total) = (0.0, 0.0);
        for ((given, kept), &scale) in coef.rows().into_iter().zip(kept.rows()).zip(&self.scale) {
            if scale > T::zero() {
                let squared = |v: T| (v / scale).f64().powi(2);
                lost += given.iter().zip(kept).map(|(&g, &k)| squared(g - k)).sum::<f64>();
                total += given.iter().map(|&g| squared(g)).sum::<f64>();
            }
        }
        if total > 0.0 { lost / total } else { 0.0 }
    }

    /// Weights for mapped inputs from weights for centred, scaled ones; intercepts zero.
    pub fn restrict(&self, scaled: ArrayView2<'_, T>) -> Array2<T> {
        let k = self.n_components();
        let mut weights = Array2::zeros((k + 1, scaled.ncols()));
        let mut target = weights.slice_mut(s![..k, ..]);
        match &self.directions {
            Directions::Features => {
                target.assign(&scaled);
                // A constant feature has no weight, which a count of weights must know.
                for (mut row, _) in
                    target.rows_mut().into_iter().zip(&self.scale).filter(|(_, s)| s.is_zero())
                {
                    row.fill(T::zero());
                }
            }
            Directions::Spectral { inverse, .. } => {
                product(T::one(), inverse.view(), scaled, T::zero(), target, Threads::All);
            }
        }
        weights
    }
}

/// Upper bound of the directions that a map of so many samples and features keeps.
pub(super) fn most_directions(options: &Options, n: usize, d: usize) -> usize {
    if options.penalties[0].is_elementwise() {
        return d;
    }
    // A start may add one for each unit.
    let units = options.hidden_layer_sizes.first().copied().unwrap_or(0);
    match options.components {
        Components::Auto if d > GRAM_MAX => (more(MOST.min(d / 2)) + units).min(d),
        Components::Count(k) => (more(k) + units).min(d),
        // No more directions than rows have any variance.
        Components::Share(_) if d > GRAM_MAX => d.min(n),
        _ => d,
    }
}

/// What an [`InputMap`] is made of.
#[derive(Debug, Clone)]
pub struct MapParts<T> {
    /// What is taken from the inputs, `(n_features,)`.
    pub center: Array1<T>,
    /// By what they are then multiplied, `(n_features,)`.
    pub scale: Array1<T>,
    /// M, `(n_features, k)`, and its left inverse; `None` for the features themselves.
    pub directions: Option<(Array2<T>, Array2<T>)>,
}

fn components(options: &Options, keep_all: bool, d: usize) -> Components {
    match options.components {
        _ if keep_all => Components::All,
        Components::Auto if d <= NARROW => Components::All,
        Components::Count(k) if k >= d => Components::All,
        chosen => chosen,
    }
}

/// The covariance of scaled features.
fn scaled<T: Real>(covariance: ArrayView2<'_, f64>, scale: ArrayView1<'_, T>) -> Array2<f64> {
    let scale = scale.mapv(T::f64);
    &covariance * &scale * scale.view().insert_axis(Axis(1))
}

fn leading_map<T: Real>(eigen: &LeadingEigen, k: usize, damping: f64) -> (Array2<T>, Array2<T>) {
    let k = k.min(eigen.values.len());
    let vectors = eigen.vectors.slice(s![.., ..k]);
    let roots = eigen.values.slice(s![..k]).mapv(|value| (value + damping).sqrt());
    let forward = (&vectors / &roots).mapv(T::of);
    let inverse = (&vectors * &roots).t().as_standard_layout().mapv(T::of);
    (forward, inverse)
}

fn full_map<T: Real>(mut gram: Array2<f64>, damping: f64) -> Result<(Array2<T>, Array2<T>)> {
    gram.diag_mut().map_inplace(|v| *v += damping);
    let (factor, factor_inverse) = lower_factor(&gram)?;
    let forward = factor_inverse.t().as_standard_layout().mapv(T::of);
    let inverse = factor.t().as_standard_layout().mapv(T::of);
    Ok((forward, inverse))
}
