//! Extractors whose refusals are [`Problem`]s like every other.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// What the path names.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let answer: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        answer.map(|Path(value)| Self(value)).map_err(|why| {
            Problem::bad_request(
                why.body_text(),
                "correct the name in the path; /openapi.json has the form of each",
            )
        })
    }
}

/// What stands after the `?`.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let answer: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        answer.map(|Query(value)| Self(value)).map_err(|why| {
            Problem::bad_request(why.body_text(), "correct the query; /openapi.json lists what may be asked")
        })
    }
}

/// A JSON body.
pub(crate) struct Given<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let answer: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        answer.map(|Json(value)| Self(value)).map_err(|why| {
            // The reader's own words quote the body, which may hold a secret: say only what kind of fault it was.
            let error = match &why {
                JsonRejection::JsonDataError(_) => "the JSON body does not have the form this needs",
                JsonRejection::JsonSyntaxError(_) => "the body is not JSON",
                JsonRejection::MissingJsonContentType(_) => "the body is not marked as JSON",
                _ => "the body cannot be read",
            };
            Problem::bad_request(
                error,
                "send `content-type: application/json` and the form that /openapi.json shows",
            )
            .with_status(why.status())
        })
    }
}
