//! What an operation costs, as others measured it.

use crate::base::{Result, suggest, usage};

/// The energy of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// As typed; `own` where the numbers were typed.
    pub name: &'static str,
    /// Picojoules a multiply-accumulate.
    pub mac: f64,
    /// Picojoules an accumulation.
    pub ac: f64,
    /// Of what the numbers are made, and who measured them.
    pub source: &'static str,
}

/// The presets: a multiply-accumulate is a multiplication and an addition, an accumulation an addition.
///
/// # Source
/// M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: arithmetic in 45 nm at 0.9 V.
pub const PRESETS: [Prices; 5] = [
    Prices { name: "45nm", mac: 3.7 + 0.9, ac: 0.9, source: "45 nm, f32: 3.7 a multiplication, 0.9 an addition; Horowitz, ISSCC 2014" },
    Prices { name: "45nm-f16", mac: 1.1 + 0.4, ac: 0.4, source: "45 nm, f16: 1.1 a multiplication, 0.4 an addition; Horowitz, ISSCC 2014" },
    Prices {
        name: "45nm-int32",
        mac: 3.1 + 0.1,
        ac: 0.1,
        source: "45 nm, 32-bit integers: 3.1 a multiplication, 0.1 an addition; Horowitz, ISSCC 2014",
    },
    Prices {
        name: "45nm-int8",
        mac: 0.2 + 0.1,
        ac: 0.1,
        source: "45 nm, 8-bit integers summed in 32 bits: 0.2 a multiplication, 0.1 an addition; Horowitz, ISSCC 2014",
    },
    Prices {
        name: "45nm-int8-sum8",
        mac: 0.2 + 0.03,
        ac: 0.03,
        source: "45 nm, 8-bit integers summed in 8 bits: 0.2 a multiplication, 0.03 an addition; Horowitz, ISSCC 2014",
    },
];

impl Prices {
    /// The preset called `name`. Errors (usage): there is none.
    pub fn named(name: &str) -> Result<Prices> {
        let found = PRESETS.into_iter().find(|preset| preset.name == name);
        found.ok_or_else(|| usage!("--preset {name}: no such preset{}", suggest(name, PRESETS.map(|preset| preset.name))))
    }

    /// Numbers of one's own, in picojoules. Errors (usage): no positive numbers.
    pub fn own(mac: f64, ac: f64) -> Result<Prices> {
        for (flag, value) in [("--mac-pj", mac), ("--ac-pj", ac)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(usage!("{flag} {value}: must be a positive number of picojoules, such as 4.6"));
            }
        }
        Ok(Prices { name: "own", mac, ac, source: "as given" })
    }

    /// Picojoules of so many operations.
    pub fn energy(&self, macs: f64, acs: f64) -> f64 {
        self.mac * macs + self.ac * acs
    }
}
