//! The server as its callers see it: in-process, on the reference store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod baseline;
mod budgets;
mod config;
mod console;
mod controls;
mod digests;
mod kpi;
mod malformed;
mod openapi;
mod operation;
mod outages;
mod records;
mod serving;
mod stream;
mod support;
mod writes;
