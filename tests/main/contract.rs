//! The contract as AsyncAPI's own tools read it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn the_contract_is_valid_asyncapi() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let check = schemas.join("check");
    assert!(
        check.join("node_modules/@asyncapi/parser").exists(),
        "the package @asyncapi/parser is missing: run `make setup`"
    );
    let read = |file: &Path| Command::new("node").arg(check.join("asyncapi.mjs")).arg(file).output().unwrap();
    let whole = read(&schemas.join("asyncapi.json"));
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let said: Value = serde_json::from_slice(&whole.stdout).unwrap();
    // Every kind, sealed events, deliveries, pointers and control records.
    let kinds = schemas::Kind::ALL.len() as u64;
    assert!(said["messages"].as_u64() > Some(kinds) && said["asyncapi"] == "3.0.0", "{said}");

    // It does tell: one that refers to what is not there is refused, by the name of the place.
    let text = std::fs::read_to_string(schemas.join("asyncapi.json")).unwrap();
    let broken = text.replacen("json/message.received.v1.json", "json/nothing.v1.json", 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asyncapi.json");
    std::fs::write(&file, broken).unwrap();
    std::os::unix::fs::symlink(schemas.join("json"), folder.path().join("json")).unwrap();
    let refused = read(&file);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("message_received") && why.contains("nothing.v1.json"), "{why}");
    println!("promise=asyncapi {said}");
}
