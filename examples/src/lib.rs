//! Worlds and hosts that embed simops: the reference world [`commons`], and short ones in the
//! package's `examples` folder.

pub mod commons;

/// The host in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
