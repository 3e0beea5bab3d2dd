//! Every spelling of a forbidden address that we know of is refused before anything is sent, or
//! shown to be a name, which the resolver has the last word on.

use super::*;

/// What becomes of a URL before anybody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is a forbidden address.
    Forbidden,
    /// It has a user or a password.
    UserInfo,
    /// It is no URL, or none of ours.
    Bad,
    /// It is a name: no spelling of an address, as far as URLs go.
    Name,
}

use Fate::{Bad, Forbidden, Name, UserInfo};

/// Hosts, to be put behind `http://`.
const HOSTS: [(Fate, &[&str]); 12] = [
    // Loopback and friends: decimal, octal, hexadecimal, short, mixed, padded, dotted behind.
    (
        Forbidden,
        &[
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "127.255.255.254",
            "127.0.0.1:65535",
            "0177.0.0.1",
            "0177.1",
            "0177.0.0.01",
            "00000177.0.0.1",
            "0x7f.0.0.1",
            "0x7f.1",
            "0X7F.1",
            "0x7f.0x0.0x0.0x1",
            "0x7F000001",
            "0x7f000001.",
            "0x000000007f000001",
            "2130706433",
            "2130706433.",
            "017700000001",
            "000017700000001",
            "127.0x1",
            "127.0.0x0.1",
            "0x7f.0.01",
            "127.000.000.001",
            "127.65535",
            "0",
            "0.0.0.0",
            "0x0",
            "00",
            "0.0",
            "0x",
            "0.0.0.0.",
        ],
    ),
    // Private, link-local, carrier, documentation, multicast, broadcast.
    (
        Forbidden,
        &[
            "10.0.0.1",
            "10.1",
            "0xa.1",
            "012.1",
            "167772161",
            "172.16.0.1",
            "172.31.255.255",
            "172.1048577",
            "192.168.0.1",
            "192.168.1",
            "0xc0a80001",
            "3232235521",
            "0300.0250.0.1",
            "192.0x00a80001",
            "100.64.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "192.0.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "4294967295",
            "0xffffffff",
            "037777777777",
        ],
    ),
    // Where clouds tell their secrets.
    (
        Forbidden,
        &[
            "169.254.169.254",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "025177524776",
            "0251.0376.0251.0376",
            "0251.254.0xa9.254",
            "169.254.43518",
            "169.16689662",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "192.0.0.192",
        ],
    ),
    // IPv6, bare and with an IPv4 address inside.
    (
        Forbidden,
        &[
            "[::]",
            "[::1]",
            "[::1]:80",
            "[0:0:0:0:0:0:0:1]",
            "[0000:0000:0000:0000:0000:0000:0000:0001]",
            "[0::1]",
            "[::0.0.0.1]",
            "[::127.0.0.1]",
            "[::7f00:1]",
            "[::ffff:127.0.0.1]",
            "[::FFFF:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[::ffff:0.0.0.0]",
            "[::ffff:10.0.0.1]",
            "[::ffff:c0a8:1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::a00:1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[2002:c0a8:1::1]",
            "[2001:0:7f00:1::]",
            "[2001:0:808:808::80ff:fffe]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[100::1]",
            "[fc00::1]",
            "[fdff:ffff::1]",
            "[fe80::1]",
            "[febf::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[FF05::C]",
            "[5f00::1]",
        ],
    ),
    (
        Forbidden,
        &[
            "localhost",
            "localhost.",
            "LOCALHOST",
            "LocalHost:8080",
            "a.localhost",
            "a.b.localhost.",
            "%6c%6f%63%61%6c%68%6f%73%74",
            "ｌｏｃａｌｈｏｓｔ",
            "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
            "local\u{ad}host",
        ],
    ),
    // Percent-encoded, full-width, circled and otherwise dressed-up digits and dots.
    (
        Forbidden,
        &[
            "%31%32%37.0.0.1",
            "127%2e0%2e0%2e1",
            "127.0.0.%31",
            "%30x7f.1",
            "１２７.0.0.1",
            "127。0。0。1",
            "127．0．0．1",
            "127｡0｡0｡1",
            "①②⑦.⓪.⓪.①",
            "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
            "¹²⁷.⁰.⁰.¹",
            "0ⓧ7f.1",
            "12\u{200b}7.0.0.1",
            "１６９.２５４.１６９.２５４",
        ],
    ),
    // White space inside of the text that the URL standard takes out, and what follows the host.
    (
        Forbidden,
        &[
            "127.0.\n0.1",
            "127\t.0.0.1",
            "127.0.0.1\r\n",
            "127.0.0.1?@example.com",
            "127.0.0.1#@example.com",
            "127.0.0.1/@example.com",
            "127.0.0.1\\@example.com",
            "//127.0.0.1",
            "\\\\127.0.0.1",
        ],
    ),
    (
        UserInfo,
        &[
            "a@127.0.0.1",
            "a:b@127.0.0.1",
            "example.com@127.0.0.1",
            "example.com:80@127.0.0.1",
            "example.com%40x@127.0.0.1",
            "127.0.0.1@example.com",
            ":b@127.0.0.1",
            "a@b@127.0.0.1",
        ],
    ),
    // Too many, too large, or with what no host may have.
    (
        Bad,
        &[
            "",
            ":80",
            "256.0.0.1",
            "127.0.0.256",
            "4294967296",
            "0x100000000",
            "1.2.3.4.5",
            "127.0.0.0.1",
            "127.0.0.08",
            "127..0.1",
            "0x7g.1",
            "[::1",
            "::1",
            "[::1%25lo]",
            "[fe80::1%eth0]",
            "[127.0.0.1]",
            "[::ffff:127.1]",
            "[::ffff:0x7f.0.0.1]",
            "[1:2:3:4:5:6:7:8:9]",
            "127.0.0.1%00.example.com",
            "127.0.0.1%0d%0aHost: x",
            "127.0.0.1:99999",
            "127.0.0.1:80:80",
            "127.0.0.1 .example.com",
            "exa mple.com",
        ],
    ),
    // Names, however much they look like an address: the resolver is asked, and vetted.
    (
        Name,
        &[
            "127.0.0.1.example.com",
            "127.0.0.1.nip.io",
            "localhost.example.com",
            "localhost.localdomain",
            "notlocalhost",
            "0x7f000001.example.com",
            "1ff.example.com",
            "1.0xzz",
            "ip6-localhost",
            "metadata.google.internal",
            "example.com.",
        ],
    ),
    (Bad, &["xn--", "xn--a", "a\u{0}b", "a<b>c"]),
    (Name, &["xn--bcher-kva.example", "bücher.example", "a_b.example.com"]),
];

