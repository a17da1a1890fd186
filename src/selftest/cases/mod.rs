//! The case tables: awkward sizes of every op, and what of it is compared with which oracle under which bound.
//!
//! A bound is what float32 may lose and no more: it grows with the number of terms and the size of what is added.

mod ascent;
mod augment;
mod blend;
mod conv;
mod convex;
mod dropout;
mod flatten;
mod frames;
mod lif;
pub mod loss;
mod norm;
mod percentile;
mod pixel;
mod pool;
mod reduce;
mod relu;
mod sgd;

use super::sheet::Sheet;

/// An op and the function that writes the rows of its table.
pub type Table = (&'static str, fn(&mut Sheet));

/// The tables of all ops, and that of the wrappers.
pub const TABLES: [Table; 18] = [
    ("conv", conv::table),
    ("lif", lif::table),
    ("norm", norm::table),
    ("relu", relu::table),
    ("pool", pool::table),
    ("flatten", flatten::table),
    ("frames", frames::table),
    ("dropout", dropout::table),
    ("convex", convex::table),
    ("loss", loss::table),
    ("pixel", pixel::table),
    ("ascent", ascent::table),
    ("sgd", sgd::table),
    ("augment", augment::table),
    ("percentile", percentile::table),
    ("blend", blend::table),
    ("reduce", reduce::table),
    (super::CONFORM, super::conform::table),
];

/// A shape as people write it: 2x5x7x1x17.
fn by<const R: usize>(shape: &[usize; R]) -> String {
    crate::base::Shape::from(*shape).to_string()
}
