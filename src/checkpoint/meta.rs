//! What a checkpoint says of itself: string metadata.

use crate::base::{Result, ensure, fail};
use crate::nn::Spec;
use crate::ops::lif::Reset;
use std::collections::BTreeMap;

/// The format that this program writes (docs/checkpoint.md says what raises its number).
pub const FORMAT: &str = "caltrop-1";
/// How every format of this program's begins; its number follows.
const FAMILY: &str = "caltrop-";

/// What is known of a checkpoint beside its network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meta {
    /// The data set of its training.
    pub dataset: Option<String>,
    /// The recipe's name.
    pub recipe: Option<String>,
    /// The seed.
    pub seed: u64,
    /// Epochs trained in its stage.
    pub epoch: usize,
    /// The share of the training images that was held out (0: none).
    pub validation: f64,
    /// Thresholds as calibrated, before scaling.
    pub raw_thresholds: Vec<f32>,
    /// The factor on them.
    pub scale: Option<f32>,
    /// Numbers measured on it, such as `clean`.
    pub metrics: BTreeMap<String, f64>,
}

impl Meta {
    /// As string metadata, together with the network's spec.
    pub fn to_map(&self, spec: &Spec) -> BTreeMap<String, String> {
        let join = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        let mut map: Vec<(&str, String)> = vec![
            ("format", FORMAT.into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("arch", spec.arch.clone()),
            ("classes", spec.classes.to_string()),
            ("input", spec.input.map(|x| x.to_string()).join("x")),
            ("mean", join(&spec.mean)),
            ("std", join(&spec.std)),
            ("bias", spec.bias.to_string()),
            ("steps", spec.steps.to_string()),
            ("leak", spec.leak.to_string()),
            ("reset", spec.reset.to_string()),
            ("dropout", spec.dropout.to_string()),
            ("seed", self.seed.to_string()),
            ("epoch", self.epoch.to_string()),
            ("raw_thresholds", join(&self.raw_thresholds)),
            ("metrics", self.metrics.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")),
        ];
        map.extend(self.dataset.clone().map(|dataset| ("dataset", dataset)));
        map.extend(self.recipe.clone().map(|recipe| ("recipe", recipe)));
        map.extend((self.validation > 0.0).then(|| ("validation", self.validation.to_string())));
        map.extend(self.scale.map(|scale| ("scale", scale.to_string())));
        map.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
    }

    /// Back from string metadata; keys that are not known are passed over. Errors: no checkpoint of ours, a newer format, a value
    /// that cannot be read.
    pub fn from_map(map: &BTreeMap<String, String>) -> Result<(Spec, Meta)> {
        let get = |key: &str| map.get(key).map(String::as_str);
        // Others write a format too: "pt" stands in many a state dict.
        let format = get("format").filter(|format| format.starts_with(FAMILY)).ok_or_else(|| {
            fail!(
                "no caltrop checkpoint (none of its formats in the metadata) but plain tensors; make one of a PyTorch state dict: \
                 caltrop import FILE --arch NAME --classes K --input CxHxW --out CHECKPOINT"
            )
        })?;
        let wrote = get("version").unwrap_or("of another version");
        ensure!(
            format == FORMAT,
            "checkpoint format {format}, written by caltrop {wrote}; this one, {}, reads {FORMAT}: use caltrop {wrote}",
            env!("CARGO_PKG_VERSION")
        );
        let parse = |key: &str| get(key).ok_or_else(|| fail!("the checkpoint's metadata lacks \"{key}\""));
        let input: Vec<usize> = numbers(parse("input")?, 'x', "input")?;
        let spec = Spec {
            arch: parse("arch")?.to_string(),
            classes: number(parse("classes")?, "classes")?,
            input: input.try_into().map_err(|_| fail!("the checkpoint's \"input\" is not CxHxW"))?,
            mean: numbers(parse("mean")?, ',', "mean")?,
            std: numbers(parse("std")?, ',', "std")?,
            bias: number(parse("bias")?, "bias")?,
            steps: number(parse("steps")?, "steps")?,
            leak: number(get("leak").unwrap_or("1"), "leak")?,
            reset: match get("reset") {
                None | Some("hard") => Reset::Hard,
                Some("soft") => Reset::Soft,
                Some(other) => return Err(fail!("the checkpoint's \"reset\" is \"{other}\"; hard and soft are known")),
            },
            dropout: number(get("dropout").unwrap_or("0"), "dropout")?,
        };
        let mut metrics = BTreeMap::new();
        for (key, value) in get("metrics").unwrap_or("").split(',').filter_map(|pair| pair.split_once('=')) {
            metrics.insert(key.to_string(), number(value, "metrics")?);
        }
        let meta = Meta {
            dataset: get("dataset").map(str::to_string),
            recipe: get("recipe").map(str::to_string),
            seed: number(get("seed").unwrap_or("0"), "seed")?,
            epoch: number(get("epoch").unwrap_or("0"), "epoch")?,
            validation: number(get("validation").unwrap_or("0"), "validation")?,
            raw_thresholds: numbers(get("raw_thresholds").unwrap_or(""), ',', "raw_thresholds")?,
            scale: get("scale").map(|scale| number(scale, "scale")).transpose()?,
            metrics,
        };
        ensure!((0.0..=0.5).contains(&meta.validation), "the checkpoint's \"validation\" is {}, not 0 to 0.5", meta.validation);
        Ok((spec, meta))
    }
}

fn number<T: std::str::FromStr>(text: &str, key: &str) -> Result<T> {
    text.trim().parse().map_err(|_| fail!("the checkpoint's \"{key}\" is \"{text}\", which cannot be read"))
}

fn numbers<T: std::str::FromStr>(text: &str, separator: char, key: &str) -> Result<Vec<T>> {
    text.split(separator).filter(|part| !part.trim().is_empty()).map(|part| number(part, key)).collect()
}
