//! The configuration file: one YAML text becomes one [`Config`] or a list of what is wrong.
//!
//! One file per section; the types named `…File` are what the file may say, and only they know
//! references to secrets. A [`Config`] holds values and is valid by construction.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::Path, time::Duration};

use url::Url;

pub use self::{
    backup::BackupPlan,
    console::Console,
    error::{ConfigError, Problem},
    file::File,
    limits::Limits,
    metrics::MetricsShown,
    sources::SourceConfig,
    tls::ApiTls,
};
use self::{
    error::Problems,
    secret::{Env, Variables},
};
use crate::{
    event::{Topic, TopicPattern},
    key::AccessKey,
    outbound::Guard,
    regular,
    seal::Seal,
    settings::TopicSettings,
    store::{Address, Durability, NewSubscription},
};

mod backup;
mod console;
mod error;
mod file;
mod forms;
mod http;
mod keys;
mod limits;
mod listen;
mod mask;
mod metrics;
mod names;
mod outline;
mod schema;
mod secret;
mod secrets;
mod sources;
mod store;
mod subscriptions;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod topics;
mod variables;
mod webhook;
mod written;

/// What the relay is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the store.
    pub store: Address,
    /// What must be true of an event that was acknowledged.
    pub durability: Durability,
    /// What this node is to the others on the same database.
    pub cluster: Cluster,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The certificate of the API; `None`: it speaks in clear.
    pub tls: Option<ApiTls>,
    /// By which address others reach the API; `None`: where it listens.
    pub public_url: Option<Url>,
    /// Whether a proxy says by which name a client asked.
    pub trust_proxy: bool,
    /// What requests to producers and consumers may reach.
    pub outbound: Outbound,
    /// Every topic that the file names, those of sources and subscriptions included.
    pub topics: Vec<(Topic, TopicSettings)>,
    /// Who is probed.
    pub sources: Vec<SourceConfig>,
    /// Who is pushed to.
    pub subscriptions: Vec<NewSubscription>,
    /// Who may use the API, besides the keys in the store.
    pub keys: Vec<AccessKey>,
    /// The bounds of the whole process.
    pub limits: Limits,
    /// How much is shown of what is counted, and where.
    pub metrics: MetricsShown,
    /// The web console.
    pub console: Console,
    /// Copies of the store that the relay makes by itself.
    pub backup: Option<BackupPlan>,
    /// Under which key secrets are kept in the store.
    pub seal: Seal,
    /// Whether a public address may be bound although there are no keys.
    pub insecure: bool,
    /// Whether a changed file may leave out most of what runs.
    pub allow_removal: bool,
}

impl Config {
    /// Logs what is allowed and was perhaps not meant.
    pub fn warn(&self) {
        let unsigned = |new: &&NewSubscription| new.settings.secrets.is_empty();
        for NewSubscription { name, .. } in self.subscriptions.iter().filter(unsigned) {
            tracing::warn!(
                event = "subscription.unsigned", subscription = %name,
                "`webhook.secret` is not set: its requests are not signed"
            );
        }
    }
}

/// What a node is to the others on the same database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// What it is called; `None`: after its machine and port.
    pub node: Option<String>,
    /// How long it holds its work after it last renewed its term.
    pub term: Duration,
}

impl Cluster {
    /// A shorter term runs out while a busy database thinks.
    pub(crate) const TERM_MIN: Duration = Duration::from_secs(2);
    /// A longer one leaves the work of a dead node undone.
    pub(crate) const TERM_MAX: Duration = Duration::from_mins(5);
}

impl Default for Cluster {
    fn default() -> Self {
        Self { node: None, term: Duration::from_secs(10) }
    }
}

/// What requests to producers and consumers may reach.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Outbound {
    /// Addresses that are allowed although they are not public.
    pub allow: Vec<ipnet::IpNet>,
    /// The HTTP proxy that every request goes through; may hold a password.
    pub proxy: Option<Url>,
}

