//! The numbers as CSV.

use super::figures::TAKES;
use crate::record::Inside;
use std::fmt::Write;

/// A layer and take a line: extent, threshold, firing rate, silent and saturated shares, what the attack changed (all shares between
/// 0 and 1).
pub fn layers(inside: &Inside) -> String {
    let mut csv = String::from("layer,channels,height,width,v_th,input,rate,silent,saturated,flipped_spikes,changed_neurons\n");
    for layer in &inside.layers {
        let [channels, height, width] = layer.shape;
        for (take, (input, _)) in layer.takes.iter().zip(TAKES) {
            let change = layer.change.map_or(",".into(), |change| format!("{},{}", change.flipped, change.neurons));
            // Writing to a String cannot fail.
            let _ = writeln!(
                csv,
                "{},{channels},{height},{width},{},{input},{},{},{},{change}",
                layer.name,
                layer.v_th,
                take.rate(),
                take.silent(),
                take.saturated()
            );
        }
    }
    csv
}

/// A neuron of an image a line: its spikes, the step of the first one (empty: none), clean and attacked.
pub fn neurons(inside: &Inside) -> String {
    let mut csv = String::from("image,input,layer,x,y,c,spikes,first_spike\n");
    for image in &inside.images {
        for (take, (input, _)) in image.takes.iter().zip(TAKES) {
            for (layer, codes) in inside.layers.iter().zip(&take.spikes) {
                for neuron in 0..layer.shape.iter().product() {
                    let train = inside.train(codes, neuron);
                    let first = train.iter().position(|spike| *spike).map_or(String::new(), |t| (t + 1).to_string());
                    let [x, y, c] = layer.place(neuron);
                    let spikes = train.iter().filter(|spike| **spike).count();
                    let _ = writeln!(csv, "{},{input},{},{x},{y},{c},{spikes},{first}", image.id, layer.name);
                }
            }
        }
    }
    csv
}

/// A step of a chosen neuron a line: current x_t, membrane u_t before its reset, threshold, spike.
pub fn traces(inside: &Inside) -> String {
    let mut csv = String::from("image,input,layer,x,y,c,step,current,membrane,v_th,spike\n");
    for image in &inside.images {
        for course in &image.courses {
            let (layer, [x, y, c]) = (&inside.layers[course.layer], course.at);
            for (take, (input, _)) in course.takes.iter().zip(TAKES) {
                for (t, (current, u)) in take.x.iter().zip(&take.u).enumerate() {
                    let spike = u8::from(*u >= layer.v_th);
                    let _ = writeln!(csv, "{},{input},{},{x},{y},{c},{},{current},{u},{},{spike}", image.id, layer.name, t + 1, layer.v_th);
                }
            }
        }
    }
    csv
}
