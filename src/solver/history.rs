//! The record of a run: named columns, one number a pass.

/// Columns in the order in which they first appeared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    columns: Vec<(String, Vec<f64>)>,
}

impl History {
    /// Appends to a column, which is made when it is new.
    pub fn push(&mut self, name: impl AsRef<str>, value: f64) {
        let name = name.as_ref();
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.columns.push((name.into(), vec![value])),
        }
    }

    /// Replaces the last value of a column, if it has one.
    pub fn amend(&mut self, name: &str, value: f64) {
        let column = self.columns.iter_mut().find(|(known, _)| known == name);
        if let Some(last) = column.and_then(|(_, values)| values.last_mut()) {
            *last = value;
        }
    }

    /// Appends one value for each hidden layer, to columns `name_1`, `name_2`, ...
    pub fn push_layers(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        for (l, value) in values.into_iter().enumerate() {
            self.push(format!("{name}_{}", l + 1), value);
        }
    }

    /// The values of a column; empty when there is none of this name.
    pub fn column(&self, name: &str) -> &[f64] {
        self.columns.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
    }

    /// Names and values.
    pub fn into_columns(self) -> Vec<(String, Vec<f64>)> {
        self.columns
    }
}
