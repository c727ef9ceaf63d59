//! The published programs of `docs/examples`, which a stranger would use: `open_sealed.py` opens every vector and what this
//! crate sealed just now; `open_feed.py` and `open_feed.mjs` open feeds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use seal::{Context, FeedKey, Key, RootKey, StreamSealer};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Python with the packages of `tests/feed/requirements.txt`; `make setup` makes it.
fn python() -> Command {
    let made = repository().join("target/venv/bin/python");
    let python = std::env::var_os("TIDINGS_PYTHON").map_or(made, PathBuf::from);
    assert!(python.exists(), "{} is missing: run `make setup`", python.display());
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// What the program writes when it is given these words.
fn open_sealed(words: &[&str]) -> Result<Vec<u8>, String> {
    let program = repository().join("docs/examples/open_sealed.py");
    let output = python().arg(program).args(words).output().unwrap();
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[track_caller]
fn refused(words: &[&str]) {
    let said = open_sealed(words).expect_err("it does not open");
    assert!(said.starts_with("it does not open: "), "{said}");
}

struct Files {
    folder: TempDir,
}

impl Files {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn the_program_opens_the_published_vectors() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let said = open_sealed(&["check", vectors.to_str().unwrap()]).unwrap();
    let said = String::from_utf8(said).unwrap();
    let count = said.strip_prefix("vectors ").and_then(|rest| rest.split(':').next()).unwrap();
    assert!(count.parse::<usize>().unwrap() >= 58, "{said}");
    println!("promise=published-format python {}", said.trim_end());
}

#[test]
fn the_program_opens_what_was_sealed_here() {
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let (root_file, edge_file) = (files.path("root-key"), files.path("edge-key"));
    let root = RootKey::load_or_create(Path::new(&root_file)).unwrap();
    let old = root.seal("tenant/acme/key/1", &[9; 32]).unwrap();
    root.rotate().unwrap();
    root.edge().write(Path::new(&edge_file)).unwrap();
    let opened = open_sealed(&["text", &root_file, "tenant/acme/key/1", &old]).unwrap();
    assert_eq!(opened, [9; 32]);
    refused(&["text", &root_file, "tenant/acme/key/2", &old]);
    refused(&["text", &root_file, "tenant/acme/key/1", "v2.x.#"]);
    let secret = root.edge().seal("app/main/secret/current", b"shh").unwrap();
    let opened = open_sealed(&["text", &edge_file, "app/main/secret/current", &secret]).unwrap();
    assert_eq!(opened, b"shh");

    let raw = root.edge().data_key().unwrap();
    let key = open_sealed(&["data-key", &root_file, &raw.wrapped]).unwrap();
    let key = String::from_utf8(key).unwrap();
    refused(&["data-key", &edge_file, &raw.wrapped]);
    let body = raw.cipher.seal(&Context::new("raw").part("main"), b"{}").unwrap();
    let opened = open_sealed(&["record", key.trim(), &hex::encode(&body), "raw", "main"]).unwrap();
    assert_eq!(opened, b"{}");
    refused(&["record", key.trim(), &hex::encode(&body), "raw", "other"]);

    let person = Key::generate().unwrap();
    let attachment = "000102030405060708090a0b0c0d0e0f";
    let label = format!("attachment/{attachment}");
    let context =
        Context::new("attachment").part("acme").part([1; 16]).part(hex::decode(attachment).unwrap());
    let mut sealer = StreamSealer::new(&person.derive(&label), context).unwrap();
    let plain = vec![b'x'; 200_000];
    let mut sealed = sealer.push(&plain).unwrap();
    sealed.extend(sealer.finish().unwrap());
    let file = files.write("sealed", &sealed);
    let key = open_sealed(&["derive", &hex::encode(person.expose()), &label]).unwrap();
    let key = String::from_utf8(key).unwrap();
    let parts = [format!("hex:{}", "01".repeat(16)), format!("hex:{attachment}")];
    let words = ["stream", key.trim(), &file, "attachment", "acme", &parts[0], &parts[1]];
    assert!(open_sealed(&words).unwrap() == plain);
    files.write("sealed", &sealed[..sealed.len() - 1]);
    refused(&words);
}

const KEYS: &str = r#"
from jwcrypto import jwk
for kind in [{"kty": "EC", "crv": "P-256"}, {"kty": "EC", "crv": "P-384"}, {"kty": "EC", "crv": "P-521"},
             {"kty": "OKP", "crv": "X25519"}, {"kty": "RSA", "size": 2048}]:
    key = jwk.JWK.generate(kid="k1", use="enc", **kind)
    print(key.export_private(), key.export_public(), key.thumbprint(), sep="\t")
"#;

/// What a published reader of feeds writes when it is given this private key and these lines.
fn read_feed(mut reader: Command, private: &str, lines: &str) -> Output {
    let mut child = reader
        .arg(private)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the reader starts: run `make setup`");
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn jose_libraries_of_other_languages_open_feeds() {
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let examples = repository().join("docs/examples");
    assert!(examples.join("node_modules/jose").exists(), "the package jose is missing: run `make setup`");
    let readers = |language| match language {
        "python" => {
            let mut reader = python();
            reader.arg(examples.join("open_feed.py"));
            reader
        }
        _ => {
            let mut reader = Command::new("node");
            reader.arg(examples.join("open_feed.mjs"));
            reader
        }
    };
    let output = python().args(["-c", KEYS]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let keys = String::from_utf8(output.stdout).unwrap();
    let events = ["{\"text\":\"ñ שלום 🙏\"}", "{\"text\":\"second\"}"];
    let stranger = files.write("stranger", keys.split('\t').next().unwrap().as_bytes());
    let mut opened = [0, 0];
    for (nth, line) in keys.lines().enumerate() {
        let [private, public, thumbprint] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        assert!(FeedKey::parse(private).is_err());
        let key = FeedKey::parse(public).unwrap();
        assert_eq!((key.thumbprint(), key.key_id()), (thumbprint, Some("k1")));
        let tokens = events.map(|event| key.encrypt(event.as_bytes()).unwrap());
        // A tombstone's empty line between them says nothing.
        let lines = format!("{}\n\n{}\n", tokens[0], tokens[1]);
        let private = files.write("private", private.as_bytes());
        for (language, opened) in ["python", "node"].into_iter().zip(&mut opened) {
            let output = read_feed(readers(language), &private, &lines);
            assert!(
                output.status.success(),
                "{language} {public}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n{}\n", events[0], events[1]));
            *opened += 1;
            if nth > 0 {
                let output = read_feed(readers(language), &stranger, &lines);
                assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{language} {public}");
                assert!(String::from_utf8_lossy(&output.stderr).contains("it does not open"));
            }
        }
    }
    assert_eq!(opened, [5, 5]);
    println!("promise=feed-jwe keys=5 python_opened={} node_opened={}", opened[0], opened[1]);
}
