//! Worlds and hosts that embed simops: the reference world [`commons`], and short ones in the
//! package's `examples` folder.

pub mod commons;
