//! Properties of admission, prices and forecasts.

mod admission;
mod forecast;
mod price;
