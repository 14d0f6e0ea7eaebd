//! The user's choice of activation: a name, with parameters where it has some.

use super::{
    Activation, Arctan, Clip, Elementwise, Elu, Identity, LeakyRelu, Logistic, Relu, Separate, Sign,
    SoftThreshold, Softmax, Softplus, Softsign, Step, Tanh,
};
use crate::error::{Error, Result};
use crate::notation::Call;
use crate::real::Real;

/// The boxed function of one number; nothing where the units are coupled.
macro_rules! elementwise {
    (coupled ($make:expr)) => {
        None
    };
    (($make:expr)) => {
        Some(Box::new($make))
    };
}

/// The boxed activation of a layer.
macro_rules! activation {
    (coupled ($make:expr)) => {
        Box::new($make)
    };
    (($make:expr)) => {
        Box::new(Separate($make))
    };
}

/// Declares the choices, their names and parameters, and the object behind each.
macro_rules! activations {
    ($($(#[$doc:meta])* $kind:ident $({ $parameter:ident: $default:literal in $low:literal..=$high:literal })?
        = $name:literal => $($coupling:ident)? ($make:expr)),+ $(,)?) => {
        /// The user's choice of activation: plain data, joined to its object by [`ActivationKind::make`].
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[non_exhaustive]
        pub enum ActivationKind {
            $(
                $(#[$doc])*
                #[allow(missing_docs)] // the parameter is that of the formula
                $kind $({ $parameter: f64 })?
            ),+
        }

        impl ActivationKind {
            /// Every activation with its default parameters, in the order of the documentation.
            pub const ALL: &'static [ActivationKind] = &[$(ActivationKind::$kind $({ $parameter: $default })?),+];

            /// The name by which users ask for it.
            pub fn name(self) -> &'static str {
                match self {
                    $(ActivationKind::$kind { .. } => $name),+
                }
            }

            /// The parameter's name, its value, its default and its range, where there is one.
            pub fn parameter(self) -> Option<Parameter> {
                match self {
                    $(ActivationKind::$kind $({ $parameter })? => {
                        #[allow(unused_mut, unused_assignments)]
                        let mut parameter = None;
                        $(parameter = Some(Parameter {
                            name: stringify!($parameter),
                            value: $parameter,
                            default: $default,
                            range: ($low, $high),
                        });)?
                        parameter
                    }),+
                }
            }

            /// The same activation with another value of its parameter, kept within its range.
            #[must_use]
            pub fn with_parameter(self, value: f64) -> Self {
                match self {
                    $(ActivationKind::$kind { .. } => {
                        ActivationKind::$kind $({ $parameter: value.clamp($low, $high) })?
                    }),+
                }
            }

            /// The function of one number, where it is one.
            pub fn elementwise<T: Real>(self) -> Option<Box<dyn Elementwise<T>>> {
                match self {
                    $(ActivationKind::$kind $({ $parameter })? => elementwise!($($coupling)? ($make))),+
                }
            }

            /// The working object.
            pub fn make<T: Real>(self) -> Box<dyn Activation<T>> {
                match self {
                    $(ActivationKind::$kind $({ $parameter })? => activation!($($coupling)? ($make))),+
                }
            }
        }
    };
}

activations! {
    /// φ(z) = z.
    Identity = "identity" => (Identity),
    /// φ(z) = max(0, z).
    Relu = "relu" => (Relu),
    /// φ(z) = z for z ≥ 0, slope·z below.
    LeakyRelu { slope: 0.01 in 1e-6..=1.0 } = "leaky_relu" => (LeakyRelu::new(T::of(slope))),
    /// φ(z) = min(limit, max(0, z)).
    ClippedRelu { limit: 6.0 in 0.1..=1e3 } = "clipped_relu" => (Clip::relu(T::of(limit))),
    /// φ(z) = min(1, max(−1, z)).
    HardTanh = "hard_tanh" => (Clip::tanh()),
    /// φ(z) = min(1, max(0, ½ + slope·z)).
    HardSigmoid { slope: 0.25 in 1e-2..=10.0 } = "hard_sigmoid" => (Clip::sigmoid(T::of(slope))),
    /// φ(z) = 1 / (1 + exp(−z)).
    Logistic = "logistic" => (Logistic),
    /// φ(z) = tanh z.
    Tanh = "tanh" => (Tanh),
    /// φ(z) = ln(1 + exp z).
    Softplus = "softplus" => (Softplus),
    /// φ(z) = z for z ≥ 0, alpha·(exp z − 1) below.
    Elu { alpha: 1.0 in 1e-6..=1.0 } = "elu" => (Elu::new(T::of(alpha))),
    /// φ(z) = z / (1 + |z|).
    Softsign = "softsign" => (Softsign),
    /// φ(z) = arctan z.
    Arctan = "arctan" => (Arctan),
    /// φ(z) = z − min(threshold, max(−threshold, z)).
    SoftThreshold { threshold: 0.5 in 0.0..=10.0 } = "soft_threshold" => (SoftThreshold::new(T::of(threshold))),
    /// φ(z) = 1 for z > 0, else 0.
    Step = "step" => (Step),
    /// φ(z) = 1 for z > 0, −1 for z < 0, 0 at 0.
    Sign = "sign" => (Sign),
    /// φ(z) = exp z / Σ exp z over the units of the layer.
    Softmax = "softmax" => coupled (Softmax),
}

/// The one parameter of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// As users write it.
    pub name: &'static str,
    /// Chosen or learned.
    pub value: f64,
    /// Where none is chosen.
    pub default: f64,
    /// Least and greatest value.
    pub range: (f64, f64),
}

