//! What a user chooses ([`Spec`]) and what the solver runs on ([`Options`]).
//!
//! Only [`Spec::check`] makes [`Options`]; it resolves every automatic choice.
//!
//! | parameter | default | rationale |
//! |---|---|---|
//! | `learn_activation` | no | the activation is a choice; where it is in doubt its parameter can be learned |
//! | `alpha` | see [`auto_alpha`] | divided by n, as in scikit-learn: small tables want a penalty in proportion to 1/n, large sets more; to classify by few features, whose noise a network can fit less, less will do (`benchmarks/defaults.py`) |
//! | `penalties` | ridge | nothing beyond alpha |
//! | `solver` | batch for classes of up to [`TINY`] samples unless a batch size, a step, a penalty, noise or dropout is chosen, else stochastic | a little more accurate there, with better probabilities; the stochastic one is faster |
//! | `penalty_weight` | 10; 3 in the batch solver for more than [`NARROW`] features | λ: large enough that an activation block moves x by a small step, small enough for single precision; the batch solver, whose lifted variables move with the weights, wants them looser |
//! | `batch_size` | n/100 to the nearest power of two in 32..512, less for a run of few passes | many steps on small tables, efficient products on large ones |
//! | `max_iter` | see [`auto_max_iter`]; [`BATCH_SWEEPS`] | steps grow more slowly than n |
//! | `learning_rate_init` | see [`auto_learning_rate`]; batch solver 30 | grows with the batch as its noise falls, less for regression, whose losses are more curved; the batch solver adapts it |
//! | `momentum` | 0.9 | heavy ball; 0 halves the progress per pass |
//! | `damping` | see [`auto_damping`] | relative to the mean eigenvalue of each layer's Gram matrix |
//! | `dropout` | 0 | better for some data, worse for others (`benchmarks/regularisation.py`) |
//! | `input_noise` | see [`auto_input_noise`]; none in the batch solver, for runs of fewer than 5 passes and for inputs that are not scaled | in deviations of the inputs; a little makes classifiers of images better (`docs/defaults.md`). It acts in the second half of the run; a given radius grows over the first, since random hidden units carry more noise than signal |
//! | `n_components` | all of up to 128 features, else the leading ones with 95 % of the variance, at most 1,024 of more than 2,048 features | fewer products and better generalisation |

use crate::activation::{ActivationKind, Divergence, learnable_names};
use crate::error::{Error, Result};
use crate::loss::LossKind;
use crate::penalty::PenaltyKind;

/// The algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// The batch solver to classify up to [`TINY`] samples unless a batch size, a step, a penalty, noise
    /// or dropout is chosen, the stochastic one otherwise.
    Auto,
    /// Mini-batches, [`crate::solver::stochastic()`].
    Stochastic,
    /// All samples in each sweep, [`crate::solver::batch()`].
    Batch,
}

impl Solver {
    const ALL: [(&'static str, Solver); 3] =
        [("auto", Solver::Auto), ("stochastic", Solver::Stochastic), ("batch", Solver::Batch)];

    /// Looks a name up.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, solver)| solver).ok_or_else(|| {
            Error::UnknownName {
                name: "solver",
                got: name.into(),
                choices: Self::ALL.iter().map(|&(known, _)| known).collect(),
            }
        })
    }
}

/// How inputs are scaled before training; the scaling is folded into the first layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// One scale when features appear to share a unit, one per feature otherwise.
    Auto,
    /// One scale for all features.
    Global,
    /// Unit variance for every feature.
    Feature,
    /// Inputs are centred only.
    None,
}

impl Scaling {
    const ALL: [(&'static str, Scaling); 4] = [
        ("auto", Scaling::Auto),
        ("global", Scaling::Global),
        ("feature", Scaling::Feature),
        ("none", Scaling::None),
    ];

    /// Looks a name up.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, scaling)| scaling).ok_or_else(|| {
            Error::UnknownName {
                name: "scale",
                got: name.into(),
                choices: Self::ALL.iter().map(|&(known, _)| known).collect(),
            }
        })
    }
}

/// How many leading directions of the inputs the first layer is trained in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Components {
    /// [`Components::All`] up to [`NARROW`] features, otherwise [`AUTO_SHARE`] of the variance.
    Auto,
    /// Every direction.
    All,
    /// This many.
    Count(usize),
    /// As many as hold this share of the variance, in (0, 1).
    Share(f64),
}

