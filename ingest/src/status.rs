//! How far a callback is: `GET /callbacks/meta/status/{code}`, for the person who asked and whoever helps them.
//!
//! Whoever has the code may see this, so it says nothing of anybody: not whom it is about, not whose data there was.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName};
use jiff::Timestamp;
use schemas::{Callback, ControlState, ErasureState, People};
use serde::Serialize;

use crate::page::{POLICY, page};
use crate::reply::{self, Reply};
use crate::signed_request::is_code;

/// How far it is. The `outcome` label of `ingest_callback_status_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nobody has looked at it.
    Received,
    /// Data is being deleted.
    Deleting,
    /// Some of it must be kept for now.
    OnHold,
    /// All of it is deleted.
    Done,
    /// There was nothing.
    NothingFound,
}

impl Progress {
    /// All of them; a variant's place here is its number.
    pub(crate) const ALL: [Self; 5] =
        [Self::Received, Self::Deleting, Self::OnHold, Self::Done, Self::NothingFound];

    /// Its one word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Deleting => "in_progress",
            Self::OnHold => "on_hold",
            Self::Done => "done",
            Self::NothingFound => "nothing_found",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Received => "Received",
            Self::Deleting => "In progress",
            Self::OnHold => "On hold",
            Self::Done => "Done",
            Self::NothingFound => "Nothing found",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Received => "Your request has arrived. It has not been looked at yet.",
            Self::Deleting => "Your data is being deleted.",
            Self::OnHold => {
                "Some of your data has to be kept for now, for a legal reason. It is deleted when that reason ends."
            }
            Self::Done => "Your data has been deleted.",
            Self::NothingFound => {
                "Nothing is kept here that belongs to the account your request came from. If you wrote to an organisation \
                 and want those messages deleted, ask that organisation."
            }
        }
    }

    fn of(callback: &Callback, people: &People, now_ms: i64) -> Self {
        let Some(ids) = &callback.erasures else { return Self::Received };
        if ids.is_empty() {
            return Self::NothingFound;
        }
        let mut progress = Self::Done;
        for id in ids {
            match people.erasures.get(id) {
                Some(erasure) if matches!(erasure.state, ErasureState::Done(_)) => {}
                Some(erasure) if people.is_held(&(erasure.tenant.clone(), erasure.subject), now_ms) => {
                    return Self::OnHold;
                }
                Some(_) | None => progress = Self::Deleting,
            }
        }
        progress
    }
}

/// What is said of one callback, as JSON has it.
#[derive(Serialize)]
struct Status<'a> {
    confirmation_code: &'a str,
    state: &'static str,
    message: &'static str,
    received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at: Option<String>,
}

const UNKNOWN_TITLE: &str = "No such request";
const UNKNOWN: &str = "There is no request with this code. Look whether the address is complete: it ends with the code, 32 digits \
    and letters from a to f. Otherwise open it once more from the settings of your Facebook or Instagram account, where you removed \
    the app, or ask the organisation you wrote to, and give it the code.";

/// The page, or JSON for whoever prefers it; and how far it is, unless there is no such callback.
pub(crate) fn answer(
    state: &ControlState,
    code: &str,
    headers: &HeaderMap,
    now_ms: i64,
) -> (Option<Progress>, Reply) {
    let known = if is_code(code) { state.people.callbacks.get(code) } else { None };
    let json = prefers_json(headers);
    let Some(callback) = known else {
        let body = if json {
            format!(r#"{{"state":"unknown","message":"{UNKNOWN}"}}"#)
        } else {
            page(UNKNOWN_TITLE, UNKNOWN, "")
        };
        return (None, sent(StatusCode::NOT_FOUND, body, json));
    };
    let progress = Progress::of(callback, &state.people, now_ms);
    let done_at = match progress {
        Progress::Done => {
            let ends = callback.erasures.iter().flatten().filter_map(|id| state.people.erasures.get(id));
            ends.map(|erasure| erasure.at_ms).max().and_then(day)
        }
        Progress::Received | Progress::Deleting | Progress::OnHold | Progress::NothingFound => None,
    };
    let status = Status {
        confirmation_code: code,
        state: progress.as_str(),
        message: progress.message(),
        received_at: day(callback.at_ms),
        done_at,
    };
    let body = if json {
        serde_json::to_string(&status).expect("a status is plain data")
    } else {
        page(progress.title(), status.message, &details(&status))
    };
    (Some(progress), sent(StatusCode::OK, body, json))
}

/// The day, as `2026-07-14`, in UTC.
fn day(ms: i64) -> Option<String> {
    Some(Timestamp::from_millisecond(ms).ok()?.strftime("%Y-%m-%d").to_string())
}

/// Browsers ask for HTML first, programs that want JSON do not ask for HTML.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        headers.get_all(header::ACCEPT).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value.split(',').any(|range| {
                    range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(kind))
                })
            })
        })
    };
    accepts("application/json") && !accepts("text/html")
}

