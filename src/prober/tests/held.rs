//! Sources that come to a node and go.

use std::{collections::HashMap, sync::Arc};

use probes::http::{HttpProbe, Spec, Target};
use tokio_util::sync::CancellationToken;

use super::support::Bench;
use crate::prober::{SourceSetup, renew};

#[tokio::test]
async fn what_comes_and_goes_leaves_other_sources_alone() {
    let bench = Bench::new(|_| {}, Box::new(|_| Box::pin(std::future::pending()))).await;
    let prober = Arc::new(bench.looping());
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let shop = bench.setup.clone();
    let other = SourceSetup { id: 7, name: "other".parse().unwrap(), ..shop.clone() };
    let mut one = renew(&prober, &mut HashMap::new(), std::slice::from_ref(&shop), &soft, &hard);
    let task = one[&shop.name].task.id();
    let mut both = renew(&prober, &mut one, &[shop.clone(), other], &soft, &hard);
    assert_eq!((both.len(), both[&shop.name].task.id()), (2, task));
    let mut alone = renew(&prober, &mut both, std::slice::from_ref(&shop), &soft, &hard);
    assert_eq!((alone.len(), alone[&shop.name].task.id()), (1, task));
    // A changed file makes another probe.
    let target = Target::parse("https://shop.example.com/other").unwrap();
    let probe = Arc::new(HttpProbe::new(Spec::new(target)).unwrap());
    let changed = SourceSetup { probe, ..shop.clone() };
    let changed = renew(&prober, &mut alone, &[changed], &soft, &hard);
    assert_ne!(changed[&shop.name].task.id(), task);
    hard.cancel();
}
