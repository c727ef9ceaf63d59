//! The root key and the edge key: files, generations, and several holders of one file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seal::{Context, EdgeKey, Key, RootKey, RootWrap, SealError, WrapError, key_id};
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// A folder with a root key in it.
fn made() -> (TempDir, PathBuf, RootKey) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root-key");
    let root = RootKey::load_or_create(&path).unwrap();
    (folder, path, root)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn opens(root: &RootKey, sealed: &str) {
    assert_eq!(root.open("app/a", sealed).unwrap().expose_secret(), b"secret");
}

#[test]
fn a_sealed_value_opens_in_its_own_context_only() {
    let root = RootKey::generate().unwrap();
    let edge = root.edge();
    let sealed = root.seal("app/a", b"secret").unwrap();
    let at_edge = edge.seal("app/a", b"secret").unwrap();
    opens(&root, &sealed);
    assert_eq!(edge.open("app/a", &at_edge).unwrap().expose_secret(), b"secret");
    assert!(matches!(root.open("app/b", &sealed), Err(SealError::Opens)));
    assert!(matches!(edge.open("app/b", &at_edge), Err(SealError::Opens)));
    assert!(matches!(root.open("app/a", &at_edge), Err(SealError::Opens)));
    assert!(
        matches!(edge.open("app/a", &sealed), Err(SealError::Opens)),
        "the edge opens nothing of the root"
    );
    let other = RootKey::generate().unwrap();
    assert!(matches!(other.open("app/a", &sealed), Err(SealError::UnknownKey { .. })));

    let id = key_id(&sealed).unwrap();
    assert_eq!((root.key_ids(), edge.key_ids()), (vec![id.to_owned()], vec![id.to_owned()]));
    let wrong = ["", "v1.", "v1.AAAA", "v2.AAAA", "v1.#", "v2..", "v3.a.b", "v2.é.é", "h1.a.b.c"];
    for wrong in wrong.map(str::to_owned).into_iter().chain([
        format!("v2.{id}"),
        format!("v2.{id}."),
        format!("v2.{id}.AAAA"),
        format!("{sealed}="),
        format!("{sealed}."),
        sealed.replacen("v2.", "v1.", 1),
    ]) {
        assert!(root.open("app/a", &wrong).is_err(), "{wrong}");
        assert!(edge.open("app/a", &wrong).is_err(), "{wrong}");
        assert!(root.data_key(&wrong).is_err(), "{wrong}");
    }
    assert_ne!(sealed, root.seal("app/a", b"secret").unwrap(), "nonces are random");
    assert_eq!(format!("{root:?} {edge:?}"), "RootKey(…) EdgeKey(…)");
}

#[test]
fn text_of_the_first_version_opens_with_whichever_generation_sealed_it() {
    let (_folder, path, _) = made();
    write(&path, &format!("tidings-root-v1:{}\n", "07".repeat(32)));
    let root = RootKey::load(&path).unwrap();
    root.rotate().unwrap();
    // Made by the release that knew no key ids.
    let sealed = "v1.0yjRbBrUOURIqeM19ogr5_bRXdz_7bU-gQCdLuQQ1OuYfw";
    opens(&root, sealed);
    assert!(matches!(root.open("app/b", sealed), Err(SealError::Opens)));
    assert!(matches!(RootKey::generate().unwrap().open("app/a", sealed), Err(SealError::Opens)));
}

#[test]
fn the_file_is_private_and_stays_the_same() {
    let (_folder, path, made) = made();
    assert_eq!(mode(&path), 0o600);
    let again = RootKey::load_or_create(&path).unwrap();
    assert_eq!(made.derive("x").expose(), again.derive("x").expose());
    assert_ne!(made.derive("x").expose(), made.derive("y").expose());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(RootKey::load(&path), Err(SealError::FileMode { mode: 0o644, .. })));
    assert!(matches!(EdgeKey::load(&path), Err(SealError::FileMode { mode: 0o644, .. })));
}

