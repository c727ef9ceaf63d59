//! The contract, seen from outside: payload files and what becomes of them, and properties that hold for any payload.

#![cfg(test)]

mod bad_input;
mod bad_values;
mod bodies;
mod classes;
mod documents;
mod fixtures;
mod golden;
mod limits;
mod partitions;
mod properties;
mod reparse;
mod sealed;
mod support;
mod wire;
