//! Several nodes on one PostgreSQL: real processes that are killed, stopped and restarted under load.

mod account;
mod commit_times;
mod commits;
mod database;
mod kill;
mod load;
mod nemesis;
mod restart;
mod rig;
mod stalled;
mod writers;
