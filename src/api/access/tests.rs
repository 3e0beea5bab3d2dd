//! Who is let in, by headers alone.

use super::*;

#[test]
fn only_loopback_names_are_own() {
    for own in [
        "localhost",
        "localhost:8080",
        "LOCALHOST:1",
        "api.localhost",
        "127.0.0.1:8080",
        "127.8.9.1",
        "[::1]:8080",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        assert!(is_loopback_authority(own), "{own}");
    }
    for foreign in [
        "",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "localhost:x",
        "[::1",
        "[::1]x",
        "evil@localhost:80@x",
        "[fe80::1]",
        "0.0.0.0",
    ] {
        assert!(!is_loopback_authority(foreign), "{foreign}");
    }
}

#[test]
fn a_public_address_needs_keys_or_the_word() {
    let public = "0.0.0.0:8080".parse().unwrap();
    let refused = check_bind(public, false, false).unwrap_err();
    assert!(refused.contains("--insecure") && refused.contains("`insecure: true`"), "{refused}");
    let bind = |address: &str, insecure, has_keys| {
        check_bind(address.parse().unwrap(), insecure, has_keys).unwrap()
    };
    assert_eq!(bind("0.0.0.0:8080", true, false), Access::Open);
    assert_eq!(bind("0.0.0.0:8080", false, true), Access::Keyed);
    assert_eq!(bind("0.0.0.0:8080", true, true), Access::Keyed, "keys go before the word");
    assert_eq!(bind("127.0.0.1:0", true, false), Access::Loopback);
    assert_eq!(bind("[::1]:0", false, true), Access::Loopback);
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(*name, value.parse().unwrap());
    }
    map
}

#[test]
fn a_request_must_name_a_host_and_come_from_here() {
    let local = Uri::from_static("/v1/topics");
    for (list, loopback, open) in [
        (&[("host", "localhost:1")][..], true, true),
        (&[("host", "localhost:1"), ("origin", "http://localhost:1")], true, true),
        (&[("host", "LOCALHOST:80"), ("origin", "http://localhost")], true, true),
        (&[("host", "[::1]:1"), ("origin", "http://[::1]:1")], true, true),
        (&[("host", "10.0.0.7:1"), ("origin", "http://10.0.0.7:1")], false, true),
        // A name can be made to lead here by whoever owns it.
        (&[("host", "relay.example"), ("origin", "http://relay.example")], false, false),
        (&[], false, true),
        (&[("host", "evil.example")], false, true),
        (&[("host", "localhost"), ("host", "evil.example")], false, true),
        // Another port, another name of the same machine, another scheme: all foreign.
        (&[("host", "localhost:1"), ("origin", "http://localhost:2")], false, false),
        (&[("host", "localhost"), ("origin", "http://127.0.0.1:3000")], false, false),
        (&[("host", "localhost"), ("origin", "http://127.0.0.1")], false, false),
        (&[("host", "localhost:1"), ("origin", "http://app.localhost:1")], false, false),
        (&[("host", "localhost:1"), ("origin", "https://localhost:1")], false, false),
        (&[("host", "localhost"), ("origin", "https://evil.example")], false, false),
        (&[("host", "localhost"), ("origin", "null")], false, false),
        (&[("origin", "http://localhost")], false, false),
        (
            &[("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://x")],
            false,
            false,
        ),
    ] {
        let map = headers(list);
        let good = |access| check(access, &Public::default(), &Method::GET, &map, &local).is_ok();
        assert_eq!((good(Access::Loopback), good(Access::Open)), (loopback, open), "{list:?}");
    }
    let secure = headers(&[
        ("host", "relay.example"),
        ("x-forwarded-proto", "https"),
        ("origin", "https://relay.example"),
    ]);
    let good = |access| check(access, &Public::default(), &Method::GET, &secure, &local).is_ok();
    // A foreign page has no key, whatever its name.
    assert_eq!((good(Access::Keyed), good(Access::Open)), (true, false));
}

#[test]
fn a_proxy_is_known_by_the_public_address() {
    let local = Uri::from_static("/v1/topics");
    let public = |trusts_proxy| Public {
        url: Some("https://relay.example/milkrun/".parse().unwrap()),
        trusts_proxy,
    };
    assert_eq!(public(false).prefix(), "/milkrun");
    for (list, plain, trusting) in [
        (&[("host", "relay.example")][..], true, true),
        (&[("host", "relay.example:443"), ("origin", "https://relay.example")], true, true),
        (&[("host", "localhost:8080"), ("origin", "https://relay.example")], true, true),
        (&[("host", "relay.example"), ("origin", "https://evil.example")], false, false),
        (&[("host", "relay.example:8443")], false, false),
        (&[("host", "evil.example")], false, false),
        (&[("host", "10.0.0.7"), ("x-forwarded-host", "relay.example")], false, true),
        // What a proxy says goes before what it sends itself.
        (&[("host", "localhost"), ("x-forwarded-host", "evil.example")], true, false),
    ] {
        let map = headers(list);
        let good = |trusts| {
            let public = public(trusts);
            check(Access::Loopback, &public, &Method::POST, &map, &local).is_ok()
        };
        assert_eq!((good(false), good(true)), (plain, trusting), "{list:?}");
    }
}

#[test]
fn a_foreign_page_is_told_by_its_browser() {
    let local = Uri::from_static("/v1/topics");
    let link = &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..];
    let frame = &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")][..];
    let image = &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")][..];
    for (site, more, reads, writes) in [
        ("same-origin", image, true, true),
        ("none", link, true, true),
        ("same-site", &[][..], false, false),
        ("cross-site", &[], false, false),
        ("cross-site", image, false, false),
        ("same-site", frame, false, false),
        // Somebody follows a link; nobody writes by one.
        ("cross-site", link, true, false),
    ] {
        let mut map = headers(more);
        map.insert("host", "localhost".parse().unwrap());
        map.insert("content-type", "application/json".parse().unwrap());
        map.insert("sec-fetch-site", site.parse().unwrap());
        for access in [Access::Loopback, Access::Open] {
            let good =
                |method: Method| check(access, &Public::default(), &method, &map, &local).is_ok();
            assert_eq!((good(Method::GET), good(Method::POST)), (reads, writes), "{site} {more:?}");
            assert_eq!(good(Method::DELETE), writes, "{site} {more:?}");
        }
    }
}

#[test]
fn a_write_names_a_type_that_no_form_has() {
    for (types, good) in [
        (&["application/json"][..], true),
        (&["application/json; charset=utf-8"], true),
        (&[wire::BATCH], true),
        (&[], false),
        (&[""], false),
        (&["text/plain"], false),
        (&["text/plain; x=application/json"], false),
        (&["application/x-www-form-urlencoded"], false),
        (&["multipart/form-data; boundary=+json"], false),
        (&["text/plain", "application/json"], false),
    ] {
        let mut map = headers(&[("host", "localhost")]);
        for given in types {
            map.append("content-type", given.parse().unwrap());
        }
        let checked = check_type(&Method::POST, &map).map_err(|problem| problem.status.as_u16());
        assert_eq!(checked, if good { Ok(()) } else { Err(415) }, "{types:?}");
    }
    assert!(check_type(&Method::POST, &headers(&[("ce-specversion", "1.0")])).is_ok());
    assert!(check_type(&Method::GET, &headers(&[])).is_ok());
}
