//! Keys in their files, streams, feeds and the published vectors, through the public interface.
#![allow(clippy::unwrap_used)]

mod examples;
mod feeds;
mod keys;
mod streams;
