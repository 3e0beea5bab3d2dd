//! The whole file, and its small sections: `listen`, `outbound`, `insecure`, `reload`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;
use url::Url;

use super::{
    Outbound,
    backup::BackupFile,
    console::Console,
    error::Problems,
    forms,
    keys::KeyFile,
    limits::Limits,
    listen,
    metrics::MetricsFile,
    secret::{Env, Value, resolve_value},
    secrets::SecretsFile,
    sources::SourceFile,
    store::{ClusterFile, StoreFile},
    subscriptions::SubscriptionFile,
    table::{Table, unplaced},
    tls::ApiTlsFile,
    topics::TopicFile,
};
use crate::outbound::check_proxy;

/// Milkrun's configuration file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where everything is kept: in a file or in a database.
    #[schemars(with = "StoreFile")]
    pub store: Spanned<StoreFile>,
    /// What this node is to the others on the same database.
    pub cluster: ClusterFile,
    /// Where the API listens: `ADDRESS:PORT`.
    #[schemars(with = "String", regex(pattern = r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$"))]
    pub listen: Spanned<String>,
    /// The certificate of the API; without it the API speaks in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ApiTlsFile>,
    /// By which address others reach the API, as `https://relay.example/milkrun`, when that is not where
    /// it listens: behind a proxy, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = "^https?://"))]
    pub public_url: Option<Spanned<String>>,
    /// Whether a proxy says by `X-Forwarded-Host` by which name a client asked.
    pub trust_proxy: bool,
    /// What requests to producers and consumers may reach.
    pub outbound: OutboundFile,
    /// Topics by name; those that sources and subscriptions use need not be named.
    #[schemars(transform = forms::named)]
    pub topics: Table<Option<TopicFile>>,
    /// Who is probed.
    pub sources: Vec<SourceFile>,
    /// Who is pushed to.
    pub subscriptions: Vec<SubscriptionFile>,
    /// Who may use the API; more keys are made by `milkrun keys create`.
    pub keys: Vec<KeyFile>,
    /// The bounds of the whole process.
    #[schemars(with = "Limits")]
    pub limits: Spanned<Limits>,
    /// Whether `listen` may be a public address although there are no keys.
    pub insecure: bool,
    /// How a changed file is taken.
    pub reload: ReloadFile,
    /// How much `/metrics` shows, and where besides the API.
    pub metrics: MetricsFile,
    /// The web console, at `/console/` where the API is.
    pub console: Console,
    /// Copies of the store in a file that the relay makes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupFile>,
    /// Under which key secrets are kept in the store.
    pub secrets: SecretsFile,
}

/// How a changed file is taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReloadFile {
    /// Whether a changed file may leave out more than half of the sources and subscriptions that run.
    pub allow_removal: bool,
}

/// What requests to producers and consumers may reach.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundFile {
    /// Addresses and networks that are allowed although they are not public, as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<Spanned<String>>,
    /// The HTTP proxy that every request goes through, as `http://proxy.example:3128`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub proxy: Option<Spanned<Value>>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            store: unplaced(StoreFile::Plain("sqlite:data/milkrun.db".into())),
            cluster: ClusterFile::default(),
            listen: unplaced("127.0.0.1:8080".into()),
            tls: None,
            public_url: None,
            trust_proxy: false,
            outbound: OutboundFile::default(),
            topics: Table::default(),
            sources: Vec::new(),
            subscriptions: Vec::new(),
            keys: Vec::new(),
            limits: unplaced(Limits::default()),
            insecure: false,
            reload: ReloadFile::default(),
            metrics: MetricsFile::default(),
            console: Console::default(),
            backup: None,
            secrets: SecretsFile::default(),
        }
    }
}

impl File {
    /// Takes the texts of numbers from the file.
    pub(super) fn as_written(&mut self, file: &str) {
        if let StoreFile::Settings(store) = &mut self.store.value {
            Value::as_written(&mut store.url, file);
        }
        if let Some(tls) = &mut self.tls {
            tls.as_written(file);
        }
        if let Some(proxy) = &mut self.outbound.proxy {
            Value::as_written(proxy, file);
        }
        self.sources.iter_mut().for_each(|source| source.http.value.as_written(file));
        self.subscriptions.iter_mut().for_each(|one| one.as_written(file));
    }

    /// The public address, which is a scheme, a host and perhaps a path.
    pub(super) fn public_url(&self, problems: &mut Problems<'_>) -> Option<Url> {
        let given = self.public_url.as_ref()?;
        let url = Url::parse(&given.value).ok().filter(|url| {
            let is_own = ["/v1", "/docs"].iter().any(|path| url.path().starts_with(path));
            let is_bare = url.query().is_none() && url.fragment().is_none();
            let is_nobodys = url.username().is_empty() && url.password().is_none();
            matches!(url.scheme(), "http" | "https") && is_bare && is_nobodys && !is_own
        });
        if url.is_none() {
            let message = format!(
                "`public_url: {}`: expected a scheme, a host and perhaps a path, as https://relay.example/milkrun",
                given.value
            );
            problems.add(given.referenced, message);
        }
        url
    }

    pub(crate) fn listen(&self, problems: &mut Problems<'_>) -> Option<SocketAddr> {
        listen::address("listen", &self.listen, problems)
    }

    pub(crate) fn outbound(&self, env: Env<'_>, problems: &mut Problems<'_>) -> Outbound {
        let mut allow = Vec::new();
        for network in &self.outbound.allow {
            let text = network.value.as_str();
            let parsed = text.parse::<ipnet::IpNet>().ok();
            match parsed.or_else(|| text.parse::<std::net::IpAddr>().ok().map(Into::into)) {
                Some(network) => allow.push(network),
                None => problems.add(
                    network.referenced,
                    format!("`outbound.allow`: `{text}` is neither an address nor a network, as 10.0.0.0/8"),
                ),
            }
        }
        let proxy = self.outbound.proxy.as_ref().and_then(|proxy| {
            let (text, _) = resolve_value(proxy, env, problems);
            match check_proxy(&text) {
                Ok(url) => Some(url),
                Err(problem) => {
                    if !text.is_empty() {
                        let message = format!("`outbound.proxy`: {problem}");
                        problems.add(proxy.referenced, message);
                    }
                    None
                }
            }
        });
        Outbound { allow, proxy }
    }
}
