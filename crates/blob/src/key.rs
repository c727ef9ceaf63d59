//! Which keys an object may have: harmless in a URL, in a path and in somebody's log.

/// S3's own limit.
const KEY_BYTES: usize = 1024;
/// Leaves room in a file name of 255 bytes.
const SEGMENT_BYTES: usize = 200;

/// Why a key is refused. Never shows the key.
pub(crate) type Why = &'static str;

/// A whole key: `segment/segment/…`.
pub(crate) fn check_key(key: &str) -> Result<(), Why> {
    if key.is_empty() {
        return Err("it is empty");
    }
    if key.ends_with('/') {
        return Err("a segment of it is empty");
    }
    check_prefix(key)?;
    if key.split('/').any(|segment| segment == ".") {
        return Err("a segment of it is a dot");
    }
    Ok(())
}

/// The beginning of a key, perhaps of all of them.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), Why> {
    if prefix.len() > KEY_BYTES {
        return Err("it is longer than 1024 bytes");
    }
    if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-')) {
        return Err("it holds a character other than A-Z a-z 0-9 . _ / -");
    }
    if prefix.contains("..") {
        return Err("it holds two dots in a row");
    }
    if prefix.starts_with('/') || prefix.contains("//") {
        return Err("a segment of it is empty");
    }
    if prefix.split('/').any(|segment| segment.len() > SEGMENT_BYTES) {
        return Err("a segment of it is longer than 200 bytes");
    }
    Ok(())
}

/// A prefix whose keys are all to go: whole segments, or `a/1` would take `a/10/…` along.
pub(crate) fn check_folder(prefix: &str) -> Result<(), Why> {
    match prefix.strip_suffix('/') {
        Some(folder) => check_key(folder),
        None => Err("a prefix to delete has to end with a slash"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, as_key: bool, as_prefix: bool, as_folder: bool) {
        let found = (check_key(key).is_ok(), check_prefix(key).is_ok(), check_folder(key).is_ok());
        assert_eq!(found, (as_key, as_prefix, as_folder), "{key:?}");
    }

    #[test]
    fn only_harmless_keys_pass() {
        for key in ["a", "a/b", "A-z_0.9/x", ".well-known", "a/.b", &"x".repeat(200)] {
            check(key, true, true, false);
        }
        for folder in ["a/", "tenants/7f/"] {
            check(folder, false, true, true);
        }
        check("", false, true, false);
        check("a/.", false, true, false);
        let long = "x/".repeat(513);
        let broad = "x".repeat(201);
        for hostile in [
            "/", "/a", "a//b", "..", "a/../b", "a..b", "../", "a b", "a\\b", "a\0b", "a\nb", "ä", "a%2fb",
            "a?b", "a#b", "a:b", "a@", &long, &broad,
        ] {
            check(hostile, false, false, false);
        }
        check("./", false, true, false);
    }
}
