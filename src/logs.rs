//! Log lines to stderr, by a thread of their own: whoever logs never waits for a reader, and what
//! cannot be written is dropped and counted.

use std::{
    io::{self, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written; more are dropped.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Where log lines go. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Logs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There are lines to write, or all are written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether lines are being written that do not wait any more.
    is_writing: bool,
    dropped: Counter,
    /// How many of them were told in the log.
    told: u64,
}

impl Logs {
    /// Writes to `to`, as stderr.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(to: impl Write + Send + 'static) -> io::Result<Self> {
        let logs = Self::default();
        let writer = logs.clone();
        thread::Builder::new().name("log".into()).spawn(move || writer.write_on(to))?;
        Ok(logs)
    }

    /// Adds a line, or drops it when too many wait.
    pub fn line(&self, line: &str) {
        let mut state = self.state();
        if state.waiting.len() + line.len() < WAITING_BYTES_MAX {
            state.waiting.extend_from_slice(line.as_bytes());
            if !line.ends_with('\n') {
                state.waiting.push(b'\n');
            }
            self.0.changed.notify_all();
        } else {
            state.dropped.inc();
        }
    }

    /// Waits until everything is written, or dropped, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let _ = self.0.changed.wait_while_for(&mut self.state(), is_busy, limit);
    }

    /// Counts what was and will be dropped by this counter.
    pub fn count_by(&self, counter: Counter) {
        let mut state = self.state();
        counter.inc_by(state.dropped.get());
        state.dropped = counter;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// Writes for as long as the process lives.
    fn write_on(self, mut to: impl Write) {
        loop {
            let is_idle = |state: &mut State| state.waiting.is_empty();
            let mut state = self.state();
            self.0.changed.wait_while(&mut state, is_idle);
            state.is_writing = true;
            let lines = std::mem::take(&mut state.waiting);
            drop(state);
            let written = to.write_all(&lines).and_then(|()| to.flush());
            let lost = self.wrote(&lines, written.is_ok());
            if lost > 0 {
                tracing::warn!(
                    event = "log.dropped",
                    lines = lost,
                    "log lines were dropped: stderr could not be written"
                );
            }
            self.state().is_writing = false;
            self.0.changed.notify_all();
        }
    }

    /// Accounts for lines that were written or not; how many were dropped before and not told yet.
    fn wrote(&self, lines: &[u8], is_written: bool) -> u64 {
        let mut state = self.state();
        if !is_written {
            let lost = lines.split(|byte| *byte == b'\n').count() - 1;
            state.dropped.inc_by(lost as u64);
            return 0;
        }
        let dropped = state.dropped.get();
        dropped - std::mem::replace(&mut state.told, dropped)
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { logs: self.clone(), text: Vec::new() }
    }
}

/// One line on its way.
#[derive(Debug)]
pub struct Line {
    logs: Logs,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.logs.line(&String::from_utf8_lossy(&self.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// Takes what it may, and says what it was given.
    struct Reader {
        may: mpsc::Receiver<io::Result<()>>,
        given: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.given.send(String::from_utf8_lossy(text).into_owned());
            self.may.recv().unwrap_or(Ok(()))?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_counted() {
        let (allow, may) = mpsc::channel();
        let (given, taken) = mpsc::channel();
        let logs = Logs::to(Reader { may, given }).unwrap();
        logs.line("one");
        assert_eq!(taken.recv_timeout(LONG).unwrap(), "one\n");
        // Nobody reads: nobody who logs waits.
        let line = "x".repeat(1 << 10);
        (0..2_000).for_each(|_| logs.line(&line));
        let counter = Counter::default();
        logs.count_by(counter.clone());
        assert!((900..=1_000).contains(&counter.get()), "{}", counter.get());
        // The reader has gone away.
        allow.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        assert!(taken.recv_timeout(LONG).unwrap().len() > 1_000_000);
        allow.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        logs.flush(LONG);
        assert_eq!(counter.get(), 2_001);
        drop(allow);
        logs.line("two\n");
        assert_eq!(taken.recv_timeout(LONG).unwrap(), "two\n");
        logs.flush(LONG);
        assert_eq!(counter.get(), 2_001);
    }
}
