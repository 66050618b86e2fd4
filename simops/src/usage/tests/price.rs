//! Prices: every call has one, and it is exact.

use crate::ErrorKind;
use crate::usage::{NanoUsd, PriceBook, Tokens, UnpricedPolicy};
use jiff::civil::{Date, date};
use proptest::prelude::*;

fn book(rows: &str) -> PriceBook {
    let text = format!(r#"{{"source": "a test", "retrieved": "2026-11-23", "prices": [{rows}]}}"#);
    PriceBook::from_json(&text).unwrap()
}

fn cost(book: &PriceBook, model: &str, day: Date, tokens: Tokens) -> NanoUsd {
    book.quote("groq", model, day, UnpricedPolicy::Refuse).unwrap().price.of(tokens)
}

#[test]
fn the_shipped_book_names_its_source_and_knows_every_provider() {
    let book = PriceBook::shipped().unwrap();
    assert!(!book.source.is_empty());
    let day = date(2026, 11, 23);
    for (provider, model) in [
        ("groq", "llama-3.1-8b-instant"),
        ("gemini", "gemini-2.5-flash"),
        ("mistral", "mistral-small-latest"),
        ("openrouter", "meta-llama/llama-3.3-70b-instruct:free"),
    ] {
        let quote = book.quote(provider, model, day, UnpricedPolicy::Refuse);
        assert!(quote.is_ok_and(|quote| quote.priced), "{provider} {model}");
    }
}

#[test]
fn a_free_route_costs_nothing_by_its_entry_and_an_unknown_model_never_does() {
    let book = PriceBook::shipped().unwrap();
    let day = date(2026, 11, 23);
    let tokens = Tokens { input: 1_000_000, cached_input: 0, output: 1_000_000 };
    let quote = |model| book.quote("openrouter", model, day, UnpricedPolicy::Fallback).unwrap();
    assert_eq!(quote("anybody/any-model:free").price.of(tokens), NanoUsd(0));
    let unknown = quote("anybody/any-model");
    assert!(!unknown.priced);
    assert_eq!(unknown.price.of(tokens), NanoUsd(2_000_000_000));
    let refused = book.quote("openrouter", "anybody/any-model", day, UnpricedPolicy::Refuse);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
}

#[test]
fn a_price_holds_from_its_day_on() {
    let book = book(
        r#"{"provider": "groq", "model": "m", "input": "1", "output": "1"},
           {"provider": "groq", "model": "m", "from": "2026-06-01", "input": "2", "output": "2"}"#,
    );
    let one = Tokens { input: 1_000_000, ..Tokens::default() };
    assert_eq!(cost(&book, "m", date(2026, 5, 31), one), NanoUsd(1_000_000_000));
    assert_eq!(cost(&book, "M", date(2026, 6, 1), one), NanoUsd(2_000_000_000));
}

#[test]
fn a_row_that_cannot_be_used_is_named() {
    for wrong in ["-1", "1e3", "abc", "", "0.0000000001", "."] {
        let text = format!(
            r#"{{"source": "a test", "retrieved": "2026-11-23", "prices":
               [{{"provider": "groq", "model": "m-7", "input": "{wrong}", "output": "1"}}]}}"#
        );
        let error = PriceBook::from_json(&text).unwrap_err();
        assert!(error.detail().contains("m-7"), "{error}");
    }
    assert!(PriceBook::from_json("[]").is_err());
}

proptest! {
    #[test]
    fn a_cost_is_the_exact_sum_rounded_up(
        (p_in, p_cached, p_out) in (0..100_000_i64, 0..100_000_i64, 0..100_000_i64),
        (input, cached, output) in (-5..10_000_000_i64, -5..12_000_000_i64, -5..10_000_000_i64),
    ) {
        let spell = |thousandths: i64| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        let book = book(&format!(
            r#"{{"provider": "groq", "model": "m", "input": "{}", "cached_input": "{}", "output": "{}"}}"#,
            spell(p_in), spell(p_cached), spell(p_out),
        ));
        let got = cost(&book, "m", date(2026, 1, 1), Tokens { input, cached_input: cached, output });
        let fresh = input.max(0) - cached.max(0).min(input.max(0));
        // Thousandths of a dollar per million tokens are nano-dollars per token.
        let exact = fresh * p_in + cached.max(0).min(input.max(0)) * p_cached + output.max(0) * p_out;
        prop_assert_eq!(got, NanoUsd(exact));
    }
}
