//! The console in a real Chromium, used as its operators use it.

mod access;
mod budgets;
mod devices;
mod flow;
mod hostile;
mod outages;
mod printed;
mod proxied;
mod reports;
mod still;
mod trail;
mod visitors;
