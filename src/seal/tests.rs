//! What is sealed opens under its key and name only.

use super::*;

fn key() -> MasterKey {
    MasterKey::fresh().unwrap().0
}

#[test]
fn what_is_sealed_opens_under_its_key_and_name_only() {
    let (old, new) = (key(), key());
    let before = Seal::new(Some(old.clone()), Vec::new());
    let text = r#"{"url":"https://a.example","secrets":["whsec_x"]}"#;
    let kept = before.seal("billing", text.into()).unwrap();
    assert!(!kept.contains("whsec_") && !kept.contains("example"), "{kept}");
    assert_ne!(kept, before.seal("billing", text.into()).unwrap(), "each has its own nonce");
    assert_eq!(before.open("billing", &kept).unwrap(), text);
    assert_eq!(before.open("other", &kept), Err(SealError::Damaged));

    let after = Seal::new(Some(new.clone()), vec![old.clone()]);
    assert_eq!(after.open("billing", &kept).unwrap(), text);
    let missing = Err(SealError::Missing { id: old.id().to_owned() });
    assert_eq!(Seal::new(Some(new), Vec::new()).open("billing", &kept), missing);
    assert_eq!(Seal::default().open("billing", &kept), missing);
    assert_eq!((before.is_current(&kept), after.is_current(&kept)), (true, false));
}

#[test]
fn a_text_that_was_changed_does_not_open() {
    let seal = Seal::new(Some(key()), Vec::new());
    let kept = seal.seal("billing", "{}".into()).unwrap();
    let body = kept.rfind(':').unwrap() + 1;
    for at in body..kept.len() {
        let mut changed = kept.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(seal.open("billing", &changed), Err(SealError::Damaged), "{at}");
    }
    for cut in [&kept[..body], &kept[..body - 1], &kept[..body + 8]] {
        assert_eq!(seal.open("billing", cut), Err(SealError::Damaged), "{cut}");
    }
}

#[test]
fn without_a_master_key_texts_are_in_clear() {
    let clear = Seal::default();
    assert_eq!(clear.seal("billing", "{}".into()).unwrap(), "{}");
    assert_eq!(clear.open("billing", "{}").unwrap(), "{}");
    assert!(clear.is_current("{}"));
    let seal = Seal::new(Some(key()), Vec::new());
    assert_eq!(seal.open("billing", "{}").unwrap(), "{}");
    assert!(!seal.is_current("{}"));
}

#[test]
fn a_key_is_32_bytes_in_base64() {
    let (key, text) = MasterKey::fresh().unwrap();
    assert_eq!(text.parse::<MasterKey>().unwrap(), key);
    assert_eq!(text.trim_end_matches('=').parse::<MasterKey>().unwrap(), key);
    assert!(!format!("{key:?}").contains(&text[..8]));
    let (short, zeros) = (BASE64_STANDARD.encode([7; 16]), BASE64_STANDARD.encode([0; 32]));
    for bad in ["", "abc", "not base64 at all!", &short, &zeros, &text[1..]] {
        assert!(bad.parse::<MasterKey>().is_err(), "{bad}");
    }
}
