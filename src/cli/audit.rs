//! `tidings audit`: who did what to which tenant, and whether the record of it is whole.

use clap::{Args, Subcommand};
use console::wire::{AffectedPerson, AffectedTenant, AuditEntry, AuditVerdict, List, Span};
use schemas::TenantId;

use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings audit list acme
  tidings audit list              # what concerns no single tenant, such as apps
  tidings audit verify            # every chain; exit 1 when one is broken
  tidings audit verify acme
  tidings audit affected --since 2026-03-01T09:00:00Z --until 2026-03-01T11:30:00Z
  tidings audit affected acme --since 2026-03-01T09:00:00Z --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List what was done, the oldest first
    List {
        /// The tenant; without it, what concerns the platform as a whole
        tenant: Option<TenantId>,
    },
    /// List whose words and files passed in a span of time: whom to tell when somebody may have read them
    Affected {
        /// The tenant, person by person; without it, tenant by tenant
        tenant: Option<TenantId>,
        /// From this moment on, such as 2026-03-01T09:00:00Z
        #[arg(long, value_name = "TIME")]
        since: jiff::Timestamp,
        /// Until before this moment; until now unless given
        #[arg(long, value_name = "TIME")]
        until: Option<jiff::Timestamp>,
    },
    /// Check that nothing was changed, removed or inserted
    Verify {
        /// The tenant; without it, every chain
        tenant: Option<TenantId>,
    },
}

pub(crate) async fn run(args: AuditArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        AuditCommand::List { tenant } => {
            let entries: Vec<AuditEntry> = match &tenant {
                Some(tenant) => client.pages(&["tenants", tenant.as_str(), "audit"], usize::MAX).await?,
                None => client.pages(&["audit"], usize::MAX).await?,
            };
            print::list(
                as_json,
                &entries,
                "nothing was done yet",
                ["at", "actor", "action", "target"],
                |entry| {
                    [print::at(&entry.at), entry.actor.clone(), entry.action.clone(), entry.target.clone()]
                },
            )
        }
        AuditCommand::Affected { tenant, since, until } => {
            let (since, until) = (since.to_string(), until.map(|until| until.to_string()));
            let mut query = vec![("since", since.as_str())];
            query.extend(until.as_deref().map(|until| ("until", until)));
            affected(&client, as_json, tenant.as_ref(), &query).await
        }
        AuditCommand::Verify { tenant } => {
            let query: Vec<(&str, &str)> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
            let verdict: AuditVerdict = client.get(&["audit", "verify"], &query).await?;
            if as_json {
                print::json(&verdict)?
            } else {
                show(&verdict)?
            }
            if verdict.ok {
                return Ok(());
            }
            Err(Failure::new(
                Exit::No,
                "an audit chain is broken",
                "the record in PostgreSQL differs from what was done; compare it with a copy you kept, and rebuild it from the log",
            ))
        }
    }
}

async fn affected(
    client: &Client,
    as_json: bool,
    tenant: Option<&TenantId>,
    query: &[(&str, &str)],
) -> Result<(), Failure> {
    let spans = |span: &Span| {
        [span.messages.to_string(), span.files.to_string(), print::at(&span.first), print::at(&span.last)]
    };
    let nothing = "nothing was sent in that time";
    if let Some(tenant) = tenant {
        let path = ["tenants", tenant.as_str(), "affected"];
        let people: Vec<AffectedPerson> = client.pages_of(&path, query, usize::MAX).await?;
        return print::list(
            as_json,
            &people,
            nothing,
            ["subject", "messages", "files", "first", "last"],
            |one| {
                let [messages, files, first, last] = spans(&one.span);
                [one.subject.clone().unwrap_or_else(|| "nobody".to_owned()), messages, files, first, last]
            },
        );
    }
    let List { items } = client.get::<List<AffectedTenant>>(&["affected"], query).await?;
    let heads = ["tenant", "name", "people", "messages", "files", "first", "last", "acts"];
    print::list(as_json, &items, nothing, heads, |one| {
        let [messages, files, first, last] = spans(&one.span);
        [
            one.tenant.clone(),
            one.name.clone(),
            one.people.to_string(),
            messages,
            files,
            first,
            last,
            one.acts.to_string(),
        ]
    })
}

fn show(verdict: &AuditVerdict) -> Result<(), Failure> {
    print::table(
        ["chain", "entries", "verdict", "head"],
        verdict.chains.iter().map(|chain| {
            let word = match &chain.fault {
                None if chain.ok => "whole".to_owned(),
                fault => format!("BROKEN: {}", fault.as_deref().unwrap_or("its hashes do not agree")),
            };
            [chain.chain.clone(), chain.entries.to_string(), word, chain.head.clone().unwrap_or_default()]
        }),
    )
}
