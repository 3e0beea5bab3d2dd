//! `milkrun cluster`: the nodes on the store, and what each of them does.

use serde_json::Value;

use super::{
    Failure, Options,
    output::{Output, say},
};

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let cluster = client.get(&["v1", "cluster"], &[]).await?;
    output.list(
        &with_words(cluster.clone(), output),
        "nodes",
        &[
            ("NODE", "/name"),
            ("STATE", "/state"),
            ("TERM", "/term"),
            ("ROLES", "/does"),
            ("SOURCES", "/work/sources"),
            ("SUBSCRIPTIONS", "/work/subscriptions"),
            ("TOPICS", "/work/retention"),
            ("OWED", "/owed"),
            ("RELEASE", "/release"),
        ],
    )?;
    if output == Output::Table {
        tell_unheld(&cluster["unheld"]);
    }
    Ok(())
}

/// With a few columns for people.
fn with_words(mut cluster: Value, output: Output) -> Value {
    if output == Output::Json {
        return cluster;
    }
    for node in cluster["nodes"].as_array_mut().into_iter().flatten() {
        let alive = node["alive"].as_bool().unwrap_or_default();
        let answers = node["answers"].as_bool().unwrap_or_default();
        let state = match (alive, answers) {
            (true, true) => "alive, answers",
            (true, false) => "alive",
            (false, _) => "gone",
        };
        let term = match (node["term_left_ms"].as_u64(), alive) {
            (Some(left), _) => {
                format!("{:.1} s left", std::time::Duration::from_millis(left).as_secs_f64())
            }
            (None, true) => "no end".to_owned(),
            (None, false) => "over".to_owned(),
        };
        let roles = node["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let does = roles.collect::<Vec<_>>().join(",");
        node["state"] = state.into();
        node["term"] = term.into();
        node["does"] = does.into();
    }
    cluster
}

/// Says what nobody does.
fn tell_unheld(unheld: &Value) {
    let some = unheld.as_object().into_iter().flatten().filter_map(|(kind, count)| {
        let count = count.as_u64().filter(|count| *count > 0)?;
        let kind = match kind.as_str() {
            "retention" => "topics (retention)",
            "pending" => "topics (pending events)",
            kind => kind,
        };
        Some(format!("{count} {kind}"))
    });
    let some: Vec<String> = some.collect();
    if !some.is_empty() {
        say(&format!(
            "nobody does: {}; free work is claimed within a second, that of a dead node when its term \
             ends; if this lasts, no node has the role",
            some.join(", ")
        ));
    }
}
