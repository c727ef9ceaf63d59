//! What is refused in words, and how it ends when asked to.

use nix::sys::signal::Signal;

use crate::process::{free_port, run};
use crate::rig::Up;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_the_same_folder_is_refused() {
    let up = Up::start(&[]).await;
    let (data, public, private) = (up.data(), free_port().to_string(), free_port().to_string());
    let listen = [format!("127.0.0.1:{public}"), format!("127.0.0.1:{private}")];
    let second =
        run(&["up", "--data", data.to_str().unwrap(), "--listen", &listen[0], "--admin-listen", &listen[1]])
            .await;
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(said.contains("is in use by another `tidings up`"), "{said}");
    // The first one does not mind.
    up.admin.cli(&["tenant", "list"]).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_role_without_kafka_is_refused() {
    for role in [
        vec!["ingest"],
        vec!["router"],
        vec!["projector"],
        vec!["attachments"],
        vec!["console"],
        vec!["ingest", "--root-key", "/nowhere"],
        vec!["router", "--root-key", "/nowhere", "--keyring", "host=/nowhere"],
        vec!["projector", "--root-key", "/nowhere", "--postgres", "host=/nowhere", "--audit-key", "/nowhere"],
    ] {
        let output = run(&role).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{role:?}: {said}");
        assert!(said.contains("needs Kafka") && said.contains("--kafka"), "{role:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_sigterm_end_it_in_order() {
    let mut up = Up::start(&[]).await;
    assert_eq!(up.process.stop(Signal::SIGINT).await, Some(0), "{}", up.process.tail());
    let up = Up::start(&[]).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_exit_code_3_and_a_wrong_token_is_not() {
    let up = Up::start(&[]).await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let token = up.admin.token_file.to_str().unwrap();
    let output = run(&["tenant", "list", "--admin", &nobody, "--token-file", token]).await;
    assert_eq!(output.status.code(), Some(3));
    let wrong = up.folder().join("wrong-token");
    std::fs::write(&wrong, "0".repeat(64)).unwrap();
    let output =
        run(&["tenant", "list", "--admin", &up.admin.url, "--token-file", wrong.to_str().unwrap()]).await;
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    up.stop().await;
}
