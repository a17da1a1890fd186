//! The most memory that was in use.

use super::Device;
use crate::base::Result;

/// Watches the memory of one device.
pub struct Peak {
    device: Device,
}

impl Peak {
    /// From now on (on Linux the process's high-water mark is lowered to what is in use).
    pub fn from_now(device: &Device) -> Peak {
        // Where this is not allowed, the mark is that of the whole process.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Peak { device: device.clone() }
    }

    /// Bytes: of the process on the CPU (None where the system does not tell), in use on a GPU, whose pool never shrinks
    /// while memory is left (None on the emulated one, which has no limit of its own).
    pub fn bytes(&self) -> Result<Option<u64>> {
        match &self.device {
            Device::Cpu(_) => Ok(std::fs::read_to_string("/proc/self/status").ok().and_then(|status| high_water(&status))),
            Device::Gpu(gpu) => gpu.launcher().memory().map(|memory| (memory.total < u64::MAX).then(|| memory.total - memory.free)),
        }
    }
}

/// VmHWM of /proc/self/status, which is in kB.
fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(super::high_water("VmPeak:\t 9 kB\nVmHWM:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(super::high_water("nothing"), None);
    }
}
