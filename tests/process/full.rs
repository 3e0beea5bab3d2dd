//! A disk that is full, and has room again: what is new is refused with words, the rest goes on, and
//! nothing that was acknowledged is lost.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Api, Place, Receiver, eventually, scaled};

/// A small disk of its own, as a mount that only this process and its children see.
struct SmallDisk {
    holder: Child,
    /// The way to its files from here.
    files: PathBuf,
}

impl SmallDisk {
    /// A disk of so many MiB at `PLACE/disk`, in which the relay is started from now on; none where
    /// the system lets nobody mount, which is said.
    fn mount(place: &mut Place, mib: usize, yaml: &str) -> Option<Self> {
        Self::mount_with(place, &format!("size={mib}m"), yaml)
    }

    /// As [`Self::mount`], with options of the mount.
    fn mount_with(place: &mut Place, options: &str, yaml: &str) -> Option<Self> {
        let at = place.path("disk");
        fs::create_dir(&at).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let script = format!(
            "mount -t tmpfs -o {options} none '{}' && echo mounted && exec sleep 3600",
            at.display()
        );
        let flags = if is_root { "-m" } else { "-rm" };
        let mut holder = Command::new("unshare")
            .args([flags, "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = [0; 8];
        let mounted = std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said);
        if mounted.is_err() {
            let _ = holder.kill();
            let _ = holder.wait();
            eprintln!("SKIPPED: nothing can be mounted here, so no disk was filled");
            return None;
        }
        let id = holder.id().to_string();
        let mut enter = vec!["nsenter", "-t", &id, "-m"];
        if !is_root {
            enter.extend(["-U", "--preserve-credentials"]);
        }
        enter.push("--");
        place.inside(enter.into_iter().map(str::to_owned).collect());
        let address = place.base().replace("http://", "");
        place.write_raw(&format!(
            "store: \"sqlite:{}\"\nlisten: {address}\noutbound: {{ allow: [\"127.0.0.0/8\"] }}\n{yaml}",
            at.join("milkrun.db").display()
        ));
        let files = PathBuf::from(format!("/proc/{id}/root{}", at.display()));
        Some(Self { holder, files })
    }

    /// Takes all that is left.
    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.filler()).unwrap();
        for size in [1 << 20, 64 << 10, 4 << 10, 512] {
            let block = vec![7; size];
            let full = loop {
                if let Err(error) = file.write_all(&block) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Gives it back.
    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.files.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// An event of about `kib` KiB.
fn event(id: u64, kib: usize) -> String {
    let data = "x".repeat(kib << 10);
    json!({"specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "t", "data": data})
        .to_string()
}

/// Publishes one; the version when it was acknowledged, else the problem.
async fn publish(api: &Api, id: u64, kib: usize) -> Result<u64, Value> {
    let reply = api.send(api.event("numbers", event(id, kib))).await;
    let body = reply.json();
    match reply.status {
        200..300 => Ok(body["events"][0]["version"].as_u64().unwrap()),
        // Never without words, and never our own fault.
        507 => {
            reply.problem(507, "disk_full");
            Err(body)
        }
        _ => panic!("{reply:?}"),
    }
}

/// Version by id of all that the log has.
async fn logged(api: &Api) -> BTreeMap<u64, u64> {
    let lines = api.log("numbers").await;
    let one = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        let id = event["id"].as_str().unwrap().parse().unwrap();
        (id, event["version"].as_u64().unwrap())
    };
    let found: BTreeMap<u64, u64> = lines.iter().map(one).collect();
    assert_eq!(found.len(), lines.len(), "an event stands there twice");
    found
}

async fn codes(api: &Api) -> Vec<String> {
    let ready = api.get("/readyz").await.ok();
    let troubles = ready["troubles"].as_array().cloned().unwrap_or_default();
    assert_eq!(ready["status"] == "degraded", !troubles.is_empty(), "{ready}");
    troubles.iter().map(|trouble| trouble["code"].as_str().unwrap().to_owned()).collect()
}

async fn until_all_is_well(api: &Api) {
    eventually("all well", || async { codes(api).await.is_empty().then_some(()) }).await;
}

fn topics(url: &str) -> String {
    format!(
        "topics: {{ numbers: {{}}, scrap: {{}} }}\nsubscriptions:\n  - name: sink\n    topic: numbers\n    \
         from: earliest\n    webhook: {{ url: \"{url}\", secret: {{ env: HOOK_SECRET }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_what_is_new_is_refused_and_the_rest_goes_on() {
    let mut receiver = Receiver::accepting().await;
    let mut place = Place::new("");
    let yaml = topics(&receiver.url());
    let Some(disk) = SmallDisk::mount(&mut place, 48, &yaml) else { return };
    let relay = place.start().await;
    let api = relay.api().clone();
    receiver.down();
    let mut acknowledged = BTreeMap::new();
    for id in 1..=50 {
        acknowledged.insert(id, publish(&api, id, 10).await.unwrap());
    }
    api.send_json("PUT", "/v1/topics/more", &json!({})).await.ok();
    disk.fill();
    let mut id = 50;
    let problem = loop {
        id += 1;
        match publish(&api, id, 100).await {
            Ok(version) => drop(acknowledged.insert(id, version)),
            Err(problem) => break problem,
        }
        assert!(id < 2_000, "the disk is never full");
    };
    assert!(problem["detail"].as_str().unwrap().contains("disk is full"), "{problem}");
    assert!(codes(&api).await.contains(&"disk_full".to_owned()));
    // Whoever is greedy takes what became free.
    disk.fill();

    // Reading, delivering, settling, steering and deleting go on.
    assert_eq!(logged(&api).await, acknowledged);
    receiver.up().await;
    api.post("/v1/subscriptions/sink/resume", &json!({})).await;
    receiver.until_accepted(acknowledged.len()).await;
    eventually("everything settled", || async {
        let sink = api.get("/v1/subscriptions/sink").await.ok();
        (sink["positions"][0]["owed"] == 0).then_some(())
    })
    .await;
    let delete = api.request("DELETE", "/v1/topics/more");
    api.send(delete.header("content-type", "application/json")).await.ok();
    publish(&api, id, 100).await.unwrap_err();

    // It stops and starts.
    assert!(relay.stop().await.success());
    disk.fill();
    let relay = place.start().await;
    publish(&api, id, 100).await.unwrap_err();
    assert_eq!(logged(&api).await, acknowledged);

    disk.free();
    until_all_is_well(&api).await;
    acknowledged.insert(id, publish(&api, id, 100).await.unwrap());
    assert_eq!(logged(&api).await, acknowledged);
    let told = eventually("both notices", || async {
        let told = api.log("milkrun.notices").await;
        let of =
            |kind: &str| told.iter().any(|line| line.contains(kind) && line.contains("disk_full"));
        (of("store.degraded") && of("store.recovered")).then_some(told.len())
    })
    .await;
    assert!(told < 30, "{told} notices");
    let printed = place.printed();
    let said = printed.lines().filter(|line| line.contains("507 until there are")).count();
    assert!((1..=2).contains(&said), "said {said} times by two processes");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_or_filled_and_freed_under_load_it_loses_nothing() {
    let mut place = Place::new("");
    let receiver = Receiver::accepting().await;
    let yaml = topics(&receiver.url());
    let Some(disk) = SmallDisk::mount(&mut place, 96, &yaml) else { return };
    let mut relay = place.start().await;
    let is_done = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let (api, is_done) = (place.api(), is_done.clone());
        async move {
            let (mut acknowledged, mut refused) = (BTreeMap::new(), 0);
            for id in 1.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                let request = api.event("numbers", event(id, 2));
                // Nobody answers while it is killed and started again.
                let Some(reply) = api.try_send(request).await else { continue };
                match reply.status {
                    200..300 => {
                        let version = reply.json()["events"][0]["version"].as_u64().unwrap();
                        acknowledged.insert(id, version);
                    }
                    507 => {
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    _ => panic!("{reply:?}"),
                }
            }
            (acknowledged, refused)
        }
    });
    let rounds = scaled(2, 20);
    for round in 0..rounds {
        let api = relay.api().clone();
        disk.fill();
        eventually("a full disk", || async {
            codes(&api).await.contains(&"disk_full".to_owned()).then_some(())
        })
        .await;
        if round % 2 == 1 {
            relay.kill().await;
            relay = place.start().await;
        }
        disk.free();
        until_all_is_well(&api).await;
    }
    is_done.store(true, Ordering::Relaxed);
    let (acknowledged, refused) = publisher.await.unwrap();
    let found = logged(relay.api()).await;
    for (id, version) in &acknowledged {
        assert_eq!(
            found.get(id),
            Some(version),
            "event {id} was acknowledged as version {version}"
        );
    }
    assert!(found.values().max() == Some(&(found.len() as u64)), "a gap");
    receiver.until_accepted(found.len()).await;
    println!(
        "filled and freed {rounds} times: {} events acknowledged, {refused} refused with 507, none lost",
        acknowledged.len()
    );
    assert!(relay.stop().await.success());
}

/// A disk with room and without an inode: an existing store starts after a kill, and what cannot
/// start says what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_inodes_keeps_no_killed_relay_from_starting() {
    let mut place = Place::new("");
    let yaml = "topics: { numbers: {} }\n";
    let Some(disk) = SmallDisk::mount_with(&mut place, "size=40m,nr_inodes=24", yaml) else {
        return;
    };
    let relay = place.start().await;
    for id in 1..=5 {
        publish(relay.api(), id, 1).await.unwrap();
    }
    let mut taken = Vec::new();
    loop {
        let name = disk.files.join(format!("taken-{}", taken.len()));
        match File::create(&name) {
            Ok(_) => taken.push(name),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}"),
        }
    }
    relay.kill().await;
    let relay = place.start().await;
    assert_eq!(publish(relay.api(), 6, 1).await, Ok(6));
    // The record that was written in place is a good one.
    relay.kill().await;
    let relay = place.start().await;
    assert_eq!(publish(relay.api(), 7, 1).await, Ok(7));
    assert!(!place.printed().contains("history_lost"), "a record was not read");
    assert!(relay.stop().await.success());
    // A new store has nothing to go on with.
    for ending in ["", "-heads", "-reserve", "-trace", ".lock"] {
        let _ = fs::remove_file(disk.files.join(format!("milkrun.db{ending}")));
        let _ = File::create(disk.files.join(format!("taken{ending}")));
    }
    fs::remove_file(&taken[0]).unwrap();
    let end = place.run(&["run", "-c", place.config().to_str().unwrap()]).await;
    assert!(end.code == Some(78) && end.stderr.contains("no inode is left"), "{end:?}");
    assert!(!disk.files.join("milkrun.db").exists(), "an empty file stays");
}