/// What validation data say of a network after every pass; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merit {
    /// Its mean score: accuracy, or minus the loss.
    Score,
    /// Minus its mean loss.
    Loss,
    /// What [`Control::score`](crate::solver::Control::score) answers.
    Own,
}

impl Merit {
    const ALL: [(&'static str, Merit); 3] =
        [("score", Merit::Score), ("loss", Merit::Loss), ("own", Merit::Own)];

    /// Looks a name up.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, merit)| merit).ok_or_else(|| {
            Error::UnknownName {
                name: "merit",
                got: name.into(),
                choices: Self::ALL.iter().map(|&(known, _)| known).collect(),
            }
        })
    }
}

/// Samples up to which [`Solver::Auto`] is the batch solver.
pub const TINY: usize = 500;

/// Sweeps of the batch solver.
pub const BATCH_SWEEPS: usize = 100;

/// First step of the batch solver, in units of the majorisers' minimisers; it adapts.
const BATCH_RATE: f64 = 30.0;

/// Most ridge penalty: within single precision, and enough to leave no weights.
const MOST_RIDGE: f64 = 1e27;

/// Most noise, in deviations of the features: within single precision, and nothing left to learn.
const MOST_NOISE: f64 = 1e6;

/// Number of features up to which every direction of the inputs is kept.
pub const NARROW: usize = 128;

/// Steps that a run of few passes should have.
const LEAST_STEPS: f64 = 600.0;

/// Passes from which on noise that regularises has the time to grow and to be learned.
const NOISY_PASSES: usize = 5;

/// Share of the variance that is kept of wider inputs.
pub const AUTO_SHARE: f64 = 0.95;

/// The user's choices; `None` is an automatic choice.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the fields of Options, which are documented
pub struct Spec {
    pub solver: Solver,
    pub loss: LossKind,
    pub hidden_layer_sizes: Vec<usize>,
    /// One for all hidden layers, or one for each.
    pub activations: Vec<ActivationKind>,
    pub divergence: Divergence,
    pub learn_activation: bool,
    /// One for all hidden layers, or one for each.
    pub dropout: Vec<f64>,
    pub alpha: Option<f64>,
    /// One for all layers, or one for each.
    pub penalties: Vec<PenaltyKind>,
    pub penalty_weight: Option<f64>,
    pub scaling: Scaling,
    pub components: Components,
    pub damping: Option<(f64, f64)>,
    pub batch_size: Option<usize>,
    pub max_iter: Option<usize>,
    pub learning_rate: Option<f64>,
    pub momentum: f64,
    pub tol: f64,
    pub n_iter_no_change: usize,
    pub early_stopping: bool,
    pub merit: Merit,
    pub max_time: Option<f64>,
    pub input_noise: Option<f64>,
    pub accelerate: bool,
    pub diagnostics: bool,
    /// Sum of the sample weights, where their scale counts as it does for the batch solver.
    pub total_weight: Option<f64>,
    pub seed: u64,
    pub threads: usize,
    pub memory_limit: Option<u64>,
}

