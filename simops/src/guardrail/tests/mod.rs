//! Properties of the stop conditions and of their backtest.

mod backtest;
mod conditions;