impl Outbound {
    /// What judges every request.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard::new(self.allow.clone()).with_proxy(self.proxy.clone())
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = self.proxy.as_ref().map(Url::host_str);
        f.debug_struct("Outbound").field("allow", &self.allow).field("proxy", &proxy).finish()
    }
}

/// Reads the file at `path`; `env` answers for environment variables.
///
/// # Errors
/// Everything that is wrong with it, as far as it could be told; a file without content, too.
pub fn load(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let (name, text) = (path.display().to_string(), read(path)?);
    let config = parse(&text, &name, env)?;
    check_content(&text, name)?;
    Ok(config)
}

/// A file without any content was cut, or is being written: nobody means it.
fn check_content(text: &str, file: String) -> Result<(), ConfigError> {
    if !Problems::new(text).is_without_content() {
        return Ok(());
    }
    let message = "there is nothing in it; `{}` is the file that asks for nothing".into();
    Err(ConfigError { file, problems: vec![Problem { at: None, message, snippet: None }] })
}

/// Reads a text; `name` stands for the file in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: &str,
    name: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let mut problems = Problems::new(text);
    let built = file(text, &env, &mut problems)
        .and_then(|(file, _)| build(&file, Env::of(name, &env), &mut problems));
    match built {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems.into_error(name)),
    }
}

/// The file at `path` with all defaults filled in, as YAML; secrets stay references, and the
/// values of environment variables are shown by the variables' names.
///
/// # Errors
/// As [`load`].
pub fn show(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let (name, text) = (path.display().to_string(), read(path)?);
    parse(&text, &name, &env)?;
    check_content(&text, name.clone())?;
    let mut problems = Problems::new(&text);
    let shown = file(&text, &env, &mut problems).and_then(|(file, used)| {
        let mut tree = serde_json::to_value(&file).ok()?;
        hide(&mut tree, &used);
        serde_saphyr::to_string(&tree).ok()
    });
    shown.ok_or_else(|| problems.into_error(&name))
}

/// Where a relay listens, and how it is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listens {
    /// Where.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub is_encrypted: bool,
    /// The certificate that it shows, when that can be read.
    pub certificate: Option<String>,
}

/// Where the relay of the file at `path` listens; no secret is read.
///
/// # Errors
/// As [`load`].
pub fn listen(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Listens, ConfigError> {
    let (name, text) = (path.display().to_string(), read(path)?);
    let mut problems = Problems::new(&text);
    let found = file(&text, &env, &mut problems)
        .and_then(|(file, _)| Some((file.listen(&mut problems)?, file.tls)));
    // A file that is being edited leads to its relay all the same.
    let found = found.or_else(|| {
        let (only, _) = read_as::<OnlyListen>(&text, &env, &mut Problems::new(&text))?;
        Some((only.listen?.parse().ok()?, only.tls))
    });
    let (address, tls) = found.ok_or_else(|| problems.into_error(&name))?;
    Ok(Listens {
        address,
        is_encrypted: tls.is_some(),
        certificate: tls.and_then(|tls| tls.certificate(Env::of(&name, &env))),
    })
}

/// Whether the file at `path` says by itself where its relay listens.
#[must_use]
pub fn says_listen(path: &Path, env: impl Fn(&str) -> Option<String>) -> bool {
    let Ok(text) = read(path) else { return false };
    let only = read_as::<OnlyListen>(&text, &env, &mut Problems::new(&text));
    only.is_some_and(|(only, _)| only.listen.is_some())
}

/// What a client wants of a file, whatever else is in it.
#[derive(Debug, Default, serde::Deserialize)]
struct OnlyListen {
    listen: Option<String>,
    tls: Option<tls::ApiTlsFile>,
}

/// The JSON Schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema::of_file()
}

/// The longest file.
const FILE_BYTES_MAX: u64 = 4 << 20;

