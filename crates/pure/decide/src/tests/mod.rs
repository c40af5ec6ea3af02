//! One rule, one test: the smallest observation that shows it. `build`, `world` and `ask` are the words
//! that tests are told in; every other file is a topic; `enumeration` goes through all small worlds.

mod ask;
mod bootstrap;
mod build;
mod cascade;
mod delayed;
mod entry;
mod enumeration;
mod failsafe;
mod follow;
mod hand_over;
mod identity;
mod lease;
mod logical_slots;
mod order;
mod pause;
mod planned;
mod points;
mod promotion;
mod publish;
mod race;
mod recover;
mod reinitialize;
mod rejoin;
mod requests;
mod shutdown;
mod slots;
mod standby;
mod switchover;
mod sync;
mod sync_quorum;
mod unreachable;
mod watchdog;
mod working;
mod world;
mod worlds;
