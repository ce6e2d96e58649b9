//! The rows about backup and restore: how fast they stream, and what memory the kernel half needs for a
//! large tree over that for a small one.

use std::process::Command;
use std::time::{Duration, Instant};

use super::machine::Machine;
use super::tree::{Computed, empty, planted};

/// Keys of the tree that is streamed.
const STREAMED_KEYS: u32 = 20_000;
/// Keys of the two trees whose backups are compared.
const COMPARED_KEYS: [u32; 2] = [20_000, 80_000];
/// Transfers that a row takes at least and at most.
const TRANSFERS: std::ops::Range<u32> = 2..20;

/// Megabytes a second into a pipe, of the fastest backup: whatever else the machine does only makes it
/// slower.
pub fn backup_speed(time: Duration) -> Result<f64, String> {
    let full = Machine::new(Box::new(planted(STREAMED_KEYS)?))?;
    let mut stream = Vec::new();
    let backup = fastest(time, || {
        stream.clear();
        full.backup(|bytes| stream.extend_from_slice(bytes))
    })?;
    Ok(megabytes(&stream) / backup.as_secs_f64())
}

/// Megabytes a second out of a pipe, of the fastest restore.
pub fn restore_speed(time: Duration) -> Result<f64, String> {
    let full = Machine::new(Box::new(planted(STREAMED_KEYS)?))?;
    let mut stream = Vec::new();
    full.backup(|bytes| stream.extend_from_slice(bytes))?;
    drop(full);
    let target = Machine::new(Box::new(empty()))?;
    target.restore(&stream)?;
    // From now on each restore has what the one before it has left to remove.
    let restore = fastest(time, || target.restore(&stream))?;
    Ok(megabytes(&stream) / restore.as_secs_f64())
}

fn megabytes(stream: &[u8]) -> f64 {
    stream.len() as f64 / 1e6
}

fn fastest(
    time: Duration,
    mut transfer: impl FnMut() -> Result<(), String>,
) -> Result<Duration, String> {
    let began = Instant::now();
    let mut fastest = Duration::MAX;
    for round in 0..TRANSFERS.end {
        if round >= TRANSFERS.start && began.elapsed() >= time {
            break;
        }
        let began = Instant::now();
        transfer()?;
        fastest = fastest.min(began.elapsed());
    }
    Ok(fastest)
}

/// The high-water mark of a backup's memory with many keys over that with few, each in a process of its
/// own.
pub fn growth_of_memory() -> Result<f64, String> {
    let [small, large] = COMPARED_KEYS.map(high_water_in_process);
    Ok(large? / small?)
}

fn high_water_in_process(keys: u32) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["bench", "--high-water-of-backup", &keys.to_string()]);
    let output = command.output().map_err(|error| error.to_string())?;
    let figure = String::from_utf8_lossy(&output.stdout).trim().parse();
    figure.map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Backs a tree up that nobody holds, and says how many kilobytes this process has had at once.
pub fn high_water_of_backup(keys: u32) -> Result<u64, String> {
    Machine::new(Box::new(Computed::with_keys(keys)))?.backup(|_| {})?;
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.ok_or_else(|| "this system does not say how much memory a process has had".to_owned())
}
