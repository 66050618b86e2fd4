//! Black-box tests of the real binaries.
#![allow(missing_docs)]

mod alerts;
mod cluster;
mod console;
mod counting;
mod crash;
mod disk;
mod edge;
mod faults;
mod fixtures;
mod flags;
mod layers;
mod models;
mod open_runs;
mod operator;
mod production;
mod races;
mod reads;
mod recount;
mod reports;
mod runbook;
mod tidy;
mod versions;
mod visits;
mod words;