#[test]
fn a_file_that_is_none_is_refused() {
    let (_folder, path, _) = made();
    let key = "ab".repeat(32);
    let long = format!("{key}00");
    for text in ["", "\n", "tidings-root-v1:", "x", "tidings-root-v1:zz", "é"] {
        write(&path, text);
        assert!(matches!(RootKey::load(&path), Err(SealError::RootFormat { .. })), "{text}");
        assert!(EdgeKey::load(&path).is_err(), "{text}");
    }
    for line in [format!("tidings-root-v1:{long}"), format!("tidings-root-v1:{key}\n\ntidings-root-v1:{key}")]
    {
        write(&path, &line);
        assert!(matches!(RootKey::load(&path), Err(SealError::RootFormat { .. })), "{line}");
    }
    write(&path, "tidings-root-kms-v1:us-west-2:alias/tidings:AAAA\n");
    assert!(matches!(RootKey::load(&path), Err(SealError::RootWrapped { .. })));
    assert!(matches!(EdgeKey::load(&path), Err(SealError::RootWrapped { .. })));
    for line in [
        format!("tidings-edge-v1:0123456:{key}:{key}"),
        format!("tidings-edge-v1:0123456G:{key}:{key}"),
        format!("tidings-edge-v1:01234567:{key}:{key}:"),
        format!("tidings-edge-v1:01234567:{key}"),
        format!("tidings-edge-v1:01234567:{key}:{long}"),
    ] {
        write(&path, &line);
        assert!(matches!(EdgeKey::load(&path), Err(SealError::EdgeFormat { .. })), "{line}");
        assert!(matches!(RootKey::load(&path), Err(SealError::RootFormat { .. })), "{line}");
    }
    write(&path, &format!("tidings-edge-v1:01234567:{key}:{}\n", "00".repeat(32)));
    assert!(EdgeKey::load(&path).unwrap().data_key().is_err(), "a public key that gives no secret");
}

#[test]
fn every_holder_of_the_file_follows_a_rotation() {
    let (_folder, path, root) = made();
    let other = RootKey::load(&path).unwrap();
    let (edge, file_edge) = (other.edge(), EdgeKey::load(&path).unwrap());
    let old = root.seal("app/a", b"secret").unwrap();
    let old_raw = edge.data_key().unwrap();
    let before = root.key_ids().remove(0);

    let fresh = root.rotate().unwrap();
    assert_eq!(root.key_ids(), [fresh.clone(), before.clone()]);
    assert_eq!(mode(&path), 0o600);
    let new = root.seal("app/a", b"secret").unwrap();
    assert_eq!(key_id(&new), Some(fresh.as_str()));
    opens(&other, &new);
    opens(&other, &old);
    // Each of them seals with the new one from now on, without having met it.
    for edge in [&edge, &file_edge] {
        let raw = edge.data_key().unwrap();
        assert_eq!(key_id(&raw.wrapped), Some(fresh.as_str()));
        assert_eq!(edge.key_ids(), [fresh.clone(), before.clone()]);
        root.data_key(&raw.wrapped).unwrap();
    }
    assert_ne!(root.derive("x").expose(), RootKey::generate().unwrap().derive("x").expose());
    assert_eq!(root.derive("x").expose(), RootKey::load(&path).unwrap().derive("x").expose());

    assert!(matches!(root.retire(&fresh), Err(SealError::NewestKey { .. })));
    assert!(matches!(root.retire("00000000"), Err(SealError::UnknownKey { .. })));
    root.retire(&before).unwrap();
    for root in [root, RootKey::load(&path).unwrap()] {
        assert_eq!(root.key_ids(), std::slice::from_ref(&fresh));
        assert!(matches!(root.open("app/a", &old), Err(SealError::UnknownKey { .. })));
        assert!(matches!(root.data_key(&old_raw.wrapped), Err(SealError::UnknownKey { .. })));
        opens(&root, &new);
    }
    assert!(matches!(RootKey::generate().unwrap().rotate(), Err(SealError::NoFile)));
    assert!(matches!(RootKey::generate().unwrap().retire("x"), Err(SealError::NoFile)));
}

#[test]
fn rotations_at_once_all_stand_in_the_file() {
    let (_folder, path, root) = made();
    let before = root.key_ids();
    let mut fresh: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let root = RootKey::load(&path).unwrap();
                    let made = || (root.rotate().unwrap(), root.seal("app/a", b"secret").unwrap());
                    (0..8).map(|_| made()).collect::<Vec<_>>()
                })
            })
            .collect();
        let made: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        made.iter().for_each(|(_, sealed)| opens(&root, sealed));
        made.into_iter().map(|(key_id, _)| key_id).collect()
    });
    fresh.extend(before);
    fresh.sort();
    let mut held = RootKey::load(&path).unwrap().key_ids();
    held.sort();
    assert_eq!(held, fresh);
}

#[test]
fn a_rotation_leaves_the_file_private_and_to_whom_it_belongs() {
    let (folder, path, root) = made();
    // What a rotation left that was cut short, readable by others.
    let beside = folder.path().join(".root-key.new");
    write(&beside, "tidings-root-v1:half");
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o644)).unwrap();
    // Only root can give the file to a service's account; for anybody else it stays their own.
    let owner = if std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).is_ok() {
        65_534
    } else {
        std::fs::metadata(&path).unwrap().uid()
    };
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    RootKey::load(&link).unwrap().rotate().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink(), "a link stays one");
    assert_eq!((mode(&path), std::fs::metadata(&path).unwrap().uid()), (0o600, owner));
    assert!(!beside.exists());
    assert_eq!(RootKey::load(&path).unwrap().key_ids()[1..], root.key_ids());
}

