//! The built binary as an operator treats it: killed, stopped, started twice, restored.

mod backup;
mod bombs;
mod checks;
mod commands;
mod cursor;
mod doctor;
mod faults;
mod files;
mod full;
mod kill;
mod lost;
mod positions;
mod power;
mod readers;
pub(crate) use kill::seeded;
mod leaps;
mod restore;
mod special;
mod start;
mod stop;
mod stop_walk;
mod streams;
mod tasks;
mod trace;
mod upgrade;
mod verify;
mod walk;
