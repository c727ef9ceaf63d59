//! The published test vectors (`vectors/`, told of in `docs/keys.md`): written by another implementation, made here byte
//! for byte from the same keys and nonces, and opened. They never change; a new form gets new ones.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ring::digest;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::stream::{StreamOpener, StreamSealer};
use crate::text::TextKey;
use crate::{Context, EdgeKey, Key, RootKey, key_id};

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)).unwrap()
}

fn cases<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&read(name)).unwrap()
}

fn unhex<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

fn key(digits: &str) -> Key {
    Key::from_bytes(unhex(digits))
}

/// The domain, then parts: text, `hex:` bytes or a `u16:` number.
fn context(words: &[String]) -> Context {
    let (domain, parts) = words.split_first().unwrap();
    parts.iter().fold(Context::new(domain), |context, part| match part.split_once(':') {
        Some(("hex", digits)) => context.part(hex::decode(digits).unwrap()),
        Some(("u16", number)) => context.part(number.parse::<u16>().unwrap().to_be_bytes()),
        _ => context.part(part),
    })
}

/// A key file of this text, in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (folder, path)
}

fn root(text: &str) -> RootKey {
    let (_folder, path) = file(text);
    RootKey::load(&path).unwrap()
}

fn edge(text: &str) -> EdgeKey {
    let (_folder, path) = file(text);
    EdgeKey::load(&path).unwrap()
}

#[derive(Deserialize)]
struct Label {
    key: String,
    label: String,
    derived: String,
}

#[test]
fn labels() {
    for case in cases::<Vec<Label>>("labels.json") {
        assert_eq!(*key(&case.key).derive(&case.label).to_hex(), case.derived, "{}", case.label);
    }
}

#[derive(Deserialize)]
struct Place {
    context: Vec<String>,
    bytes: String,
}

#[test]
fn contexts() {
    for case in cases::<Vec<Place>>("contexts.json") {
        let context = context(&case.context);
        assert_eq!(hex::encode(context.parts()), case.bytes, "{:?}", case.context);
        assert_eq!(hex::encode(context.bound(0x0102)), format!("0102{}", case.bytes));
    }
}

#[derive(Deserialize)]
struct Record {
    key: String,
    generation: u16,
    context: Vec<String>,
    nonce: String,
    plain: String,
    sealed: String,
}

#[test]
fn records() {
    for case in cases::<Vec<Record>>("records.json") {
        let (cipher, context) = (key(&case.key).cipher(case.generation), context(&case.context));
        let plain = hex::decode(&case.plain).unwrap();
        let sealed = cipher.seal_with(unhex(&case.nonce), &context, &plain).unwrap();
        assert_eq!(hex::encode(&sealed), case.sealed, "{:?}", case.context);
        assert_eq!(*cipher.open(&context, &sealed).unwrap(), plain);
    }
}

#[derive(Deserialize)]
struct Root {
    root_line: String,
    key_id: String,
    edge_line: String,
    raw_private: String,
}

#[test]
fn roots() {
    for case in cases::<Vec<Root>>("roots.json") {
        let root = root(&case.root_line);
        assert_eq!(root.key_ids(), [case.key_id]);
        assert_eq!(*root.derive("raw/x25519").to_hex(), case.raw_private);
        let (_folder, path) = file("");
        root.edge().write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim_end(), case.edge_line);
    }
}

#[derive(Deserialize)]
struct Text {
    key_file: String,
    context: String,
    nonce: Option<String>,
    plain: String,
    sealed: String,
}

#[test]
fn texts() {
    for case in cases::<Vec<Text>>("texts.json") {
        let is_root = case.key_file.starts_with("tidings-root");
        let opened = if is_root {
            root(&case.key_file).open(&case.context, &case.sealed)
        } else {
            edge(&case.key_file).open(&case.context, &case.sealed)
        };
        assert_eq!(hex::encode(opened.unwrap().expose_secret()), case.plain, "{}", case.context);
        // The one of the first version is only opened any more.
        let Some(nonce) = case.nonce else { continue };
        let first = case.key_file.lines().next().unwrap();
        let holder = key(first.split(':').nth(if is_root { 1 } else { 2 }).unwrap());
        let (id, plain) = (key_id(&case.sealed).unwrap(), hex::decode(&case.plain).unwrap());
        let sealed = TextKey::new(&holder).seal_with(unhex(&nonce), id, &case.context, &plain).unwrap();
        assert_eq!(sealed, case.sealed);
    }
}

