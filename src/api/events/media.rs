//! In which of four media types a reader wants events.

use http::{HeaderMap, StatusCode, header};

use crate::{api::problem::Problem, wire};

/// The media types of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: one page with its position.
    Json,
    /// `application/cloudevents-batch+json`: one page, the events alone.
    Batch,
    /// `application/x-ndjson`: a stream of lines that ends at the head.
    Ndjson,
    /// `text/event-stream`: a stream that follows the head.
    Sse,
}

impl Media {
    const ALL: [Self; 4] = [Self::Json, Self::Batch, Self::Ndjson, Self::Sse];

    /// Its name.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Batch => wire::BATCH,
            Self::Ndjson => "application/x-ndjson",
            Self::Sse => "text/event-stream",
        }
    }

    /// Whether it is one bounded page, and not a stream.
    #[must_use]
    pub(super) const fn is_page(self) -> bool {
        matches!(self, Self::Json | Self::Batch)
    }

    /// The one that `Accept` likes best (RFC 9110, section 12.5.1); JSON when it says nothing.
    ///
    /// # Errors
    /// 406 when it accepts none of them.
    pub(super) fn negotiate(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut ranges = Vec::new();
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_ascii_lowercase();
                let weight = parts
                    .find_map(|part| part.strip_prefix("q="))
                    .map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
                if !name.is_empty() {
                    ranges.push((name, weight.unwrap_or(0.0)));
                }
            }
        }
        if ranges.is_empty() {
            return Ok(Self::Json);
        }
        let mut best = None;
        for media in Self::ALL {
            let weight = weight_of(media.name(), &ranges);
            if weight > best.map_or(0.0, |(weight, _)| weight) {
                best = Some((weight, media));
            }
        }
        best.map(|(_, media)| media).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                format!("events are given as {names}"),
            )
        })
    }
}

/// The weight that the most specific matching range gives a type.
fn weight_of(name: &str, ranges: &[(String, f32)]) -> f32 {
    let group = name.split('/').next().unwrap_or_default();
    let of = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, q)| *q);
    of(name).or_else(|| of(&format!("{group}/*"))).or_else(|| of("*/*")).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_type_is_taken() {
        for (accept, expected) in [
            ("", Some(Media::Json)),
            ("*/*", Some(Media::Json)),
            ("text/event-stream", Some(Media::Sse)),
            ("text/html, */*;q=0.8", Some(Media::Json)),
            ("application/x-ndjson;q=0.5, application/json;q=0.4", Some(Media::Ndjson)),
            ("application/json;q=0, application/*", Some(Media::Batch)),
            ("Application/CloudEvents-Batch+JSON", Some(Media::Batch)),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Media::negotiate(&headers).ok(), expected, "{accept}");
        }
        assert_eq!(Media::negotiate(&HeaderMap::new()).ok(), Some(Media::Json));
    }
}
