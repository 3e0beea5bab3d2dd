//! What the system says of this process, by the names that client libraries of Prometheus give it.

use std::{fs, time::Duration};

use super::Sample;
use crate::event::Micros;

/// The clock ticks of Linux in a second, as its files show them: the same on every architecture that it
/// shows them on (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known of the process at present; nothing where the system does not tell. `started` is when
/// it did.
#[must_use]
pub fn samples(started: Micros) -> Vec<Sample> {
    let seconds = Duration::from_micros(started.0.unsigned_abs()).as_secs_f64();
    let mut samples = vec![
        Sample::plain("start_time_seconds", seconds),
        Sample::plain("process_start_time_seconds", seconds),
    ];
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    samples.extend(of_stat(&stat));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = status_line(&status, "VmRSS:") {
        samples.push(Sample::plain("process_resident_memory_bytes", kib * 1_024.0));
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The one that counts them is not theirs.
        let count = u32::try_from(files.count().saturating_sub(1)).unwrap_or(u32::MAX);
        samples.push(Sample::plain("process_open_fds", f64::from(count)));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and 2^53 is enough")]
    samples.extend(limit.map(|limit| Sample::plain("process_max_fds", limit as f64)));
    samples
}

/// Processor time and threads (proc(5): fields 14, 15 and 20, counted behind the command in brackets).
fn of_stat(stat: &str) -> Vec<Sample> {
    let Some((_, behind)) = stat.rsplit_once(") ") else { return Vec::new() };
    let field = |number: usize| behind.split(' ').nth(number - 3)?.parse::<f64>().ok();
    let mut samples = Vec::new();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        samples.push(Sample::plain("process_cpu_seconds", (user + system) / TICKS_PER_SECOND));
    }
    samples.extend(field(20).map(|threads| Sample::plain("process_threads", threads)));
    samples
}

/// The number of a line.
fn status_line(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_have_brackets_and_blanks() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 12 0 100 1 2";
        let of = of_stat(stat);
        assert_eq!(of[0], Sample::plain("process_cpu_seconds", 3.0));
        assert_eq!(of[1], Sample::plain("process_threads", 12.0));
    }

    #[test]
    fn a_process_has_memory_and_files() {
        let samples = samples(Micros(1_500_000));
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
            let sample = samples.iter().find(|sample| sample.name == name);
            assert!(sample.is_some_and(|sample| sample.value > 1.0), "{name}: {samples:?}");
        }
        assert_eq!(samples[0], Sample::plain("start_time_seconds", 1.5));
    }
}
