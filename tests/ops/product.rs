//! The dense core: an element's bits depend on its own row and column alone.

use super::common::*;
use caltrop::ops::conv;
use caltrop::ops::product::Weight;

/// (rows, depth, columns).
const CASES: [[usize; 3]; 9] =
    [[65, 37, 45], [9, 1, 33], [33, 1025, 7], [7, 128, 64], [31, 3, 1], [17, 9, 16], [64, 576, 31], [3, 4097, 65], [8, 32, 32]];

/// y of `rows` rows of x, and dx of `rows` rows of dy.
fn run(device: &Device, weight: &Weight, x: &[f64], dy: &[f64], [depth, columns]: [usize; 2]) -> [Vec<f32>; 2] {
    let rows = x.len() / depth;
    let shape = [rows, 1, 1, 1, depth];
    let y = conv::forward(&Data::Real(tensor(device, shape, x)), weight, None, 1, 0).unwrap();
    let dx = conv::backward_input(&tensor(device, [rows, 1, 1, 1, columns], dy), weight, shape.into(), 1, 0).unwrap();
    [y.to_vec(), dx.to_vec()]
}

fn whole(device: &Device, [rows, depth, columns]: [usize; 3]) -> (Weight, Vec<f64>, Vec<f64>, [Vec<f32>; 2]) {
    let (x, dy) = (random("x", rows * depth), random("dy", rows * columns));
    let weight = Weight::new(tensor(device, [columns, 1, 1, depth], &random("w", depth * columns)));
    let all = run(device, &weight, &x, &dy, [depth, columns]);
    (weight, x, dy, all)
}

#[test]
fn a_row_alone_has_the_bits_it_has_in_a_batch() {
    everywhere(&CASES, |device, &[rows, depth, columns]| {
        let (weight, x, dy, all) = whole(device, [rows, depth, columns]);
        for row in 0..rows {
            let [y, dx] = run(device, &weight, &x[row * depth..][..depth], &dy[row * columns..][..columns], [depth, columns]);
            let what = format!("row {row} of {rows}x{depth}x{columns} on {}", device.describe());
            same_bits(&what, &y, &all[0][row * columns..][..columns]);
            same_bits(&what, &dx, &all[1][row * depth..][..depth]);
        }
    });
}

#[test]
fn one_to_sixty_five_rows_have_the_same_bits() {
    everywhere(&CASES[..1], |device, &[rows, depth, columns]| {
        let (weight, x, dy, all) = whole(device, [rows, depth, columns]);
        for m in 1..=rows {
            let [y, dx] = run(device, &weight, &x[..m * depth], &dy[..m * columns], [depth, columns]);
            let what = format!("{m} rows on {}", device.describe());
            same_bits(&what, &y, &all[0][..m * columns]);
            same_bits(&what, &dx, &all[1][..m * depth]);
        }
    });
}

#[test]
fn a_column_alone_has_the_bits_it_has_in_a_matrix() {
    everywhere(&CASES, |device, &[rows, depth, columns]| {
        let (weight, x, dy, all) = whole(device, [rows, depth, columns]);
        for column in [0, columns / 2, columns - 1] {
            let one = weight.value().to_vec()[column * depth..][..depth].iter().map(|&w| f64::from(w)).collect::<Vec<_>>();
            let one = Weight::new(tensor(device, [1, 1, 1, depth], &one));
            let [y, _] = run(device, &one, &x, &dy[..rows], [depth, 1]);
            let want: Vec<f32> = all[0].iter().skip(column).step_by(columns).copied().collect();
            same_bits(&format!("column {column} of {rows}x{depth}x{columns} on {}", device.describe()), &y, &want);
        }
    });
}

#[test]
fn a_gradient_of_the_weight_has_the_same_bits_on_any_number_of_threads() {
    for rows in [1, 511, 1024, 5000] {
        let (x, dy) = (random("x", rows * 33), random("dy", rows * 40));
        let gradient = |threads: usize| {
            let device = Device::cpu(Some(threads)).unwrap();
            let (x, dy) = (tensor(&device, [rows, 1, 1, 1, 33], &x), tensor(&device, [rows, 1, 1, 1, 40], &dy));
            conv::backward_weight(&Data::Real(x), &dy, [40, 1, 1, 33].into(), 1, 0).unwrap().to_vec()
        };
        let one = gradient(1);
        for threads in [2, 3, 4] {
            same_bits(&format!("{rows} rows, {threads} threads"), &gradient(threads), &one);
        }
    }
}
