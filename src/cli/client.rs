//! The admin API's client: how to reach it, and what its silence or refusal means for the exit code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use console::wire::{Page, Problem};
use futures::StreamExt;
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::cli::failure::{Exit, Failure};

const CONNECT: Duration = Duration::from_secs(5);
/// `verify` waits for the views to settle; hardly anything takes longer.
const ANSWER: Duration = Duration::from_secs(60);
/// A backup, a restore or a rotation of a large deployment.
const LONG: Duration = Duration::from_secs(4 * 60 * 60);
/// How much of a list is asked for at once.
const PAGE: usize = 500;
/// The longest event line that is taken for one.
const MAX_LINE_BYTES: usize = 32 * 1024 * 1024;

/// How to reach the admin API. Every client command takes these, anywhere on its line.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Address of the admin API
    #[arg(
        long,
        env = "TIDINGS_ADMIN",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL",
        global = true,
        help_heading = "Connection"
    )]
    admin: String,
    /// File that holds the admin token; `tidings up` keeps it in DIR/admin-token
    #[arg(long, env = "TIDINGS_TOKEN_FILE", value_name = "FILE", global = true, help_heading = "Connection")]
    token_file: Option<PathBuf>,
    /// Print one JSON object a line, for programs
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
}

/// A connected client.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

impl ClientArgs {
    /// Reads the token. Nothing is sent yet.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let base: Url = self.admin.parse().map_err(|_| {
            Failure::usage(
                format!("{:?} is not an address", self.admin),
                "--admin takes a URL such as http://127.0.0.1:8081",
            )
        })?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(Failure::usage(
                format!("{base} is not an http:// or https:// address"),
                "--admin takes a URL such as http://127.0.0.1:8081",
            ));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // Nothing to verify: spare every command the reading of the system's certificates.
            http = http.tls_certs_only([]);
        }
        let http =
            http.build().map_err(|cause| anyhow::Error::from(cause).context("making an HTTP client"))?;
        Ok(Client { http, base, token: self.token()? })
    }

    fn token(&self) -> Result<SecretString, Failure> {
        let file = self.token_file.as_ref().ok_or_else(|| {
            Failure::usage(
                "this needs the admin token",
                "name its file with --token-file or TIDINGS_TOKEN_FILE; `tidings up --data DIR` keeps it in DIR/admin-token",
            )
        })?;
        token(file)
    }
}

/// Reads the admin token from its file.
pub(crate) fn token(file: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(file).map_err(|cause| {
        Failure::usage(
            format!("the token file {} cannot be read: {cause}", file.display()),
            "`tidings up --data DIR` keeps the token in DIR/admin-token, readable by its owner only",
        )
    })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::usage(
            format!("the token file {} is empty", file.display()),
            "`tidings up --data DIR` keeps the token in DIR/admin-token",
        ));
    }
    Ok(SecretString::from(token))
}

impl Client {
    /// A client of the admin API at this address, with the token in this file.
    pub(crate) fn at(admin: &str, token_file: &Path) -> Result<Self, Failure> {
        ClientArgs { admin: admin.to_owned(), token_file: Some(token_file.to_owned()), json: false }.client()
    }

