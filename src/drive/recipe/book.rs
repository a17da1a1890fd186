//! Recipes by name or file, and what they inherit.
//!
//! `inherits = ["paper", "cifar10"]` lays the named recipes over each other, later ones on top, and the file itself last. A
//! name is one that the program carries (`recipes/`, `recipes/common/`); a word that ends in `.toml` is a file, found from the
//! folder of the file that says it.

use super::keys::{Table, overlay};
use crate::base::{Result, fail, nearest, usage};
use std::path::{Path, PathBuf};
use toml::Value;

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// The text of a recipe and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name: a file's without folder and ending.
    pub name: String,
    /// The TOML.
    pub text: String,
    /// The file; None for what the program carries.
    pub path: Option<PathBuf>,
}

impl Source {
    fn carried(name: &str, text: &str) -> Source {
        Source { name: name.to_string(), text: text.to_string(), path: None }
    }

    /// What no other has, however its path is written.
    fn identity(&self) -> (Option<PathBuf>, &str) {
        (self.path.as_ref().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())), &self.name)
    }

    /// What messages call it.
    fn label(&self) -> String {
        self.path.as_ref().map_or(self.name.clone(), |path| path.display().to_string())
    }
}

/// The recipe called `word`: one that the program carries, or a TOML file.
///
/// # Errors
/// Usage, with the nearest name, where there is neither; a file that cannot be read.
pub fn find(word: &str) -> Result<Source> {
    if let Some((name, text)) = RECIPES.iter().find(|(name, _)| *name == word) {
        return Ok(Source::carried(name, text));
    }
    let path = Path::new(word);
    if word.ends_with(".toml") || path.exists() {
        return open(path, word);
    }
    let near = nearest(word, RECIPES.iter().map(|(name, _)| *name)).map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default();
    Err(usage!("recipe {word}: no such recipe or file{near}; `caltrop recipes` lists them"))
}

fn open(path: &Path, said: &str) -> Result<Source> {
    let text = std::fs::read_to_string(path).map_err(|cause| fail!("cannot read the recipe {said}: {cause}"))?;
    let name = path.file_stem().map_or(said.to_string(), |stem| stem.to_string_lossy().into_owned());
    Ok(Source { name, text, path: Some(path.to_path_buf()) })
}

/// The recipe that `heir` names as `word`.
fn ancestor(word: &str, heir: &Source) -> Result<Source> {
    if word.ends_with(".toml") {
        let folder = heir.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        return open(&folder.join(word), &format!("{word} that {} inherits", heir.label()));
    }
    let known = || COMMON.iter().chain(RECIPES);
    match known().find(|(name, _)| *name == word) {
        Some((name, text)) => Ok(Source::carried(name, text)),
        None => {
            let near = nearest(word, known().map(|(name, _)| *name)).map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default();
            Err(usage!("{}: inherits \"{word}\", no recipe of the program{near}; a file of yours is written with .toml", heir.label()))
        }
    }
}

/// The table of `source` on top of all that it inherits.
///
/// # Errors
/// TOML that cannot be read, an unknown ancestor, a recipe that inherits itself.
pub(super) fn table(source: &Source) -> Result<Table> {
    let mut chain = Vec::new();
    Ok(Table::new(&source.name, &source.label(), inherited(source, &mut chain)?))
}

fn inherited(source: &Source, chain: &mut Vec<Source>) -> Result<toml::Table> {
    let known = chain.iter().any(|heir| heir.identity() == source.identity());
    chain.push(source.clone());
    if known {
        let labels: Vec<String> = chain.iter().map(Source::label).collect();
        return Err(usage!("{} inherits itself: {}", source.label(), labels.join(" -> ")));
    }
    let mut own = Table::parse(&source.label(), &source.text)?.into_values();
    let mut values = toml::Table::new();
    for word in words(source, own.remove("inherits"))? {
        overlay(&mut values, inherited(&ancestor(&word, source)?, chain)?);
    }
    // What a recipe is called and about is its own.
    values.remove("name");
    values.remove("about");
    overlay(&mut values, own);
    chain.pop();
    Ok(values)
}

fn words(source: &Source, value: Option<Value>) -> Result<Vec<String>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let wrong = || usage!("{}: inherits = {value} is not a name or a list of names", source.label());
    match &value {
        Value::String(word) => Ok(vec![word.clone()]),
        Value::Array(words) => words.iter().map(|word| word.as_str().map(str::to_string).ok_or_else(wrong)).collect(),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<toml::Table> {
        table(&Source::carried("heir", text)).map(Table::into_values)
    }

    #[test]
    fn later_ancestors_win_and_the_heir_last() {
        let both = resolve("inherits = [\"trades\", \"mart\"]\n").unwrap();
        assert_eq!(both["ann"]["defense"].as_str(), Some("mart"));
        let own = resolve("inherits = \"mart\"\n[ann]\ndefense = \"at\"\n").unwrap();
        assert_eq!((own["ann"]["defense"].as_str(), own["ann"]["lambda"].as_integer()), (Some("at"), Some(4)));
        let heir = resolve("inherits = [\"fashion-mnist-7k\"]\nnatural = false\n").unwrap();
        assert!(heir.get("about").is_none() && heir.get("inherits").is_none() && heir["natural"].as_bool() == Some(false));
    }

    #[test]
    fn files_are_found_beside_the_heir_and_circles_are_refused() {
        let folder = std::env::temp_dir().join(format!("caltrop-book-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("below")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("a.toml", "inherits = [\"paper\", \"below/b.toml\"]\narch = \"vgg11\"\n");
        write("below/b.toml", "inherits = \"c.toml\"\ndataset = \"svhn\"\n");
        write("below/c.toml", "[ann]\nlr = 0.25\n");
        let open = |name: &str| find(folder.join(name).to_str().unwrap());
        let values = table(&open("a.toml").unwrap()).unwrap().into_values();
        assert_eq!((values["dataset"].as_str(), values["ann"]["lr"].as_float()), (Some("svhn"), Some(0.25)));
        assert_eq!(values["ann"]["epochs"].as_integer(), Some(200));
        write("below/c.toml", "inherits = \"b.toml\"\n");
        let circle = table(&open("a.toml").unwrap()).unwrap_err().to_string();
        assert!(circle.contains("inherits itself: ") && circle.contains("b.toml -> ") && !circle.contains('\n'), "{circle}");
        write("below/c.toml", "inherits = \"../below/../below/c.toml\"\n");
        assert!(table(&open("a.toml").unwrap()).unwrap_err().to_string().contains("inherits itself"));
        write("below/c.toml", "inherits = \"absent.toml\"\n");
        let absent = table(&open("a.toml").unwrap()).unwrap_err().to_string();
        assert!(absent.contains("absent.toml that ") && absent.contains("c.toml inherits"), "{absent}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_unknown_ancestor_is_one_line_with_the_nearest() {
        assert_eq!(
            resolve("inherits = \"papr\"\n").unwrap_err().to_string(),
            "heir: inherits \"papr\", no recipe of the program (did you mean \"paper\"?); a file of yours is written with .toml"
        );
        assert!(resolve("inherits = 3\n").unwrap_err().to_string().contains("inherits = 3 is not"));
    }
}
