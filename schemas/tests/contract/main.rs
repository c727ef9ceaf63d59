//! The contract, seen from outside: payload files and what becomes of them, and properties that hold for any payload.

#![cfg(test)]

mod documents;
mod fixtures;
mod limits;
mod partitions;
mod properties;
mod sealed;
mod support;
mod wire;
