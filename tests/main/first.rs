//! The first thing anybody tries: `curl`, a signature by `openssl`, and the message shows.

use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

use crate::process::{http, until};
use crate::rig::{APP, SECRET, Up, VERIFY_TOKEN, delivery, whatsapp};

/// What `script` prints, with these as `$1`, `$2`, ….
async fn shell(script: &str, args: &[&str]) -> String {
    let output = Command::new("sh")
        .args(["-euc", script, "sh"])
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const SIGN: &str = r#"printf %s "$1" | openssl dgst -sha256 -hmac "$2" -hex | sed 's/.*= //'"#;
const POST: &str = r#"curl -s -o /dev/null -w '%{http_code}' "$1" -H "X-Hub-Signature-256: sha256=$2" -H 'Content-Type: application/json' -d "$3""#;

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_shows_once_and_a_forged_one_is_refused() {
    let up = Up::start(&[]).await;
    up.admin.app(up.folder()).await;
    up.admin.cli(&["tenant", "add", "bakery", "--name", "The Bakery"]).await;
    up.admin.cli(&["asset", "connect", "bakery", "whatsapp", "111"]).await;

    let url = format!("{}/webhooks/{APP}", up.webhooks);
    let body = delivery(vec![whatsapp("111", "15550100001", "wamid.FIRST", "do you have rye bread? 🍞 نعم")]);
    let signature = shell(SIGN, &[&body, SECRET]).await;
    let sent = Instant::now();
    assert_eq!(shell(POST, &[&url, &signature, &body]).await, "200");
    let messages = until("the message shows", 20, async || {
        Some(up.admin.messages("bakery").await).filter(|messages| !messages.is_empty())
    })
    .await;
    let seen = sent.elapsed();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["text"], "do you have rye bread? 🍞 نعم");
    assert_eq!(messages[0]["direction"], "in");
    assert_eq!(messages[0]["kind"], "text");

    for _ in 0..9 {
        assert_eq!(shell(POST, &[&url, &signature, &body]).await, "200");
    }
    let flipped = body.replace("rye", "ryd");
    assert_eq!(shell(POST, &[&url, &signature, &flipped]).await, "401");
    assert_eq!(shell(POST, &[&url, "00", &body]).await, "401");

    let equation = up.admin.settled(60).await;
    assert_eq!(equation["received"], 10, "{equation}");
    assert_eq!(equation["holes"], 0, "{equation}");
    assert_eq!(equation["pending"], 0, "{equation}");
    assert_eq!(up.admin.messages("bakery").await.len(), 1, "ten repeats show once");
    assert_eq!(up.admin.lines(&["audit", "verify"]).await[0]["ok"], true);
    println!("promise=first-message visible_within={seen:?} repeats=9 shown=1 flipped_byte=401");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_echoes_the_challenge() {
    let up = Up::start(&[]).await;
    up.admin.app(up.folder()).await;
    let get = async |token: &str| {
        let url = format!(
            "{}/webhooks/{APP}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}",
            up.webhooks
        );
        let answer = http().get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get(VERIFY_TOKEN).await, (200, "1158201444".to_owned()));
    assert_eq!(get("other").await.0, 403);
    up.stop().await;
}
