//! Which GPUs and how much memory the machine has.

/// How many GPUs pods may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gpus {
    /// Those of the runner's own `CUDA_VISIBLE_DEVICES`, else those that the machine has. A pod that asks for none
    /// still sees them all, as a program in a shell does.
    #[default]
    Detect,
    /// So many. A pod that asks for none sees none.
    Count(usize),
}

/// Names of the GPUs that pods may use, as `CUDA_VISIBLE_DEVICES` calls them. `visible` is the runner's own value of that
/// variable, `devices` the indices of the machine's GPUs. PURE.
pub fn names(gpus: Gpus, visible: Option<&str>, devices: &[u32]) -> Vec<String> {
    let known: Vec<String> = match visible {
        // CUDA itself ignores everything from the first entry that is no device.
        Some(list) => {
            list.split(',').map(str::trim).take_while(|it| !it.is_empty() && *it != "-1").map(str::to_owned).collect()
        }
        None => devices.iter().map(u32::to_string).collect(),
    };
    match gpus {
        Gpus::Detect => known,
        // Whoever says how many there are knows better than we do.
        Gpus::Count(count) if known.len() < count => (0..count).map(|index| index.to_string()).collect(),
        Gpus::Count(count) => known.into_iter().take(count).collect(),
    }
}

/// Indices of the GPUs that the NVIDIA driver shows (`/dev/nvidia0` and so on), in order.
pub fn devices() -> Vec<u32> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut devices: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok()).collect();
    devices.sort_unstable();
    devices
}

/// Bytes of memory; where the system does not tell, so many that memory is no limit.
pub fn memory() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    total.map_or(1 << 50, |kib: i64| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_gpus_pods_may_use() {
        for (gpus, visible, devices, expected) in [
            (Gpus::Detect, None, &[][..], &[][..]),
            (Gpus::Detect, None, &[0, 1], &["0", "1"]),
            (Gpus::Detect, Some("3, GPU-7f"), &[0, 1], &["3", "GPU-7f"]),
            (Gpus::Detect, Some(""), &[0, 1], &[]),
            (Gpus::Detect, Some("-1"), &[0, 1], &[]),
            (Gpus::Detect, Some("1,-1,0"), &[0, 1], &["1"]),
            (Gpus::Count(0), None, &[0, 1], &[]),
            (Gpus::Count(1), None, &[4, 5], &["4"]),
            (Gpus::Count(2), Some("6,7,8"), &[], &["6", "7"]),
            (Gpus::Count(2), None, &[], &["0", "1"]),
            (Gpus::Count(2), Some("7"), &[], &["0", "1"]),
        ] {
            assert_eq!(names(gpus, visible, devices), expected, "{gpus:?} {visible:?} {devices:?}");
        }
        assert!(memory() > 0);
    }
}
