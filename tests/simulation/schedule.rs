//! What is done to a world, by a seed.

use std::time::Duration;

use super::node::Cut;

/// Something that is done. Machines are named by their number.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// A process is started.
    Start(usize),
    /// It is gone at once.
    Kill(usize),
    /// It gives everything back and ends.
    Stop(usize),
    /// It stands still, or goes on.
    Freeze(usize, bool),
    /// Its wire to the database is cut, or whole again.
    Cut(usize, Cut),
    /// Its wire takes so long at most, each way.
    Slow(usize, Duration),
    /// Its wall is set.
    Clock(usize, i64),
    /// The database was restarted.
    Restarted,
    /// The database is away, or back.
    Away(bool),
    /// There is more work.
    Add(i64),
}

/// Faults by their moments; the last undoes the last of them.
pub(super) fn schedule(
    dice: &mut fastrand::Rng,
    machines: usize,
    term: Duration,
) -> Vec<(Duration, Fault)> {
    let mut faults: Vec<(Duration, Fault)> = Vec::new();
    // All come at about the same time.
    for at in 0..machines {
        faults.push((Duration::from_millis(dice.u64(0..2_000)), Fault::Start(at)));
    }
    let terms = |dice: &mut fastrand::Rng, most: f64| term.mul_f64(dice.f64() * most);
    let mut moment = terms(dice, 2.0);
    for number in 0..dice.i64(2..8) {
        moment += terms(dice, 1.0);
        let (at, lasts) = (dice.usize(0..machines), terms(dice, 2.5));
        let healed = moment + lasts;
        let mut both = |fault, healing| faults.extend([(moment, fault), (healed, healing)]);
        match dice.u8(0..10) {
            0 => both(Fault::Kill(at), Fault::Start(at)),
            1 => both(Fault::Stop(at), Fault::Start(at)),
            2 | 3 => both(Fault::Freeze(at, true), Fault::Freeze(at, false)),
            4 => both(Fault::Cut(at, Cut::Refused), Fault::Cut(at, Cut::No)),
            5 => both(Fault::Cut(at, Cut::There), Fault::Cut(at, Cut::No)),
            6 => both(Fault::Cut(at, Cut::Back), Fault::Cut(at, Cut::No)),
            7 => {
                let most = Duration::from_millis(dice.u64(50..1_500));
                both(Fault::Slow(at, most), Fault::Slow(at, Duration::from_millis(2)));
            }
            8 => {
                let by_us = if dice.bool() { 3_600_000_000 } else { -3_600_000_000 };
                both(Fault::Clock(at, by_us), Fault::Clock(at, -by_us));
            }
            _ => {
                both(Fault::Away(true), Fault::Away(false));
                faults.push((healed, Fault::Restarted));
            }
        }
        if dice.u8(0..4) == 0 {
            faults.push((moment, Fault::Add(1_000 + number)));
        }
    }
    faults.sort_by_key(|(moment, _)| *moment);
    // Whatever overlapped, all is well at the end.
    let last = faults.last().map_or(Duration::ZERO, |(moment, _)| *moment);
    for at in 0..machines {
        faults.push((last, Fault::Freeze(at, false)));
        faults.push((last, Fault::Cut(at, Cut::No)));
        faults.push((last, Fault::Slow(at, Duration::from_millis(2))));
    }
    faults
}