fn details(status: &Status) -> String {
    let mut details = format!("<dl><dt>Confirmation code</dt><dd>{}</dd>", status.confirmation_code);
    for (name, day) in [("Received", &status.received_at), ("Done", &status.done_at)] {
        if let Some(day) = day {
            details.push_str(&format!("<dt>{name}</dt><dd>{day}</dd>"));
        }
    }
    details + "</dl>"
}

fn sent(status: StatusCode, body: String, json: bool) -> Reply {
    let kind = if json { "application/json" } else { "text/html; charset=utf-8" };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    reply::with(status, Bytes::from(body), &headers)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use schemas::{Action, ControlRecord, ErasureId, ErasureReason, Receipt, SubjectId};

    use super::*;

    const CODE: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn its_place_is_its_number() {
        for (number, progress) in Progress::ALL.into_iter().enumerate() {
            assert_eq!(progress as usize, number, "{progress:?}");
        }
    }

    #[track_caller]
    fn check(actions: &[Action], now_ms: i64, expected: Option<Progress>) {
        let mut state = ControlState::default();
        for (offset, action) in (0..).zip(actions) {
            let record =
                ControlRecord { at_ms: 1_780_000_000_000, actor: "meta".into(), action: action.clone() };
            state.apply(offset, &record);
        }
        assert_eq!(answer(&state, CODE, &HeaderMap::new(), now_ms).0, expected);
    }

    #[test]
    fn it_is_as_far_as_its_last_erasure() {
        let received = Action::CallbackReceived {
            app: "acme".parse().unwrap(),
            kind: schemas::CallbackKind::DataDeletion,
            code: CODE.to_owned(),
        };
        let [first, second] = [[1; 16], [2; 16]].map(ErasureId::from_bytes);
        let (tenant, subject): (schemas::TenantId, _) =
            ("a".parse().unwrap(), SubjectId::from_bytes([3; 16]));
        let answered = |erasures: &[ErasureId]| Action::CallbackAnswered {
            code: CODE.to_owned(),
            erasures: erasures.to_vec(),
        };
        let requested = |erasure| Action::ErasureRequested {
            erasure,
            tenant: tenant.clone(),
            subject,
            reason: ErasureReason::Meta,
        };
        let shredded = Action::SubjectShredded { erasure: first, tenant: tenant.clone(), subject };
        let erased = |erasure| Action::SubjectErased {
            erasure,
            tenant: tenant.clone(),
            subject,
            receipt: Receipt::default(),
        };
        let held = Action::SubjectHeld { tenant: tenant.clone(), subject, until_ms: Some(100) };
        let mut so_far = Vec::new();
        let mut then = |action: Action, expected| {
            so_far.push(action);
            check(&so_far, 50, expected);
        };
        check(&[], 50, None);
        then(received.clone(), Some(Progress::Received));
        then(requested(first), Some(Progress::Received));
        then(answered(&[first, second]), Some(Progress::Deleting));
        then(shredded, Some(Progress::Deleting));
        then(erased(first), Some(Progress::Deleting));
        then(requested(second), Some(Progress::Deleting));
        then(erased(second), Some(Progress::Done));
        check(&[received.clone(), answered(&[])], 50, Some(Progress::NothingFound));
        let on_hold = [received, requested(first), held, answered(&[first])];
        check(&on_hold, 99, Some(Progress::OnHold));
        check(&on_hold, 100, Some(Progress::Deleting));
    }

    #[test]
    fn json_is_for_whoever_wants_no_html() {
        let prefers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            prefers_json(&headers)
        };
        assert!(prefers(&["application/json"]));
        assert!(prefers(&["text/plain, Application/JSON;q=0.9"]));
        assert!(prefers(&["é", "application/json"]));
        for html in [
            &[][..],
            &["*/*"],
            &["text/html,application/json"],
            &["text/html", "application/json"],
            &["application/jsonx"],
        ] {
            assert!(!prefers(html), "{html:?}");
        }
    }

    #[test]
    fn nothing_that_was_asked_for_is_repeated() {
        let state = ControlState::default();
        for code in ["<script>", CODE, "..", "%3Cb%3E"] {
            for accept in ["text/html", "application/json"] {
                let mut headers = HeaderMap::new();
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
                let (progress, reply) = answer(&state, code, &headers, 0);
                assert_eq!((progress, reply.status()), (None, StatusCode::NOT_FOUND));
                assert!(!format!("{:?}", reply.body()).contains(code), "{code}");
            }
        }
        let unknown: serde_json::Value = serde_json::from_str(&format!(r#""{UNKNOWN}""#)).unwrap();
        assert_eq!(unknown, UNKNOWN, "it is JSON as it stands");
    }
}
