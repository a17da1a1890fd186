//! The resolved recipe: every setting of a run, inherited ones and defaults included, as TOML that alone repeats it.

use toml::Value;

/// The keys that were read of a recipe and what they came to, in the order of reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trail(Vec<Entry>);

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    /// The table's path, such as `ann`; empty at the top.
    section: String,
    key: String,
    value: Value,
}

impl Trail {
    /// Enter a value; it replaces what `key` came to before.
    pub(super) fn enter(&mut self, section: &str, key: &str, value: Value) {
        match self.0.iter_mut().find(|entry| entry.section == section && entry.key == key) {
            Some(entry) => entry.value = value,
            None => self.0.push(Entry { section: section.to_string(), key: key.to_string(), value }),
        }
    }

    /// What is here and not in `other`, or otherwise there.
    fn beyond(&self, other: &Trail) -> Trail {
        Trail(self.0.iter().filter(|entry| !other.0.contains(entry)).cloned().collect())
    }

    /// As TOML, all of it below the table `root` (empty: the top).
    fn write(&self, root: &str, text: &mut String) {
        let mut sections: Vec<&str> = vec![""];
        for entry in &self.0 {
            if !sections.contains(&entry.section.as_str()) {
                sections.push(&entry.section);
            }
        }
        for section in sections {
            let path: Vec<&str> = [root, section].into_iter().filter(|part| !part.is_empty()).collect();
            if !path.is_empty() {
                text.push_str(&format!("\n[{}]\n", path.join(".")));
            }
            for entry in self.0.iter().filter(|entry| entry.section == section) {
                text.push_str(&format!("{} = {}\n", entry.key, entry.value));
            }
        }
    }
}

/// The text of a recipe that read `trail`, and `natural` for its twin.
pub(super) fn text(trail: &Trail, natural: Option<&Trail>) -> String {
    let mut text = String::from(
        "# Every setting of a run, defaults included. `caltrop run` takes this file as it is.\n\
         # leak, reset and dropout stand here where they were given, else they are 1, hard and 0.2; in finetuning they and bias are the network's.\n",
    );
    trail.write("", &mut text);
    if let Some(natural) = natural {
        natural.beyond(trail).write("natural", &mut text);
    }
    text
}

/// The first setting in which two resolved recipes differ, in words; None where there is none.
pub fn difference(before: &str, now: &str) -> Option<String> {
    let (Some(before), Some(now)) = (settings(before), settings(now)) else { return Some("it is no TOML any more".into()) };
    let value = |list: &[(String, String)], key: &str| list.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
    let keys = now.iter().chain(&before).map(|(key, _)| key);
    keys.filter_map(|key| match (value(&before, key), value(&now, key)) {
        (old, new) if old == new => None,
        (Some(old), Some(new)) => Some(format!("{key} was {old} and is {new}")),
        (Some(old), None) => Some(format!("{key} was {old} and is not set")),
        (None, new) => Some(format!("{key} was not set and is {}", new.unwrap_or_default())),
    })
    .next()
}

/// The settings of a recipe's text: each key with the tables that it is in, such as `ann.lr`, and its value as TOML. None if the text
/// is no TOML.
pub fn settings(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    flatten("", &text.parse::<toml::Table>().ok()?, &mut found);
    Some(found)
}

fn flatten(path: &str, table: &toml::Table, found: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(below) => flatten(&path, below, found),
            value => found.push((path, value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_toml_and_a_twin_says_only_what_differs() {
        let mut trail = Trail::default();
        trail.enter("", "arch", "vgg11".into());
        trail.enter("ann", "lr", 0.1.into());
        trail.enter("ann", "epochs", 3.into());
        trail.enter("ann", "lr", 0.05.into());
        let mut twin = trail.clone();
        twin.enter("ann", "defense", "natural".into());
        let text = text(&trail, Some(&twin));
        let body = text.split_inclusive('\n').skip(2).collect::<String>();
        assert_eq!(body, "arch = \"vgg11\"\n\n[ann]\nlr = 0.05\nepochs = 3\n\n[natural]\n\n[natural.ann]\ndefense = \"natural\"\n");
    }

    #[test]
    fn the_first_difference_is_named() {
        let say = |a: &str, b: &str| difference(a, b).unwrap_or_default();
        assert_eq!(say("a = 1\n[ann]\nlr = 0.1\n", "a = 1\n[ann]\nlr = 0.2\n"), "ann.lr was 0.1 and is 0.2");
        assert_eq!(say("a = 1\n", "a = 1\nb = \"x\"\n"), "b was not set and is \"x\"");
        assert_eq!(say("a = 1\nb = 2\n", "a = 1\n"), "b was 2 and is not set");
        assert_eq!(say("a = ", "a = 1\n"), "it is no TOML any more");
        assert_eq!(difference("a = 1\n", "# other words\na = 1\n"), None);
    }
}
