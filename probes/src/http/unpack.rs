//! Making one body out of another, in memory that is counted before it is taken.
//!
//! A small body is made at once. One that turns out larger is only measured the first time, in a
//! few KiB; then exactly its memory is asked for, and it is made. So what could be a bomb holds
//! next to nothing while it waits, and a body that is too large never has any memory.

use encoding_rs::Encoding;

use super::{
    charset::Converter,
    decode::Coding,
    unpacker::{Step, Unpacker, Weight},
};
use crate::{Budget, FailureKind, Held, budget::SLICE_BYTES};

/// What one step writes at most.
const STEP_BYTES: usize = 32 << 10;

/// A body up to this is made at once if there is memory.
const EAGER_BYTES: usize = 1 << 20;

/// One up to this is made at once in any case: with as much on the wire it fits a first slice.
const SMALL_BYTES: usize = (SLICE_BYTES - STEP_BYTES) / 2;

/// What undoing a coding takes itself, as long as it is light.
const WINDOW_BYTES: usize = 512 << 10;

/// What is to be done with a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    Unpack(Coding),
    Convert(&'static Encoding),
}

enum Work<'a> {
    Unpack(Unpacker<'a>),
    Convert(Converter<'a>),
}

impl<'a> Work<'a> {
    fn new(task: Task, weight: Weight, from: &'a [u8]) -> Self {
        match task {
            Task::Unpack(coding) => Self::Unpack(Unpacker::new(coding, weight, from)),
            Task::Convert(encoding) => Self::Convert(Converter::new(encoding, from)),
        }
    }

    fn step(&mut self, out: &mut [u8]) -> Result<Step, (FailureKind, String)> {
        let stepped = match self {
            Self::Unpack(unpacker) => unpacker.step(out),
            Self::Convert(converter) => converter.step(out),
        };
        stepped.map_err(|problem| (FailureKind::Malformed, problem))
    }

    fn trailing(&self) -> Option<String> {
        match self {
            Self::Unpack(unpacker) => unpacker.trailing(),
            Self::Convert(_) => None,
        }
    }
}

/// Does `task` with `from`, for which `from_held` bytes are held. Answers with the new body, for
/// which its capacity is held besides, and with what is odd.
pub(super) async fn make(
    task: Task,
    from: &[u8],
    from_held: usize,
    held: &mut Held,
    budget: &Budget,
    max: usize,
) -> Result<(Vec<u8>, Option<String>), (FailureKind, String)> {
    let mut scratch_held = from_held + STEP_BYTES;
    let mut small = EAGER_BYTES.min(max);
    if !held.grow_now(scratch_held + small + WINDOW_BYTES) {
        small = SMALL_BYTES.min(max);
        held.grow(scratch_held + small).await;
    }
    let mut scratch = vec![0; STEP_BYTES];
    let mut out = Vec::with_capacity(small);
    let mut work = Work::new(task, Weight::Light, from);
    let (mut bytes, mut turn) = (0, None);
    loop {
        match work.step(&mut scratch)? {
            Step::Wrote(more) => {
                bytes += more;
                if bytes > max {
                    let problem = format!("the answer is larger than {max} bytes when decoded");
                    return Err((FailureKind::TooLarge, problem));
                }
                if bytes <= small {
                    out.extend_from_slice(&scratch[..more]);
                } else if out.capacity() > 0 {
                    out = Vec::new();
                    held.shrink(scratch_held + WINDOW_BYTES);
                }
            }
            Step::End => break,
            Step::Large => {
                turn = budget.turn().await;
                work = Work::new(task, Weight::Large, from);
                bytes = 0;
                out.clear();
            }
        }
        if bytes > EAGER_BYTES && turn.is_none() {
            turn = budget.turn().await;
        }
        // A large body must not keep others from their work.
        tokio::task::yield_now().await;
    }
    let odd = work.trailing();
    drop((work, turn));
    if bytes <= small {
        if out.capacity() > 2 * out.len() {
            out.shrink_to_fit();
        }
        return Ok((out, odd));
    }
    scratch_held += bytes;
    held.grow(scratch_held).await;
    let _turn = budget.turn().await;
    let mut out = Vec::with_capacity(bytes);
    let mut work = Work::new(task, Weight::Large, from);
    while let Step::Wrote(more) = work.step(&mut scratch)? {
        out.extend_from_slice(&scratch[..more]);
        tokio::task::yield_now().await;
    }
    Ok((out, odd))
}
