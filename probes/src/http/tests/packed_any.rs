//! Any bytes, in any pieces: nothing panics, and the pieces do not matter.

use bytes::Bytes;
use proptest::{prelude::*, sample};

use super::{
    super::{
        decode::Coding,
        limits::Limits,
        unpacker::{Step, Unpacker, Weight},
    },
    packing::{brotli, brotli_page, deflate, gzip, page, read, utf_16, zlib, zstd},
};

const LABELS: [&str; 8] =
    ["", "gzip", "deflate", "br", "zstd", "gzip, br", "utf-8", "deflate, zstd"];
const TYPES: [&str; 6] = [
    "",
    "a/b",
    "a/b; charset=utf-8",
    "a/b; charset=latin1",
    "a/b;charset=utf-16",
    "a/b;charset=gbk",
];

/// A text, packed in some way or other, and then perhaps spoilt.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        any::<String>().prop_map(String::into_bytes),
        any::<String>().prop_map(|text| utf_16(&format!("[{text}"), true)),
        (0_usize..300_000).prop_map(|bytes| vec![b'1'; bytes]),
    ];
    let packed = (text, 0_u8..8, 0_u8..8).prop_map(|(text, inner, outer)| {
        [inner, outer].iter().fold(text, |body, coding| match coding {
            0 => gzip(&body),
            1 => zlib(&body),
            2 => deflate(&body),
            3 => brotli(&body),
            4 => zstd(&body),
            _ => body,
        })
    });
    let spoilt = prop::collection::vec((any::<sample::Index>(), any::<u8>()), 0..3);
    (packed, spoilt, any::<sample::Index>(), 0_u8..4).prop_map(|(mut body, spoilt, cut, how)| {
        if !body.is_empty() && how < 2 {
            for (at, byte) in spoilt {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if how == 0 {
                body.truncate(cut.index(body.len()));
            }
        }
        body
    })
}

/// What a decoder gives, by steps of this many bytes.
fn unpacked(
    coding: Coding,
    body: &[u8],
    step_bytes: usize,
) -> (Vec<u8>, Result<Option<String>, String>) {
    let (mut unpacker, mut scratch) =
        (Unpacker::new(coding, Weight::Light, body), vec![0; step_bytes]);
    let mut out = Vec::new();
    while out.len() < 1 << 20 {
        match unpacker.step(&mut scratch) {
            Ok(Step::Wrote(bytes)) => out.extend_from_slice(&scratch[..bytes]),
            Ok(Step::Large) => {
                out.clear();
                unpacker = Unpacker::new(coding, Weight::Large, body);
            }
            Ok(Step::End) => return (out, Ok(unpacker.trailing())),
            Err(problem) => return (out, Err(problem)),
        }
    }
    out.truncate(1 << 20);
    (out, Ok(None))
}

#[test]
fn a_page_of_a_real_compressor_is_unpacked() {
    let page = page().into_bytes();
    assert_eq!(unpacked(Coding::Brotli, &brotli_page(), 100), (page, Ok(None)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Each decoder with a page that was spoilt, and with bytes of no sense: it ends, without a
    /// panic, and how it is asked changes nothing.
    #[test]
    fn no_bytes_break_a_decoder(
        which in 0_usize..5,
        spoilt in prop::collection::vec((any::<sample::Index>(), any::<u8>()), 0..4),
        cut in any::<sample::Index>(),
        cuts in any::<bool>(),
        junk in prop::collection::vec(any::<u8>(), 0..100),
        only_junk in prop::bool::weighted(0.2),
        step_bytes in 1_usize..3_000,
    ) {
        let page = page().into_bytes();
        let (coding, mut body) = match which {
            0 => (Coding::Gzip, gzip(&page)),
            1 => (Coding::Zlib, zlib(&page)),
            2 => (Coding::Deflate, deflate(&page)),
            3 => (Coding::Brotli, brotli_page()),
            _ => (Coding::Zstd, zstd(&page)),
        };
        let whole = spoilt.is_empty() && !cuts && !only_junk;
        if only_junk {
            body.truncate(4);
            body.extend_from_slice(&junk);
        }
        for (at, byte) in spoilt {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if cuts {
            body.truncate(cut.index(body.len()));
        }
        let (out, end) = unpacked(coding, &body, 32 << 10);
        if whole {
            prop_assert_eq!((&out, &end), (&page, &Ok(None)));
        }
        let (out_again, end_again) = unpacked(coding, &body, step_bytes);
        prop_assert_eq!(&end, &end_again);
        // How far a broken one came is told by the larger steps at least as well.
        if end.is_ok() {
            prop_assert_eq!(out, out_again);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn pieces_change_nothing(
        body in bodies(),
        cuts in prop::collection::vec(any::<sample::Index>(), 0..6),
        label in sample::select(&LABELS[..]),
        kind in sample::select(&TYPES[..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let limits =
            Limits { wire_bytes_max: 150_000, decoded_bytes_max: 250_000, ..Limits::default() };
        let headers: Vec<(&str, &str)> = [("content-encoding", label), ("content-type", kind)]
            .into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let body = Bytes::from(body);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        places.extend([0, body.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| body.slice(pair[0]..pair[1])).collect();
        let told = |frames| runtime.block_on(read(&headers, frames, None, &limits))
            .map(|answer| (answer.body, answer.warnings))
            .map_err(|fault| (fault.kind, fault.problem, fault.seen.map(|seen| seen.bytes)));
        let whole = told(vec![body.clone()]);
        if let Ok((text, _)) = &whole {
            prop_assert!(std::str::from_utf8(text).is_ok());
        }
        let in_pieces = told(pieces);
        // How much had come when it was too much depends on the pieces.
        if let (Err((kind, said, _)), Err((other, told, _))) = (&whole, &in_pieces) {
            prop_assert_eq!((kind, said), (other, told));
        } else {
            prop_assert_eq!(whole, in_pieces);
        }
    }
}
