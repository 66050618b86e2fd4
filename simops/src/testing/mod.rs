//! Tools to test hosts and stores with.
