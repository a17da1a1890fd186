//! Typed access to a TOML table, with errors that name the key, the value and the cure.

use super::resolved::Trail;
use crate::base::{Result, suggest, usage};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use toml::Value;

/// A table of a recipe and where it stands. Whatever is read of it is entered in a [`Trail`], default or not, so that a
/// key that a stage learns to read is in the resolved recipe without another word.
#[derive(Debug, Clone)]
pub struct Table {
    /// The recipe's name.
    name: String,
    /// The recipe (a file's path as it was said) and the tables on the way.
    place: String,
    section: String,
    values: toml::Table,
    trail: Rc<RefCell<Trail>>,
}

impl Table {
    /// The table in `text`, which messages call `place`. Errors (usage): no TOML (with the line and the column).
    pub fn parse(place: &str, text: &str) -> Result<Table> {
        let values = text.parse::<toml::Table>().map_err(|cause| {
            let at = cause.span().map(|span| position(text, span.start)).unwrap_or_default();
            usage!("{place}{at}: {}", cause.message())
        })?;
        Ok(Table::new(place, place, values))
    }

    /// A whole recipe's table: its name, and what messages call it.
    pub fn new(name: &str, place: &str, values: toml::Table) -> Table {
        Table { name: name.to_string(), place: place.to_string(), section: String::new(), values, trail: Rc::default() }
    }

    /// The values themselves.
    pub fn into_values(self) -> toml::Table {
        self.values
    }

    /// What was read so far, of this table and those below it.
    pub fn trail(&self) -> Trail {
        self.trail.borrow().clone()
    }

    /// Enter what `key` came to. The readers do so themselves; this is for a value that was not read but derived.
    pub fn note(&self, key: &str, value: impl Into<Value>) {
        self.trail.borrow_mut().enter(&self.section, key, value.into());
    }

    /// Where it stands, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The name of the recipe that it is in.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Let this be the seed, whatever a twin says of its own.
    pub fn set_seed(&mut self, seed: u64) -> Result<()> {
        let value = i64::try_from(seed).map_err(|_| usage!("--seed {seed}: at most {}", i64::MAX))?;
        self.values.insert("seed".into(), Value::Integer(value));
        if let Some(Value::Table(twin)) = self.values.get_mut("natural") {
            twin.remove("seed");
        }
        Ok(())
    }

    /// Put `stage.key=value` in. A value that is no TOML is taken as text. Errors (usage): no `=`, a stage that is a value.
    pub fn set(&mut self, setting: &str) -> Result<()> {
        let (path, text) = setting.split_once('=').ok_or_else(|| usage!("--set {setting}: write KEY=VALUE, such as ann.epochs=1"))?;
        let mut keys: Vec<&str> = path.trim().split('.').collect();
        let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(|| usage!("--set {setting}: the key is empty"))?;
        let mut table = &mut self.values;
        for key in keys {
            let below = table.entry(key).or_insert_with(|| Value::Table(toml::Table::new()));
            table = below.as_table_mut().ok_or_else(|| usage!("--set {setting}: \"{key}\" is no table of the recipe"))?;
        }
        table.insert(last.to_string(), typed(text.trim()));
        Ok(())
    }

    /// This table with the sub-table `key` laid over it (and removed); None where there is none, or `false` for it.
    pub fn overlaid(&self, key: &str) -> Result<Option<Table>> {
        let mut values = self.values.clone();
        let over = match values.remove(key) {
            None | Some(Value::Boolean(false)) => return Ok(None),
            Some(Value::Table(over)) => over,
            Some(other) => return Err(self.wrong(key, &other, "a table")),
        };
        overlay(&mut values, over);
        Ok(Some(Table::new(&self.name, &format!("{} [{key}]", self.place), values)))
    }

