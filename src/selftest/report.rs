//! What a run found, in words.

use super::Row;
use serde::Serialize;
use std::fmt::Write;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The device, in words (a GPU's with its driver).
    pub device: String,
    /// The program's version.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// Comparisons that passed.
    pub passed: usize,
    /// Comparisons in all.
    pub checks: usize,
    /// Why the run ended early, if it did.
    pub fault: Option<String>,
    /// Every comparison.
    pub rows: Vec<Row>,
}

/// Failed rows that are told in full.
const TOLD: usize = 20;

impl Report {
    /// What failed first, if anything did.
    pub fn first_failure(&self) -> Option<String> {
        self.rows.iter().find(|row| !row.passed).map(told).or_else(|| self.fault.clone())
    }

    /// A line for every check of every op, with the comparison that came nearest to its bound; what failed; the summary.
    pub fn table(&self) -> String {
        let checks: Vec<&[Row]> = self.rows.chunk_by(|a, b| (a.op, a.check) == (b.op, b.check)).collect();
        let width = checks.iter().map(|rows| rows[0].check.chars().count()).max().unwrap_or(0).max(5);
        let mut text = format!("{:<10} {:<width$} {:>6} {:>11} {:>9}  {:<4} at\n", "op", "check", "checks", "worst error", "bound", "");
        for rows in checks {
            // Of rows without an error, the first.
            let worst = rows.iter().fold(&rows[0], |worst, row| if row.share() > worst.share() { row } else { worst });
            let ok = if rows.iter().all(|row| row.passed) { "ok" } else { "FAIL" };
            let place = if worst.error == 0.0 { String::new() } else { format!("{}: {}", worst.case, worst.what) };
            let number = |v: f64| if v == 0.0 { "0".to_string() } else { format!("{v:.2e}") };
            let (error, bound) = (number(worst.error), number(worst.bound));
            let line = format!("{:<10} {:<width$} {:>6} {error:>11} {bound:>9}  {ok:<4} {place}", worst.op, worst.check, rows.len());
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let failed: Vec<&Row> = self.rows.iter().filter(|row| !row.passed).collect();
        for row in failed.iter().take(TOLD) {
            let _ = writeln!(text, "FAILED {}", told(row));
        }
        if failed.len() > TOLD {
            let _ = writeln!(text, "and {} more", failed.len() - TOLD);
        }
        text + &self.summary()
    }

    /// The last line.
    pub fn summary(&self) -> String {
        format!("{} of {} checks passed on {}", self.passed, self.checks, self.device)
    }
}

fn told(row: &Row) -> String {
    format!("{} {}, {}: {}: {}", row.op, row.check, row.case, row.what, row.failure.as_deref().unwrap_or("no reason is known"))
}
