//! The user's choice of penalty: a name with its parameters.

use super::{Bounds, ElasticNet, Nuclear, Penalty, RankLimit, Sparse};
use crate::error::{Error, Result};
use crate::notation::Call;
use crate::real::Real;
use ndarray::ArrayView1;

/// The name of the user's argument.
const ARGUMENT: &str = "penalty";

/// The user's choice of penalty beyond the ridge: plain data, joined to its object by
/// [`PenaltyKind::make`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
#[allow(missing_docs)] // the parameters are those of the table in the module's documentation
pub enum PenaltyKind {
    /// Nothing beyond the ridge.
    #[default]
    Ridge,
    /// The sum of the absolute weights.
    L1 { strength: f64 },
    /// Absolute weights and squares.
    ElasticNet { strength: f64, l1_ratio: f64 },
    /// Every weight is 0 or more.
    NonNegative,
    /// Every weight lies between two bounds.
    Box { lower: f64, upper: f64 },
    /// The sum of the singular values.
    Nuclear { strength: f64 },
    /// At most this rank.
    Rank { limit: usize },
    /// At least this share of the layer's weights is exactly 0.
    Sparse { share: f64 },
}

impl PenaltyKind {
    const NAMES: [&'static str; 8] =
        ["ridge", "l1", "elastic_net", "nonnegative", "box", "nuclear", "rank", "sparse"];

    /// Reads a name with its parameters, as in `l1(0.01)` or `box(lower=-1, upper=1)`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for other names, [`Error::Parameter`] for parameters that are unknown,
    /// missing or out of range.
    pub fn parse(text: &str) -> Result<Self> {
        let call = Call::parse(ARGUMENT, text)?;
        let demand = |holds: bool, allowed: &'static str| {
            if holds {
                return Ok(());
            }
            Err(Error::Parameter { name: ARGUMENT, got: call.to_string(), allowed: allowed.into() })
        };
        let strength_is_good = |strength: f64| strength >= 0.0 && strength.is_finite();
        Ok(match call.name {
            "ridge" => {
                call.bind::<0>(ARGUMENT, [])?;
                Self::Ridge
            }
            "l1" => {
                let [strength] = call.bind(ARGUMENT, [("strength", None)])?;
                demand(strength_is_good(strength), "'l1(strength)' with a finite strength of 0 or more")?;
                Self::L1 { strength }
            }
            "elastic_net" => {
                let parameters = [("strength", None), ("l1_ratio", Some(0.5))];
                let [strength, l1_ratio] = call.bind(ARGUMENT, parameters)?;
                demand(
                    strength_is_good(strength) && (0.0..=1.0).contains(&l1_ratio),
                    "'elastic_net(strength, l1_ratio)' with a finite strength of 0 or more and l1_ratio in [0, 1]",
                )?;
                Self::ElasticNet { strength, l1_ratio }
            }
            "nonnegative" => {
                call.bind::<0>(ARGUMENT, [])?;
                Self::NonNegative
            }
            "box" => {
                let [lower, upper] = call.bind(ARGUMENT, [("lower", None), ("upper", None)])?;
                demand(
                    lower <= upper && lower < f64::INFINITY && upper > f64::NEG_INFINITY,
                    "'box(lower, upper)' with lower at most upper and room for finite weights",
                )?;
                Self::Box { lower, upper }
            }
            "nuclear" => {
                let [strength] = call.bind(ARGUMENT, [("strength", None)])?;
                demand(
                    strength_is_good(strength),
                    "'nuclear(strength)' with a finite strength of 0 or more",
                )?;
                Self::Nuclear { strength }
            }
            "rank" => {
                let [limit] = call.bind(ARGUMENT, [("limit", None)])?;
                demand(limit >= 1.0 && limit.fract() == 0.0, "'rank(limit)' with a whole number from 1 on")?;
                Self::Rank { limit: limit as usize }
            }
            "sparse" => {
                let [share] = call.bind(ARGUMENT, [("share", None)])?;
                demand((0.0..1.0).contains(&share), "'sparse(share)' with a share of zeros in [0, 1)")?;
                Self::Sparse { share }
            }
            _ => {
                return Err(Error::UnknownName {
                    name: ARGUMENT,
                    got: call.name.into(),
                    choices: Self::NAMES.to_vec(),
                });
            }
        })
    }

    /// The same with its strength divided by `n`, for a mean over `n` samples; sets stay as they are.
    #[must_use]
    pub fn per_sample(self, n: f64) -> Self {
        match self {
            Self::L1 { strength } => Self::L1 { strength: strength / n },
            Self::ElasticNet { strength, l1_ratio } => Self::ElasticNet { strength: strength / n, l1_ratio },
            Self::Nuclear { strength } => Self::Nuclear { strength: strength / n },
            set => set,
        }
    }

    /// Whether single weights are penalised or counted, so that they must not be mixed by a map of
    /// the inputs.
    pub fn is_elementwise(self) -> bool {
        !matches!(self, Self::Ridge | Self::Nuclear { .. } | Self::Rank { .. })
    }

    /// The working object; `None` for the ridge.
    ///
    /// Bounds are on the weights w·row·column, with a factor of 0 or more for each row and column
    /// where given; everything else acts on the weights w themselves.
    pub fn make<T: Real>(
        self,
        rows: Option<ArrayView1<'_, T>>,
        columns: Option<&[f64]>,
    ) -> Option<Box<dyn Penalty<T>>> {
        let bounds = |lower: f64, upper: f64| Bounds::scaled(lower, upper, rows, columns);
        Some(match self {
            Self::Ridge => return None,
            Self::L1 { strength } => Box::new(ElasticNet::new(strength, 1.0)),
            Self::ElasticNet { strength, l1_ratio } => Box::new(ElasticNet::new(strength, l1_ratio)),
            Self::NonNegative => Box::new(bounds(0.0, f64::INFINITY)),
            Self::Box { lower, upper } => Box::new(bounds(lower, upper)),
            Self::Nuclear { strength } => Box::new(Nuclear::new(strength)),
            Self::Rank { limit } => Box::new(RankLimit::new(limit)),
            Self::Sparse { share } => Box::new(Sparse::<T>::new(share)),
        })
    }
}

/// As [`PenaltyKind::parse`] reads it.
impl std::fmt::Display for PenaltyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Ridge => f.write_str("ridge"),
            Self::L1 { strength } => write!(f, "l1({strength})"),
            Self::ElasticNet { strength, l1_ratio } => write!(f, "elastic_net({strength}, {l1_ratio})"),
            Self::NonNegative => f.write_str("nonnegative"),
            Self::Box { lower, upper } => write!(f, "box({lower}, {upper})"),
            Self::Nuclear { strength } => write!(f, "nuclear({strength})"),
            Self::Rank { limit } => write!(f, "rank({limit})"),
            Self::Sparse { share } => write!(f, "sparse({share})"),
        }
    }
}