    /// Whether there is a value at `key`.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Errors (usage) where a key is not in `known`.
    pub fn allow(&self, known: &[&str]) -> Result<()> {
        match self.values.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(usage!("{}: unknown key \"{key}\"{}", self.place, suggest(key, known.iter().copied()))),
            None => Ok(()),
        }
    }

    /// The sub-table `key`, empty where there is none.
    pub fn table(&self, key: &str) -> Result<Table> {
        let values = match self.values.get(key) {
            None => toml::Table::new(),
            Some(Value::Table(values)) => values.clone(),
            Some(other) => return Err(self.wrong(key, other, "a table")),
        };
        let section = if self.section.is_empty() { key.to_string() } else { format!("{}.{key}", self.section) };
        Ok(Table { name: self.name.clone(), place: format!("{} [{key}]", self.place), section, values, trail: self.trail.clone() })
    }

    /// A text that must be there.
    pub fn required(&self, key: &str) -> Result<String> {
        match self.values.get(key) {
            Some(Value::String(text)) => {
                self.note(key, text.as_str());
                Ok(text.clone())
            }
            Some(other) => Err(self.wrong(key, other, "a text")),
            None => Err(usage!("{}: the key \"{key}\" is needed", self.place)),
        }
    }

    /// A text.
    pub fn text(&self, key: &str, default: &str) -> Result<String> {
        if self.values.contains_key(key) {
            return self.required(key);
        }
        self.note(key, default);
        Ok(default.to_string())
    }

    /// True or false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let flag = match self.values.get(key) {
            None => default,
            Some(Value::Boolean(flag)) => *flag,
            Some(other) => return Err(self.wrong(key, other, "true or false")),
        };
        self.note(key, flag);
        Ok(flag)
    }

    /// A number within `range`.
    pub fn number(&self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        let number = match self.values.get(key) {
            None => default,
            Some(value) => self.in_range(key, value, &range)?,
        };
        self.note(key, plain(number));
        Ok(number)
    }

    /// A list of numbers within `range`, empty by default.
    pub fn numbers(&self, key: &str, range: RangeInclusive<f64>) -> Result<Vec<f64>> {
        let items = self.items(key).unwrap_or_default();
        let numbers: Vec<f64> = items.iter().map(|value| self.in_range(key, value, &range)).collect::<Result<_>>()?;
        self.note(key, numbers.iter().map(|&number| plain(number)).collect::<Vec<_>>());
        Ok(numbers)
    }

    fn in_range(&self, key: &str, value: &Value, range: &RangeInclusive<f64>) -> Result<f64> {
        let number = match *value {
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            _ => return Err(self.wrong(key, value, "a number")),
        };
        if !range.contains(&number) {
            return Err(usage!("{}: {key} = {number} is not between {} and {}", self.place, range.start(), range.end()));
        }
        Ok(number)
    }

    /// A whole number within `range`.
    pub fn count(&self, key: &str, default: usize, range: RangeInclusive<u64>) -> Result<usize> {
        let count = match self.values.get(key) {
            None => default,
            Some(&Value::Integer(number)) => match u64::try_from(number) {
                Ok(number) if range.contains(&number) => number as usize,
                _ => return Err(usage!("{}: {key} = {number} is not between {} and {}", self.place, range.start(), range.end())),
            },
            Some(other) => return Err(self.wrong(key, other, "a whole number")),
        };
        self.note(key, count as i64);
        Ok(count)
    }

    /// A list of whole numbers within `range`, empty by default and then in no resolved recipe.
    pub fn counts(&self, key: &str, range: RangeInclusive<u64>) -> Result<Vec<usize>> {
        let whole = |value: &Value| match value.as_integer().and_then(|number| u64::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Ok(number as usize),
            _ => Err(usage!("{}: {key} has {value}; whole numbers between {} and {} are wanted", self.place, range.start(), range.end())),
        };
        let Some(items) = self.items(key) else { return Ok(Vec::new()) };
        let counts: Vec<usize> = items.iter().map(whole).collect::<Result<_>>()?;
        self.note(key, counts.iter().map(|&count| count as i64).collect::<Vec<_>>());
        Ok(counts)
    }

    /// A list of words; None where there is no such key, which is then in no resolved recipe.
    pub fn words(&self, key: &str) -> Result<Option<Vec<String>>> {
        let words = self.peek_words(key)?;
        if let Some(words) = &words {
            self.note(key, words.clone());
        }
        Ok(words)
    }

    /// As [`Table::words`], entering nothing in the trail.
    pub fn peek_words(&self, key: &str) -> Result<Option<Vec<String>>> {
        let word = |value: &Value| value.as_str().map(str::to_string).ok_or_else(|| self.wrong(key, value, "a text"));
        self.items(key).map(|items| items.iter().map(word).collect()).transpose()
    }

    /// The items of the list at `key`; None where there is no such key. One value is a list of one. A text is taken apart at its
    /// commas, since of `--set eval.ann=["fgsm","pgd20"]` a shell leaves `[fgsm,pgd20]`, which is no TOML.
    fn items(&self, key: &str) -> Option<Vec<Value>> {
        Some(match self.values.get(key)? {
            Value::Array(values) => values.clone(),
            Value::String(text) => {
                let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
                inner.split(',').map(|item| typed(item.trim())).collect()
            }
            other => vec![other.clone()],
        })
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> crate::base::Error {
        usage!("{}: {key} = {value} is not {wanted}", self.place)
    }
}

