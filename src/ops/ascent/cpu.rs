//! An ascent's memory on the CPU.

use super::{Ascent, Seen};
use crate::tensor::{Array, Tensor};

pub fn observe(ascent: &mut Ascent, values: &Tensor, right: &Array<u32>) -> Seen {
    let blank = || Array::zeros(values.device(), values.shape());
    let (mut improved, mut broken): (Array<u32>, Array<u32>) = (blank(), blank());
    let Ascent { open, alive, best, last, rises, .. } = ascent;
    let (alive, best, last, rises) = (alive.host_mut(), best.host_mut(), last.host_mut(), rises.host_mut());
    for (n, (&value, &right)) in values.host().iter().zip(right.host()).enumerate() {
        if value > best[n] {
            best[n] = value;
            improved.host_mut()[n] = 1;
        }
        rises[n] += u32::from(value > last[n]);
        last[n] = value;
        if right == 0 {
            alive[n] = 0;
            broken.host_mut()[n] = u32::from(open.host()[n] != 0);
        }
    }
    Seen { improved, broken }
}

pub fn check(ascent: &mut Ascent, few: u32) {
    let Ascent { best, at_check, rises, halved, steps, .. } = ascent;
    let (at_check, rises, halved, steps) = (at_check.host_mut(), rises.host_mut(), halved.host_mut(), steps.host_mut());
    for (n, &best) in best.host().iter().enumerate() {
        let stuck = halved[n] == 0 && at_check[n] >= best;
        let now = rises[n] <= few || stuck;
        if now {
            steps[n] *= 0.5;
        }
        (at_check[n], rises[n], halved[n]) = (best, 0, u32::from(now));
    }
}