/// Checked choices, every automatic one resolved.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Which solver, never automatic.
    pub solver: Solver,
    /// Loss on the logits.
    pub loss: LossKind,
    /// Units of each hidden layer; may be empty (a linear model).
    pub hidden_layer_sizes: Vec<usize>,
    /// Activation of each hidden layer.
    pub activations: Vec<ActivationKind>,
    /// What ties lifted variables to their layers.
    pub divergence: Divergence,
    /// Whether the activations' parameters are learned, where that is possible.
    pub learn_activation: bool,
    /// Share of the units of each hidden layer that is left out at random, in [0, 1).
    pub dropout: Vec<f64>,
    /// Ridge penalty on the weights, already divided by the number of samples.
    pub ridge: f64,
    /// Penalty beyond the ridge of each layer, strengths already divided by the number of samples.
    pub penalties: Vec<PenaltyKind>,
    /// By what the weights of each output are multiplied after training, where that is not 1.
    pub output_gains: Option<Vec<f64>>,
    /// What is then added to each output, where that is not 0.
    pub output_offsets: Option<Vec<f64>>,
    /// λ, the weight of the divergence that ties a lifted variable to its layer.
    pub penalty_weight: f64,
    /// How inputs are scaled.
    pub scaling: Scaling,
    /// Directions of the inputs that are kept.
    pub components: Components,
    /// Damping of the input layer's metric, times the mean eigenvalue.
    pub input_damping: f64,
    /// Damping of the other layers' metrics, times the mean eigenvalue.
    pub hidden_damping: f64,
    /// Samples a step.
    pub batch_size: usize,
    /// Passes over the data.
    pub max_iter: usize,
    /// η, the step of the weight blocks at the start.
    pub learning_rate: f64,
    /// Heavy-ball momentum, in [0, 1).
    pub momentum: f64,
    /// A pass counts as progress when it lowers the loss by more than this.
    pub tol: f64,
    /// Passes without progress after which training stops.
    pub n_iter_no_change: usize,
    /// Whether validation data choose the pass whose weights are kept, and end the run; otherwise
    /// they are only looked at.
    pub early_stopping: bool,
    /// What they say of a pass.
    pub merit: Merit,
    /// Seconds after which training ends.
    pub max_time: Option<f64>,
    /// ρ, radius of the ball of the noise on each sample's centred, scaled inputs.
    pub input_noise: f64,
    /// Whether the noise was asked for, so that the network is judged at it; automatic noise only
    /// regularises.
    pub robust: bool,
    /// Joint steps of weights and lifted variables in the batch solver.
    pub accelerate: bool,
    /// Whether the history is complete, at the cost of further evaluations.
    pub diagnostics: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// Threads of the pool.
    pub threads: usize,
    /// Bytes of working memory allowed.
    pub memory_limit: Option<u64>,
}

