//! The files that pages load, which are part of the binary.

use std::sync::OnceLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::key::hex;

/// Name, media type, content.
const ASSETS: [(&str, &str, &str); 4] = [
    ("console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
    ("idiomorph.js", "text/javascript; charset=utf-8", include_str!("assets/idiomorph.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// Changes with every byte of every file.
pub(crate) fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let all = ASSETS.iter().fold(Sha256::new(), |all, (.., text)| all.chain_update(text));
        hex(&all.finalize())[..12].to_owned()
    })
}

/// One of the files. A page of an earlier release asks under another hash; it gets what there is, and
/// nobody keeps it.
pub(super) async fn show(Path((asked, name)): Path<(String, String)>) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if asked == hash() { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, keep)], *text).into_response()
}
