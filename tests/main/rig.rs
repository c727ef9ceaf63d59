//! `tidings up` on a folder of its own, and its command line.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use sandbox::{Secret, World, sign};
use serde_json::Value;
use tempfile::TempDir;

use crate::meta::TOKEN;
use crate::process::{Process, free_port, http, run, until};

pub(crate) const APP: &str = "rig";
pub(crate) const SECRET: &str = "rig-secret";
pub(crate) const VERIFY_TOKEN: &str = "rig-verify-token";

/// Whatever has an admin API: `up`, or the roles.
pub(crate) struct Admin {
    pub(crate) url: String,
    pub(crate) token_file: PathBuf,
}

impl Admin {
    /// Runs a client command; its exit code and standard output.
    pub(crate) async fn ask(&self, args: &[&str]) -> (i32, String) {
        let token_file = self.token_file.display().to_string();
        let output = run(&[args, &["--admin", &self.url, "--token-file", &token_file]].concat()).await;
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let code = output.status.code().unwrap_or(-1);
        if code != 0 {
            eprintln!("tidings {args:?}: {code} {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        (code, text)
    }

    /// Runs a client command that must succeed.
    pub(crate) async fn cli(&self, args: &[&str]) -> String {
        let (code, text) = self.ask(args).await;
        assert_eq!(code, 0, "tidings {args:?}");
        text
    }

    /// What a client command says with `--json`.
    pub(crate) async fn lines(&self, args: &[&str]) -> Vec<Value> {
        let text = self.cli(&[args, &["--json"]].concat()).await;
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// Asks the admin API itself: many small answers are quicker so than by a command each.
    pub(crate) async fn get(&self, http: &reqwest::Client, path: &str) -> Option<bytes::Bytes> {
        let token = std::fs::read_to_string(&self.token_file).unwrap();
        let request = http.get(format!("{}/v1/{path}", self.url)).bearer_auth(token.trim());
        let answer = request.send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => Some(answer.bytes().await.expect("the whole of it")),
            404 | 409 | 410 => None,
            status => panic!("{path}: {status}"),
        }
    }

    /// The loss equation once nothing is under way, or as it stands after this many seconds.
    pub(crate) async fn settled(&self, seconds: u64) -> Value {
        let (_, text) = self.ask(&["verify", "--json", "--wait", &seconds.to_string()]).await;
        serde_json::from_str(text.lines().last().expect("an equation")).expect("JSON")
    }

    /// Adds the app and the tenants, and connects every account but those left out.
    pub(crate) async fn connect_world(&self, folder: &std::path::Path, world: &World, left_out: &[&str]) {
        self.app(folder).await;
        for organisation in world.organisations() {
            self.cli(&["tenant", "add", &organisation.tenant, "--name", &organisation.name]).await;
        }
        for account in world.accounts().iter().filter(|account| !left_out.contains(&account.id.as_str())) {
            let tenant = world.tenant(account);
            let token = folder.join("access-token");
            std::fs::write(&token, TOKEN).unwrap();
            let token = token.display().to_string();
            let channel = account.channel.as_str();
            self.cli(&["asset", "connect", tenant, channel, &account.id, "--access-token-file", &token])
                .await;
            if let Some(waba) = &account.waba {
                self.cli(&["asset", "connect", tenant, "waba", waba]).await;
            }
        }
    }

    /// Adds the app.
    pub(crate) async fn app(&self, folder: &std::path::Path) {
        let file = folder.join("app-secret");
        std::fs::write(&file, SECRET).unwrap();
        let file = file.to_str().unwrap();
        self.cli(&["app", "add", APP, "--secret-file", file, "--verify-token", VERIFY_TOKEN]).await;
    }

    /// Every message of a tenant, in order within each conversation.
    pub(crate) async fn messages(&self, tenant: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for conversation in self.lines(&["conversation", "list", tenant]).await {
            all.extend(
                self.lines(&["conversation", "show", tenant, conversation["id"].as_str().unwrap()]).await,
            );
        }
        all
    }
}

/// `tidings up`.
pub(crate) struct Up {
    pub(crate) admin: Admin,
    pub(crate) webhooks: String,
    pub(crate) process: Process,
    args: Vec<String>,
    folder: TempDir,
}

impl Up {
    /// Starts it on a new folder, with further arguments.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("tup-").tempdir().unwrap();
        // PostgreSQL runs as its own user, which has to get to its folder inside.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let (public, private) = (free_port(), free_port());
        let data = folder.path().join("data");
        let mut args: Vec<String> = ["up", "--json", "--data"].map(str::to_owned).into();
        args.push(data.display().to_string());
        args.extend(["--listen".to_owned(), format!("127.0.0.1:{public}")]);
        args.extend(["--admin-listen".to_owned(), format!("127.0.0.1:{private}")]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let mut process = Process::start(&args, &folder.path().join("up.log"));
        let ready = process.line(ready).await;
        Self {
            admin: Admin {
                url: ready["admin"].as_str().unwrap().to_owned(),
                token_file: ready["token_file"].as_str().unwrap().into(),
            },
            webhooks: ready["webhooks"].as_str().unwrap().to_owned(),
            process,
            args,
            folder,
        }
    }

    /// Kills it as a crash would and starts it again on the same folder.
    pub(crate) async fn crash(&mut self) {
        self.process.kill().await;
        self.process = Process::start(&self.args, &self.folder.path().join("up.log"));
        self.process.line(ready).await;
    }

    /// The same, with a variable set for that one start.
    pub(crate) async fn crash_with(&mut self, name: &str, value: &str) {
        self.process.kill().await;
        self.process = Process::start_with(&self.args, &self.folder.path().join("up.log"), &[(name, value)]);
        self.process.line(ready).await;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Posts a body, signed; the status.
    pub(crate) async fn post(&self, body: String) -> u16 {
        let signature = sign(&Secret::new(SECRET.as_bytes()), body.as_bytes());
        let request = http()
            .post(format!("{}/webhooks/{APP}", self.webhooks))
            .header("x-hub-signature-256", signature)
            .header("content-type", "application/json")
            .body(body);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Waits until a tenant's messages are as many as this.
    pub(crate) async fn messages(&self, tenant: &str, count: usize) -> Vec<Value> {
        until(&format!("{count} messages of {tenant}"), 60, async || {
            let messages = self.admin.messages(tenant).await;
            (messages.len() >= count).then_some(messages)
        })
        .await
    }

    /// SIGTERM; it must end with exit code 0.
    pub(crate) async fn stop(mut self) {
        assert_eq!(self.process.stop(Signal::SIGTERM).await, Some(0), "{}", self.process.tail());
    }
}

fn ready(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    (value["ready"] == true).then_some(value)
}

/// One WhatsApp text message as an entry.
pub(crate) fn whatsapp(number: &str, from: &str, id: &str, text: &str) -> Value {
    let at = jiff::Timestamp::now().as_second().to_string();
    serde_json::json!({ "id": "900", "changes": [{ "field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550001111", "phone_number_id": number },
        "contacts": [{ "profile": { "name": format!("P {from}") }, "wa_id": from }],
        "messages": [{ "from": from, "id": id, "timestamp": at, "type": "text", "text": { "body": text } }],
    }}]})
}

/// A delivery of WhatsApp entries.
pub(crate) fn delivery(entries: Vec<Value>) -> String {
    serde_json::json!({ "object": "whatsapp_business_account", "entry": entries }).to_string()
}