#[test]
fn a_file_made_at_once_by_many_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root-key");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| RootKey::load_or_create(&path).unwrap().key_ids())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|held| *held == ids[0]), "{ids:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn the_edge_file_holds_what_the_edge_needs_and_no_more() {
    let (folder, path, root) = made();
    root.rotate().unwrap();
    let file = folder.path().join("edge-key");
    root.edge().write(&file).unwrap();
    assert_eq!(mode(&file), 0o600);
    let (edge, derived) = (EdgeKey::load(&file).unwrap(), EdgeKey::load(&path).unwrap());
    assert_eq!(edge.key_ids(), root.key_ids());
    let sealed = edge.seal("app/a", b"secret").unwrap();
    for other in [&derived, &root.edge()] {
        assert_eq!(other.open("app/a", &sealed).unwrap().expose_secret(), b"secret");
    }
    // What it sealed for the log, the root key opens, and it does not.
    let raw = edge.data_key().unwrap();
    let context = Context::new("raw").part("acme");
    let body = raw.cipher.seal(&context, b"body").unwrap();
    let key = root.data_key(&raw.wrapped).unwrap();
    assert_eq!(key.cipher(0).open(&context, &body).unwrap().as_slice(), b"body");
    assert!(edge.open("app/a", &raw.wrapped).is_err());
    let text = std::fs::read_to_string(&file).unwrap();
    let held = root.derive("raw/x25519");
    assert!(!text.contains(&hex::encode(held.expose())) && !text.contains("root"), "no private key in it");

    // Written anew after a rotation: whoever holds it follows.
    let fresh = root.rotate().unwrap();
    root.edge().write(&file).unwrap();
    assert_eq!(key_id(&edge.data_key().unwrap().wrapped), Some(fresh.as_str()));
    let sealed = root.edge().seal("app/a", b"secret").unwrap();
    assert_eq!(edge.open("app/a", &sealed).unwrap().expose_secret(), b"secret");
}

#[test]
fn a_wrapped_data_key_opens_unchanged_only() {
    let root = RootKey::generate().unwrap();
    let raw = root.edge().data_key().unwrap();
    root.data_key(&raw.wrapped).unwrap();
    let (head, digits) = raw.wrapped.split_at("h1.01234567.".len());
    for (at, _) in digits.char_indices().filter(|(_, digit)| *digit != '.') {
        let other = if &digits[at..=at] == "A" { "B" } else { "A" };
        let mut changed = digits.to_owned();
        changed.replace_range(at..=at, other);
        assert!(root.data_key(&format!("{head}{changed}")).is_err(), "digit {at}");
        assert!(root.data_key(&format!("{head}{}", &digits[..at])).is_err(), "cut at {at}");
    }
}

/// Wraps by turning bytes over, and counts how often it was asked to undo that.
#[derive(Default)]
struct Turning {
    unwrapped: AtomicUsize,
}

impl RootWrap for Turning {
    fn wrap(&self, secret: &Key) -> Result<String, WrapError> {
        Ok(format!("tidings-root-turned:{}", hex::encode(secret.expose().map(|byte| !byte))))
    }

    fn unwrap(&self, line: &str) -> Result<Key, WrapError> {
        self.unwrapped.fetch_add(1, Ordering::Relaxed);
        let digits = line.strip_prefix("tidings-root-turned:").ok_or("another system's")?;
        let mut bytes = hex::decode(digits)?;
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        Ok(Key::from_slice(&bytes)?)
    }
}

#[test]
fn a_file_goes_from_clear_to_wrapped_and_each_line_is_unwrapped_once() {
    let (_folder, path, plain) = made();
    let sealed = plain.seal("app/a", b"secret").unwrap();
    let ids = plain.key_ids();
    RootKey::wrap_with(&path, Arc::new(Turning::default())).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|line| line.starts_with("tidings-root-turned:")), "nothing in clear is left");
    assert!(matches!(RootKey::load(&path), Err(SealError::RootWrapped { .. })));

    let system = Arc::new(Turning::default());
    let unwrapped = || system.unwrapped.load(Ordering::Relaxed);
    let root = RootKey::load_with(&path, system.clone()).unwrap();
    let edge = root.edge();
    assert_eq!(root.key_ids(), ids);
    opens(&root, &sealed);
    assert_eq!(unwrapped(), 1);
    let other = RootKey::load_with(&path, Arc::new(Turning::default())).unwrap();
    let fresh = other.rotate().unwrap();
    opens(&root, &other.seal("app/a", b"secret").unwrap());
    assert_eq!(key_id(&edge.data_key().unwrap().wrapped), Some(fresh.as_str()));
    for _ in 0..100 {
        opens(&root, &root.seal("app/a", b"secret").unwrap());
    }
    assert_eq!(unwrapped(), 2, "one at the start, one for the generation another process made");
    // A plain holder of a file that was wrapped behind its back goes on with what it has.
    opens(&plain, &plain.seal("app/a", b"secret").unwrap());
}
