//! `tidings person` and `tidings erasure`: what people may ask for, and what was done about it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use console::wire::{ErasureAnswer, List, PersonExport, PersonFound};
use schemas::{ErasureId, SubjectId, TenantId};
use serde_json::json;

use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings person find acme 15551234567          # a phone number, PSID, IGSID, BSUID, user name or conversation id
  tidings person export acme SUBJECT --out DIR  # everything kept of them, with their files
  tidings person erase acme SUBJECT             # forgets them; waits until that is done and verified
  tidings person correct acme SUBJECT --name 'Right Name'
  tidings person restrict acme SUBJECT          # kept, but not to be used; --lift ends it
  tidings person hold acme SUBJECT --days 90    # must not be forgotten; --release ends it
  tidings person merge acme SUBJECT OTHER       # two subjects are one person
  tidings person split acme SUBJECT             # this subject is somebody else, whatever payloads say

SUBJECT is what `find` prints: a random id that says nothing by itself.";

/// How long one request waits; then it is asked again.
const WAIT_SECONDS: u64 = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PersonArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: PersonCommand,
}

#[derive(Debug, Subcommand)]
enum PersonCommand {
    /// Find people by what may lead to them
    Find {
        /// The tenant
        tenant: TenantId,
        /// Phone number, PSID, IGSID, BSUID, user name, conversation id or subject
        value: String,
    },
    /// Forget a person, for good
    Erase {
        #[command(flatten)]
        of: Of,
        /// Do not wait until it is done
        #[arg(long)]
        no_wait: bool,
        /// Why
        #[arg(long, value_enum, default_value_t = Why::Request)]
        reason: Why,
    },
    /// Write everything that is kept of a person into a folder: JSON and their files, nobody else's
    Export {
        #[command(flatten)]
        of: Of,
        /// The folder; made when it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Correct what a person is called; it stands whatever Meta sends
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Correct {
        #[command(flatten)]
        of: Of,
        /// The name
        #[arg(long, group = "what")]
        name: Option<String>,
        /// The user name
        #[arg(long, group = "what")]
        username: Option<String>,
    },
    /// Keep what there is of a person, and let nobody use it
    Restrict {
        #[command(flatten)]
        of: Of,
        /// It may be used again
        #[arg(long)]
        lift: bool,
    },
    /// Let nobody forget a person for a while, as the law may demand
    Hold {
        #[command(flatten)]
        of: Of,
        /// For so many days
        #[arg(long, value_name = "N", default_value_t = 90, conflicts_with = "release")]
        days: u32,
        /// No longer
        #[arg(long)]
        release: bool,
    },
    /// Say that two subjects are one person: shown as one, forgotten as one
    Merge {
        #[command(flatten)]
        of: Of,
        /// Another subject of theirs
        other: SubjectId,
    },
    /// Say that a subject is not of the person it was taken for; only a merge brings them together again
    Split {
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Args)]
struct Of {
    /// The tenant
    tenant: TenantId,
    /// The person's subject
    subject: SubjectId,
}

impl Of {
    fn path<'a>(&'a self, subject: &'a str, what: &'a str) -> [&'a str; 5] {
        ["tenants", self.tenant.as_str(), "people", subject, what]
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Why {
    /// They asked for it
    Request,
    /// Meta passed it on
    Meta,
    /// They are under thirteen
    Minor,
}

impl Why {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Meta => "meta",
            Self::Minor => "minor",
        }
    }
}

pub(crate) async fn person(args: PersonArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    let found: PersonFound = match args.command {
        PersonCommand::Find { tenant, value } => {
            let path = ["tenants", tenant.as_str(), "people"];
            let found: List<PersonFound> = client.get(&path, &[("value", &value)]).await?;
            if found.items.is_empty() {
                return Err(Failure::new(
                    Exit::No,
                    format!("nobody of tenant {tenant} is found by that"),
                    "ids that Meta scopes are found while their page, account or business account is connected",
                ));
            }
            return print::list(
                as_json,
                &found.items,
                "",
                ["subject", "also", "identifiers", "conversations", "restricted"],
                |one| {
                    let others = one.subjects.iter().filter(|other| **other != one.subject);
                    let also = others.cloned().collect::<Vec<_>>().join(" ");
                    let restricted = if one.restricted { "yes" } else { "" };
                    let conversations = one.conversations.len().to_string();
                    let identifiers = one.identifiers.join(" ");
                    [one.subject.clone(), also, identifiers, conversations, restricted.to_owned()]
                },
            );
        }
        PersonCommand::Erase { of, no_wait, reason } => {
            let erasure = erase(&client, &of, no_wait, reason).await?;
            return shown(as_json, &erasure);
        }
        PersonCommand::Export { of, out } => return export(&client, &of, &out, as_json).await,
        PersonCommand::Correct { of, name, username } => {
            let subject = of.subject.to_string();
            let body = json!({ "name": name, "username": username });
            client.post(&of.path(&subject, "correct"), &body).await?
        }
        PersonCommand::Restrict { of, lift } => {
            let subject = of.subject.to_string();
            client.post(&of.path(&subject, "restrict"), &json!({ "restricted": !lift })).await?
        }
        PersonCommand::Hold { of, days, release } => {
            let subject = of.subject.to_string();
            let days = (!release).then_some(days);
            client.post(&of.path(&subject, "hold"), &json!({ "days": days })).await?
        }
        PersonCommand::Merge { of, other } => {
            let subject = of.subject.to_string();
            client.post(&of.path(&subject, "merge"), &json!({ "with": other })).await?
        }
        PersonCommand::Split { of } => {
            let subject = of.subject.to_string();
            client.post(&of.path(&subject, "split"), &json!({})).await?
        }
    };
    if as_json {
        return print::json(&found);
    }
    let held = found.held_until.as_deref().map(|until| format!(", held until {}", print::at(until)));
    let several = (!found.subjects.is_empty()).then(|| format!(", subjects {}", found.subjects.join(" ")));
    print::line(&format!(
        "subject {}: {}{}{}",
        found.subject,
        if found.restricted { "restricted" } else { "not restricted" },
        held.unwrap_or_default(),
        several.unwrap_or_default()
    ))
}

