//! Properties of admission, the ledger, prices and forecasts.

mod admission;
mod forecast;
mod ledger;
mod price;