impl ActivationKind {
    /// Reads `name` or `name(parameter=value)`.
    ///
    /// # Errors
    /// [`Error::NotAnArgmin`] for known non-monotone functions, [`Error::UnknownName`] for other
    /// names, [`Error::Parameter`] for a parameter that is unknown or out of range.
    pub fn parse(text: &str) -> Result<Self> {
        const ARGUMENT: &str = "activation";
        let call = Call::parse(ARGUMENT, text)?;
        let choices = || Self::ALL.iter().map(|kind| kind.name()).collect();
        let Some(&kind) = Self::ALL.iter().find(|kind| kind.name() == call.name) else {
            return Err(match call.name {
                "gelu" | "silu" | "swish" | "mish" => Error::NotAnArgmin {
                    got: call.name.into(),
                    nearest: vec!["relu", "leaky_relu", "softplus", "elu"],
                    choices: choices(),
                },
                _ => Error::UnknownName { name: ARGUMENT, got: call.name.into(), choices: choices() },
            });
        };
        let Some(Parameter { name, default, range: (low, high), .. }) = kind.parameter() else {
            call.bind::<0>(ARGUMENT, [])?;
            return Ok(kind);
        };
        let [value] = call.bind(ARGUMENT, [(name, Some(default))])?;
        if (low..=high).contains(&value) {
            return Ok(kind.with_parameter(value));
        }
        Err(Error::Parameter {
            name: ARGUMENT,
            got: call.to_string(),
            allowed: format!("'{}' with {name} in [{low}, {high}]", kind.name()).into(),
        })
    }

    /// The activation whose potentials the lifted problem uses: itself, or where φ jumps the clip
    /// of the same range with slope on |z| < 1. That clip is what ½μ‖x‖² (about the middle of the
    /// range) added to f gives, μ = 1 for "sign"; the forward pass keeps the true φ.
    #[must_use]
    pub fn lifted(self) -> Self {
        match self {
            ActivationKind::Step => ActivationKind::HardSigmoid { slope: 0.5 },
            ActivationKind::Sign => ActivationKind::HardTanh,
            smooth => smooth,
        }
    }

    /// Whether φ is the projection onto the domain of f, so that the euclidean divergence has the
    /// same argmin.
    pub fn is_projection(self) -> bool {
        matches!(
            self,
            ActivationKind::Identity
                | ActivationKind::Relu
                | ActivationKind::ClippedRelu { .. }
                | ActivationKind::HardTanh
        )
    }

    /// Variance of initial weights times the number of inputs, g.
    ///
    /// For unbounded φ it keeps the size of signals: E φ(√g z)² ≈ 1 for standard normal z, which
    /// is He's rule (2015) for the rectifiers. For bounded φ it is LeCun's: z of unit variance.
    pub fn init_gain(self) -> f64 {
        match self {
            ActivationKind::Relu | ActivationKind::ClippedRelu { .. } => 2.0,
            ActivationKind::LeakyRelu { slope } => 2.0 / (1.0 + slope * slope),
            ActivationKind::Elu { alpha } => 2.0 / (1.0 + 0.225 * alpha * alpha),
            ActivationKind::SoftThreshold { threshold: t } => 1.0 + 1.65 * t + 0.2 * t * t,
            ActivationKind::Softplus => 1.17,
            _ => 1.0,
        }
    }

    /// Size of the signals of a layer of so many units, by whose mean square the next layer's
    /// initial weights are divided: 1, but softmax shares a sum of 1 among its units. For z of
    /// unit variance the variance of a share is e − 1 over the square of their number.
    pub fn output_scale(self, units: usize) -> f64 {
        match self {
            ActivationKind::Softmax => (std::f64::consts::E - 1.0).sqrt() / units as f64,
            _ => 1.0,
        }
    }
}

/// As [`ActivationKind::parse`] reads it; a default parameter is left out.
impl std::fmt::Display for ActivationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.parameter() {
            Some(Parameter { name, value, default, .. }) if value != default => {
                write!(f, "{}({name}={value})", self.name())
            }
            _ => f.write_str(self.name()),
        }
    }
}
