//! The mean over steps, and one frame repeated.

use super::common::*;
use caltrop::ops::frames;

#[test]
fn the_table_holds_on_every_device() {
    table("frames");
}
