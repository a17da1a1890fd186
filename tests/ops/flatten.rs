//! Pixels into features, and back.

use super::common::*;

#[test]
fn the_table_holds_on_every_device() {
    table("flatten");
}
