//! Events of the largest size that an expression may meet, each bad in its own way.

use bytes::Bytes;
use milkrun::event::{Data, Epoch, Event, Micros, Version};

const BYTES: usize = (1 << 20) - 1_024;

/// All of them have `a` and `b` in their data where they are objects.
pub(super) fn hostile() -> Vec<Event> {
    let repeated = |unit: &str| {
        let list = unit.repeat(BYTES / unit.len());
        format!("[{}]", list.trim_end_matches(','))
    };
    let keys = (0..70_000).map(|n| format!("\"k{n:05}\":0,")).collect::<Vec<_>>().concat();
    let deep = format!("{}{}", "{\"a\":[".repeat(31), "]}".repeat(31));
    let datas = [
        r#"{"a":1,"b":"x","list":[1,2,3],"s":"text"}"#.to_owned(),
        format!(r#"{{"a":"{}","b":"{}"}}"#, "a".repeat(BYTES / 2), "ab".repeat(BYTES / 4)),
        format!(r#"{{"a":"{}","b":2}}"#, "\\u0130".repeat(BYTES / 6)),
        format!(r#"{{"a":{},"b":9}}"#, repeated("0,")),
        format!(r#"{{"a":{},"b":1e308}}"#, repeated(r#"{"":0},"#)),
        format!(r#"{{"a":{},"b":-0.0}}"#, repeated("[[]],")),
        format!(r#"{{{keys}"a":1,"b":[]}}"#),
        format!(r#"{{"a":{},"b":{deep}}}"#, "9".repeat(BYTES)),
        format!(r#"{{{}"a":1,"b":{deep}}}"#, r#""\u0061":[],"#.repeat(BYTES / 12)),
        format!(r#"{{"b":{deep},"a":{}}}"#, repeated(&format!("{deep},"))),
    ];
    let attributes = r#"{"id":"7","source":"/shop","type":"order.created","tries":3}"#;
    let event = |attributes: &str, data: Data| Event {
        version: Version(42),
        epoch: Epoch(1),
        recorded: Micros(0),
        attributes: attributes.into(),
        data,
    };
    let json = datas.into_iter().map(|text| event(attributes, Data::Json(Bytes::from(text))));
    let text = event(attributes, Data::Text(Bytes::from("aß".repeat(BYTES / 3))));
    let subject = format!(r#"{{"id":"7","subject":"{}"}}"#, "ab".repeat(BYTES / 2));
    json.chain([text, event(&subject, Data::None)]).collect()
}