impl Spec {
    /// Checks every choice and resolves the automatic ones for `n` samples of `d` features.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first parameter outside its range.
    pub fn check(self, n: usize, d: usize) -> Result<Options> {
        for &units in &self.hidden_layer_sizes {
            require(units > 0, "hidden_layer_sizes", units, "a sequence of positive integers")?;
        }
        let n_hidden = self.hidden_layer_sizes.len();
        let activations = one_for_each("activation", "name", &self.activations, n_hidden)?;
        activations.iter().try_for_each(|&kind| self.divergence.check(kind))?;
        if self.learn_activation {
            some_learnable(&activations)?;
        }
        let robust = self.input_noise.is_some_and(|radius| radius != 0.0);
        let drops = self.dropout.iter().any(|&rate| rate != 0.0);
        let plain = !drops
            && self.batch_size.is_none()
            && self.learning_rate.is_none()
            && !self.loss.is_regression()
            && !robust
            && self.penalties.iter().all(|kind| *kind == PenaltyKind::Ridge);
        let solver = match self.solver {
            Solver::Auto if n <= TINY && plain => Solver::Batch,
            Solver::Auto => Solver::Stochastic,
            chosen => chosen,
        };
        let dropout = dropout(&self.dropout, n_hidden, solver)?;
        // Where it is asked for, a sample of weight 2 counts as two samples.
        let count = self.total_weight.filter(|_| self.solver == Solver::Batch).unwrap_or(n as f64);
        let alpha = self.alpha.unwrap_or_else(|| auto_alpha(count, d, self.loss));
        let penalties = penalties(&self.penalties, self.hidden_layer_sizes.len() + 1, count)?;
        require(alpha >= 0.0 && alpha.is_finite(), "alpha", alpha, "finite and at least 0")?;
        let penalty_weight = self.penalty_weight.unwrap_or(match solver {
            Solver::Batch if d > NARROW => 3.0,
            _ => 10.0,
        });
        require(
            penalty_weight > 0.0 && penalty_weight.is_finite(),
            "penalty_weight",
            penalty_weight,
            "finite and above 0",
        )?;
        require((0.0..1.0).contains(&self.momentum), "momentum", self.momentum, "in the interval [0, 1)")?;
        require(self.tol >= 0.0, "tol", self.tol, "at least 0")?;
        require(self.n_iter_no_change > 0, "n_iter_no_change", self.n_iter_no_change, "at least 1")?;
        if let Some(seconds) = self.max_time {
            require(seconds > 0.0, "max_time", seconds, "None or above 0")?;
        }
        require(self.threads > 0, "n_jobs", self.threads, "at least one thread")?;
        if let Some(total) = self.total_weight {
            require(total > 0.0 && total.is_finite(), "total_weight", total, "finite and above 0")?;
        }
        match self.components {
            Components::Count(k) => require(k > 0, "n_components", k, "at least 1")?,
            Components::Share(share) => {
                require(share > 0.0 && share < 1.0, "n_components", share, "a share in (0, 1)")?;
            }
            Components::Auto | Components::All => {}
        }
        if penalties[0].is_elementwise()
            && let Components::Count(_) | Components::Share(_) = self.components
        {
            return Err(Error::Parameter {
                name: "n_components",
                got: "a choice of directions".into(),
                allowed: format!("'auto' or None where penalty is '{}' on the first layer", penalties[0])
                    .into(),
            });
        }
        let max_iter = self.max_iter.unwrap_or_else(|| match solver {
            Solver::Batch => BATCH_SWEEPS,
            _ => auto_max_iter(n),
        });
        require(max_iter > 0, "max_iter", max_iter, "at least 1")?;
        let input_noise = self.input_noise.unwrap_or_else(|| {
            let shares_a_unit = self.scaling != Scaling::None;
            let regularises = solver == Solver::Stochastic && shares_a_unit && max_iter >= NOISY_PASSES;
            if regularises { auto_input_noise(d, self.loss) } else { 0.0 }
        });
        require(
            input_noise >= 0.0 && input_noise.is_finite(),
            "input_noise",
            input_noise,
            "finite and at least 0",
        )?;
        let batch_size = self.batch_size.unwrap_or_else(|| auto_batch_size(n, max_iter)).min(n);
        require(batch_size > 0, "batch_size", batch_size, "at least 1")?;
        let learning_rate = self.learning_rate.unwrap_or_else(|| match solver {
            Solver::Batch => BATCH_RATE,
            _ => auto_learning_rate(batch_size, self.loss),
        });
        require(
            learning_rate > 0.0 && learning_rate.is_finite(),
            "learning_rate_init",
            learning_rate,
            "finite and above 0",
        )?;
        let (input_damping, hidden_damping) = self.damping.unwrap_or_else(|| auto_damping(d));
        for damping in [input_damping, hidden_damping] {
            require(damping > 0.0 && damping.is_finite(), "damping", damping, "finite and above 0")?;
        }
        Ok(Options {
            solver,
            loss: self.loss,
            hidden_layer_sizes: self.hidden_layer_sizes,
            activations,
            divergence: self.divergence,
            learn_activation: self.learn_activation,
            dropout,
            ridge: (alpha / count).min(MOST_RIDGE),
            penalties,
            output_gains: None,
            output_offsets: None,
            penalty_weight,
            scaling: self.scaling,
            components: self.components,
            input_damping,
            hidden_damping,
            batch_size,
            max_iter,
            learning_rate,
            momentum: self.momentum,
            tol: self.tol,
            n_iter_no_change: self.n_iter_no_change,
            early_stopping: self.early_stopping,
            merit: self.merit,
            max_time: self.max_time,
            input_noise: input_noise.min(MOST_NOISE),
            robust,
            accelerate: self.accelerate,
            diagnostics: self.diagnostics,
            seed: self.seed,
            threads: self.threads,
            memory_limit: self.memory_limit,
        })
    }
}

fn one_for_each<V: Copy>(argument: &'static str, unit: &str, given: &[V], n_hidden: usize) -> Result<Vec<V>> {
    match given {
        [one] => Ok(vec![*one; n_hidden]),
        _ if given.len() == n_hidden => Ok(given.to_vec()),
        _ => Err(Error::Parameter {
            name: argument,
            got: format!("{} {unit}s", given.len()),
            allowed: format!("one {unit}, or one for each of {n_hidden} hidden layers").into(),
        }),
    }
}

fn dropout(given: &[f64], n_hidden: usize, solver: Solver) -> Result<Vec<f64>> {
    for &rate in given {
        require((0.0..1.0).contains(&rate), "dropout", rate, "in the interval [0, 1)")?;
    }
    let rates = one_for_each("dropout", "rate", given, n_hidden)?;
    let Some(rate) = given.iter().find(|&&rate| rate > 0.0) else { return Ok(rates) };
    require(n_hidden > 0, "dropout", rate, "0 without hidden layers, whose units it leaves out")?;
    match solver {
        Solver::Batch => Err(Error::Parameter {
            name: "dropout",
            got: format!("{rate} with solver='batch'"),
            allowed: "0 with that solver, whose sweeps are deterministic; 'stochastic' leaves units out"
                .into(),
        }),
        _ => Ok(rates),
    }
}

