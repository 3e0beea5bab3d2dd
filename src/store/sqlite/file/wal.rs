//! A look at a write-ahead log before SQLite opens it: whose it is, and whether anything was
//! written behind the place where it stops being readable.
//!
//! SQLite takes a log up to the first frame whose checksum is wrong, for that is what a crash leaves
//! of the last transaction (<https://sqlite.org/fileformat2.html#walformat>). A flipped bit looks
//! the same to it. But a commit is synced before the next begins, so whole transactions behind an
//! unreadable frame were acknowledged, and are lost by damage.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufReader, Read},
    path::Path,
};

use crate::regular;

/// What every frame of one log has; the first rises by one each time the log begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salts(u32, u32);

/// A log may have begun anew that often since it was last looked at.
const RENEWALS_MAX: u32 = 1_000;
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Bytes of a page of ours, and those that SQLite can have.
const PAGE: usize = 8_192;
const PAGES: std::ops::RangeInclusive<usize> = 512..=65_536;

impl fmt::Display for Salts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}{:08x}", self.0, self.1)
    }
}

impl Salts {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_at_checked(8)?;
        Some(Self(u32::from_str_radix(first, 16).ok()?, u32::from_str_radix(second, 16).ok()?))
    }

    /// Whether this log can have come of `earlier`.
    pub(crate) fn follows(self, earlier: Self) -> bool {
        self == earlier || (1..=RENEWALS_MAX).contains(&self.0.wrapping_sub(earlier.0))
    }
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Log {
    /// `None` when its header cannot be read: SQLite passes over such a log.
    pub(crate) salts: Option<Salts>,
    /// Transactions that SQLite will take.
    pub(crate) commits: u64,
    /// The first frame that cannot be read (0: the header), when whole transactions stand behind
    /// it, and how many.
    pub(crate) damage: Option<(u64, u64)>,
}

/// The log at `path`; `None` when there is none, or nothing in it.
pub(crate) fn look(path: &Path) -> io::Result<Option<Log>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let bytes = file.metadata()?.len();
    scan(BufReader::with_capacity(1 << 20, file), bytes)
}

/// Its salts alone.
pub(crate) fn salts(path: &Path) -> io::Result<Option<Salts>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? {
        return Ok(None);
    }
    Ok(Some(Salts(word(&header, 16), word(&header, 20))))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match regular::open(path, OpenOptions::new().read(true)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn scan(mut log: impl Read, bytes: u64) -> io::Result<Option<Log>> {
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let little = word(&header, 0) == 0x377f_0682;
    let page = word(&header, 8) as usize;
    let salts = Salts(word(&header, 16), word(&header, 20));
    let mut sum = checksum(little, (0, 0), &header[..24]);
    let known = little || word(&header, 0) == 0x377f_0683;
    if !known || sum != (word(&header, 24), word(&header, 28)) || !PAGES.contains(&page) {
        // All of them may be what a log of another time has left, or a hole.
        let frames = bytes.saturating_sub(HEADER as u64);
        let damage = (frames > 0).then_some((0, frames / (FRAME_HEADER + PAGE) as u64));
        return Ok(Some(Log { salts: None, commits: 0, damage }));
    }
    let mut found = Log { salts: Some(salts), commits: 0, damage: None };
    let mut frame = vec![0; FRAME_HEADER + page];
    let (mut number, mut broken, mut behind) = (0, 0, 0);
    while fill(&mut log, &mut frame)? {
        number += 1;
        let same = Salts(word(&frame, 8), word(&frame, 12)) == salts;
        let commit = word(&frame, 4) != 0;
        if broken == 0 {
            sum = checksum(little, sum, &frame[..8]);
            sum = checksum(little, sum, &frame[FRAME_HEADER..]);
            if same && sum == (word(&frame, 16), word(&frame, 20)) {
                found.commits += u64::from(commit);
                continue;
            }
            broken = number;
        }
        behind += u64::from(same && commit);
    }
    // One commit may be that of the transaction which the crash cut, written out of order.
    found.damage = (behind > 1).then_some((broken, behind));
    Ok(Some(found))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

fn checksum(little: bool, (mut one, mut two): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = if little { u32::from_le_bytes } else { u32::from_be_bytes };
    for [first, second] in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
        one = one.wrapping_add(word(*first)).wrapping_add(two);
        two = two.wrapping_add(word(*second)).wrapping_add(one);
    }
    (one, two)
}

/// Fills the whole of `bytes`; whether there were as many.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
