//! The user's choice of activation: a name, with parameters where it has some.

use super::{Activation, Elementwise, HardTanh, Identity, LeakyRelu, Logistic, Relu, Tanh};
use crate::error::{Error, Result};
use crate::notation::Call;
use crate::real::Real;

/// Declares the choices, their names and parameters, and the object behind each.
macro_rules! activations {
    ($($(#[$doc:meta])* $kind:ident $({ $parameter:ident: $default:literal in $low:literal..=$high:literal })?
        = $name:literal => $make:expr),+ $(,)?) => {
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
            pub fn elementwise<T: Real>(self) -> Box<dyn Elementwise<T>> {
                match self {
                    $(ActivationKind::$kind $({ $parameter })? => Box::new($make)),+
                }
            }

            /// The working object.
            pub fn make<T: Real>(self) -> Box<dyn Activation<T>> {
                match self {
                    $(ActivationKind::$kind $({ $parameter })? => Box::new($make)),+
                }
            }
        }
    };
}

activations! {
    /// φ(z) = z.
    Identity = "identity" => Identity,
    /// φ(z) = max(0, z).
    Relu = "relu" => Relu,
    /// φ(z) = z for z ≥ 0, slope·z below.
    LeakyRelu { slope: 0.01 in 1e-6..=1.0 } = "leaky_relu" => LeakyRelu::new(T::of(slope)),
    /// φ(z) = 1 / (1 + exp(−z)).
    Logistic = "logistic" => Logistic,
    /// φ(z) = tanh z.
    Tanh = "tanh" => Tanh,
    /// φ(z) = min(1, max(−1, z)).
    HardTanh = "hard_tanh" => HardTanh,
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
                    nearest: vec!["relu", "leaky_relu"],
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

    /// The activation whose potentials the lifted problem uses: itself.
    #[must_use]
    pub fn lifted(self) -> Self {
        self
    }

    /// Whether φ is the projection onto the domain of f, so that the euclidean divergence has the
    /// same argmin.
    pub fn is_projection(self) -> bool {
        matches!(self, ActivationKind::Identity | ActivationKind::Relu | ActivationKind::HardTanh)
    }

    /// Variance of initial weights times the number of inputs: He et al. (2015) for the rectifier
    /// family, LeCun's unit gain otherwise.
    pub fn init_gain(self) -> f64 {
        match self {
            ActivationKind::Relu => 2.0,
            ActivationKind::LeakyRelu { slope } => 2.0 / (1.0 + slope * slope),
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
