//! Drafts become events that the log takes, or rejected items: the only file that names both.

use bytes::Bytes;
use probes::Draft;

use crate::{
    event::{Data, NewEvent},
    store::NewRejected,
    wire::{self, Candidate, Refused},
};

/// The most of a rejected item that is kept.
const REJECTED_BYTES_MAX: usize = 64 << 10;

/// A page, checked.
#[derive(Debug, Default)]
pub struct Admitted {
    /// What the log may take, in the order given.
    pub events: Vec<NewEvent>,
    /// What was no event, each with a reason that names the field.
    pub rejected: Vec<NewRejected>,
}

/// Checks what a producer said.
#[must_use]
pub fn admit(drafts: Vec<Draft>, rejected: Vec<probes::Rejected>) -> Admitted {
    let mut admitted = Admitted::default();
    for item in rejected {
        admitted.rejected.push(NewRejected { reason: item.reason, item: cut(&item.item) });
    }
    for draft in drafts {
        let item = draft.data.clone();
        match event(draft) {
            Ok(event) => admitted.events.push(event),
            Err(refused) => {
                let reason = refused.to_string();
                admitted.rejected.push(NewRejected { reason, item: cut(&item) });
            }
        }
    }
    admitted
}

fn event(draft: Draft) -> Result<NewEvent, Refused> {
    let Draft { id, source, kind, time, subject, key, content_type, data } = draft;
    let json = content_type.as_deref().is_none_or(wire::is_json);
    let candidate = Candidate {
        id: id.into(),
        source: source.into(),
        kind: kind.into(),
        subject: subject.map(Into::into),
        time: time.map(Into::into),
        content_type: Some(content_type.map_or("application/json".into(), Into::into)),
        extensions: key.map(|key| ("partitionkey".to_owned(), key.into())).into_iter().collect(),
        data: form(data, json),
        ..Candidate::default()
    };
    candidate.admit()
}

/// `data` as the kind of text it is.
fn form(data: Bytes, json: bool) -> Data {
    if data.is_empty() {
        Data::None
    } else if json {
        Data::Json(data)
    } else if std::str::from_utf8(&data).is_ok() {
        Data::Text(data)
    } else {
        Data::Binary(data)
    }
}

fn cut(item: &[u8]) -> Vec<u8> {
    item[..item.len().min(REJECTED_BYTES_MAX)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EVENT_BYTES_MAX;

    fn draft(change: impl FnOnce(&mut Draft)) -> Draft {
        let mut draft = Draft {
            id: "1".into(),
            source: "/s".into(),
            kind: "t".into(),
            time: None,
            subject: None,
            key: Some("k".into()),
            content_type: None,
            data: Bytes::from_static(b"{ }"),
        };
        change(&mut draft);
        draft
    }

    #[test]
    fn good_drafts_keep_their_bytes() {
        let admitted = admit(vec![draft(|_| {})], Vec::new());
        let event = &admitted.events[0];
        assert_eq!(event.data, Data::Json(Bytes::from_static(b"{ }")));
        assert_eq!(
            event.attributes.as_str(),
            r#"{"id":"1","source":"/s","type":"t","datacontenttype":"application/json","partitionkey":"k"}"#
        );
    }

    #[test]
    fn bad_drafts_are_rejected_alone_and_named() {
        let drafts = vec![
            draft(|draft| draft.id = "a\u{0}".into()),
            draft(|draft| draft.time = Some("soon".into())),
            draft(|draft| draft.key = Some("é".repeat(2_000))),
            draft(|draft| draft.data = Bytes::from(vec![b' '; EVENT_BYTES_MAX])),
            draft(|_| {}),
        ];
        let admitted = admit(drafts, Vec::new());
        assert_eq!(admitted.events.len(), 1);
        for (rejected, field) in
            admitted.rejected.iter().zip(["`id`", "`time`", "`partitionkey`", "bytes"])
        {
            assert!(rejected.reason.contains(field), "{}", rejected.reason);
            assert!(rejected.item.len() <= REJECTED_BYTES_MAX);
        }
    }

    #[test]
    fn data_is_what_it_is() {
        let data = |content_type: &str, bytes: &'static [u8]| {
            let draft = draft(|draft| {
                draft.content_type = Some(content_type.into());
                draft.data = Bytes::from_static(bytes);
            });
            admit(vec![draft], Vec::new()).events.remove(0).data
        };
        assert!(matches!(data("application/problem+json; x=y", b"1"), Data::Json(_)));
        assert!(matches!(data("text/plain", b"1"), Data::Text(_)));
        assert!(matches!(data("text/plain", b"\xff"), Data::Binary(_)));
        assert!(matches!(data("text/plain", b""), Data::None));
    }
}
