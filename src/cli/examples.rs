//! Two examples or more for the help of each command that has no longer text of its own; a test parses
//! every line of every help that begins with `milkrun`.

pub(super) const RUN: &str = "\
Examples:
  milkrun run -c /etc/milkrun/milkrun.yaml
  milkrun run --role probe,dispatch --drain 1m --log milkrun=debug";

pub(super) const DEMO: &str = "\
Examples:
  milkrun demo
  milkrun demo --cluster --once";

pub(super) const CHECK: &str = "\
Examples:
  milkrun check -c milkrun.yaml
  milkrun check --online";

pub(super) const CONFIG: &str = "\
Examples:
  milkrun config schema > milkrun.schema.json
  milkrun config show -c milkrun.yaml";

pub(super) const PROBE: &str = "\
Examples:
  milkrun probe shop
  milkrun probe shop --dry-run --pages 2 -o json";

pub(super) const TOPICS: &str = "\
Examples:
  milkrun topics
  milkrun topics gaps orders";

pub(super) const EVENTS: &str = "\
Examples:
  milkrun events orders --since 10m
  milkrun events orders --after 4711 --follow -o json";

pub(super) const SUBSCRIPTIONS: &str = "\
Examples:
  milkrun subscriptions show billing
  milkrun subscriptions attempts billing --failed --since 10m
  milkrun subscriptions rewind billing --since 1h";

pub(super) const PENDING: &str = "\
Examples:
  milkrun pending orders
  milkrun pending orders cancel 7";

pub(super) const FIND: &str = "\
Examples:
  milkrun find order-9931
  milkrun find orders@4711 -o json";

pub(super) const TRY: &str = "\
Examples:
  milkrun try orders 'filter=data.total > 100'
  milkrun try orders --last 5 format=data 'transform={\"text\": \"data.total\"}' -o json";

pub(super) const ATTENTION: &str = "\
Examples:
  milkrun attention
  milkrun attention -o json";

pub(super) const ATTEMPTS: &str = "\
Examples:
  milkrun attempts --failed --since 10m
  milkrun attempts billing --status 503 --all";

pub(super) const DEAD_LETTERS: &str = "\
Examples:
  milkrun dead-letters list
  milkrun dead-letters billing
  milkrun dead-letters billing redrive --status 503 --since 1h --rate 10/s";

pub(super) const REPLAY: &str = "\
Examples:
  milkrun replay billing --since 1h --rate 50/s --wait
  milkrun replay billing --topic orders --at 4711 --to 4999";

pub(super) const SOURCES: &str = "\
Examples:
  milkrun sources
  milkrun sources poll shop";

pub(super) const SERIES: &str = "\
Examples:
  milkrun series milkrun_events_appended_total
  milkrun series milkrun_subscription_oldest_seconds --label subscription=billing --since 2h";

pub(super) const CLUSTER: &str = "\
Examples:
  milkrun cluster
  milkrun cluster -o json";

pub(super) const RELOAD: &str = "\
Examples:
  milkrun reload
  milkrun reload --allow-removal";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  milkrun healthcheck
  milkrun healthcheck --server http://127.0.0.1:8080";

pub(super) const COMPLETIONS: &str = "\
Examples:
  milkrun completions bash > /etc/bash_completion.d/milkrun
  milkrun completions zsh > _milkrun";
