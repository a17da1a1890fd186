//! Drawings in characters: a membrane as a bar, a receptive field as a map.

use crate::probe::step::{Field, Fired, Form, Step, Stepped};

/// Membranes from `low` to `high`, drawn alike.
#[derive(Clone, Copy)]
pub struct Scale {
    pub low: f32,
    pub high: f32,
}

impl Scale {
    /// What holds 0, the threshold, and every membrane of these neurons.
    pub fn of<'a>(all: impl Iterator<Item = &'a Stepped>) -> Scale {
        let values = all.flat_map(|one| one.steps.iter().map(|step| step.u).chain([one.v_th]));
        values.fold(Scale { low: 0.0, high: 0.0 }, |scale, u| Scale { low: scale.low.min(u), high: scale.high.max(u) })
    }

    /// u between brackets: `=` from 0 to u, `|` the threshold, `:` 0 where membranes fall below it.
    pub fn bar(self, u: f32, v_th: f32, width: usize) -> String {
        let reach = f64::from(self.high - self.low).max(f64::MIN_POSITIVE);
        let cell = |value: f32| ((f64::from(value - self.low) / reach * width as f64) as usize).min(width - 1);
        let (zero, end) = (cell(0.0), cell(u));
        let mut cells = vec!['.'; width];
        if u != 0.0 {
            cells[zero.min(end)..=zero.max(end)].fill('=');
        }
        if self.low < 0.0 {
            cells[zero] = ':';
        }
        cells[cell(v_th)] = '|';
        format!("[{}]", cells.into_iter().collect::<String>())
    }
}

/// The positions of a field that go side by side; a larger field is drawn in squares of several.
const MOST_ACROSS: usize = 14;
/// Lines of a map.
const MOST_DOWN: usize = 14;

/// What a map counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Channels that are not 0.
    Fired,
    /// Σ weight·value.
    Brings,
}

/// A map with a line of columns above and the rows at its left; a dash is outside of the image.
pub fn map(title: &str, field: &Field, fired: &Fired, count: Count) -> Vec<String> {
    let side = field.columns.div_ceil(MOST_ACROSS).max(field.rows.div_ceil(MOST_DOWN));
    let width = if count == Count::Fired { 4 } else { 8 };
    let cell = |row: usize, column: usize| {
        let square = (row..(row + side).min(field.rows)).flat_map(|r| (column..(column + side).min(field.columns)).map(move |c| (r, c)));
        match count {
            Count::Fired => total(square.map(|(r, c)| fired.counts[r][c])).map(|sum| sum.to_string()),
            Count::Brings => total(square.map(|(r, c)| fired.brings[r][c])).map(|sum| format!("{sum:+.3}")),
        }
    };
    let starts = |extent: usize| (0..extent).step_by(side);
    let squares = if side > 1 { format!(", in squares of {side}") } else { String::new() };
    let header: String = starts(field.columns).map(|column| format!("{:>width$}", field.corner[0] + column as i64)).collect();
    let mut lines = vec![format!("{title}{squares}"), format!("{:>6}{header}", "y\\x")];
    for row in starts(field.rows) {
        let cells = starts(field.columns).map(|column| format!("{:>width$}", cell(row, column).unwrap_or_else(|| "-".into())));
        lines.push(format!("{:>6}{}", field.corner[1] + row as i64, cells.collect::<String>()));
    }
    lines
}

/// The sum of those that are there (None: none is).
fn total<N: std::iter::Sum<N>>(cells: impl Iterator<Item = Option<N>>) -> Option<N> {
    let there: Vec<N> = cells.flatten().collect();
    if there.is_empty() { None } else { Some(there.into_iter().sum()) }
}

/// Blocks of lines side by side where `columns` hold them, else one below the other.
pub fn beside(left: Vec<String>, right: Vec<String>, columns: usize) -> Vec<String> {
    let width = |lines: &[String]| lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let (gap, across) = (3, width(&left));
    if across + gap + width(&right) > columns {
        return left.into_iter().chain([String::new()]).chain(right).collect();
    }
    let many = left.len().max(right.len());
    let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
    (0..many).map(|at| format!("{:<across$}{:gap$}{}", line(&left, at), "", line(&right, at)).trim_end().to_string()).collect()
}

/// The maps that tell most about what a product reads.
pub fn counts(field: &Field) -> Vec<Count> {
    match (field.form, field.rows * field.columns) {
        (_, 1) => Vec::new(),
        (Form::Numbers, _) => vec![Count::Brings],
        _ => vec![Count::Fired, Count::Brings],
    }
}

/// `fires` or nothing.
pub fn fires(step: &Step) -> &'static str {
    if step.spike { "fires" } else { "-" }
}
