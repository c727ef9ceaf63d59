//! Who is one person, as an operator says: merging people and taking them apart.

use axum::Json;
use axum::extract::State;
use schemas::{Action, Asset, SubjectId, TenantId};

use crate::api::people::{answer_person, assets, conversations, known};
use crate::extract::{Given, Named};
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, Merge, PersonFound};

/// Makes two people one, whatever was said of them before: their conversations with an asset are shown as one, and forgetting
/// one forgets both.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/people/{subject}/merge", tag = "people", operation_id = "person_merge",
    request_body = Merge,
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The person's subject")),
    responses((status = 200, body = PersonFound), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn merge(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
    Given(given): Given<Merge>,
) -> Result<Json<PersonFound>, Problem> {
    let both = [subject, given.with];
    for subject in both {
        known(&shared, &tenant, subject).await?;
    }
    if subject == given.with {
        return Err(Problem::bad_request(
            "a person is the same as themselves",
            "`tidings person merge TENANT SUBJECT OTHER` names two subjects",
        ));
    }
    let asset = an_asset(&shared, &tenant, &both).await?;
    shared.keeper.merge_people(&tenant, both, &asset).await?;
    let [into, from] = if subject < given.with { both } else { [given.with, subject] };
    shared.act(Action::PeopleMerged { tenant: tenant.clone(), into, from }).await?;
    answer_person(&shared, &tenant, subject).await
}

/// Takes a subject out of the person it was taken for, for good: no payload brings them together again, only a merge does.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/people/{subject}/split", tag = "people", operation_id = "person_split",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("subject" = String, Path, description = "The subject that is somebody else")),
    responses((status = 200, body = PersonFound), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn split(
    State(shared): State<Shared>,
    Named((tenant, subject)): Named<(TenantId, SubjectId)>,
) -> Result<Json<PersonFound>, Problem> {
    known(&shared, &tenant, subject).await?;
    let asset = an_asset(&shared, &tenant, &[subject]).await?;
    if !shared.keeper.split_person(&tenant, subject, &asset).await? {
        return Err(Problem::conflict(
            format!("{subject} is the only subject of its person"),
            format!(
                "`tidings person find {tenant} {subject}` shows the subjects of a person who has several"
            ),
        ));
    }
    shared.act(Action::PersonSplit { tenant: tenant.clone(), subject }).await?;
    answer_person(&shared, &tenant, subject).await
}

/// Where something is said of these people: an asset that they talk with, or another of the tenant's.
async fn an_asset(shared: &Shared, tenant: &TenantId, subjects: &[SubjectId]) -> Result<Asset, Problem> {
    let theirs = conversations(shared, tenant, subjects).await?;
    let theirs = theirs.iter().find_map(|row| row.asset.parse().ok());
    let theirs = theirs.or_else(|| assets(&shared.plane.state(), tenant).into_iter().next());
    theirs.ok_or_else(|| {
        Problem::conflict(
            format!(
                "tenant {tenant} has no asset, and these people no conversation: there is nowhere to say it"
            ),
            format!("`tidings asset connect {tenant} ASSET` connects one"),
        )
    })
}
