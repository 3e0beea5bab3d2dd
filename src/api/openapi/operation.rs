//! What holds for every operation of the document: its name, its key, and how it is refused.

use http::{Method, StatusCode};
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder, path::Operation,
    security::SecurityRequirement,
};

use super::parameters;
use crate::api::{
    gate::needs::{self, Need},
    problem::{CODES, MEDIA_TYPE},
};

/// How the document calls the way a key is sent.
pub(super) const KEY: &str = "key";

/// Which refusals an operation can come to, by what it is.
#[derive(Clone, Copy)]
struct Kind {
    needs_key: bool,
    writes: bool,
    /// Whether its path names something.
    names: bool,
}

/// Completes an operation.
pub(super) fn complete(operation: &mut Operation, method: &Method, path: &str) {
    let Some((name, need)) = needs::named(method, path) else { return };
    let writes = *method != Method::GET;
    let kind = Kind { needs_key: need != Need::Nothing, writes, names: path.contains('{') };
    operation.operation_id = Some(name.to_owned());
    if kind.needs_key {
        // Without keys none is sent.
        let none = SecurityRequirement::default();
        operation.security = Some(vec![none, SecurityRequirement::new(KEY, [""; 0])]);
    }
    parameters::describe(operation, path);
    // Without one nothing would name the type that every write has to name.
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.required = Some(Required::True);
    }
    answers(operation, kind);
}

/// Says of each answer what it is, and adds the refusals that every operation of its kind has.
fn answers(operation: &mut Operation, kind: Kind) {
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let answers = &mut operation.responses.responses;
    for (status, codes) in common(kind) {
        let told = answers.entry(status.to_string()).or_insert_with(|| Response::default().into());
        let RefOr::T(told) = told else { continue };
        let codes = codes.iter().map(|code| format!("`{code}`"));
        let codes: Vec<String> = codes.filter(|code| !told.description.contains(code)).collect();
        if !told.description.is_empty() && !codes.is_empty() {
            told.description.push_str("; ");
        }
        told.description.push_str(&codes.join(", "));
    }
    for (status, answer) in answers.iter_mut() {
        let RefOr::T(answer) = answer else { continue };
        if answer.description.is_empty() {
            let status =
                status.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok());
            let reason = status.and_then(|status| status.canonical_reason());
            reason.unwrap_or("As asked").clone_into(&mut answer.description);
        }
        if status.starts_with(['4', '5']) {
            answer.content.insert(MEDIA_TYPE.to_owned(), problem().into());
        }
    }
    let other = ResponseBuilder::new()
        .description("Any other refusal; docs/api.md lists every `code`")
        .content(MEDIA_TYPE, problem())
        .build();
    answers.insert("default".to_owned(), other.into());
}

/// The refusals of every operation of a kind: statuses, each with its codes.
fn common(kind: Kind) -> Vec<(u16, Vec<&'static str>)> {
    let can = |status: u16, code: &str| match (status, code) {
        (400, _)
        | (403, "foreign_host" | "foreign_origin")
        | (500, "internal")
        | (503, "busy" | "closing" | "store_busy" | "store_lost") => true,
        (401, _) | (403, "forbidden") | (429, "rate_limited") => kind.needs_key,
        (404, "not_found") => kind.names,
        (408 | 413 | 415 | 422 | 507, _) | (503, "unknown") => kind.writes,
        _ => false,
    };
    let mut all: Vec<(u16, Vec<&'static str>)> = Vec::new();
    for (status, code) in CODES.into_iter().filter(|(status, code)| can(*status, code)) {
        match all.last_mut() {
            Some((last, codes)) if *last == status => codes.push(code),
            _ => all.push((status, vec![code])),
        }
    }
    all
}
