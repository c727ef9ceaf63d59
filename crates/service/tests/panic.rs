//! What a panic says. In a process of its own: logging is started once a process.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::process::Command;

const CHILD: &str = "TIDINGS_TEST_PANICS";
const CANARY: &str = "CANARYPANIC é 15551234567";

#[test]
fn a_panic_tells_its_place_alone() {
    if std::env::var_os(CHILD).is_some() {
        service::init_logs(service::LogFormat::Json, "info").unwrap();
        // As when a text is cut in the midst of a character: the standard library quotes it.
        let text = CANARY.to_owned();
        assert!(std::panic::catch_unwind(|| text[..13].len()).is_err());
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_tells_its_place_alone", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("it panicked at") && said.contains("panic.rs:"), "{said}");
    assert!(!said.contains("CANARYPANIC") && !said.contains("1555"), "{said}");
    println!("promise=panics-tell-nothing quoted=0");
}
