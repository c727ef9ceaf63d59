//! What a panic says, and what libraries may say. In a process of its own: logging is started once a process.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::process::Command;

const CHILD: &str = "TIDINGS_TEST_PANICS";
const CANARY: &str = "CANARYPANIC é 15551234567";

#[test]
fn a_panic_tells_its_place_alone_and_libraries_no_details() {
    if std::env::var_os(CHILD).is_some() {
        service::init_logs(service::LogFormat::Json, "trace,tokio_postgres=trace").unwrap();
        tracing::debug!(target: "tokio_postgres::query", "executing with parameters {CANARY}");
        tracing::trace!(target: "aws_smithy_runtime::client", request = CANARY, "sending");
        tracing::info!(target: "tokio_postgres::connection", "a library's notice");
        tracing::trace!(target: "router::plan", "a detail of ours");
        // As when a text is cut in the midst of a character: the standard library quotes it.
        let text = CANARY.to_owned();
        assert!(std::panic::catch_unwind(|| text[..13].len()).is_err());
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_tells_its_place_alone_and_libraries_no_details", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("it panicked at") && said.contains("logs.rs:"), "{said}");
    assert!(said.contains("a library's notice") && said.contains("a detail of ours"), "{said}");
    assert!(!said.contains("CANARYPANIC") && !said.contains("1555"), "{said}");
    println!("promise=logs-tell-nothing panics_quoted=0 library_details=0");
}
