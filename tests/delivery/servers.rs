//! Real servers that close idle connections after a second: Node, uvicorn and nginx.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::FAILED;
use crate::{
    kinto::python::python,
    support::{
        Place, eventually,
        relay::{SECRET, free_port},
        scaled,
    },
};

const NODE: &str = r#"
const server = require("node:http").createServer((request, response) => {
  request.resume().on("end", () => response.writeHead(204).end());
});
server.keepAliveTimeout = 1000;
server.listen(Number(process.argv[1]), "127.0.0.1");
"#;

const UVICORN: &str = r#"
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, port=int(sys.argv[1]), timeout_keep_alive=1, log_level="error", lifespan="off")
"#;

const NGINX: &str =
    "daemon off; master_process off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 256; }
http {
  access_log off; keepalive_timeout 1s;
  client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c;
  uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
  server { listen 127.0.0.1:PORT; location / { return 204; } }
}
";

/// The server of a name, serving on a port.
fn start(name: &str, port: u16, dir: &Path) -> Child {
    let mut command = match name {
        "node" => {
            let mut node = Command::new("node");
            node.args(["-e", NODE]);
            node
        }
        "uvicorn" => {
            let mut uvicorn = python();
            uvicorn.args(["-c", UVICORN]);
            uvicorn
        }
        _ => {
            let text = NGINX.replace("DIR", &dir.display().to_string());
            let file = dir.join("nginx.conf");
            std::fs::write(&file, text.replace("PORT", &port.to_string())).unwrap();
            let mut nginx = Command::new("/usr/sbin/nginx");
            nginx.arg("-c").arg(file).arg("-p").arg(dir).arg("-e").arg(dir.join("error.log"));
            nginx
        }
    };
    if name != "nginx" {
        command.arg(port.to_string());
    }
    let started = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
    started.unwrap_or_else(|error| panic!("{name}: {error}: run scripts/test once"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_servers_that_close_idle_connections_cost_no_attempt() {
    const NAMES: [&str; 3] = ["node", "uvicorn", "nginx"];
    const BURST: u64 = 16;
    let dir = TempDir::new().unwrap();
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let api = relay.api();
    let mut servers = Vec::new();
    for name in NAMES {
        let port = free_port();
        servers.push(start(name, port, dir.path()));
        eventually(name, || async { TcpStream::connect(("127.0.0.1", port)).await.ok() }).await;
        for (kind, retry) in [("usual", json!({})), ("once", json!({ "max_attempts": 1 }))] {
            let body = json!({
                "name": format!("{name}-{kind}"), "topic": "numbers", "from": "earliest",
                "webhook": { "url": format!("http://127.0.0.1:{port}/"), "secret": SECRET },
                "retry": retry,
            });
            api.post("/v1/subscriptions", &body).await.ok();
        }
    }
    let bursts = scaled(4, 60) as u64;
    let began = Instant::now();
    for burst in 0..bursts {
        api.publish("numbers", burst * BURST + 1, (burst + 1) * BURST).await;
        tokio::time::sleep(Duration::from_millis(998 + burst % 5)).await;
    }
    let count = |text: &str, name: &str, class: &str| {
        let label = format!("milkrun_attempts_total{{subscription=\"{name}\",class=\"{class}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&label)?.parse::<u64>().ok()).unwrap_or(0)
    };
    for name in NAMES.iter().flat_map(|name| [format!("{name}-usual"), format!("{name}-once")]) {
        let metrics = eventually(&format!("all at {name}"), || async {
            let text = api.get("/metrics").await.body;
            (count(&text, &name, "2xx") >= bursts * BURST).then_some(text)
        })
        .await;
        for class in FAILED {
            assert_eq!(count(&metrics, &name, class), 0, "{name}: {class}");
        }
    }
    println!("{} deliveries in {:?}", bursts * BURST * 6, began.elapsed());
}
