//! People: finding, forgetting, exporting, correcting, restricting and holding them.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::{
    Action, Asset, ContactProfile, ControlState, ConversationId, Erasure, ErasureId, ErasureReason,
    ErasureState, Identifier, Receipt, SubjectId, TenantId,
};
use serde::Deserialize;
use store::{ConversationRow, MessageCursor, MessageRow};
use utoipa::IntoParams;

use crate::api::names::{is_name, what_a_name_is, without_card_number};
use crate::extract::{Asked, Given, Named};
use crate::open::Opener;
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::thread::Threads;
use crate::wire::{
    self, Correct, Erase, ErasureAnswer, ExportedConversation, ExportedProfile, Hold, List, PersonExport,
    PersonFound, Restrict,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long an erasure may take (`reliability.md` P5).
const DUE_DAYS: i64 = 30;
/// A hold that nobody renews ends.
const MOST_DAYS: u32 = 366;
const MAX_VALUE_CHARS: usize = 256;
/// How long a request may wait for an erasure.
const MOST_WAIT: Duration = Duration::from_secs(600);
const PAGE: u32 = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sought {
    /// A phone number, PSID, IGSID, BSUID, user name, conversation id or subject.
    value: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Wait at most so many seconds until it is done; 0 unless given.
    #[serde(default)]
    wait: u64,
}

/// Finds people by what may lead to them.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/people", tag = "people", operation_id = "person_find",
    params(("tenant" = String, Path, description = "The tenant's id"), Sought),
    responses((status = 200, body = List<PersonFound>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 500, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn find(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Asked(sought): Asked<Sought>,
) -> Result<Json<List<PersonFound>>, Problem> {
    shared.tenant(&tenant)?;
    let value = sought.value.trim();
    if value.is_empty() || value.chars().count() > MAX_VALUE_CHARS {
        return Err(Problem::bad_request(
            format!("what leads to a person is 1 to {MAX_VALUE_CHARS} characters"),
            "give a phone number, PSID, IGSID, BSUID, user name or conversation id",
        ));
    }
    let state = shared.plane.state();
    let mut subjects = Vec::new();
    if shared.keyring.db().tenant_keys(&tenant).await?.is_some() {
        let assets = assets(&state, &tenant);
        subjects = shared.keyring.known(&tenant, &Identifier::candidates(value, &assets)).await?;
        subjects.extend(shared.keyring.named(&tenant, value.trim_start_matches('@')).await?);
        if let Ok(id) = value.parse::<ConversationId>() {
            subjects.extend(shared.views.conversation(&tenant, id).await?.and_then(|row| row.subject));
        }
        subjects.extend(value.parse::<SubjectId>().ok());
    }
    let mut items: Vec<PersonFound> = Vec::new();
    for subject in subjects {
        // Several may lead to one.
        let found = person(&shared, &state, &tenant, subject).await?;
        items.extend(found.filter(|one| items.iter().all(|known| known.subject != one.subject)));
    }
    items.sort_by(|one, other| one.subject.cmp(&other.subject));
    Ok(Json(List { items }))
}

/// Forgets a person: their keys first, then everything that can be removed.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/people/{subject}/erase", tag = "people", operation_id = "person_erase",
    request_body = Erase,
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The person's subject"), Wait),
    responses((status = 200, body = ErasureAnswer, description = "Done"),
        (status = 202, body = ErasureAnswer, description = "Under way"),
        (status = 400, body = wire::Problem), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 409, body = wire::Problem), (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn erase(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
    Asked(wait): Asked<Wait>,
    Given(given): Given<Erase>,
) -> Result<(StatusCode, Json<ErasureAnswer>), Problem> {
    let state = shared.plane.caught_up().await?;
    let known = known(&shared, &tenant, subject).await;
    let erasure = match state.people.erasing(&tenant, subject) {
        // Asked for before, by whomever.
        Some(erasure) => erasure,
        None => {
            known?;
            let person = (tenant.clone(), subject);
            if state.people.is_held(&person, shared.clock.now_ms()) {
                return Err(Problem::conflict(
                    "this person is held and must not be forgotten now",
                    format!("`tidings person hold {tenant} {subject} --release` ends the hold"),
                ));
            }
            let erasure = ErasureId::from_bytes(rand::random());
            let reason = given.reason.unwrap_or(ErasureReason::Request);
            shared.act(Action::ErasureRequested { erasure, tenant, subject, reason }).await?;
            erasure
        }
    };
    let mut watch = shared.plane.watch();
    let until = Duration::from_secs(wait.wait).min(MOST_WAIT);
    let is_done = |state: &ControlState| {
        state
            .people
            .erasures
            .get(&erasure)
            .is_some_and(|erasure| matches!(erasure.state, ErasureState::Done(_)))
    };
    // Whether it was reached or not: the answer says how far it is.
    let _ = tokio::time::timeout(until, watch.wait_for(|state| is_done(state))).await;
    let state = shared.plane.state();
    let status = if is_done(&state) { StatusCode::OK } else { StatusCode::ACCEPTED };
    let found = state.people.erasures.get(&erasure).ok_or_else(|| no_such_erasure(erasure))?;
    Ok((status, Json(answer(erasure, found))))
}

/// Lists the erasures, the latest request last.
#[utoipa::path(get, path = "/v1/erasures", tag = "people", operation_id = "erasure_list",
    responses((status = 200, body = List<ErasureAnswer>), (status = 401, body = wire::Problem)))]
pub(super) async fn erasures(State(shared): State<Shared>) -> Json<List<ErasureAnswer>> {
    let state = shared.plane.state();
    let mut all: Vec<_> = state.people.erasures.iter().collect();
    all.sort_by_key(|(id, erasure)| (erasure.requested_ms, **id));
    Json(List { items: all.into_iter().map(|(id, erasure)| answer(*id, erasure)).collect() })
}

/// Shows one erasure.
#[utoipa::path(get, path = "/v1/erasures/{erasure}", tag = "people", operation_id = "erasure_show",
    params(("erasure" = String, Path, description = "The erasure's id")),
    responses((status = 200, body = ErasureAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem)))]
