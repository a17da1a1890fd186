//! What an inspection saw: figures, tables, and a page with a layer to choose and a slider through time.

mod figures;
mod page;
mod tables;

pub use page::page;
pub use tables::{layers, neurons, traces};

use super::Figure;
use crate::record::Inside;

/// The pictures of an inspection: `layers` (rates, silent and saturated shares), `histograms` (firing rates), and for each image
/// `raster-ID` (neuron x time) and `traces-ID` (currents and membranes with the threshold).
pub fn figures(inside: &Inside) -> Vec<Figure> {
    let whole = [("layers", figures::layers(inside), 2), ("histograms", figures::histograms(inside), 3)];
    let images = inside.images.iter().flat_map(|image| {
        let rasters = (format!("raster-{}", image.id), figures::rasters(inside, image), 3);
        [rasters, (format!("traces-{}", image.id), figures::traces(inside, image), 3)]
    });
    let all = whole.into_iter().map(|(name, panels, columns)| (name.to_string(), panels, columns)).chain(images);
    let drawn = all.filter(|(_, panels, _)| !panels.is_empty());
    drawn.map(|(name, panels, columns)| Figure::tiled(name, panels, columns)).collect()
}
