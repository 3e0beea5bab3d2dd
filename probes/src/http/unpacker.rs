//! Undoing one content coding, step by step and in bounded memory.

use std::io::{self, Read as _};

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper as _, StandardAlloc,
};
use flate2::{Decompress, FlushDecompress, Status, bufread::GzDecoder};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::decode::Coding;

/// What RFC 9659 allows a zstd window to be.
const ZSTD_WINDOW_MAX: u64 = 8 << 20;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes were written; there may be more.
    Wrote(usize),
    /// All was written before.
    End,
    /// Goes on with [`Weight::Large`] only, from the start.
    Large,
}

/// How much memory of its own undoing a coding may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Half a MiB.
    Light,
    /// What the largest window takes, and as much again while it grows: about 27 MiB.
    Large,
}

/// One coding being undone.
pub(super) struct Unpacker<'a> {
    coding: Coding,
    weight: Weight,
    state: State<'a>,
}

enum State<'a> {
    Gzip(Box<GzDecoder<&'a [u8]>>),
    Deflate(Box<Decompress>, &'a [u8]),
    Brotli(Box<Brotli>, &'a [u8]),
    Zstd(Box<Frames>, &'a [u8]),
    End(&'a [u8]),
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(coding: Coding, weight: Weight, body: &'a [u8]) -> Self {
        let state = match coding {
            Coding::Gzip => State::Gzip(Box::new(GzDecoder::new(body))),
            Coding::Zlib => State::Deflate(Box::new(Decompress::new(true)), body),
            Coding::Deflate => State::Deflate(Box::new(Decompress::new(false)), body),
            Coding::Brotli => {
                let room = || Room::new(weight);
                State::Brotli(Box::new(BrotliState::new(room(), room(), room())), body)
            }
            Coding::Zstd => State::Zstd(Box::default(), body),
        };
        Self { coding, weight, state }
    }

    /// Writes the next bytes into `out`, in a time that is bounded by its length.
    pub(super) fn step(&mut self, out: &mut [u8]) -> Result<Step, String> {
        let stepped = match &mut self.state {
            State::Gzip(decoder) => gunzip(decoder, out),
            State::Deflate(decoder, rest) => inflate(decoder, rest, out),
            State::Brotli(decoder, rest) => unbrotli(decoder, rest, out),
            State::Zstd(decoder, rest) => unzstd(decoder, self.weight, rest, out),
            State::End(_) => return Ok(Step::End),
        };
        let name = self.coding.name();
        match stepped {
            Ok(Progress::Wrote(bytes)) => Ok(Step::Wrote(bytes)),
            Ok(Progress::End) => {
                self.state = State::End(self.rest());
                Ok(Step::End)
            }
            Err(Broken::Large) if self.weight == Weight::Light => Ok(Step::Large),
            Err(Broken::Large) => {
                Err(format!("the answer is {name} that takes too much memory: expected less"))
            }
            Err(Broken::CutOff) => {
                Err(format!("the answer is {name} that is cut off: expected all of it"))
            }
            Err(Broken::Invalid(why)) => Err(format!("the answer is no valid {name}: {why}")),
        }
    }

    fn rest(&self) -> &'a [u8] {
        match &self.state {
            State::Gzip(decoder) => decoder.get_ref(),
            State::Deflate(_, rest)
            | State::Brotli(_, rest)
            | State::Zstd(_, rest)
            | State::End(rest) => rest,
        }
    }

    /// What came after the end, for a person.
    pub(super) fn trailing(&self) -> Option<String> {
        let rest = self.rest();
        let what = if rest.iter().all(|byte| *byte == 0) { "zero bytes" } else { "other bytes" };
        let (name, bytes) = (self.coding.name(), rest.len());
        (bytes > 0).then(|| format!("{bytes} {what} follow the {name} of the answer: left out"))
    }
}

enum Progress {
    Wrote(usize),
    End,
}

enum Broken {
    CutOff,
    Large,
    Invalid(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Invalid(error.to_string()),
        }
    }
}

/// Members may follow each other (RFC 1952, section 2.2).
fn gunzip(decoder: &mut GzDecoder<&[u8]>, out: &mut [u8]) -> Result<Progress, Broken> {
    let bytes = decoder.read(out)?;
    if bytes > 0 {
        return Ok(Progress::Wrote(bytes));
    }
    let rest = *decoder.get_ref();
    if rest.starts_with(&[0x1f, 0x8b]) {
        decoder.reset(rest);
        return Ok(Progress::Wrote(0));
    }
    Ok(Progress::End)
}

fn inflate(decoder: &mut Decompress, rest: &mut &[u8], out: &mut [u8]) -> Result<Progress, Broken> {
    let (read, wrote) = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(rest, out, FlushDecompress::None)
        .map_err(|error| Broken::Invalid(error.to_string()))?;
    let read = usize::try_from(decoder.total_in() - read).unwrap_or(usize::MAX);
    let wrote = usize::try_from(decoder.total_out() - wrote).unwrap_or(0);
    *rest = rest.get(read..).unwrap_or_default();
    match status {
        _ if wrote > 0 => Ok(Progress::Wrote(wrote)),
        Status::StreamEnd => Ok(Progress::End),
        _ if rest.is_empty() => Err(Broken::CutOff),
        _ if read > 0 => Ok(Progress::Wrote(0)),
        _ => Err(Broken::Invalid("it does not go on".into())),
    }
}

fn unbrotli(decoder: &mut Brotli, rest: &mut &[u8], out: &mut [u8]) -> Result<Progress, Broken> {
    let (mut left, mut read, mut room, mut wrote) = (rest.len(), 0, out.len(), 0);
    let result = BrotliDecompressStream(
        &mut left, &mut read, rest, &mut room, &mut wrote, out, &mut 0, decoder,
    );
    *rest = rest.get(read..).unwrap_or_default();
    match result {
        BrotliResult::ResultFailure if decoder.alloc_u8.refused || decoder.alloc_hc.refused => {
            Err(Broken::Large)
        }
        BrotliResult::ResultFailure => Err(Broken::Invalid("its bytes are none".into())),
        _ if wrote > 0 => Ok(Progress::Wrote(wrote)),
        BrotliResult::ResultSuccess => Ok(Progress::End),
        BrotliResult::NeedsMoreInput if rest.is_empty() => Err(Broken::CutOff),
        _ if read > 0 => Ok(Progress::Wrote(0)),
        _ => Err(Broken::Invalid("it does not go on".into())),
    }
}

type Brotli = BrotliState<Room, Room, Room>;

/// Memory that refuses to be more than it may: a brotli window is taken on the word of a few bytes.
struct Room {
    left: usize,
    refused: bool,
}

impl Room {
    const fn new(weight: Weight) -> Self {
        let left = match weight {
            Weight::Light => 320 << 10,
            Weight::Large => 27 << 20,
        };
        Self { left, refused: false }
    }
}

impl<T: Clone + Default> Allocator<T> for Room {
    type AllocatedMemory = <StandardAlloc as Allocator<T>>::AllocatedMemory;

    fn alloc_cell(&mut self, len: usize) -> Self::AllocatedMemory {
        let bytes = len.saturating_mul(size_of::<T>());
        let Some(left) = self.left.checked_sub(bytes) else {
            self.refused = true;
            return Self::AllocatedMemory::default();
        };
        self.left = left;
        StandardAlloc::default().alloc_cell(len)
    }

    fn free_cell(&mut self, cell: Self::AllocatedMemory) {
        self.left += size_of_val(cell.slice());
    }
}

/// Zstd frames, one after the other.
#[derive(Default)]
struct Frames {
    frame: FrameDecoder,
    /// Of those that ended.
    blocks: usize,
}

/// A block is at most 128 KiB (RFC 8878, section 3.1.1.2), and is kept until the window is full.
const LIGHT_BLOCKS_MAX: usize = 2;

/// Frames may follow each other, and some are to be skipped (RFC 8878, section 3.1).
fn unzstd(
    frames: &mut Frames,
    weight: Weight,
    rest: &mut &[u8],
    out: &mut [u8],
) -> Result<Progress, Broken> {
    let broken = |error: FrameDecoderError, rest: &[u8]| match rest {
        [] => Broken::CutOff,
        _ => Broken::Invalid(error.to_string()),
    };
    let decoder = &mut frames.frame;
    if decoder.can_collect() > 0 {
        return Ok(Progress::Wrote(decoder.read(out)?));
    }
    // One that has not begun counts as finished.
    if !decoder.is_finished() {
        if weight == Weight::Light && frames.blocks + decoder.blocks_decoded() >= LIGHT_BLOCKS_MAX {
            return Err(Broken::Large);
        }
        decoder
            .decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|error| broken(error, rest))?;
        return Ok(Progress::Wrote(0));
    }
    // Of the frame that ended, and once all of it was taken.
    let sum = decoder.get_checksum_from_data();
    if sum.is_some() && sum != decoder.get_calculated_checksum() {
        return Err(Broken::Invalid("its checksum differs".into()));
    }
    if Coding::by_magic(rest) != Some(Coding::Zstd) {
        return Ok(Progress::End);
    }
    // A decoder that is used again takes the whole window at once; a new one as it fills.
    frames.blocks += decoder.blocks_decoded();
    *decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW_MAX);
    match decoder.reset(&mut *rest) {
        Ok(()) => {}
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
            length,
            ..
        })) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            *rest = rest.get(length..).ok_or(Broken::CutOff)?;
        }
        Err(error) => return Err(broken(error, rest)),
    }
    Ok(Progress::Wrote(0))
}
