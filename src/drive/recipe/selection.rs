//! Which epoch's network is a stage's result: the keys validation, validation_images and select.

use super::keys::Table;
use crate::base::{Result, suggest, usage};

/// How the result of a stage is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// The share of the training images that is held out (0: none).
    pub validation: f64,
    /// The first so many held-out images are attacked.
    pub images: usize,
    /// What chooses.
    pub select: Select,
}

/// What chooses the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// The last is the result.
    Last,
    /// Accuracy on held-out images: under attack, or clean for a stage without a defense.
    Validation,
    /// Clean accuracy on the test images, as the paper's published code does. What is reported of the chosen network
    /// afterwards is optimistic.
    TestClean,
}

impl Select {
    /// All of them by name.
    pub const NAMES: [(&'static str, Select); 3] =
        [("last", Select::Last), ("validation", Select::Validation), ("test-clean", Select::TestClean)];
}

/// The selection in the recipe `root`, whose stages have at most this `patience`.
pub(super) fn read(root: &Table, patience: usize) -> Result<Selection> {
    let validation = root.number("validation", 0.02, 0.0..=0.5)?;
    let word = root.text("select", if validation > 0.0 { "validation" } else { "last" })?;
    let found = Select::NAMES.iter().find(|(name, _)| *name == word);
    let Some(&(_, select)) = found else {
        let names = Select::NAMES.map(|(name, _)| name);
        return Err(usage!("{}: select = \"{word}\" is unknown{}", root.place(), suggest(&word, names)));
    };
    if select == Select::Validation && validation == 0.0 {
        return Err(usage!("{}: select = \"validation\" wants held-out images; set validation = 0.02, or select = \"last\"", root.place()));
    }
    if select == Select::Last && patience > 0 {
        return Err(usage!("{}: patience wants a measure, and select = \"last\" has none; set validation = 0.02", root.place()));
    }
    Ok(Selection { validation, images: root.count("validation_images", 1000, 1..=1 << 40)?, select })
}

#[cfg(test)]
mod tests {
    use crate::drive::{Recipe, Select};

    fn recipe(text: &str) -> crate::base::Result<Recipe> {
        Recipe::parse("r", &format!("arch = \"vgg11\"\ndataset = \"mnist\"\n{text}"), &[])
    }

    #[test]
    fn images_are_held_out_and_choose_unless_the_recipe_says_otherwise() {
        let selection = |text| recipe(text).unwrap().selection;
        let default = selection("");
        assert_eq!((default.validation, default.images, default.select), (0.02, 1000, Select::Validation));
        assert_eq!(selection("validation = 0").select, Select::Last);
        assert_eq!(selection("select = \"test-clean\"\nvalidation = 0").select, Select::TestClean);
        assert_eq!(selection("select = \"last\"").select, Select::Last);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_cure() {
        for (text, words) in [
            ("select = \"test-cleen\"", "did you mean \"test-clean\""),
            ("select = \"validation\"\nvalidation = 0", "set validation = 0.02"),
            ("validation = 0.6", "validation = 0.6 is not between 0 and 0.5"),
            ("validation = 0\n[ann]\npatience = 3", "patience wants a measure"),
            ("keep = 0", "keep = 0"),
            ("save_minutes = -1", "save_minutes = -1"),
            ("[natural]\nvalidation = 0.1", "[natural] has another validation"),
        ] {
            let error = recipe(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
