//! The end-to-end suites, one file each, in one test program: linking takes longer than compiling any of them.
//!
//! `cargo nextest run --workspace -E 'package(pgherd-e2e) and test(rejoin::)'` runs the suite of one file.

mod archive;
mod cascade;
mod chaos_agent;
mod chaos_host;
mod chaos_partitions;
mod chaos_postgresql;
mod chaos_store;
mod citus;
mod consul;
mod crash;
mod ctl;
mod etcd2;
mod failsafe;
mod fence;
mod formation;
mod generate;
mod host_loss;
mod kubernetes;
mod logical;
mod migrate;
mod mirror;
mod newer;
mod operations;
mod pauses;
mod readers;
mod regions;
mod regions_lost;
mod rejoin;
mod restart_of_all;
mod retention;
mod settings_rows;
mod standby_archive;
mod switchover;
mod synchronous;
mod watchdog;
mod zookeeper;
