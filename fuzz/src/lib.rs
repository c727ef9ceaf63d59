//! What the fuzz targets share. Each target is one property that has to hold for any input; none only waits for a panic.

pub mod json;
pub mod large;
pub mod model;
pub mod place;
pub mod record;
