//! The demo, as somebody without a terminal sees it.

use nix::sys::signal::Signal;

use crate::process::{Process, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_with_a_good_verdict() {
    let output = run(&["demo", "--events", "1500", "--rate", "400", "--seed", "7"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let ledger =
        said.lines().find(|line| line.contains("ledger:")).unwrap_or_else(|| panic!("no verdict:\n{said}"));
    for good in
        ["sent=1500", "acked=1500", "lost=0", "duplicated=0", "invented=0", "wrong=0", "equation holds"]
    {
        assert!(ledger.contains(good), "{good}: {ledger}");
    }
    let joined = ledger.split("joined=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u64>().ok());
    assert!(joined > Some(0), "people under several names are shown as one: {ledger}");
    assert!(said.contains("is connected now"), "the late account was connected:\n{said}");
    assert!(said.lines().any(|line| line.starts_with("t=")), "a line every second");
    println!("promise=demo {}", ledger.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_demo_with_a_verdict() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut demo = Process::start(&["demo".to_owned()], log.path());
    // A busy machine skips seconds.
    let seconds = |line: &str| line.strip_prefix("t=")?.split('s').next()?.parse::<u64>().ok();
    demo.line(|line| seconds(line).is_some_and(|at| at >= 3).then_some(())).await;
    assert_eq!(demo.stop(Signal::SIGINT).await, Some(0), "{}", demo.tail());
}