async fn erase(client: &Client, of: &Of, no_wait: bool, reason: Why) -> Result<ErasureAnswer, Failure> {
    let subject = of.subject.to_string();
    let wait = if no_wait { "0".to_owned() } else { WAIT_SECONDS.to_string() };
    let path = of.path(&subject, "erase");
    let body = json!({ "reason": reason.as_str() });
    let mut erasure: ErasureAnswer = client.post_with(&path, &[("wait", &wait)], &body).await?;
    while !no_wait && erasure.state != "done" {
        let path = ["erasures", erasure.erasure.as_str()];
        erasure = client.get(&path, &[]).await?;
        if erasure.state != "done" {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }
    Ok(erasure)
}

async fn export(client: &Client, of: &Of, out: &Path, as_json: bool) -> Result<(), Failure> {
    let subject = of.subject.to_string();
    let export: PersonExport = client.get(&of.path(&subject, "export"), &[]).await?;
    let cannot = |cause: std::io::Error| {
        Failure::usage(
            format!("the folder {} cannot be written: {cause}", out.display()),
            "--out names a folder of your own",
        )
    };
    std::fs::create_dir_all(out).map_err(cannot)?;
    let mut files = Vec::new();
    let messages = export.conversations.iter().flat_map(|conversation| &conversation.messages);
    for attachment in messages.flat_map(|message| &message.attachments) {
        if let (Some(id), Some("stored")) = (&attachment.id, attachment.state.as_deref()) {
            // The id alone: what a person called their file is not to be trusted as a path.
            let path = out.join(format!("attachment-{id}"));
            client.save(&["tenants", of.tenant.as_str(), "attachments", id], &path).await?;
            files.push(path.display().to_string());
        }
    }
    let json = serde_json::to_vec_pretty(&export).map_err(anyhow::Error::from)?;
    let file = out.join("person.json");
    std::fs::write(&file, json).map_err(cannot)?;
    if as_json {
        return print::json(&json!({ "file": file.display().to_string(), "attachments": files }));
    }
    print::line(&format!("{} and {} files", file.display(), files.len()))
}

fn shown(as_json: bool, erasure: &ErasureAnswer) -> Result<(), Failure> {
    if as_json {
        return print::json(erasure);
    }
    if erasure.state == "done" {
        return print::line(&format!(
            "forgotten: removed rows {}, objects {}, records {}; of {} sealed records that were tried none opened; erasure {}",
            erasure.rows, erasure.objects, erasure.records, erasure.tried, erasure.erasure
        ));
    }
    print::line(&format!(
        "erasure {} is {}; `tidings erasure show {}` tells how far it is",
        erasure.erasure, erasure.state, erasure.erasure
    ))
}

#[derive(Debug, Args)]
pub(crate) struct ErasureArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: ErasureCommand,
}

#[derive(Debug, Subcommand)]
enum ErasureCommand {
    /// List every erasure
    List,
    /// Show one
    Show {
        /// Its id
        erasure: ErasureId,
    },
}

pub(crate) async fn erasure(args: ErasureArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    match args.command {
        ErasureCommand::List => {
            let erasures: List<ErasureAnswer> = client.get(&["erasures"], &[]).await?;
            print::list(
                args.client.json,
                &erasures.items,
                "nobody was forgotten yet",
                ["erasure", "tenant", "state", "reason", "requested", "verified"],
                |one| {
                    let verified = if one.verified { "yes" } else { "" }.to_owned();
                    [
                        one.erasure.clone(),
                        one.tenant.clone(),
                        one.state.clone(),
                        one.reason.clone(),
                        print::at(&one.requested_at),
                        verified,
                    ]
                },
            )
        }
        ErasureCommand::Show { erasure } => {
            let erasure: ErasureAnswer = client.get(&["erasures", &erasure.to_string()], &[]).await?;
            shown(args.client.json, &erasure)
        }
    }
}
