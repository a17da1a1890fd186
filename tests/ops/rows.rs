//! Rows of arrays: cut out, picked, put together.

use super::common::*;
use caltrop::tensor::Array;

/// Shapes of every rank that has rows.
const CASES: [&[usize]; 6] = [&[1], &[7], &[5, 3], &[2, 9, 9, 1], &[31, 1, 2, 1], &[9, 4, 5, 2, 3]];

fn counted(device: &Device, shape: &[usize]) -> (Array<i32>, Vec<i32>, usize) {
    let values: Vec<i32> = (0..shape.iter().product::<usize>() as i32).collect();
    let row = values.len() / shape[0];
    (Array::from_slice(device, caltrop::base::Shape::new(shape), &values), values, row)
}

#[test]
fn a_slice_is_the_rows_of_its_range() {
    everywhere(&CASES, |device, shape| {
        let (x, values, row) = counted(device, shape);
        let n = shape[0];
        for (from, to) in [(0, n), (0, n / 2), (n / 2, n), (n / 3, n - n / 3), (n, n)] {
            let part = x.slice(from..to);
            assert_eq!((part.shape()[0], &part.shape().extents()[1..]), (to - from, &shape[1..]));
            assert_eq!(part.to_vec(), values[from * row..to * row], "{from}..{to} of {shape:?}");
        }
    });
}

#[test]
fn picked_rows_come_in_the_order_they_are_named() {
    everywhere(&CASES, |device, shape| {
        let (x, values, row) = counted(device, shape);
        let n = shape[0];
        for rows in [vec![], vec![0], vec![n - 1, 0, n / 2, 0], (0..n).rev().collect()] {
            let some = x.gather(&rows);
            let want: Vec<i32> = rows.iter().flat_map(|&i| values[i * row..(i + 1) * row].to_vec()).collect();
            assert_eq!((some.shape()[0], &some.shape().extents()[1..]), (rows.len(), &shape[1..]));
            assert_eq!(some.to_vec(), want, "{rows:?} of {shape:?}");
        }
    });
}

#[test]
fn joined_slices_are_the_whole() {
    everywhere(&CASES, |device, shape| {
        let (x, values, _) = counted(device, shape);
        let n = shape[0];
        for size in 1..=n {
            let parts: Vec<_> = (0..n).step_by(size).map(|at| x.slice(at..(at + size).min(n))).collect();
            let whole = Array::joined(&parts);
            assert_eq!((whole.shape(), whole.to_vec()), (x.shape(), values.clone()), "{shape:?} by {size}");
        }
    });
}

#[test]
fn writing_a_part_leaves_the_whole_alone() {
    let device = devices::first();
    let x = tensor(&device, [2], &[0.01, 0.02]);
    for mut part in [x.slice(0..2), x.slice(0..1), x.gather(&[0, 1]), Tensor::joined(std::slice::from_ref(&x))] {
        caltrop::ops::sgd::at_least(&mut part, 1.0);
        assert!(part.to_vec().iter().all(|&v| v == 1.0));
        assert_eq!(x.to_vec(), [0.01, 0.02]);
    }
}
