//! How packed bodies are read whatever their labels say: a table.

use super::packing::{
    MALFORMED, NONE, Right::Text, TEXT, TOO_LARGE, brotli, deflate, gzip, hold, joined, utf_16,
    zlib, zstd,
};

#[tokio::test]
async fn labels_that_are_no_coding_are_read_as_they_are() {
    let plain = || TEXT.as_bytes().to_vec();
    let no_coding: &[&str] = &["which is no coding: read as it is"];
    hold(
        vec![
            (NONE, plain(), Text(TEXT, &[])),
            (NONE, Vec::new(), Text("", &[])),
            (NONE, b"[]".to_vec(), Text("[]", &[])),
            (&[("content-encoding", "")], plain(), Text(TEXT, &[])),
            (&[("content-encoding", "identity")], plain(), Text(TEXT, &[])),
            (&[("content-encoding", "Identity, identity")], plain(), Text(TEXT, &[])),
            (
                &[("content-encoding", "UTF-8")],
                plain(),
                Text(TEXT, &["the answer says `content-encoding: UTF-8`, which is no coding: read as it is"]),
            ),
            (&[("content-encoding", "none")], plain(), Text(TEXT, no_coding)),
            (&[("content-encoding", "binary")], plain(), Text(TEXT, no_coding)),
            (&[("content-encoding", "application/json")], plain(), Text(TEXT, no_coding)),
            (&[("content-encoding", "\"\"")], plain(), Text(TEXT, &[])),
            (&[("content-encoding", "aes128gcm")], b"\x00\xff\xee".to_vec(), MALFORMED(&["`content-encoding: aes128gcm`", "at byte 1"])),
            // Announced, and undone by somebody on the way.
            (&[("content-encoding", "gzip")], plain(), Text(TEXT, &["`content-encoding: gzip`, but the body is not"])),
            (&[("content-encoding", "GZIP")], plain(), Text(TEXT, &["GZIP"])),
            (&[("content-encoding", "deflate")], plain(), Text(TEXT, &["deflate"])),
            (&[("content-encoding", "br")], plain(), Text(TEXT, &["br"])),
            (&[("content-encoding", "zstd")], plain(), Text(TEXT, &["zstd"])),
            (&[("content-encoding", "gzip, br")], plain(), Text(TEXT, &["br", "gzip"])),
            (&[("content-encoding", "br")], b" \n{}".to_vec(), Text(" \n{}", &["br"])),
            (&[("content-encoding", "br")], b"<html>".to_vec(), Text("<html>", &["br"])),
            (&[("content-encoding", "gzip")], Vec::new(), Text("", &[])),
        ],
        None,
    )
    .await;
}

#[tokio::test]
async fn packed_bodies_are_unpacked_announced_or_not() {
    let t = TEXT.as_bytes();
    let unsaid: &[&str] = &["although no `content-encoding` says so: unpacked"];
    hold(
        vec![
            (&[("content-encoding", "gzip")], gzip(t), Text(TEXT, &[])),
            (&[("content-encoding", "x-gzip")], gzip(t), Text(TEXT, &[])),
            (&[("content-encoding", " GZip ")], gzip(t), Text(TEXT, &[])),
            (NONE, gzip(t), Text(TEXT, unsaid)),
            (&[("content-encoding", "identity")], gzip(t), Text(TEXT, unsaid)),
            (&[("content-encoding", "utf-8")], gzip(t), Text(TEXT, &["no coding", "says so"])),
            (&[("content-encoding", "gzip")], gzip(&gzip(t)), Text(TEXT, unsaid)),
            (&[("content-encoding", "gzip, gzip")], gzip(&gzip(t)), Text(TEXT, &[])),
            (
                &[("content-encoding", "gzip"), ("content-encoding", "br")],
                brotli(&gzip(t)),
                Text(TEXT, &[]),
            ),
            (&[("content-encoding", "gzip, br")], brotli(&gzip(t)), Text(TEXT, &[])),
            (&[("content-encoding", "br, gzip")], gzip(&brotli(t)), Text(TEXT, &[])),
            (&[("content-encoding", "zstd, br, gzip")], gzip(&brotli(&zstd(t))), Text(TEXT, &[])),
            (
                &[("content-encoding", "gzip, gzip, gzip, gzip")],
                gzip(&gzip(&gzip(&gzip(t)))),
                MALFORMED(&["more than 3 times"]),
            ),
            (NONE, gzip(&gzip(&gzip(&gzip(t)))), MALFORMED(&["more than 3 times"])),
            (&[("content-encoding", "deflate")], zlib(t), Text(TEXT, &[])),
            (&[("content-encoding", "deflate")], deflate(t), Text(TEXT, &[])),
            (&[("content-encoding", "zlib")], zlib(t), Text(TEXT, &[])),
            (&[("content-encoding", "deflate")], gzip(t), Text(TEXT, &["deflate", "says so"])),
            (&[("content-encoding", "br")], brotli(t), Text(TEXT, &[])),
            (
                &[("content-encoding", "br")],
                b"\x1b\x13\x00\x00\xa4\xb0\xb2\xea\x81\x47\x02\x8a".to_vec(),
                Text("XXXXXXXXXXYYYYYYYYYY", &[]),
            ),
            (&[("content-encoding", "br")], brotli(b""), Text("", &[])),
            (&[("content-encoding", "br")], gzip(t), Text(TEXT, &["br", "says so"])),
            (&[("content-encoding", "zstd")], zstd(t), Text(TEXT, &[])),
            (NONE, zstd(t), Text(TEXT, unsaid)),
            (&[("content-encoding", "gzip")], zstd(t), Text(TEXT, &["gzip", "zstd although"])),
            (
                &[("content-encoding", "zstd")],
                joined(&[&zstd(b"[1,"), &zstd(b"2]")]),
                Text("[1,2]", &[]),
            ),
            (
                &[("content-encoding", "zstd")],
                joined(&[b"\x50\x2a\x4d\x18\x02\0\0\0xx", &zstd(b"[1]")]),
                Text("[1]", &[]),
            ),
            (
                &[("content-encoding", "gzip")],
                joined(&[&gzip(b"[1,"), &gzip(b""), &gzip(b"2]")]),
                Text("[1,2]", &[]),
            ),
            (&[("content-encoding", "gzip")], gzip(b""), Text("", &[])),
        ],
        None,
    )
    .await;
}

