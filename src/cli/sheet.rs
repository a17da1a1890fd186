//! Rows of words and numbers: aligned for a terminal, between commas for other programs.

/// A table.
pub struct Sheet {
    /// What each column is.
    pub head: Vec<String>,
    /// One entry a column each.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// A table of these columns, without a row.
    pub fn new(head: &[&str]) -> Sheet {
        Sheet { head: head.iter().map(|name| name.to_string()).collect(), rows: Vec::new() }
    }

    /// As lines, the first `words` columns flush left and the others flush right.
    pub fn lines(&self, words: usize) -> Vec<String> {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let wide = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.head.len()).map(wide).collect();
        let cell = |(column, text): (usize, &String)| {
            let width = widths[column];
            if column < words { format!("{text:<width$}") } else { format!("{text:>width$}") }
        };
        all().map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_string()).collect()
    }

    /// As a CSV file (RFC 4180, but for line feeds alone).
    pub fn csv(&self) -> String {
        let cell = |text: &String| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.clone(),
        };
        let line = |row: &Vec<String>| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n";
        std::iter::once(&self.head).chain(&self.rows).map(line).collect()
    }
}

/// The words of `text` in lines of at most `width` characters; a longer word has a line for itself.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_string());
        }
    }
    lines
}

/// `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_commas_quoted() {
        let mut sheet = Sheet::new(&["layer", "count"]);
        sheet.rows = vec![vec!["conv, \"big\"".into(), "7".into()], vec!["fc".into(), "1,234".into()]];
        assert_eq!(sheet.lines(1), ["layer        count", "conv, \"big\"      7", "fc           1,234"]);
        assert_eq!(sheet.csv(), "layer,count\n\"conv, \"\"big\"\"\",7\nfc,\"1,234\"\n");
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
