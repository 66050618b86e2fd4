//! Hosts that embed simops: the reference world [`commons`], and short examples in the package's
//! `examples` folder.

pub mod commons;

/// Compiles the host in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