fn read(path: &Path) -> Result<String, ConfigError> {
    let refused = |message: String| ConfigError {
        file: path.display().to_string(),
        problems: vec![Problem { at: None, message, snippet: None }],
    };
    regular::read_text(path, FILE_BYTES_MAX)
        .map_err(|error| refused(format!("cannot be read: {error}; name another file with -c")))
}

/// The parsed file and the variables that it uses.
fn file(
    text: &str,
    env: Variables<'_>,
    problems: &mut Problems<'_>,
) -> Option<(File, std::collections::HashMap<String, String>)> {
    read_as::<File>(text, env, problems).map(|(mut file, used)| {
        file.as_written(text);
        (file, used)
    })
}

fn read_as<T: serde::de::DeserializeOwned + Default>(
    text: &str,
    env: Variables<'_>,
    problems: &mut Problems<'_>,
) -> Option<(T, std::collections::HashMap<String, String>)> {
    let used = variables::used(env, problems);
    for (name, value) in &used {
        problems.hide(value, &format!("${{{name}}}"));
    }
    if !problems.is_empty() {
        return None;
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        property_syntax: serde_saphyr::PropertySyntax::DockerCompose,
    }
    .with_properties(used.clone());
    // A text without any content asks for the defaults.
    let empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
    if empty {
        return Some((T::default(), used));
    }
    match serde_saphyr::from_str_with_options(text, options) {
        Ok(file) => Some((file, used)),
        Err(error) => {
            problems.parse(&error);
            None
        }
    }
}

fn build(file: &File, env: Env<'_>, problems: &mut Problems<'_>) -> Option<Config> {
    let store = file.store.value.build(file.store.referenced, env, problems);
    let cluster = file.cluster.build(problems);
    let listen = file.listen(problems);
    let tls = file.tls.as_ref().map(|tls| tls.build(env, problems));
    let public_url = file.public_url(problems);
    let outbound = file.outbound(env, problems);
    let guard = outbound.guard();
    let named = topics::build(&file.topics, problems);
    let sources = sources::build(&file.sources, &guard, env, problems);
    let subscriptions = subscriptions::build(&file.subscriptions, &guard, env, problems);
    let keys = keys::build(&file.keys, problems);
    let metrics = file.metrics.build(listen, problems);
    let is_database = store.as_ref().is_some_and(|(store, _)| store.is_database());
    let backup = file.backup.as_ref().map(|backup| backup.build(is_database, env, problems));
    file.limits.value.check(file.limits.referenced, problems);
    for source in &file.sources {
        source.check_limits(&file.limits.value, problems);
    }
    let mut topics: BTreeMap<Topic, TopicSettings> = named;
    let used = sources.iter().map(|source| source.topic.clone());
    let named = subscriptions.iter().flat_map(|one| &one.topics).filter_map(TopicPattern::topic);
    for topic in used.chain(named) {
        topics.entry(topic).or_default();
    }
    let (store, durability) = store?;
    Some(Config {
        store,
        durability,
        cluster,
        listen: listen?,
        tls,
        public_url,
        trust_proxy: file.trust_proxy,
        outbound,
        topics: topics.into_iter().collect(),
        sources,
        subscriptions,
        keys,
        limits: file.limits.value.clone(),
        metrics,
        console: file.console,
        backup,
        seal: file.secrets.build(env, problems),
        insecure: file.insecure,
        allow_removal: file.reload.allow_removal,
    })
}

/// Puts the names of variables in the place of their values; a short value is no secret.
fn hide(tree: &mut serde_json::Value, used: &std::collections::HashMap<String, String>) {
    match tree {
        serde_json::Value::String(text) => {
            for (name, value) in
                used.iter().filter(|(_, value)| value.len() >= mask::SECRET_BYTES_MIN)
            {
                *text = text.replace(value.as_str(), &format!("${{{name}}}"));
            }
            *text = mask::user_info(text);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| hide(item, used)),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|item| hide(item, used)),
        _ => {}
    }
}
