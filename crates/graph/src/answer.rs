//! Answers: what the Graph API says of a file, and what a status means. Classified here and nowhere else.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use reqwest::Response;
use serde::{Deserialize, Deserializer};

use crate::MediaError;

/// The longest answer of the Graph API that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// A server does not silence us for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A file as the Graph API describes it.
#[derive(Deserialize)]
pub(crate) struct Description {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) mime_type: Option<String>,
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    #[serde(default, deserialize_with = "size")]
    pub(crate) file_size: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    is_transient: Option<bool>,
}

#[derive(Deserialize)]
struct Usage {
    /// Minutes.
    #[serde(default)]
    estimated_time_to_regain_access: Option<u64>,
}

/// Seen both as a number and as a text. What is neither is no size.
fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

/// The Graph API's answer to a question for a file.
pub(crate) async fn describe(response: Response) -> Result<Description, MediaError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = body(response).await?;
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(&body) {
        return Err(refused(status, &headers, &refusal.error));
    }
    if !status.is_success() {
        let nothing = RefusalError { code: None, is_transient: None };
        return Err(refused(status, &headers, &nothing));
    }
    serde_json::from_slice(&body).map_err(|_| MediaError::Unexpected { status: status.as_u16() })
}

async fn body(mut response: Response) -> Result<Vec<u8>, MediaError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(MediaError::Unexpected { status: response.status().as_u16() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The code decides: throttling comes with status 400 too. Only without a known code does the status.
fn refused(status: StatusCode, headers: &HeaderMap, error: &RefusalError) -> MediaError {
    let code = error.code;
    match code {
        // Token, permission, account: somebody has to act.
        Some(0 | 3 | 10 | 33 | 102 | 190 | 200..=299 | 368 | 130497 | 131005 | 131031 | 131037)
        | Some(131042 | 131045 | 133010) => MediaError::Unauthorized { code },
        Some(4 | 17 | 32 | 613 | 80000..=80014 | 130429 | 131048 | 131056 | 131064 | 133016) => {
            MediaError::RateLimited { code, after: wait(headers) }
        }
        Some(1 | 2 | 1200 | 131000 | 131016 | 131057 | 133004) => trouble(status, headers, code),
        // No such object, or not for this number or this token; a status that says which is believed.
        Some(100 | 803)
            if status != StatusCode::NOT_FOUND
                && status.is_client_error()
                && status != StatusCode::TOO_MANY_REQUESTS =>
        {
            MediaError::NotVisible { code }
        }
        Some(100 | 803 | 131052) if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() => {
            MediaError::Expired
        }
        Some(_) | None => match status {
            _ if error.is_transient == Some(true) => trouble(status, headers, code),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => MediaError::Unauthorized { code },
            StatusCode::NOT_FOUND | StatusCode::GONE => MediaError::Expired,
            _ => other(status, headers, code),
        },
    }
}

/// What a media host means by its status. It gives no codes. `Ok` is a file; redirects are followed before.
pub(crate) fn file(response: &Response, with_token: bool) -> Result<(), MediaError> {
    match response.status() {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(MediaError::Expired),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if with_token => {
            Err(MediaError::Unauthorized { code: None })
        }
        // A signed address that has run out.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(MediaError::Expired),
        status => Err(other(status, response.headers(), None)),
    }
}

fn other(status: StatusCode, headers: &HeaderMap, code: Option<i64>) -> MediaError {
    match status {
        StatusCode::TOO_MANY_REQUESTS => MediaError::RateLimited { code, after: wait(headers) },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => trouble(status, headers, code),
        _ if status.is_server_error() => trouble(status, headers, code),
        _ if status.is_client_error() => MediaError::RequestRefused { status: status.as_u16(), code },
        _ if code.is_some() => MediaError::RequestRefused { status: status.as_u16(), code },
        _ => MediaError::Unexpected { status: status.as_u16() },
    }
}

fn trouble(status: StatusCode, headers: &HeaderMap, code: Option<i64>) -> MediaError {
    MediaError::ServerTrouble { status: status.as_u16(), code, after: wait(headers) }
}

/// How long to wait: the longer of `Retry-After` in seconds and Graph's estimate in minutes. Dates are not read.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let seconds = text(header::RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse::<u64>().ok());
    let minutes = text("x-business-use-case-usage")
        .and_then(|usage| serde_json::from_str::<HashMap<String, Vec<Usage>>>(usage).ok())
        .and_then(|usage| {
            usage.into_values().flatten().filter_map(|usage| usage.estimated_time_to_regain_access).max()
        });
    let estimate = minutes.map(|minutes| minutes.saturating_mul(60));
    let longest = seconds.max(estimate).filter(|&seconds| seconds > 0)?;
    Some(Duration::from_secs(longest).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaDisposition;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[track_caller]
    fn check(status: u16, code: Option<i64>, expected: MediaDisposition) {
        let error = RefusalError { code, is_transient: None };
        let refused = refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &error);
        assert_eq!(refused.disposition(), expected, "status {status} code {code:?}");
    }

    #[test]
    fn codes_decide_before_statuses() {
        let retry = MediaDisposition::Retry { after: None };
        for code in [0, 3, 10, 190, 200, 230, 299, 368, 131005, 131031] {
            check(400, Some(code), MediaDisposition::Unauthorized);
        }
        for code in [4, 32, 613, 80007, 130429, 131048, 131056, 133016] {
            check(400, Some(code), retry);
        }
        for code in [1, 2, 131000, 131016, 131057, 133004] {
            check(500, Some(code), retry);
            check(400, Some(code), retry);
        }
        check(400, Some(100), retry);
        check(403, Some(803), retry);
        check(404, Some(100), MediaDisposition::Expired);
        check(400, Some(131052), MediaDisposition::Expired);
        check(503, Some(100), retry);
        check(400, Some(987_654), MediaDisposition::Refused("request_refused"));
        check(500, Some(987_654), retry);
        check(200, Some(987_654), MediaDisposition::Refused("request_refused"));
        for (status, expected) in [
            (400, MediaDisposition::Refused("request_refused")),
            (401, MediaDisposition::Unauthorized),
            (403, MediaDisposition::Unauthorized),
            (404, MediaDisposition::Expired),
            (408, retry),
            (410, MediaDisposition::Expired),
            (418, MediaDisposition::Refused("request_refused")),
            (429, retry),
            (500, retry),
            (503, retry),
            (302, retry),
        ] {
            check(status, None, expected);
        }
    }

    #[test]
    fn a_transient_error_is_tried_again() {
        let error = RefusalError { code: Some(987_654), is_transient: Some(true) };
        let refused = refused(StatusCode::BAD_REQUEST, &HeaderMap::new(), &error);
        assert_eq!(refused.disposition(), MediaDisposition::Retry { after: None });
    }

    #[test]
    fn waits() {
        #[track_caller]
        fn check(pairs: &[(&'static str, &str)], expected: Option<u64>) {
            assert_eq!(wait(&headers(pairs)).map(|wait| wait.as_secs()), expected, "{pairs:?}");
        }
        let usage = r#"{"123":[{"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":3},{"type":"x"}]}"#;
        check(&[], None);
        check(&[("retry-after", "7")], Some(7));
        check(&[("retry-after", "0")], None);
        check(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None);
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "99999999999999999")], Some(24 * 60 * 60));
        check(&[("x-business-use-case-usage", usage)], Some(180));
        check(&[("retry-after", "7"), ("x-business-use-case-usage", usage)], Some(180));
        check(&[("retry-after", "700"), ("x-business-use-case-usage", usage)], Some(700));
        check(&[("x-business-use-case-usage", "no")], None);
        check(&[("x-app-usage", r#"{"call_count":100}"#)], None);
    }

    #[test]
    fn sizes() {
        #[track_caller]
        fn check(size: &str, expected: Option<u64>) {
            let text = format!(r#"{{"url":"u","file_size":{size}}}"#);
            assert_eq!(serde_json::from_str::<Description>(&text).unwrap().file_size, expected, "{size}");
        }
        check("7", Some(7));
        check("\"7\"", Some(7));
        check("null", None);
        check("-1", None);
        check("1.5", None);
        check("\"7 bytes\"", None);
        check("[7]", None);
        assert_eq!(serde_json::from_str::<Description>(r#"{"url":"u"}"#).unwrap().file_size, None);
    }
}
