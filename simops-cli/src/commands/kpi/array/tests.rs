//! Arrays and lines of an import.
