//! CPU time and memory of a process, from `/proc`.

use std::time::Duration;

/// `USER_HZ`, which Linux has fixed at 100 for everything it tells in ticks.
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all threads, also those that have ended.
    pub cpu: Duration,
    pub resident_mb: f64,
    pub peak_mb: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // After the command's name in brackets, which may hold spaces: state is the first field.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = |index: usize| fields.split(' ').nth(index).unwrap().parse::<u32>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mb = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            let kib = line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap();
            kib * 1024.0 / 1e6
        };
        Self {
            cpu: TICK * (ticks(11) + ticks(12)),
            resident_mb: mb("VmRSS:"),
            peak_mb: mb("VmHWM:"),
        }
    }

    pub fn threads(pid: u32) -> usize {
        std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
    }
}
