//! The simops store on SQLite.