/// Whole texts.
const URLS: [(Fate, &[&str]); 3] = [
    (
        Forbidden,
        &[
            "http:127.0.0.1",
            "http:/127.0.0.1",
            "HTTP://127.0.0.1",
            "http:\\\\127.0.0.1\\x",
            " http://127.0.0.1 ",
            "\u{1}http://127.0.0.1",
            "ht\ntp://127.0.0.1",
            "https:127.1",
        ],
    ),
    (
        Bad,
        &[
            "//127.0.0.1/",
            "127.0.0.1",
            "127.0.0.1:80/x",
            "localhost:80/x",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "file://127.0.0.1/etc/passwd",
            "gopher://127.0.0.1:6379/_x",
            "dict://127.0.0.1:11211/",
            "ldap://127.0.0.1",
            "data:text/plain,x",
            "javascript:alert(1)",
            "unix:/var/run/docker.sock",
            "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
            "jar:http://127.0.0.1!/",
            "view-source:http://127.0.0.1",
        ],
    ),
    (Name, &["http:example.com", "https://EXAMPLE.com:443/x?y#z"]),
];

fn fate(text: &str) -> Fate {
    match Guard::new(vec![]).check_url(text) {
        Err(Refused::Address { .. } | Refused::Name { .. }) => Forbidden,
        Err(Refused::UserInfo) => UserInfo,
        Err(Refused::Malformed(_) | Refused::Scheme(_)) => Bad,
        Ok(url) => {
            let host = url.host().unwrap();
            assert!(matches!(host, Host::Domain(_)), "{text}: {host} is public?");
            Name
        }
    }
}

#[test]
fn every_spelling_has_the_fate_it_deserves() {
    let hosts = HOSTS
        .iter()
        .flat_map(|(fate, hosts)| hosts.iter().map(|host| (*fate, format!("http://{host}/"))));
    let urls =
        URLS.iter().flat_map(|(fate, urls)| urls.iter().map(|url| (*fate, (*url).to_owned())));
    let all: Vec<_> = hosts.chain(urls).collect();
    let fates = all.iter().map(|(expected, text)| (fate(text), expected, text));
    println!("{} spellings", all.len());
    assert!(all.len() >= 150);
    let wrong: Vec<_> = fates.filter(|(got, expected, _)| got != *expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the API vets is what the network then vets once more, without the API.
#[tokio::test]
async fn no_spelling_gets_past_the_network_either() {
    let guard = Guard::new(vec![]).with_names(|_| vec!["127.0.0.1".parse().unwrap()]);
    let [probes, webhooks] = networks(&guard);
    no_spelling_gets_past(&probes).await;
    no_spelling_gets_past(&webhooks).await;
}

async fn no_spelling_gets_past(network: &sinks::Network) {
    let mut asked = 0;
    for (fate, hosts) in HOSTS {
        for host in hosts {
            // What is no URI cannot even be put into a request.
            let Ok(request) = http::Request::get(format!("http://{host}/")).body(Bytes::new())
            else {
                continue;
            };
            asked += 1;
            let error = network.clone().oneshot(request).await.map(drop).unwrap_err();
            let refused = error.kind() == ErrorKind::PermissionDenied;
            assert!(refused || fate == Bad || fate == UserInfo, "{host}: {error}");
        }
    }
    assert!(asked > 100, "only {asked} could be asked");
}
