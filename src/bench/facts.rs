//! The circumstances of a measurement: no number without them.

use crate::device::Device;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who measured, on what, and when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// The device, in words.
    pub device: String,
    /// Precision of products.
    pub precision: String,
    /// The program's version.
    pub version: String,
    /// The commit that it was built from.
    pub commit: String,
    /// UTC, ISO 8601.
    pub date: String,
}

impl Facts {
    /// Of `device`, now.
    pub fn of(device: &Device) -> Facts {
        Facts {
            device: device.describe(),
            precision: device.precision().to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("CALTROP_COMMIT").into(),
            date: iso(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
        }
    }
}

/// Seconds since 1970 as a date (Hinnant, "chrono-compatible low-level date algorithms").
fn iso(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let rest = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * rest + 2) / 153; // months from March
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let date = rest - (153 * shifted + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn dates_are_the_calendar_s() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(iso(1_795_564_799), "2026-11-24T23:59:59Z");
    }
}
