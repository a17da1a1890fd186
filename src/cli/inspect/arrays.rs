//! Everything as arrays, in PyTorch's order of axes.

use crate::checkpoint::{Kind, Named, channels_first};
use crate::probe::{Samples, Sites, Snapshot};
use crate::record::Inside;

/// What becomes arrays, image by image.
pub struct Arrays {
    /// Of each take every layer.
    takes: [Vec<Stacks>; 2],
}

impl Arrays {
    /// Of the layers `sites`, over so many steps, without an image.
    pub fn new(sites: &Sites, steps: usize) -> Arrays {
        let layers = || sites.all().iter().map(|site| Stacks::new(site.shape, steps)).collect();
        Arrays { takes: [layers(), layers()] }
    }

    /// One image more: what it caused clean and, if there is an attack, attacked.
    pub fn push(&mut self, takes: &[&Snapshot]) {
        for (layers, snapshot) in self.takes.iter_mut().zip(takes) {
            layers.iter_mut().zip(&snapshot.layers).for_each(|(stacks, inner)| stacks.push(&inner.x, &inner.u, inner.v_th));
        }
    }

    /// `images` `[N,C,H,W]`, `ids`, `labels`, `logits_t` `[T,N,K]`, `LAYER.v_th`, and of every layer `LAYER.spikes` (u8),
    /// `LAYER.current` and `LAYER.membrane` (before its reset) `[T,N,C,H,W]`; of the adversarial images the same behind
    /// `adversarial.`.
    pub fn named(self, samples: &Samples, inside: &Inside) -> Vec<Named> {
        let (n, steps, [height, width, channels]) = (samples.len(), inside.steps, samples.extent);
        let mut named: Vec<Named> =
            vec![("ids".into(), vec![n], Kind::Integers(samples.ids.iter().map(|&id| i64::try_from(id).unwrap_or(i64::MAX)).collect()))];
        if let Some(labels) = &samples.labels {
            named.push(("labels".into(), vec![n], Kind::Integers(labels.iter().map(|&label| i64::from(label)).collect())));
        }
        for layer in &inside.layers {
            named.push((format!("{}.v_th", layer.name), vec![], Kind::Floats(vec![layer.v_th])));
        }
        let prefixes = ["", "adversarial."].into_iter().take(1 + usize::from(inside.attack.is_some()));
        for ((take, prefix), layers) in prefixes.enumerate().zip(self.takes) {
            let images: Vec<f32> = inside.images.iter().flat_map(|image| image.takes[take].pixels.clone()).collect();
            named.push((
                format!("{prefix}images"),
                vec![n, channels, height, width],
                Kind::Floats(channels_first(&images, channels, height * width)),
            ));
            let classes = inside.classes.len();
            let step = |t: usize| inside.images.iter().flat_map(move |image| &image.takes[take].logits[t * classes..(t + 1) * classes]);
            named.push((format!("{prefix}logits_t"), vec![steps, n, classes], Kind::Floats((0..steps).flat_map(step).copied().collect())));
            for (seen, stacks) in inside.layers.iter().zip(layers) {
                let [channels, height, width] = seen.shape;
                let shape = || vec![steps, n, channels, height, width];
                let name = |what: &str| format!("{prefix}{}.{what}", seen.name);
                named.push((name("spikes"), shape(), Kind::Bytes(stacks.spikes.concat())));
                named.push((name("current"), shape(), Kind::Floats(stacks.x.concat())));
                named.push((name("membrane"), shape(), Kind::Floats(stacks.u.concat())));
            }
        }
        named
    }
}

/// A layer's numbers, step by step `[n,C,H,W]`.
struct Stacks {
    /// Channels, and pixels of each.
    extent: [usize; 2],
    spikes: Vec<Vec<u8>>,
    x: Vec<Vec<f32>>,
    u: Vec<Vec<f32>>,
}

impl Stacks {
    fn new([channels, height, width]: [usize; 3], steps: usize) -> Stacks {
        Stacks {
            extent: [channels, height * width],
            spikes: vec![Vec::new(); steps],
            x: vec![Vec::new(); steps],
            u: vec![Vec::new(); steps],
        }
    }

    /// One image more: x and u are `[H,W,T,C]`.
    fn push(&mut self, x: &[f32], u: &[f32], v_th: f32) {
        let ([channels, pixels], steps) = (self.extent, self.x.len());
        let step = |values: &[f32], t: usize| {
            let at = |pixel: usize| &values[(pixel * steps + t) * channels..(pixel * steps + t + 1) * channels];
            channels_first(&(0..pixels).flat_map(at).copied().collect::<Vec<_>>(), channels, pixels)
        };
        for t in 0..steps {
            let u = step(u, t);
            // u_t reaches the threshold exactly where the neuron fires (ops::lif::membranes).
            self.spikes[t].extend(u.iter().map(|&u| u8::from(u >= v_th)));
            self.x[t].extend(step(x, t));
            self.u[t].extend(u);
        }
    }
}