pub(super) async fn erasure(
    State(shared): State<Shared>,
    Named(erasure): Named<ErasureId>,
) -> Result<Json<ErasureAnswer>, Problem> {
    let state = shared.plane.state();
    let found = state.people.erasures.get(&erasure).ok_or_else(|| no_such_erasure(erasure))?;
    Ok(Json(answer(erasure, found)))
}

/// Exports everything that is kept of a person. Their files are read one by one, by the ids in it.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/people/{subject}/export", tag = "people", operation_id = "person_export",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The person's subject")),
    responses((status = 200, body = PersonExport), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn export(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
) -> Result<Json<PersonExport>, Problem> {
    let identifiers = known(&shared, &tenant, subject).await?;
    let same = shared.keyring.db().same_person(&tenant, subject).await?;
    let state = shared.plane.state();
    let mut rows = Vec::new();
    for row in conversations(&shared, &tenant, &same).await? {
        let messages = theirs(&shared, &tenant, &row, &same).await?;
        rows.push((row, messages));
    }
    let mut standing = Vec::new();
    for subject in &same {
        standing.extend(shared.views.standing_of(&tenant, *subject).await?);
    }
    // What is sealed for anybody else does not open with this, and is left out. Once everything was read, because whoever
    // forgets somebody waits while keys are in use.
    let subjects: Vec<Option<SubjectId>> = same.iter().copied().map(Some).collect();
    let opener = Opener::of(&shared.keyring, &tenant, &subjects).await?;
    let mut conversations = Vec::new();
    let mut profile = ContactProfile::default();
    for (row, messages) in rows {
        if profile == ContactProfile::default() && row.subject.is_some_and(|subject| same.contains(&subject))
        {
            profile = shown::profile(row.contact.as_ref(), row.subject, &tenant, &state.people, &opener);
        }
        conversations.push(ExportedConversation {
            id: row.id.to_string(),
            channel: row.channel,
            asset: row.asset,
            messages: messages.into_iter().map(|row| shown::message(row, &opener)).collect(),
        });
    }
    let standing = standing.iter().filter_map(|row| shown::standing(row, &opener)).collect();
    drop(opener);
    shared.act(Action::SubjectExported { tenant: tenant.clone(), subject }).await?;
    Ok(Json(PersonExport {
        format: "tidings-person-1".to_owned(),
        tenant: tenant.to_string(),
        subject: subject.to_string(),
        exported_at: wire::time(shared.clock.now_ms()),
        profile: ExportedProfile { name: profile.name, username: profile.username },
        identifiers,
        conversations,
        standing,
    }))
}

/// Corrects what a person is called. It stands whatever Meta sends, and goes with the person.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/people/{subject}/correct", tag = "people", operation_id = "person_correct",
    request_body = Correct,
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The person's subject")),
    responses((status = 200, body = PersonFound), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn correct(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
    Given(given): Given<Correct>,
) -> Result<Json<PersonFound>, Problem> {
    known(&shared, &tenant, subject).await?;
    let given = ContactProfile { name: given.name, username: given.username };
    let texts = || [&given.name, &given.username].into_iter().flatten();
    if given == ContactProfile::default() || !texts().all(|text| is_name(text)) {
        return Err(Problem::bad_request(
            format!("a correction is a name, a user name or both, of {}", what_a_name_is()),
            "`tidings person correct TENANT SUBJECT --name NAME`",
        ));
    }
    texts().map(String::as_str).try_for_each(without_card_number)?;
    let same = shared.keyring.db().same_person(&tenant, subject).await?;
    let subjects: Vec<Option<SubjectId>> = same.iter().copied().map(Some).collect();
    let opener = Opener::of(&shared.keyring, &tenant, &subjects).await?;
    let json = serde_json::to_vec(&given).expect("a profile is plain data");
    let mut actions = Vec::new();
    for subject in same {
        let key = opener.key(subject).ok_or_else(|| nobody(&tenant, subject))?;
        let sealed = STANDARD.encode(key.seal_correction(&json)?);
        actions.push(Action::SubjectCorrected { tenant: tenant.clone(), subject, sealed });
    }
    drop(opener);
    for action in actions {
        shared.act(action).await?;
    }
    answer_person(&shared, &tenant, subject).await
}

/// Restricts what is kept of a person: it stays, and nobody may use it. Or lets it be used again.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/people/{subject}/restrict", tag = "people", operation_id = "person_restrict",
    request_body = Restrict,
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The person's subject")),
    responses((status = 200, body = PersonFound), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn restrict(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
    Given(given): Given<Restrict>,
) -> Result<Json<PersonFound>, Problem> {
    known(&shared, &tenant, subject).await?;
    let restricted = given.restricted;
    let action = |subject| Action::SubjectRestricted { tenant: tenant.clone(), subject, restricted };
    of_all(&shared, &tenant, subject, action).await?;
    answer_person(&shared, &tenant, subject).await
}

/// Holds a person: nobody forgets them until the hold ends. Or releases them.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/people/{subject}/hold", tag = "people", operation_id = "person_hold",
    request_body = Hold,
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The person's subject")),
    responses((status = 200, body = PersonFound), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn hold(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
    Given(given): Given<Hold>,
) -> Result<Json<PersonFound>, Problem> {
    known(&shared, &tenant, subject).await?;
    if given.days.is_some_and(|days| days == 0 || days > MOST_DAYS) {
        return Err(Problem::bad_request(
            format!("a hold is for 1 to {MOST_DAYS} days"),
            "renew it when it is about to end",
        ));
    }
    let until_ms = given.days.map(|days| shared.clock.now_ms() + i64::from(days) * DAY_MS);
    let action = |subject| Action::SubjectHeld { tenant: tenant.clone(), subject, until_ms };
    of_all(&shared, &tenant, subject, action).await?;
    answer_person(&shared, &tenant, subject).await
}

/// Says something of every subject of a person, also of those who turn out to be theirs meanwhile.
async fn of_all(
    shared: &Shared,
    tenant: &TenantId,
    subject: SubjectId,
    action: impl Fn(SubjectId) -> Action,
) -> Result<(), Problem> {
    let mut told = BTreeSet::new();
    loop {
        let same = shared.keyring.db().same_person(tenant, subject).await?;
        let new: Vec<SubjectId> = same.into_iter().filter(|subject| told.insert(*subject)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for subject in new {
            shared.act(action(subject)).await?;
        }
    }
}

/// The conversations of these subjects, each once.
pub(super) async fn conversations(
    shared: &Shared,
    tenant: &TenantId,
    subjects: &[SubjectId],
) -> Result<Vec<ConversationRow>, Problem> {
    let mut all: Vec<ConversationRow> = Vec::new();
    for subject in subjects {
        for row in shared.views.conversations_of(tenant, *subject).await? {
            if all.iter().all(|known| known.id != row.id) {
                all.push(row);
            }
        }
    }
    Ok(all)
}

/// The assets of a tenant.
pub(super) fn assets(state: &ControlState, tenant: &TenantId) -> Vec<Asset> {
    state.routes.iter().filter(|(_, route)| route.tenant == *tenant).map(|(asset, _)| asset.clone()).collect()
}

/// The kinds of identifiers of a person who has to be known.
pub(super) async fn known(
    shared: &Shared,
    tenant: &TenantId,
    subject: SubjectId,
) -> Result<Vec<String>, Problem> {
    shared.tenant(tenant)?;
    let identifiers = shared.keyring.db().identifiers(tenant, subject).await?;
    identifiers.filter(|_| subject != store::NOBODY).ok_or_else(|| nobody(tenant, subject))
}

async fn person(
    shared: &Shared,
    state: &ControlState,
    tenant: &TenantId,
    subject: SubjectId,
) -> Result<Option<PersonFound>, Problem> {
    if subject == store::NOBODY {
        return Ok(None);
    }
    let Some(identifiers) = shared.keyring.db().identifiers(tenant, subject).await? else { return Ok(None) };
    let same = shared.keyring.db().same_person(tenant, subject).await?;
    let rows = conversations(shared, tenant, &same).await?;
    // As they are shown: several may be one.
    let threads = Threads::of(shared, tenant, &rows).await?;
    let conversations = threads.joined(shared, tenant, rows).await?;
    let of = (tenant.clone(), subject);
    let now_ms = shared.clock.now_ms();
    let held_until_ms = state.people.held.get(&of).filter(|until| **until > now_ms);
    Ok(Some(PersonFound {
        subject: same.first().unwrap_or(&subject).to_string(),
        subjects: if same.len() > 1 { same.iter().map(ToString::to_string).collect() } else { Vec::new() },
        identifiers,
        conversations: conversations.iter().map(|row| row.id.to_string()).collect(),
        restricted: state.people.restricted.contains(&of),
        held_until: held_until_ms.map(|until_ms| wire::time(*until_ms)),
    }))
}

pub(super) async fn answer_person(
    shared: &Shared,
    tenant: &TenantId,
    subject: SubjectId,
) -> Result<Json<PersonFound>, Problem> {
    let found = person(shared, &shared.plane.state(), tenant, subject).await?;
    found.map(Json).ok_or_else(|| nobody(tenant, subject))
}

/// The messages of a conversation that are sealed for this person, who has these subjects.
async fn theirs(
    shared: &Shared,
    tenant: &TenantId,
    conversation: &ConversationRow,
    same: &[SubjectId],
) -> Result<Vec<MessageRow>, Problem> {
    let is_theirs = |subject: Option<SubjectId>| subject.is_some_and(|subject| same.contains(&subject));
    let mut theirs = Vec::new();
    let mut after = None;
    loop {
        let page = shared.views.messages(tenant, &[conversation.id], PAGE, after).await?;
        after = page.last().map(|row| MessageCursor { at_ms: row.at_ms, event: row.event });
        let is_last = page.len() < PAGE as usize;
        theirs.extend(page.into_iter().filter(|row| {
            // A deleted message says nothing any more; in a conversation of their own it is still theirs.
            match &row.content {
                Some(content) => is_theirs(content.subject),
                None => is_theirs(conversation.subject),
            }
        }));
        if is_last {
            return Ok(theirs);
        }
    }
}

fn answer(id: ErasureId, erasure: &Erasure) -> ErasureAnswer {
    let receipt = match erasure.state {
        ErasureState::Done(receipt) => receipt,
        ErasureState::Requested | ErasureState::Shredded => Receipt::default(),
    };
    ErasureAnswer {
        erasure: id.to_string(),
        tenant: erasure.tenant.to_string(),
        subject: erasure.subject.to_string(),
        state: erasure.state.as_str().to_owned(),
        reason: erasure.reason.as_str().to_owned(),
        requested_at: wire::time(erasure.requested_ms),
        at: wire::time(erasure.at_ms),
        due_at: wire::time(erasure.requested_ms.saturating_add(DUE_DAYS * DAY_MS)),
        verified: receipt.verified,
        rows: receipt.rows,
        objects: receipt.objects,
        records: receipt.records,
        tried: receipt.tried,
    }
}

fn nobody(tenant: &TenantId, subject: SubjectId) -> Problem {
    Problem::not_found(
        format!("tenant {tenant} knows no person {subject}"),
        format!("`tidings person find {tenant} VALUE` finds people; who was forgotten is known no more"),
    )
}

fn no_such_erasure(erasure: ErasureId) -> Problem {
    Problem::not_found(format!("there is no erasure {erasure}"), "`tidings erasure list` shows them")
}
