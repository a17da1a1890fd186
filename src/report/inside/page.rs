//! The page: a layer, an image and a step to choose, drawn by a script that the page carries.

use super::figures::{self, RASTER, TAKES};
use crate::base::{Result, fail};
use crate::record::{Inside, Seen};
use crate::report::page::{frame, panels};
use crate::report::png::base64;
use crate::report::svg::escape;
use crate::report::words::percent;
use serde_json::{Value, json};
use std::fmt::Write;

/// The whole page, in itself: it asks nothing of anywhere.
///
/// # Errors
/// If something cannot be encoded.
pub fn page(inside: &Inside) -> Result<String> {
    let attacked = inside.attack.as_deref();
    let names: String = inside.images.iter().map(|image| image.id.to_string()).collect::<Vec<_>>().join(", ");
    let title = match attacked {
        Some(attack) => format!("What {attack} changes inside"),
        None => "What happens inside".to_string(),
    };
    let told = format!(
        "<h1>{}</h1>\n<p>{} over T = {} steps ({} reset, leak {}), on {} {names} of {}. Blue is the clean image{}.</p>\n",
        escape(&title),
        escape(&inside.checkpoint),
        inside.steps,
        escape(&inside.reset),
        inside.leak,
        if inside.images.len() == 1 { "image" } else { "images" },
        escape(&inside.source),
        if attacked.is_some() { ", orange the adversarial one" } else { "" },
    );
    let overview = panels(
        "Layer by layer",
        "Over all images. A silent neuron fires at no step, a saturated one at every step: neither tells anything of when.",
        figures::layers(inside),
        &format!("<div class=\"card scroll wide\">{}</div>", table(inside)),
        "Choose a layer in the table, or above it.",
    )?;
    let data = serde_json::to_string(&data(inside)).map_err(|cause| fail!("json: {cause}"))?;
    // Nothing in a script element may end it.
    let data = data.replace("</", "<\\/");
    let main = format!(
        "<style>\n{}</style>\n{}{overview}<script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{}</script>\n",
        include_str!("page.css"),
        include_str!("page.html").replace("{RASTER}", &RASTER.to_string()),
        include_str!("page.js"),
    );
    Ok(frame(&title, &[&inside.arch, &inside.source], &told, &main, &inside.version, ""))
}

/// The layers as a table; each row chooses its layer.
fn table(inside: &Inside) -> String {
    let mut rows = String::new();
    for (at, layer) in inside.layers.iter().enumerate() {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\"><button class=\"link\" data-layer=\"{at}\">{}</button></th><td>{}</td><td>{:.3}</td>{}{}</tr>",
            escape(&layer.name),
            layer.shape.map(|extent| extent.to_string()).join("×"),
            layer.v_th,
            cells(layer),
            layer.change.map_or(String::new(), |change| format!(
                "<td>{}</td><td>{}</td>",
                percent(100.0 * change.flipped),
                percent(100.0 * change.neurons)
            )),
        );
    }
    let heads: String = TAKES.iter().take(1 + usize::from(inside.attack.is_some())).fold(String::new(), |mut heads, (name, _)| {
        ["rate", "silent", "saturated"].iter().for_each(|what| heads += &format!("<th scope=\"col\">{what}<small>{name}, %</small></th>"));
        heads
    });
    let change = match inside.attack {
        Some(_) => {
            "<th scope=\"col\">spikes differ<small>% of neurons × steps</small></th><th scope=\"col\">rate differs<small>% of neurons</small></th>"
        }
        None => "",
    };
    format!(
        "<table class=\"layers\"><thead><tr><th scope=\"col\">Layer</th><th scope=\"col\">C×H×W</th><th scope=\"col\">v_th</th>{heads}{change}</tr></thead><tbody>\n{rows}</tbody></table>"
    )
}

fn cells(layer: &Seen) -> String {
    let one = |value: f64| format!("<td>{}</td>", percent(100.0 * value));
    layer.takes.iter().map(|take| [take.rate(), take.silent(), take.saturated()].map(one).concat()).collect()
}

/// What the script draws from.
fn data(inside: &Inside) -> Value {
    let [height, width, channels] = inside.extent;
    let takes = |image: &crate::record::Inspected| -> Vec<Value> {
        let one = |take: &crate::record::Take| {
            let pixels: Vec<u8> = take.pixels.iter().map(|pixel| (pixel * 255.0).round() as u8).collect();
            let spikes: Vec<String> = take.spikes.iter().map(|codes| base64(codes)).collect();
            json!({"pixels": base64(&pixels), "logits": take.logits, "predicted": take.predicted, "spikes": spikes})
        };
        image.takes.iter().map(one).collect()
    };
    let layers: Vec<Value> = (inside.layers.iter())
        .map(|layer| {
            let histograms: Vec<&Vec<u64>> = layer.takes.iter().map(|take| &take.neurons).collect();
            json!({"name": layer.name, "shape": layer.shape, "v_th": layer.v_th, "histograms": histograms})
        })
        .collect();
    let images: Vec<Value> = (inside.images.iter())
        .map(|image| {
            let rows: Vec<Vec<usize>> = (0..inside.layers.len()).map(|layer| figures::rows(inside, image, layer)).collect();
            json!({"id": image.id, "label": image.label, "takes": takes(image), "courses": image.courses, "rows": rows})
        })
        .collect();
    json!({
        "steps": inside.steps, "planes": inside.planes(), "soft": inside.reset == "soft", "height": height, "width": width, "channels": channels,
        "classes": inside.classes, "names": TAKES.map(|(name, _)| name), "layers": layers, "images": images,
    })
}
