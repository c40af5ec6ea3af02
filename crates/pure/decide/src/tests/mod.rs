//! One rule, one test: the smallest observation that shows it. `build`, `world` and `ask` are the words
//! that tests are told in; every other file is a topic; `enumeration` goes through all small worlds.

mod ask;
mod bootstrap;
mod build;
mod enumeration;
mod lease;
mod order;
mod pause;
mod promotion;
mod race;
mod slots;
mod unreachable;
mod world;
mod worlds;