fn some_learnable(activations: &[ActivationKind]) -> Result<()> {
    if activations.iter().any(|kind| kind.is_learnable()) {
        return Ok(());
    }
    let got = match activations {
        [] => "True without hidden layers".into(),
        [first, ..] => {
            let names: Vec<_> = activations.iter().map(|kind| format!("'{kind}'")).collect();
            format!("True with {}{}", names.join(", "), first.why_not_learnable())
        }
    };
    Err(Error::Parameter {
        name: "learn_activation",
        got,
        allowed: format!(
            "False unless the activation of a hidden layer has a parameter that can be learned ({})",
            learnable_names()
        )
        .into(),
    })
}

fn penalties(given: &[PenaltyKind], n_layers: usize, count: f64) -> Result<Vec<PenaltyKind>> {
    let each = match given {
        [one] => vec![*one; n_layers],
        _ if given.len() == n_layers => given.to_vec(),
        _ => {
            return Err(Error::Parameter {
                name: "penalty",
                got: format!("{} entries", given.len()),
                allowed: format!("one for all, or one for each of {n_layers} layers").into(),
            });
        }
    };
    Ok(each.into_iter().map(|kind| kind.per_sample(count)).collect())
}

fn require(holds: bool, name: &'static str, got: impl ToString, allowed: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Parameter { name, got: got.to_string(), allowed: allowed.into() }) }
}

/// A hundredth of the samples, and few enough for [`LEAST_STEPS`] steps, to the nearest power of
/// two within 32 and 512.
pub fn auto_batch_size(n: usize, max_iter: usize) -> usize {
    let n = n as f64;
    let size = (n / 100.0).min(n * max_iter as f64 / LEAST_STEPS);
    let exponent = size.log2().round().clamp(5.0, 9.0) as u32;
    1 << exponent
}

/// Samples up to which a data set counts as small.
const SMALL: f64 = 5000.0;

/// Features from which on a classifier needs the whole ridge penalty.
const MANY_FEATURES: f64 = 15.0;

/// Ridge penalty before division by n: 3 up to 5,000 samples, then growing with √n; for classes of fewer
/// than 15 features in proportion to their number, down to a tenth.
pub fn auto_alpha(n: f64, d: usize, loss: LossKind) -> f64 {
    let share = if loss.is_regression() { 1.0 } else { (d as f64 / MANY_FEATURES).clamp(0.1, 1.0) };
    3.0 * share * (n / SMALL).sqrt().max(1.0)
}

/// Passes over the data: 30 up to 5,000 samples, then falling with √n to no fewer than 6.
pub fn auto_max_iter(n: usize) -> usize {
    let passes = 30.0 * (SMALL / n as f64).sqrt();
    (passes.round() as usize).clamp(6, 30)
}

/// Step for a batch size and the curvature of the loss: at most ½ for classes, 1 or more where
/// targets are real, growing with the prediction for counts.
pub fn auto_learning_rate(batch_size: usize, loss: LossKind) -> f64 {
    let rate = (0.3 * (batch_size as f64 / 32.0).powf(0.75)).min(3.0);
    match loss {
        LossKind::Softmax { .. } | LossKind::Logistic { .. } | LossKind::Multilabel { .. } => rate,
        LossKind::Squared | LossKind::Huber { .. } => 0.5 * rate,
        // Its gradient does not fade near the target, so that noise does not average out.
        LossKind::Absolute { .. } => (0.5 * rate).min(0.2),
        LossKind::Poisson => 0.25 * rate,
    }
}

/// Noise in deviations of the features: 0.018√d for classes of more than [`NARROW`] features, else none.
///
/// It takes the place of some of the data that wide inputs lack; real targets lose by it.
pub fn auto_input_noise(d: usize, loss: LossKind) -> f64 {
    if loss.is_regression() || d <= NARROW { 0.0 } else { 0.018 * (d as f64).sqrt() }
}

/// Damping of the input layer and of the others, times the mean eigenvalue.
pub fn auto_damping(d: usize) -> (f64, f64) {
    if d <= NARROW { (1.0, 1.0) } else { (10.0, 3.0) }
}
