//! Every case of TLS: how the server speaks, whom the relay trusts, and what must come of it.

use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ServerConfig,
    version::{TLS12, TLS13},
};

use super::{
    authority::{Authority, Shown},
    server::{End, Speech},
};

/// One case.
pub(super) struct Case {
    pub name: &'static str,
    /// `https://hook.test`, without a port.
    pub origin: &'static str,
    pub odd: Speech,
    /// How the same server speaks when all is well with it.
    pub well: Speech,
    /// The certificates of the subscription.
    pub tls: Value,
    /// `delivered`, or the kind of silence, and words of the error.
    pub pushed: (&'static str, &'static str),
    /// The result of a poll, and words of its message.
    pub polled: (&'static str, &'static str),
}

/// The signature of both is by an authority that nothing else is wrong with; made by
/// `openssl x509 -req -days 36500 -sha1`, and `-md5`.
const SHA1: &str = include_str!("../certificates/sha1.pem");
const MD5: &str = include_str!("../certificates/md5.pem");
const KEY: &str = include_str!("../certificates/key.pem");
/// Who signed these.
pub(super) const OLD_AUTHORITY: &str = include_str!("../certificates/authority.pem");

/// The events of every producer.
const LIST: &str = r#"[{"id":"a1"},{"id":"a2"},{"id":"a3"}]"#;
const NOBODY: &str = "nobody who is trusted here has signed";
/// What a server says first that knows no newer version than 1.0, and 1.1: it takes the cipher
/// `TLS_RSA_WITH_AES_128_CBC_SHA`.
const HELLO_1_0: &[u8] =
    b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01_thirty_two_random_bytes_here___\x00\x00\x2f\x00";
const HELLO_1_1: &[u8] =
    b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02_thirty_two_random_bytes_here___\x00\x00\x2f\x00";
/// What servers say that do not want to: `protocol_version`, `unrecognized_name`.
const OTHER_VERSION: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";
const OTHER_NAME: &[u8] = b"\x15\x03\x03\x00\x02\x02\x70";

/// The authorities of all cases.
pub(super) struct World {
    /// The system trusts these two.
    pub ours: Authority,
    pub other: Authority,
    stranger: Authority,
    clients: Authority,
}

impl World {
    pub(super) fn new() -> Self {
        let [ours, other, stranger, clients] =
            ["ours", "other", "stranger", "clients"].map(Authority::new);
        Self { ours, other, stranger, clients }
    }

    pub(super) fn cases(&self) -> Vec<Case> {
        let who = [self.trusted(), self.chains(), self.names(), self.times(), self.clients()];
        let how = [self.versions(), self.breaks(), self.cuts()];
        who.into_iter().chain(how).flatten().collect()
    }

    /// A server at `https://hook.test`; the subscription trusts our authority.
    fn case(&self, name: &'static str, odd: Speech, pushed: (&'static str, &'static str)) -> Case {
        let polled = match pushed.0 {
            "delivered" => "ok",
            "timeout" => "timeout",
            _ => "unreachable",
        };
        Case {
            name,
            origin: "https://hook.test",
            odd,
            well: tls(self.ours.shown("hook.test").server()),
            tls: json!({ "ca": self.ours.pem }),
            pushed,
            polled: (polled, pushed.1),
        }
    }

    /// The same at another origin.
    fn at(
        &self,
        (name, origin): (&'static str, &'static str),
        shown: &Shown,
        pushed: (&'static str, &'static str),
    ) -> Case {
        let host = origin.trim_start_matches("https://");
        let well = tls(self.ours.shown(host).server());
        Case { origin, well, ..self.case(name, tls(shown.server()), pushed) }
    }

    fn delivered(&self, name: &'static str, shown: &Shown) -> Case {
        self.case(name, tls(shown.server()), ("delivered", ""))
    }

    fn trusted(&self) -> Vec<Case> {
        let (ours, other, stranger) = (&self.ours, &self.other, &self.stranger);
        let namesake = Authority::new("ours");
        let shown = ours.shown("hook.test");
        let by = |authority: &Authority| tls(authority.shown("hook.test").server());
        let both = json!({ "ca": format!("{}{}", other.pem, ours.pem) });
        let (only_other, by_system) = (json!({ "ca": other.pem }), Value::Null);
        let refused = |name, speech| self.case(name, speech, ("tls", NOBODY));
        vec![
            self.delivered("right", &shown),
            Case { tls: both, ..self.delivered("one of two", &shown) },
            Case { tls: by_system.clone(), ..self.delivered("right, by the system's", &shown) },
            Case { tls: by_system, ..refused("unknown authority", by(stranger)) },
            // A source trusts whom the system does.
            Case {
                tls: only_other,
                well: by(other),
                polled: ("ok", ""),
                ..refused("wrong authority", by(ours))
            },
            self.case("an authority of the same name", by(&namesake), ("tls", "BadSignature")),
            refused("signed by itself", tls(Shown::by_itself("hook.test").server())),
        ]
    }

