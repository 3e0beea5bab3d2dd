//! The console behind a real proxy: nginx, with TLS, a foreign name and a path of its own, which it takes
//! away or keeps.

use std::{fs, path::Path, process::Stdio};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Response, header::COOKIE};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    PAGES,
    rig::{Rig, page},
};
use crate::support::{eventually, relay::free_port};

const NAME: &str = "relay.example";

const NGINX: &str =
    "daemon off; master_process off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c;
  uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
  server {
    listen 127.0.0.1:PORT ssl; ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem;
    proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https;
    location /relay/ { proxy_pass RELAY; }
  }
}
";

/// Nginx, which sends what begins with `/relay/` to this address.
fn start(dir: &Path, port: u16, relay: &str) -> Child {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let text = NGINX.replace("DIR", &dir.display().to_string());
    let text = text.replace("PORT", &port.to_string()).replace("RELAY", relay);
    let file = dir.join("nginx.conf");
    fs::write(&file, text).unwrap();
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-c").arg(file).arg("-p").arg(dir).arg("-e").arg(dir.join("error.log"));
    let started = nginx.stdin(Stdio::null()).kill_on_drop(true).spawn();
    started.unwrap_or_else(|error| panic!("nginx: {error}: run scripts/test once"))
}

/// A browser for which the name is this machine, and that trusts its certificate.
fn browser(port: u16) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve(NAME, ([127, 0, 0, 1], port).into())
        .danger_accept_invalid_certs(true)
        .build()
        .unwrap()
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map_or_else(String::new, |text| text.to_str().unwrap().to_owned())
}

/// Everything there is through the proxy, for the holder of a key.
async fn works(base: &str, browser: &reqwest::Client, key: &str) {
    let first = browser.get(format!("{base}/console/")).send().await.unwrap();
    assert_eq!(header(&first, "location"), "/relay/console/login?next=%2Fconsole%2F");
    let fields = [("key", key), ("next", "/console/topics")];
    let entered = page::form(browser, &format!("{base}/console/login"), &fields);
    let entered = entered.send().await.unwrap();
    assert_eq!(header(&entered, "location"), "/relay/console/topics");
    let set = header(&entered, "set-cookie");
    assert!(set.starts_with("__Host-") && set.contains("Secure"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    for path in PAGES {
        let shown = browser.get(format!("{base}/console/{path}")).header(COOKIE, &cookie);
        let shown = shown.send().await.unwrap();
        assert_eq!(shown.status(), 200, "{path}");
        let body = shown.text().await.unwrap();
        for link in page::links(&body) {
            assert!(link.starts_with("/relay/") || link.starts_with('#'), "{path}: {link}");
        }
    }
    for action in ["pause", "resume"] {
        let url = format!("{base}/console/subscriptions/billing/{action}");
        let act = page::form(browser, &url, &[("go", "1")]).header(COOKIE, &cookie);
        let done = act.header("origin", format!("https://{NAME}")).send().await.unwrap();
        let leads = format!("/relay/console/subscriptions/billing?done={action}");
        assert_eq!((done.status().as_u16(), header(&done, "location")), (303, leads));
    }
    let url = format!("{base}/console/subscriptions/billing/pause");
    let foreign = page::form(browser, &url, &[("go", "1")]).header(COOKIE, &cookie);
    let refused = foreign.header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(refused.status(), 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_with_a_path_and_tls_everything_works() {
    let rig = Rig::start(&format!("public_url: https://{NAME}/relay/\n")).await;
    let key = rig.key("admin", None).await;
    for (what, relay) in [("stripped", format!("{}/", rig.base())), ("kept", rig.base())] {
        let (dir, port) = (TempDir::new().unwrap(), free_port());
        let _nginx = start(dir.path(), port, &relay);
        eventually(what, || async { TcpStream::connect(("127.0.0.1", port)).await.ok() }).await;
        works(&format!("https://{NAME}:{port}/relay"), &browser(port), &key).await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_url_it_is_said_what_to_set() {
    let rig = Rig::start("").await;
    let headers = [("host", NAME)];
    let refused = page::get(&rig.base(), "/console/", &headers).await;
    assert!(refused.status >= 400 && refused.body.contains("public_url"), "{refused:?}");
    rig.stop().await;
}
