//! A picture that becomes a file.

use super::scene::Scene;
use super::{png, svg};
use crate::base::{Result, usage};
use std::path::Path;

/// A picture, before it is painted.
pub struct Figure {
    /// Its name without extension.
    pub name: String,
    scene: Scene,
}

impl Figure {
    /// Panels in rows of `columns`.
    pub(super) fn tiled(name: impl Into<String>, panels: Vec<Scene>, columns: usize) -> Figure {
        Figure { name: name.into(), scene: Scene::tiled(panels, columns) }
    }

    /// As PNG. Errors: it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        png::paint(&self.scene)
    }

    /// As an SVG file in the colours of white paper. Errors: a picture in it cannot be encoded.
    pub fn svg(&self) -> Result<String> {
        svg::file(&self.scene)
    }

    /// As the file `path` wants it, by its ending: PNG or SVG. Errors: as [`check_plot`], or it cannot be encoded.
    pub fn for_file(&self, path: &Path) -> Result<Vec<u8>> {
        check_plot(path)?;
        match path.extension() {
            Some(ending) if ending.eq_ignore_ascii_case("svg") => Ok(self.svg()?.into_bytes()),
            _ => self.png(),
        }
    }
}

/// Errors (usage): `--plot` names a file that is neither PNG nor SVG.
pub fn check_plot(path: &Path) -> Result<()> {
    match path.extension().map(|ending| ending.to_ascii_lowercase()) {
        Some(ending) if ending == "png" || ending == "svg" => Ok(()),
        _ => Err(usage!("--plot {}: the name must end in .png or .svg", path.display())),
    }
}