#[tokio::test]
async fn half_a_page_is_never_read_and_junk_is_left_out() {
    let t = TEXT.as_bytes();
    let cut = |mut packed: Vec<u8>, less: usize| {
        packed.truncate(packed.len() - less);
        packed
    };
    let cut_off: &[&str] = &["cut off"];
    hold(
        vec![
            (
                &[("content-encoding", "gzip")],
                joined(&[&gzip(t), &[0; 512]]),
                Text(TEXT, &["512 zero bytes follow the gzip"]),
            ),
            (
                &[("content-encoding", "gzip")],
                joined(&[&gzip(t), b"\r\njunk"]),
                Text(TEXT, &["6 other bytes follow the gzip"]),
            ),
            (
                &[("content-encoding", "gzip")],
                joined(&[&gzip(t), &[0; 5], &gzip(t)]),
                Text(TEXT, &["other bytes"]),
            ),
            (
                &[("content-encoding", "deflate")],
                joined(&[&zlib(t), b"\n"]),
                Text(TEXT, &["1 other bytes follow the deflate"]),
            ),
            (
                &[("content-encoding", "br")],
                joined(&[&brotli(t), b"\0\0"]),
                Text(TEXT, &["2 zero bytes follow the br"]),
            ),
            (
                &[("content-encoding", "zstd")],
                joined(&[&zstd(t), b"\0\0"]),
                Text(TEXT, &["2 zero bytes follow the zstd"]),
            ),
            (&[("content-encoding", "gzip")], cut(gzip(t), 1), MALFORMED(cut_off)),
            (&[("content-encoding", "gzip")], cut(gzip(t), 8), MALFORMED(cut_off)),
            (&[("content-encoding", "gzip")], cut(gzip(t), 12), MALFORMED(cut_off)),
            (&[("content-encoding", "gzip")], gzip(t)[..5].to_vec(), MALFORMED(cut_off)),
            (NONE, cut(gzip(t), 3), MALFORMED(&["cut off", "although no `content-encoding`"])),
            (
                &[("content-encoding", "gzip")],
                joined(&[&gzip(t), &cut(gzip(t), 9)]),
                MALFORMED(cut_off),
            ),
            (&[("content-encoding", "deflate")], cut(zlib(t), 2), MALFORMED(cut_off)),
            (&[("content-encoding", "deflate")], cut(zlib(t), 7), MALFORMED(cut_off)),
            (&[("content-encoding", "deflate")], cut(deflate(t), 2), MALFORMED(cut_off)),
            (&[("content-encoding", "br")], cut(brotli(t), 1), MALFORMED(cut_off)),
            (&[("content-encoding", "br")], cut(brotli(t), 9), MALFORMED(cut_off)),
            (&[("content-encoding", "zstd")], cut(zstd(t), 1), MALFORMED(cut_off)),
            (&[("content-encoding", "zstd")], cut(zstd(t), 9), MALFORMED(cut_off)),
        ],
        None,
    )
    .await;
}

#[tokio::test]
async fn what_is_spoilt_or_too_large_is_refused() {
    let t = TEXT.as_bytes();
    let spoilt = |mut packed: Vec<u8>, from_end: usize| {
        let at = packed.len() - from_end;
        packed[at] ^= 0x55;
        packed
    };
    hold(
        vec![
            (
                &[("content-encoding", "gzip")],
                spoilt(gzip(t), 8),
                MALFORMED(&["no valid gzip", "checksum"]),
            ),
            (
                &[("content-encoding", "deflate")],
                spoilt(zlib(t), 1),
                MALFORMED(&["no valid deflate"]),
            ),
            (
                &[("content-encoding", "zstd")],
                spoilt(zstd(t), 1),
                MALFORMED(&["no valid zstd", "checksum"]),
            ),
            (
                &[("content-encoding", "br")],
                b"\xff\xff\xff\xff".to_vec(),
                MALFORMED(&["no valid br"]),
            ),
            // A window of 2 GiB.
            (
                &[("content-encoding", "zstd")],
                b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00".to_vec(),
                MALFORMED(&["no valid zstd"]),
            ),
            (
                &[("content-encoding", "gzip")],
                gzip(&vec![b' '; 300_001]),
                TOO_LARGE(&["300000 bytes when decoded"]),
            ),
            (
                &[("content-encoding", "zstd")],
                zstd(&vec![b' '; 1 << 20]),
                TOO_LARGE(&["300000 bytes when decoded"]),
            ),
            (NONE, vec![b' '; 200_001], TOO_LARGE(&["the answer is larger than 200000 bytes"])),
            (
                &[("content-type", "a/b;charset=utf-16le")],
                utf_16(&"[€".repeat(90_000), true),
                TOO_LARGE(&["larger"]),
            ),
        ],
        None,
    )
    .await;
}
