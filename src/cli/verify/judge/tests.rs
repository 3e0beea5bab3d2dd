//! Each thing that can be wrong is told by its part.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
const NOW: i64 = 1_790_000_000;
const BODY: &str = r#"{"id":1,"total":12.50}"#;

fn signed(secret: &str, body: &str) -> Signed {
    let made = signature(&[secret.parse().unwrap()], "m", NOW, body.as_bytes());
    Signed {
        id: Some("m".into()),
        timestamp: Some(NOW.to_string()),
        signature: Some(made),
        body: body.into(),
    }
}

fn parts(secret: &str, request: &Signed, now: i64) -> Vec<(&'static str, String)> {
    let found = judge(secret, request, now, Duration::from_mins(5));
    let shown = found.iter().any(|one| one.told.contains("MfKQ") || one.told.contains("6Xb/"));
    assert!(!shown, "no secret is told: {found:?}");
    found.into_iter().map(|one| (one.part, one.told)).collect()
}

#[track_caller]
fn only(secret: &str, request: &Signed, part: &str, told: &str) {
    let found = parts(secret, request, NOW);
    assert!(found.len() == 1 && found[0].0 == part && found[0].1.contains(told), "{found:?}");
}

#[test]
fn what_is_good_is_good() {
    assert!(parts(SECRET, &signed(SECRET, BODY), NOW).is_empty());
    assert!(parts(&SECRET[6..], &signed(SECRET, BODY), NOW + 300).is_empty());
    let public = PAIR.parse::<Secret>().unwrap().public().unwrap();
    for key in [PAIR, &public] {
        assert!(parts(key, &signed(PAIR, BODY), NOW).is_empty());
    }
    let mut rotated = signed(SECRET, BODY);
    rotated.signature = Some(format!("v1,AAAA {}", rotated.signature.unwrap()));
    assert!(parts(SECRET, &rotated, NOW).is_empty());
}

#[test]
fn headers_and_times_are_told() {
    let nothing = Signed { body: BODY.into(), ..Signed::default() };
    let found: Vec<_> = parts(SECRET, &nothing, NOW).into_iter().map(|(part, _)| part).collect();
    assert_eq!(found, ["id", "timestamp", "signature"]);
    for (now, told) in [(NOW + 301, "too old"), (NOW - 301, "too new")] {
        let found = parts(SECRET, &signed(SECRET, BODY), now);
        assert!(found.len() == 1 && found[0].1.starts_with(told), "{found:?}");
    }
    let mut request = signed(SECRET, BODY);
    request.timestamp = Some("2026-01-01T00:00:00Z".into());
    only(SECRET, &request, "timestamp", "whole seconds");
}

#[test]
fn a_changed_body_is_told_from_another_secret() {
    for how in Spacing::ALL {
        let mut request = signed(SECRET, BODY);
        let written = how.write(BODY.as_bytes());
        request.body.clone_from(&written);
        if how != Spacing::Compact {
            only(SECRET, &request, "body", "compact JSON");
            let mut request = signed(SECRET, std::str::from_utf8(&written).unwrap());
            request.body = BODY.into();
            only(SECRET, &request, "body", &how.told());
        }
    }
    let mut longer = signed(SECRET, "plain, no JSON");
    longer.body.push(b'\n');
    only(SECRET, &longer, "body", "without the line break");
    only(SECRET, &signed(OTHER, BODY), "signature", "another secret");
    let mut other = signed(SECRET, BODY);
    other.body = br#"{"id":2}"#.to_vec();
    only(SECRET, &other, "signature", "or the id, the timestamp or the body was changed");
}

#[test]
fn prefixes_and_secrets_are_told() {
    let mut bare = signed(SECRET, BODY);
    bare.signature = bare.signature.map(|made| made.replace("v1,", "sha256="));
    only(SECRET, &bare, "signature", "wrong prefix: expected `v1,`");
    only(SECRET, &signed(PAIR, BODY), "signature", "made with a key pair");
    only(PAIR, &signed(SECRET, BODY), "signature", "made with a shared secret");
    only(&format!("{SECRET} "), &signed(SECRET, BODY), "secret", "blanks");
    only("whsec_!", &signed(SECRET, BODY), "secret", "not valid base64");
    for text in [SECRET, &SECRET[6..]] {
        let undecoded = BASE64_STANDARD.encode(text);
        only(SECRET, &signed(&undecoded, BODY), "secret", "decoded first");
    }
}