/// `text` as a TOML value; what is none is a text.
fn typed(text: &str) -> Value {
    let value = format!("v = {text}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("v"));
    value.unwrap_or_else(|| Value::String(text.to_string()))
}

/// `:LINE:COLUMN` of byte `at` of `text`, both from 1, columns in characters.
fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    format!(":{}:{}", before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A number as people write it: 8 rather than 8.0.
fn plain(number: f64) -> Value {
    let whole = number as i64;
    if whole as f64 == number && whole.abs() < 1 << 53 { Value::Integer(whole) } else { Value::Float(number) }
}

/// Lay `over` on `base`: tables are joined, other values replaced.
pub fn overlay(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_reach_tables_and_unknown_keys_are_helped() {
        let mut table = Table::parse("r", "a = 1\n[ann]\nepochs = 3\n").unwrap();
        table.set("ann.epochs=1").unwrap();
        table.set("ann.defense=trades").unwrap();
        let ann = table.table("ann").unwrap();
        assert_eq!(ann.count("epochs", 9, 1..=10).unwrap(), 1);
        assert_eq!(ann.text("defense", "at").unwrap(), "trades");
        assert!(ann.allow(&["epoch", "defense"]).unwrap_err().to_string().contains("\"epoch\""));
        assert!(table.set("nonsense").is_err());
    }

    #[test]
    fn numbers_out_of_range_and_of_another_type_are_named() {
        let table = Table::parse("r", "eps = -1\nlr = \"x\"\nbad = nan\n").unwrap();
        assert!(table.number("eps", 0.0, 0.0..=255.0).unwrap_err().to_string().contains("eps = -1"));
        assert!(table.number("lr", 0.0, 0.0..=1.0).is_err());
        assert!(table.number("bad", 0.0, 0.0..=1.0).is_err());
    }

    #[test]
    fn a_list_is_written_as_toml_or_with_commas() {
        let mut table = Table::parse("r", "").unwrap();
        let words = ["fgsm", "ensemble-pgd20:5"];
        for text in ["[\"fgsm\", \"ensemble-pgd20:5\"]", "fgsm,ensemble-pgd20:5", "fgsm, ensemble-pgd20:5", "[fgsm,ensemble-pgd20:5]"] {
            table.set(&format!("a={text}")).unwrap();
            assert_eq!(table.words("a").unwrap().unwrap(), words, "{text}");
        }
        for text in ["[0, 2.5]", "0,2.5", "[0,2.5]"] {
            table.set(&format!("a={text}")).unwrap();
            assert_eq!(table.numbers("a", 0.0..=3.0).unwrap(), [0.0, 2.5], "{text}");
        }
        table.set("a=3,5").unwrap();
        assert_eq!(table.counts("a", 1..=5).unwrap(), [3, 5]);
        table.set("a=7").unwrap();
        assert_eq!((table.counts("a", 1..=7).unwrap(), table.numbers("a", 0.0..=7.0).unwrap()), (vec![7], vec![7.0]));
        assert!(table.words("a").unwrap_err().to_string().contains("a = 7 is not a text"));
        assert!(table.numbers("a", 0.0..=1.0).unwrap_err().to_string().contains("a = 7 is not between"));
        assert!(table.numbers("none", 0.0..=1.0).unwrap().is_empty() && table.words("none").unwrap().is_none());
    }

    #[test]
    fn a_broken_recipe_names_its_line() {
        let say = |text: &str| Table::parse("r.toml", text).unwrap_err().to_string();
        assert!(say("a = 1\nb = \n").starts_with("r.toml:2:"), "{}", say("a = 1\nb = \n"));
        assert!(say("a = \"é\" 3\n").starts_with("r.toml:1:9: "), "{}", say("a = \"é\" 3\n"));
        assert!(say("a = 1\na = 2\n").starts_with("r.toml:2:1: "), "{}", say("a = 1\na = 2\n"));
    }
}