    /// Asks for what the path names.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::GET, path, query)).await
    }

    /// Every page of a list, up to `limit` elements.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        path: &[&str],
        limit: usize,
    ) -> Result<Vec<T>, Failure> {
        self.pages_of(path, &[], limit).await
    }

    /// The same of a list that a query narrows.
    pub(crate) async fn pages_of<T: DeserializeOwned>(
        &self,
        path: &[&str],
        narrowed: &[(&str, &str)],
        limit: usize,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        while all.len() < limit {
            let size = PAGE.min(limit - all.len()).to_string();
            let mut query = narrowed.to_vec();
            query.push(("limit", size.as_str()));
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: Page<T> = self.get(path, &query).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Sends a JSON body.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, Failure> {
        self.answer(self.request(Method::POST, path, &[]).json(body)).await
    }

    /// Sends a JSON body to what the path and the query name.
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::POST, path, query).json(body)).await
    }

    /// Sends a JSON body to something that may take its time.
    pub(crate) async fn post_long<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, Failure> {
        self.answer_within(self.request(Method::POST, path, &[]).json(body), LONG).await
    }

    /// Sends a JSON body that replaces what is there.
    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, Failure> {
        self.answer(self.request(Method::PUT, path, &[]).json(body)).await
    }

    /// Writes a streamed answer into a file: whole, or nothing of it. Tells how many bytes there were.
    pub(crate) async fn save(&self, path: &[&str], file: &Path) -> Result<u64, Failure> {
        let response =
            self.request(Method::GET, path, &[]).send().await.map_err(|cause| self.silent(&cause))?;
        let mut chunks = accepted(response).await?.bytes_stream();
        let cannot = |cause: std::io::Error| {
            Failure::usage(
                format!("the file {} cannot be written: {cause}", file.display()),
                "--out names a file of your own",
            )
        };
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let beside = file.with_file_name(name);
        let mut to = tokio::fs::File::create(&beside).await.map_err(cannot)?;
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let written = match chunk {
                Ok(chunk) => {
                    bytes += chunk.len() as u64;
                    to.write_all(&chunk).await.map_err(cannot)
                }
                Err(_) => Err(Failure::new(
                    Exit::Unreachable,
                    "the file broke off before its end",
                    "nothing was written; run the command again",
                )),
            };
            if let Err(failure) = written {
                // Best effort: the failure is what counts.
                let _ = tokio::fs::remove_file(&beside).await;
                return Err(failure);
            }
        }
        to.flush().await.map_err(cannot)?;
        tokio::fs::rename(&beside, file).await.map_err(cannot)?;
        Ok(bytes)
    }

    /// Does something that needs no body.
    pub(crate) async fn act<T: DeserializeOwned>(&self, method: Method, path: &[&str]) -> Result<T, Failure> {
        self.answer(self.request(method, path, &[])).await
    }

    /// Hands every line of a streamed answer to `take`, until the stream ends.
    pub(crate) async fn lines(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        mut take: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let response =
            self.request(Method::GET, path, query).send().await.map_err(|cause| self.silent(&cause))?;
        let mut chunks = accepted(response).await?.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                Failure::new(
                    Exit::Unreachable,
                    "the stream broke off before its end",
                    "what was printed is true but not all; run the command again",
                )
            })?;
            let mut scanned = rest.len();
            rest.extend_from_slice(&chunk);
            let mut begin = 0;
            while let Some(length) =
                rest.get(scanned..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
            {
                let end = scanned + length;
                if let Some(line) = rest.get(begin..end)
                    && !line.is_empty()
                {
                    take(std::str::from_utf8(line).map_err(|_| not_understood("a line that is not UTF-8"))?)?;
                }
                begin = end + 1;
                scanned = begin;
            }
            rest.drain(..begin);
            if rest.len() > MAX_LINE_BYTES {
                return Err(not_understood("a line without an end"));
            }
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).bearer_auth(self.token.expose_secret())
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.answer_within(request, ANSWER).await
    }

    async fn answer_within<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<T, Failure> {
        let response = request.timeout(within).send().await.map_err(|cause| self.silent(&cause))?;
        let body = accepted(response).await?.bytes().await.map_err(|cause| self.silent(&cause))?;
        serde_json::from_slice(&body).map_err(|_| not_understood("an answer in another form"))
    }

    fn silent(&self, cause: &reqwest::Error) -> Failure {
        let address = &self.base;
        let error = if cause.is_timeout() {
            format!("the admin API at {address} did not answer in time")
        } else {
            format!("the admin API at {address} does not answer")
        };
        Failure::new(
            Exit::Unreachable,
            error,
            "is `tidings up` (or `tidings console`) running there? --admin or TIDINGS_ADMIN names another address",
        )
    }
}

async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let problem = serde_json::from_slice::<Problem>(&body).map_err(|_| {
        Failure::new(
            Exit::Unreachable,
            format!("what answers there is not Tidings' admin API (status {status})"),
            "--admin names the admin address, not the one for webhooks",
        )
    })?;
    Err(Failure::refused(status, problem))
}

fn not_understood(what: &str) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("the admin API sent {what}"),
        "use a `tidings` of the same version as the console",
    )
}
