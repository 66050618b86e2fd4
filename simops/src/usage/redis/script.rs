//! The scripts. A server knows a script by the hash of its text, so different versions of simops can
//! share one. A server that does not have a script yet receives it.

use ::redis::Script;

pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) book: Script,
    pub(super) build: Script,
    pub(super) due: Script,
    pub(super) day: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            reserve: Script::new(include_str!("scripts/reserve.lua")),
            book: Script::new(include_str!("scripts/book.lua")),
            build: Script::new(include_str!("scripts/build.lua")),
            due: Script::new(include_str!("scripts/due.lua")),
            day: Script::new(include_str!("scripts/day.lua")),
        }
    }
}
