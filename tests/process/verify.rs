//! A signature is looked at by the command, as whoever writes a receiver would.

use std::fs;

use crate::support::Place;

/// The example of Standard Webhooks.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HEADERS: &str = "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n\
                       webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_part_that_is_wrong_is_told() {
    let mut place = Place::new("");
    let request = place.path("request.http");
    let write = |body: &str| {
        let whole = format!("POST /hooks HTTP/1.1\r\n{HEADERS}\r\n{body}");
        fs::write(&request, whole).unwrap();
    };
    let words = ["verify", "--request", "request.http", "--tolerance", "36500d"];
    write(r#"{"test": 2432232314}"#);
    assert_eq!(place.run(&words).await.code, Some(2), "there is no secret");
    let key = place.path("hook.secret");
    fs::write(&key, format!("{SECRET}\n")).unwrap();
    let with_file = place.run(&[&words[..], &["--secret-file", "hook.secret"]].concat()).await;
    assert!(with_file.code == Some(0) && with_file.stdout.starts_with("good"), "{with_file:?}");
    place.env("MILKRUN_WEBHOOK_SECRET", SECRET);
    assert_eq!(place.run(&words).await.code, Some(0));
    let old = place.run(&words[..3]).await;
    assert!(old.code == Some(1) && old.stdout.contains("timestamp too old"), "{old:?}");
    write(r#"{"test":2432232314}"#);
    let changed = place.run(&[&words[..], &["-o", "json"]].concat()).await;
    let told: serde_json::Value = serde_json::from_str(&changed.stdout).unwrap();
    assert_eq!((changed.code, &told["wrong"][0]["part"]), (Some(1), &"body".into()), "{told}");
    let nothing = place.run(&["verify"]).await;
    assert!(nothing.stdout.contains("`webhook-id` is missing"), "{nothing:?}");
}
