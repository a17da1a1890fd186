//! Pixels into features, and back.

use super::common::*;
use caltrop::base::Shape;
use caltrop::ops::flatten;

#[test]
fn the_table_holds_on_every_device() {
    table("flatten");
}