    fn chains(&self) -> Vec<Case> {
        let (below, elsewhere) = (self.ours.below("below"), self.other.below("elsewhere"));
        let shown = below.shown("hook.test");
        let refused = |name, shown: &Shown| self.case(name, tls(shown.server()), ("tls", NOBODY));
        let trusted = format!("{OLD_AUTHORITY}{}", self.ours.pem);
        let unsafely = |name, chain: &str| {
            let shown = Shown { chain: chain.to_owned(), key: KEY.to_owned() };
            let words = "signed in a way that is not safe";
            let case = self.case(name, tls(shown.server()), ("tls", words));
            Case { tls: json!({ "ca": trusted }), ..case }
        };
        vec![
            refused("missing intermediate", &shown),
            refused("wrong intermediate", &shown.clone().with(&elsewhere)),
            self.delivered("intermediate", &shown.clone().with(&below)),
            self.delivered("more than is needed", &shown.with(&below).with(&self.ours)),
            unsafely("SHA-1", SHA1),
            unsafely("MD5", MD5),
        ]
    }

    fn names(&self) -> Vec<Case> {
        let ours = &self.ours;
        let wild = ours.shown("*.hook.test");
        let bare = ours.made(&[], |_| {});
        let (address, name) = ("https://127.0.0.1", "https://hook.test");
        let elsewhere = ours.made(&["a.example", "b.example"], |_| {});
        let is_for = "not valid for name \"hook.test\"; certificate is only valid for";
        vec![
            self.at(("wrong host", name), &elsewhere, ("tls", is_for)),
            self.at(("address", address), &ours.shown("127.0.0.1"), ("delivered", "")),
            self.at(
                ("wrong address", address),
                &ours.shown("10.0.0.1"),
                ("tls", "not valid for name \"127.0.0.1\""),
            ),
            self.at(
                ("a name for an address", address),
                &ours.shown("hook.test"),
                ("tls", "not valid for name \"127.0.0.1\""),
            ),
            self.at(("wildcard", "https://a.hook.test"), &wild, ("delivered", "")),
            self.at(
                ("wildcard, one too deep", "https://a.b.hook.test"),
                &wild,
                ("tls", "only valid for"),
            ),
            self.at(("wildcard, one too high", name), &wild, ("tls", is_for)),
            // RFC 9525, section 2: the common name is no name any more.
            self.at(("common name only", name), &bare, ("tls", "is not valid for any names")),
        ]
    }

