//! Whole deliveries: the dispatcher over a real store, with a scripted sink and a clock that is
//! turned by hand.

mod leaps;
mod ordering;
mod outage;
mod pacing;
mod poison;
mod rig;
mod saving;
mod steering;
