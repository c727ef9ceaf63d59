//! The contract, seen from outside: payload files and what becomes of them, and properties that hold for any payload.

mod fixtures;
mod properties;
mod support;
