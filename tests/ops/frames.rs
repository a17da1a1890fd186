//! The mean over steps, and one frame repeated.

use super::common::*;

#[test]
fn the_table_holds_on_every_device() {
    table("frames");
}
