//! A walk that stores nothing, for `milkrun probe NAME --dry-run` and `milkrun check --online`.

use probes::{Ask, Budget, Draft, Exchange, Failure, Network, Next, Probe, Rejected, Walk};

/// The memory of one page at a time.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// What a walk would have done.
#[derive(Debug)]
pub struct DryRun {
    /// The pages, in the order they were asked for.
    pub pages: Vec<DryPage>,
    /// How it ended: `None` when `pages_max` cut it off.
    pub end: Option<Result<Walk, Failure>>,
}

/// One page of a [`DryRun`].
#[derive(Debug)]
pub struct DryPage {
    /// The request and its answer, without secrets.
    pub exchange: Exchange,
    /// What would have been appended, in listed order.
    pub drafts: Vec<Draft>,
    /// What would have been rejected.
    pub rejected: Vec<Rejected>,
}

/// Walks from `cursor`, at most `pages_max` pages, as it would be at `now`.
pub async fn dry_run(
    probe: &dyn Probe,
    network: &Network,
    cursor: Option<String>,
    now: jiff::Timestamp,
    pages_max: usize,
) -> DryRun {
    let budget = Budget::new(PAGE_BYTES_MAX);
    let mut run = DryRun { pages: Vec::new(), end: None };
    let mut mark = None;
    while run.pages.len() < pages_max {
        match probe.page(network, &budget, Ask::new(cursor.as_ref(), mark.as_ref(), now)).await {
            Ok(page) => {
                run.pages.push(DryPage {
                    exchange: page.exchange.unwrap_or_default(),
                    drafts: page.drafts,
                    rejected: page.rejected,
                });
                match page.next {
                    Next::Page(next) => mark = Some(next),
                    Next::Done(walk) => {
                        run.end = Some(Ok(walk));
                        break;
                    }
                }
            }
            Err(failure) => {
                run.end = Some(Err(failure));
                break;
            }
        }
    }
    run
}
