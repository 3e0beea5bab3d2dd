//! Quantiles of what a histogram counted between two moments.

/// Bounds and what was counted up to each, in the order of the bounds.
pub(super) type Buckets = Vec<(f64, f64)>;

/// The bound that `share` of what was counted since `before` is within, between two bounds in
/// proportion; `None`: nothing was counted. What is beyond the last bound is shown as that.
pub(super) fn between(before: &Buckets, now: &Buckets, share: f64) -> Option<f64> {
    let counted = |index: usize| {
        let earlier = before.get(index).map_or(0.0, |(_, count)| *count);
        let (bound, count) = now[index];
        // A histogram that began anew has counted all of it since.
        (bound, if count < earlier { count } else { count - earlier })
    };
    let all = counted(now.len().checked_sub(1)?).1;
    if all <= 0.0 {
        return None;
    }
    let wanted = share * all;
    let (mut below, mut up_to) = (0.0, 0.0);
    for (bound, count) in (0..now.len()).map(counted) {
        if count >= wanted {
            if bound.is_infinite() {
                return Some(below);
            }
            let part = if count > up_to { (wanted - up_to) / (count - up_to) } else { 1.0 };
            return Some(below + (bound - below) * part);
        }
        (below, up_to) = (bound, count);
    }
    Some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_of_what_came_between() {
        let at = |a: f64, b: f64, c: f64| vec![(0.1, a), (1.0, b), (f64::INFINITY, c)];
        assert_eq!(between(&at(9.0, 9.0, 9.0), &at(9.0, 9.0, 9.0), 0.5), None);
        assert_eq!(between(&at(90.0, 90.0, 90.0), &at(90.0, 100.0, 100.0), 0.5), Some(0.55));
        assert_eq!(between(&Vec::new(), &at(10.0, 10.0, 10.0), 0.5), Some(0.05));
        assert_eq!(between(&Vec::new(), &at(0.0, 0.0, 4.0), 0.99), Some(1.0), "beyond the last");
        assert_eq!(between(&at(50.0, 50.0, 50.0), &at(10.0, 10.0, 10.0), 1.0), Some(0.1), "anew");
    }
}
