//! The notation of choices with parameters: `name`, `name(0.1)`, `name(first=0.1, second=2)`.

use crate::error::{Error, Result};

/// A name with its arguments, as written by a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<'a> {
    /// What stands before the parenthesis.
    pub name: &'a str,
    arguments: Vec<(Option<&'a str>, f64)>,
}

impl<'a> Call<'a> {
    /// Reads `text`; `argument` is the name of the user's argument, for errors.
    ///
    /// # Errors
    /// [`Error::Parameter`] when the text is not of this form.
    pub fn parse(argument: &'static str, text: &'a str) -> Result<Self> {
        let malformed = || Error::Parameter {
            name: argument,
            got: format!("'{text}'"),
            allowed: "a name, or a name with numbers such as 'name(0.1)' or 'name(key=0.1)'".into(),
        };
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Self { name: text, arguments: Vec::new() });
        };
        let inside = rest.strip_suffix(')').ok_or_else(malformed)?;
        let mut arguments = Vec::new();
        for part in inside.split(',').filter(|_| !inside.trim().is_empty()) {
            let (key, number) = match part.split_once('=') {
                Some((key, number)) => (Some(key.trim()), number),
                None => (None, part),
            };
            arguments.push((key, number.trim().parse().map_err(|_| malformed())?));
        }
        Ok(Self { name, arguments })
    }

    /// The values of `parameters`, each given by position, by name, or left at its default.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown name, a value given twice, or too many values.
    pub fn bind<const N: usize>(
        &self,
        argument: &'static str,
        parameters: [(&'static str, Option<f64>); N],
    ) -> Result<[f64; N]> {
        let wrong = || Error::Parameter {
            name: argument,
            got: self.to_string(),
            allowed: usage(self.name, &parameters.map(|(name, _)| name)).into(),
        };
        let mut values: [Option<f64>; N] = [None; N];
        for (position, &(key, value)) in self.arguments.iter().enumerate() {
            let slot = match key {
                Some(key) => parameters.iter().position(|&(name, _)| name == key),
                None => (position < N).then_some(position),
            };
            let slot = slot.filter(|&slot| values[slot].is_none()).ok_or_else(wrong)?;
            values[slot] = Some(value);
        }
        let mut bound = [0.0; N];
        for ((bound, value), (_, default)) in bound.iter_mut().zip(values).zip(parameters) {
            *bound = value.or(default).ok_or_else(wrong)?;
        }
        Ok(bound)
    }
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|(key, value)| key.map_or_else(|| value.to_string(), |key| format!("{key}={value}")))
            .collect();
        match arguments.is_empty() {
            true => write!(f, "'{}'", self.name),
            false => write!(f, "'{}({})'", self.name, arguments.join(", ")),
        }
    }
}

fn usage(name: &str, parameters: &[&str]) -> String {
    match parameters {
        [] => format!("'{name}', which takes no parameter"),
        _ => format!("'{name}({})' with numbers for its parameters", parameters.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Result<[f64; 2]> {
        Call::parse("penalty", text)?.bind("penalty", [("lower", Some(-1.0)), ("upper", None)])
    }

    #[test]
    fn a_plain_name_has_no_arguments() {
        assert_eq!(Call::parse("activation", "relu").unwrap().name, "relu");
        assert_eq!(Call::parse("activation", "relu()").unwrap(), Call::parse("activation", "relu").unwrap());
    }

    #[test]
    fn values_by_position_by_name_and_by_default() {
        for text in ["box(-1, 2)", "box(upper=2)", "box( upper = 2e0 , lower=-1 )", "box(-1, upper=2)"] {
            assert_eq!(bind(text).unwrap(), [-1.0, 2.0], "{text}");
        }
    }

    #[test]
    fn infinite_values_are_numbers() {
        assert_eq!(bind("box(0, inf)").unwrap(), [0.0, f64::INFINITY]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_the_name_of_the_argument() {
        for text in
            ["box", "box(1)", "box(1,2,3)", "box(middle=1)", "box(1, lower=2)", "box(a)", "box(1", "box(1,)"]
        {
            let message = bind(text).unwrap_err().to_string();
            assert!(message.starts_with("penalty must be"), "{text}: {message}");
        }
    }
}
