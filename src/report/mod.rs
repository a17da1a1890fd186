//! Floor 9: records in; `report.json`, PNG plots and one self-contained HTML page out. And the mosaic of a data set.
//!
//! A figure is a list of panels (`figures`), a panel a scene of simple shapes (`scene`, `chart`); the page takes them
//! as SVG in the colours of its style sheet (`svg`), the files as PNG (`png`).

mod anytime;
mod attacked;
mod chart;
mod compare;
mod diagnosis;
mod figure;
mod figures;
mod grid;
pub mod inside;
mod json;
mod mosaic;
mod multiples;
mod page;
mod png;
mod scene;
mod seeds;
mod svg;
mod words;

#[cfg(test)]
mod tests;

pub use anytime::{anytime, anytime_plot};
pub use attacked::{Attacked, attacked};
pub use diagnosis::{diagnosis_page, diagnosis_plot};
pub use figure::{Figure, check_plot};
pub use grid::grid;
pub use mosaic::{Row, mosaic};
pub use multiples::{Bar, Multiple, bars, multiples};

use crate::base::{Error, Result, file};
use crate::record::{Comparison, Report, Summary};
use scene::Scene;
use std::path::{Path, PathBuf};

/// The panels of one plot; none without data.
type Draw = fn(&Report) -> Vec<Scene>;

/// Writes `report.json`, `report.html` and, for what the report has, `curves.png`, `eps.png`, `ensemble.png`,
/// `firing.png` and `gallery.png` into `dir`, which is created if need be. Returns the files written.
///
/// Each file is written beside its target and renamed, so that no half file is ever seen under its name.
///
/// # Errors
/// If the gallery's sizes do not fit, or a folder or file cannot be written.
pub fn write(report: &Report, dir: &Path) -> Result<Vec<PathBuf>> {
    if let Some(gallery) = &report.gallery {
        gallery.check()?;
    }
    std::fs::create_dir_all(dir).map_err(|cause| Error::io("cannot create the folder", dir, &cause))?;
    let mut written = vec![put(dir, "report.json", &json::write(report)?)?, put(dir, "report.html", page::write(report)?.as_bytes())?];
    let plots: [(&str, Draw, usize); 5] = [
        ("curves.png", figures::training, 2),
        ("eps.png", figures::eps, 2),
        ("ensemble.png", figures::ensembles, 2),
        ("firing.png", figures::firing, 2),
        ("gallery.png", figures::gallery, 1),
    ];
    for (name, draw, columns) in plots {
        let panels = draw(report);
        if !panels.is_empty() {
            written.push(put(dir, name, &png::paint(&Scene::tiled(panels, columns))?)?);
        }
    }
    Ok(written)
}

/// Writes the `report.json`, `report.html` and `seeds.png` of several seeds into `dir`, as [`write()`] does of one.
///
/// # Errors
/// If a folder or file cannot be written.
pub fn write_summary(summary: &Summary, dir: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).map_err(|cause| Error::io("cannot create the folder", dir, &cause))?;
    let page = seeds::page(summary)?;
    let mut written = vec![put(dir, "report.json", &json::write(summary)?)?, put(dir, "report.html", page.as_bytes())?];
    let panels = seeds::figure(summary);
    if !panels.is_empty() {
        written.push(put(dir, "seeds.png", &png::paint(&Scene::tiled(panels, 1))?)?);
    }
    Ok(written)
}

/// How many runs one comparison can show: each of the colours of runs, in a solid line and in a dashed one.
pub const MOST_COMPARED: usize = 2 * scene::RUNS.len();

/// Writes the `report.json`, `report.html` and, for what the runs have, `results.png`, `curves.png`, `eps.png` and `firing.png`
/// of a comparison into `dir`, as [`write()`] does of one run.
///
/// # Errors
/// If a folder or file cannot be written.
pub fn write_comparison(comparison: &Comparison, dir: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).map_err(|cause| Error::io("cannot create the folder", dir, &cause))?;
    let page = compare::page(comparison)?;
    let mut written = vec![put(dir, "report.json", &json::write(comparison)?)?, put(dir, "report.html", page.as_bytes())?];
    for (name, sheet) in compare::sheets(comparison) {
        written.push(put(dir, name, &png::paint(&sheet)?)?);
    }
    Ok(written)
}

/// Writes a file whole and returns where it is.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let target = dir.join(name);
    file::write(&target, bytes)?;
    Ok(target)
}
