//! `caltrop recipes`.

use super::args::Recipes;
use super::sheet::wrapped;
use super::{columns, say};
use crate::base::Result;
use crate::drive::{RECIPES, Recipe, find};

/// List them, or print one.
pub fn list(args: &Recipes) -> Result<()> {
    match &args.name {
        Some(name) if args.resolved => say(Recipe::load(name, &[], None)?.text.trim_end()),
        Some(name) => say(find(name)?.text.trim_end()),
        None => say(catalogue(&RECIPES.iter().map(|(name, _)| Recipe::load(name, &[], None)).collect::<Result<Vec<_>>>()?, columns())),
    }
}

/// The recipes by data set, each with what it is about, in lines of at most `width` where that can be.
fn catalogue(recipes: &[Recipe], width: usize) -> String {
    let longest = recipes.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut dataset = "";
    for recipe in recipes {
        if recipe.dataset != dataset {
            dataset = &recipe.dataset;
            text += &format!("{}{dataset}\n", if text.is_empty() { "" } else { "\n" });
        }
        let (indent, gap) = ("  ", 2);
        let beside = indent.len() + longest + gap;
        // A narrow terminal has what it is about on lines of its own.
        let (first, left) = if width >= beside + 30 {
            (format!("{indent}{:<longest$}  ", recipe.name), beside)
        } else {
            (format!("{indent}{}\n    ", recipe.name), 4)
        };
        text += &first;
        text += &wrapped(&recipe.about, width.saturating_sub(left).max(20)).join(&format!("\n{}", " ".repeat(left)));
        text.push('\n');
    }
    text + "\ncaltrop recipes NAME prints one, with --resolved every setting of it."
}
