//! The price book: what a call costs, by provider, model and day. Every call has a price or is
//! refused.
//!
//! Prices are list prices in USD per million tokens. Cached input tokens are part of the input
//! tokens and reasoning tokens part of the output tokens, as providers report them.

use std::collections::HashMap;

use jiff::civil::Date;
use serde::Deserialize;

use super::NanoUsd;
use crate::{Error, Result};

const SHIPPED: &str = include_str!("prices.json");
const MILLION: i128 = 1_000_000;
/// A model name that starts with this matches every model that ends in the rest of the name.
const ANY: char = '*';

/// What a million tokens cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Input tokens read for the first time.
    pub input: NanoUsd,
    /// Input tokens that the provider had cached.
    pub cached_input: NanoUsd,
    /// Output tokens, reasoning included.
    pub output: NanoUsd,
}

/// The tokens of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// All input tokens.
    pub input: i64,
    /// The part of the input that was cached.
    pub cached_input: i64,
    /// All output tokens, reasoning included.
    pub output: i64,
}

named! {
    /// What to do with a model that the book does not know.
    #[derive(Default)]
    pub enum UnpricedPolicy {
        /// Charge 0.50 USD per million input and 1.50 per million output tokens, marked
        /// `priced = false`.
        #[default]
        Fallback = "fallback",
        /// Refuse the call.
        Refuse = "refuse",
    }
}

/// The price decision for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// What a million tokens cost.
    pub price: Price,
    /// Whether the book knows the model.
    pub priced: bool,
}

/// Prices by provider and model, each from a certain day on.
#[derive(Debug, Clone)]
pub struct PriceBook {
    /// The source of the prices.
    pub source: String,
    /// When they were read from the source.
    pub retrieved: Date,
    listed: HashMap<(String, String), Vec<(Date, Price)>>,
    endings: Vec<(String, String, Price)>,
}

#[derive(Deserialize)]
struct File {
    source: String,
    retrieved: Date,
    prices: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    provider: String,
    model: String,
    from: Option<Date>,
    input: String,
    cached_input: Option<String>,
    output: String,
}

impl Price {
    const FALLBACK: Self = Self {
        input: NanoUsd(500_000_000),
        cached_input: NanoUsd(500_000_000),
        output: NanoUsd(1_500_000_000),
    };

    /// What `tokens` cost, rounded up to a whole nano-dollar. Counts below zero count as zero, and
    /// cached tokens beyond the input as the input.
    pub fn of(&self, tokens: Tokens) -> NanoUsd {
        let input = i128::from(tokens.input.max(0));
        let cached = i128::from(tokens.cached_input.max(0)).min(input);
        let output = i128::from(tokens.output.max(0));
        let sum = (input - cached) * i128::from(self.input.0)
            + cached * i128::from(self.cached_input.0)
            + output * i128::from(self.output.0);
        let nanos = (sum + MILLION - 1) / MILLION;
        NanoUsd(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

impl PriceBook {
    /// The book that ships with simops.
    ///
    /// # Errors
    /// `Internal` if the built-in book cannot be parsed, which a test rules out.
    pub fn shipped() -> Result<Self> {
        Self::from_json(SHIPPED)
    }

    /// A book of `{source, retrieved, prices: [{provider, model, from?, input, cached_input?,
    /// output}]}`, prices as decimal strings.
    ///
    /// # Errors
    /// `Invalid` if the text is not a price book. The message names the first row that is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        let file: File = serde_json::from_str(text).map_err(|error| {
            Error::invalid("prices", format!("the file is not a price book: {error}"))
        })?;
        let mut book = Self {
            source: file.source,
            retrieved: file.retrieved,
            listed: HashMap::new(),
            endings: Vec::new(),
        };
        for row in file.prices {
            let price = row.price()?;
            let (provider, model) = (row.provider.to_lowercase(), row.model.to_lowercase());
            if let Some(ending) = model.strip_prefix(ANY) {
                book.endings.push((provider, ending.to_owned(), price));
            } else {
                let from = row.from.unwrap_or(Date::MIN);
                book.listed.entry((provider, model)).or_default().push((from, price));
            }
        }
        for prices in book.listed.values_mut() {
            prices.sort_by_key(|(from, _)| *from);
        }
        Ok(book)
    }

    /// What a call to `model` on `day` costs.
    ///
    /// # Errors
    /// `Rejected` for a model that the book does not know, under [`UnpricedPolicy::Refuse`].
    pub fn quote(
        &self,
        provider: &str,
        model: &str,
        day: Date,
        policy: UnpricedPolicy,
    ) -> Result<Quote> {
        match (self.price(provider, model, day), policy) {
            (Some(price), _) => Ok(Quote { price, priced: true }),
            (None, UnpricedPolicy::Fallback) => Ok(Quote { price: Price::FALLBACK, priced: false }),
            (None, UnpricedPolicy::Refuse) => Err(Error::rejected(format!(
                "the price book does not know {provider} {model}, and LLM_UNPRICED_POLICY is refuse"
            ))),
        }
    }

    fn price(&self, provider: &str, model: &str, day: Date) -> Option<Price> {
        let name = (provider.to_lowercase(), model.to_lowercase());
        if let Some(prices) = self.listed.get(&name) {
            let in_force = prices.iter().rev().find(|(from, _)| *from <= day);
            return in_force.map(|(_, price)| *price);
        }
        let (provider, model) = name;
        let ending =
            self.endings.iter().find(|(p, ending, _)| *p == provider && model.ends_with(ending));
        ending.map(|(.., price)| *price)
    }
}

impl Row {
    fn price(&self) -> Result<Price> {
        let parse = |field: &str, text: &str| {
            decimal(text).ok_or_else(|| {
                let row = format!("{} {}: {field}", self.provider, self.model);
                Error::invalid("prices", format!("{row} {text:?} is not a price in USD"))
            })
        };
        let input = parse("input", &self.input)?;
        Ok(Price {
            input,
            cached_input: match &self.cached_input {
                Some(text) => parse("cached_input", text)?,
                None => input,
            },
            output: parse("output", &self.output)?,
        })
    }
}

/// An exact amount of dollars from decimal digits; `None` if it is finer than a nano-dollar,
/// negative, or too large.
fn decimal(text: &str) -> Option<NanoUsd> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse().ok().map(NanoUsd)
}
