//! Progress: nobody writes it whose work is another's, so it never falls, and neither does its fence.

use std::collections::HashMap;

use super::{Kind, Report, Write};

pub(super) fn check(writes: &[Write], report: &mut Report) {
    let mut last: HashMap<&str, &Write> = HashMap::new();
    for write in writes {
        if let Some(before) = last.insert(&write.of, write)
            && (write.fence < before.fence || write.progress < before.progress)
        {
            let (progress, fence) = (before.progress, before.fence);
            let text = format!("{write:?} after {progress} by fence {fence}");
            report.found(Kind::Stale, text);
        }
    }
}