    fn times(&self) -> Vec<Case> {
        let made = |change: fn(&mut rcgen::CertificateParams)| {
            tls(self.ours.made(&["hook.test"], change).server())
        };
        let expired = made(|params| params.not_after = date_time_ymd(2020, 1, 1));
        let early = made(|params| params.not_before = date_time_ymd(2090, 1, 1));
        let client = made(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        vec![
            self.case("expired", expired, ("tls", "certificate expired")),
            self.case("not yet valid", early, ("tls", "certificate not valid yet")),
            // The system's verifier has other words for it.
            Case {
                polled: ("unreachable", "certificate had invalid extensions"),
                ..self.case("for clients only", client, ("tls", "extended key usage"))
            },
        ]
    }

    fn versions(&self) -> Vec<Case> {
        let shown = self.ours.shown("hook.test");
        let speaks = |protocols: &[&[u8]]| {
            let mut config = shown.server();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config
        };
        let http2 = Speech::Http2(Arc::new(speaks(&[b"h2"])));
        let old = ("tls", "neither TLS 1.2 nor 1.3");
        vec![
            self.case("1.0 only", Speech::Says(HELLO_1_0, End::Stall), old),
            self.case("1.1 only", Speech::Says(HELLO_1_1, End::Stall), old),
            self.case("refuses our versions", Speech::Says(OTHER_VERSION, End::Close), old),
            self.case("1.2 only", tls(shown.server_for(&[&TLS12], None)), ("delivered", "")),
            self.case("1.3 only", tls(shown.server_for(&[&TLS13], None)), ("delivered", "")),
            self.case("HTTP/2 or 1.1", tls(speaks(&[b"h2", b"http/1.1"])), ("delivered", "")),
            self.case("HTTP/1.1 agreed on", tls(speaks(&[b"http/1.1"])), ("delivered", "")),
            // Webhooks go by HTTP/1.1, and agree on nothing.
            Case { polled: ("ok", ""), ..self.case("HTTP/2 only", http2, ("other", "not HTTP")) },
            Case {
                polled: ("unreachable", "NoApplicationProtocol"),
                ..self.case("another protocol", tls(speaks(&[b"imap"])), ("delivered", ""))
            },
        ]
    }

    fn breaks(&self) -> Vec<Case> {
        let shown = Arc::new(self.ours.shown("hook.test").server());
        let says = |name, bytes, end, pushed| self.case(name, Speech::Says(bytes, end), pushed);
        let eof = ("reset", "handshake");
        vec![
            self.case("no TLS", Speech::Plain, ("tls", "does not speak TLS at this port")),
            Case {
                origin: "http://hook.test",
                well: Speech::Plain,
                tls: Value::Null,
                ..self.case("TLS where none is meant", Speech::Tls(shown), ("other", "not HTTP"))
            },
            says("refuses the name", OTHER_NAME, End::Close, ("tls", "UnrecognisedName")),
            says("closed in the handshake", b"", End::Close, eof),
            says("cut in the handshake", &HELLO_1_0[..20], End::Close, eof),
            says("reset in the handshake", b"", End::Reset, ("reset", "")),
            says("silent in the handshake", b"", End::Stall, ("timeout", "no whole answer")),
        ]
    }

    /// The connection ends without a word of TLS (`close_notify`).
    fn cuts(&self) -> Vec<Case> {
        let shown = Arc::new(self.ours.shown("hook.test").server());
        let case = |name, fields, body, pushed| {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
            self.case(name, Speech::Cut(shown.clone(), text.into()), pushed)
        };
        let (delivered, reset) = (("delivered", ""), ("reset", ""));
        let chunks = "Transfer-Encoding: chunked\r\n";
        let half = &LIST[..20];
        vec![
            case("cut behind its length", "Content-Length: 37\r\n", LIST, delivered),
            case("cut before its length", "Content-Length: 37\r\n", half, reset),
            case("cut in a chunk", chunks, &format!("25\r\n{half}"), reset),
            // RFC 9112, section 9.8: without a length, and without an end that was said, it is not
            // whole. Many webhooks end so all the same, and the status is all they have to say; a
            // list that was cut is no JSON.
            case("cut without a length", "", LIST, delivered),
            Case {
                polled: ("malformed", "no JSON"),
                ..case("cut in a body without a length", "", half, delivered)
            },
        ]
    }

    /// Sources have no certificates to show.
    fn clients(&self) -> Vec<Case> {
        let shown = self.ours.shown("hook.test");
        let wants = |versions| tls(shown.server_for(versions, Some(&self.clients)));
        let with = |authority: &Authority| {
            let Shown { chain, key } = authority.shown("relay");
            json!({ "ca": self.ours.pem, "certificate": chain, "key": key })
        };
        let refused = ("tls", "the server wants a client certificate");
        let expired = self.clients.made(&["relay"], |params| {
            params.not_after = date_time_ymd(2020, 1, 1);
        });
        let expired =
            json!({ "ca": self.ours.pem, "certificate": expired.chain, "key": expired.key });
        let both = &super::authority::BOTH;
        let case = |name, tls, speech, pushed| Case {
            tls,
            polled: ("unreachable", refused.1),
            ..self.case(name, speech, pushed)
        };
        let none = json!({ "ca": self.ours.pem });
        vec![
            case("client's right", with(&self.clients), wants(both), ("delivered", "")),
            case("client's right, 1.2", with(&self.clients), wants(&[&TLS12]), ("delivered", "")),
            case("client's missing", none.clone(), wants(both), refused),
            case("client's missing, 1.2", none, wants(&[&TLS12]), refused),
            case("client's wrong", with(&self.other), wants(both), ("tls", "UnknownCA")),
            case("client's wrong, 1.2", with(&self.other), wants(&[&TLS12]), ("tls", "UnknownCA")),
            case("client's expired", expired, wants(both), ("tls", "CertificateExpired")),
        ]
    }
}

fn tls(config: ServerConfig) -> Speech {
    Speech::Tls(Arc::new(config))
}
