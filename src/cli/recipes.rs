//! The recipes that the program carries.

use super::args::Recipes;
use super::say;
use crate::base::{Result, fail, nearest, usage};
use crate::drive::Recipe;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// List them, or print one.
pub fn list(args: &Recipes) -> Result<()> {
    if let Some(name) = &args.name {
        return say(find(name)?.1.trim_end());
    }
    for (name, text) in RECIPES {
        let about = text.parse::<toml::Table>().ok().and_then(|table| table.get("about")?.as_str().map(str::to_string));
        say(format!("{name:<24} {}", about.unwrap_or_default()))?;
    }
    Ok(())
}

/// Name and text of a recipe: one that the program carries, or a TOML file.
pub fn find(word: &str) -> Result<(String, String)> {
    if let Some((name, text)) = RECIPES.iter().find(|(name, _)| *name == word) {
        return Ok((name.to_string(), text.to_string()));
    }
    let path = Path::new(word);
    if word.ends_with(".toml") || path.exists() {
        let text = std::fs::read_to_string(path).map_err(|cause| fail!("cannot read the recipe {word}: {cause}"))?;
        let name = path.file_stem().map_or(word.to_string(), |stem| stem.to_string_lossy().into_owned());
        return Ok((name, text));
    }
    let near = nearest(word, RECIPES.iter().map(|(name, _)| *name)).map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default();
    Err(usage!("recipe {word}: no such recipe or file{near}; `caltrop recipes` lists them"))
}

/// The recipe `word` with settings on top, and the text that identifies it (a resume compares it).
pub fn load(word: &str, set: &[String], seed: Option<u64>) -> Result<(Recipe, String)> {
    let (name, mut text) = find(word)?;
    let mut recipe = Recipe::parse(&name, &text, set)?;
    for setting in set {
        text.push_str(&format!("# --set {setting}\n"));
    }
    if let Some(seed) = seed {
        recipe.reseed(seed);
        text.push_str(&format!("# --seed {seed}\n"));
    }
    Ok((recipe, text))
}