#[derive(Deserialize)]
struct Wrapped {
    key_file: String,
    key: String,
    wrapped: String,
}

#[test]
fn data_keys() {
    for case in cases::<Vec<Wrapped>>("data-keys.json") {
        let opened = root(&case.key_file).data_key(&case.wrapped).unwrap();
        assert_eq!(*opened.to_hex(), case.key);
    }
}

#[derive(Deserialize)]
struct Stream {
    key: String,
    context: Vec<String>,
    prefix: Option<String>,
    plain_bytes: Option<usize>,
    plain_sha256: Option<String>,
    sealed: Option<String>,
    file: Option<String>,
    refused: Option<String>,
}

fn open_stream(key: &Key, context: Context, sealed: &[u8]) -> Result<Vec<u8>, crate::SealError> {
    let mut opener = StreamOpener::new(key, context);
    let mut plain = opener.push(sealed)?;
    plain.extend(opener.finish()?);
    Ok(plain)
}

#[test]
fn streams() {
    for case in cases::<Vec<Stream>>("streams.json") {
        let (key, context) = (key(&case.key), context(&case.context));
        let sealed = match &case.file {
            Some(file) => read(file),
            None => hex::decode(case.sealed.unwrap()).unwrap(),
        };
        let opened = open_stream(&key, context.clone(), &sealed);
        if let Some(why) = case.refused {
            assert!(opened.is_err(), "{why}");
            continue;
        }
        let plain = opened.unwrap();
        assert_eq!(Some(plain.len()), case.plain_bytes);
        assert_eq!(hex::encode(digest::digest(&digest::SHA256, &plain)), case.plain_sha256.unwrap());
        let mut sealer = StreamSealer::with_prefix(&key, context, unhex(&case.prefix.unwrap()));
        let mut again = sealer.push(&plain).unwrap();
        again.extend(sealer.finish().unwrap());
        assert!(again == sealed, "{} bytes", plain.len());
    }
}

#[derive(Deserialize)]
struct Chain {
    root_file: String,
    edge_file: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    #[serde(flatten)]
    form: Form,
    with: String,
    label: Option<String>,
    sealed: String,
    plain: String,
}

#[derive(Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
enum Form {
    Text { context: String },
    DataKey,
    Record { context: Vec<String> },
    Stream { context: Vec<String> },
}

#[test]
fn chain() {
    let chain: Chain = cases("chain.json");
    let (root, edge) = (root(&chain.root_file), edge(&chain.edge_file));
    let mut held: HashMap<String, Vec<u8>> = HashMap::new();
    for step in chain.steps {
        let key = || {
            let key = Key::from_slice(&held[&step.with]).unwrap();
            step.label.as_ref().map_or(key.clone(), |label| key.derive(label))
        };
        let bytes = || hex::decode(&step.sealed).unwrap();
        let opened = match step.form {
            Form::Text { context } if step.with == "edge" => {
                edge.open(&context, &step.sealed).unwrap().expose_secret().to_vec()
            }
            Form::Text { context } => root.open(&context, &step.sealed).unwrap().expose_secret().to_vec(),
            Form::DataKey => root.data_key(&step.sealed).unwrap().expose().to_vec(),
            Form::Stream { context: parts } => open_stream(&key(), context(&parts), &bytes()).unwrap(),
            Form::Record { context: parts } => {
                let generation = crate::generation(&bytes()).unwrap();
                key().cipher(generation).open(&context(&parts), &bytes()).unwrap().to_vec()
            }
        };
        assert_eq!(hex::encode(&opened), step.plain, "{}", step.name);
        held.insert(step.name, opened);
    }
    assert_eq!(held.len(), 12);
}
