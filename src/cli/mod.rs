//! The command line: what may be asked, and where it goes. A file per noun; each is a client of the admin API.

mod app;
mod asset;
mod attachment;
mod audit;
mod client;
mod conversation;
mod event;
mod failure;
mod key;
mod person;
mod print;
mod quarantine;
mod replay;
mod serve;
mod tenant;
mod upkeep;
mod verify;
mod view;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

pub(crate) use client::{Client, token};
pub(crate) use failure::{Exit, Failure};
pub(crate) use print::{line, plain};
pub(crate) use serve::secret;

const EXAMPLES: &str = "\
Examples:
  tidings demo                                   # see it work: three organisations, live traffic
  tidings up --data ./tidings                    # run everything here, in one process
  export TIDINGS_TOKEN_FILE=./tidings/admin-token
  tidings app add main --secret-file secret.txt --verify-token 'a long random text'
  tidings tenant add acme --name 'Acme Relief'
  tidings asset connect acme whatsapp 106540352242
  tidings conversation list acme
  tidings verify

Exit codes: 0 yes, 1 a negative verdict or a refusal, 2 wrong usage, 3 not reachable.";

/// Receives what Meta delivers for many organisations, keeps it, routes it, and shows it once and in order.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process
    Up(serve::UpArgs),
    /// Show it at work with simulated traffic
    Demo(crate::demo::Args),
    /// The Meta apps that may deliver
    App(app::AppArgs),
    /// The client organisations
    Tenant(tenant::TenantArgs),
    /// Pages, accounts and numbers, and whose they are
    Asset(asset::AssetArgs),
    /// Who wrote with a tenant, and what
    Conversation(conversation::ConversationArgs),
    /// Find, export, correct, restrict, hold and forget people
    Person(person::PersonArgs),
    /// What became of requests to forget people
    Erasure(person::ErasureArgs),
    /// Files that people sent
    Attachment(attachment::AttachmentArgs),
    /// Key files, and replacing keys
    Key(key::KeyArgs),
    /// A tenant's feed, as CloudEvents
    Event(event::EventArgs),
    /// Deliveries that could not be used
    Quarantine(quarantine::QuarantineArgs),
    /// Send everything that the raw log keeps through the normal path again
    Replay(replay::ReplayArgs),
    /// Views made anew from the log
    View(view::ViewArgs),
    /// What is kept for how long
    Retention(upkeep::RetentionArgs),
    /// Copies of the databases, sealed and expiring
    Backup(upkeep::BackupArgs),
    /// Who did what, and whether the record of it is whole
    Audit(audit::AuditArgs),
    /// Is everything there? The loss equation
    Verify(verify::VerifyArgs),
    /// How far each part has come
    Status(verify::StatusArgs),
    /// Make or update the databases of the roles
    Migrate(crate::role_args::MigrateArgs),
    /// Role: receive webhooks (on Kafka)
    Ingest(crate::role_args::IngestArgs),
    /// Role: split and route deliveries (on Kafka)
    Router(crate::role_args::RouterArgs),
    /// Role: fold events into views (on Kafka)
    Projector(crate::role_args::ProjectorArgs),
    /// Role: fetch and store what people attach (on Kafka)
    Attachments(crate::role_args::AttachmentsArgs),
    /// Role: serve the admin API, and do what it is asked (on Kafka)
    Console(crate::role_args::ConsoleArgs),
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    if let Err(cause) = no_core_files() {
        print::failure(&Failure::from(cause));
        return ExitCode::FAILURE;
    }
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            // A role without a log: which one it could have is more than that other flags are missing too.
            if let Some(failure) = crate::role_args::without_log(&error, std::env::args().skip(1)) {
                print::failure(&failure);
                return failure.exit.into();
            }
            error.exit()
        }
    };
    // Whichever part speaks TLS uses this; a second call finds it in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = runtime(&command).map_err(Failure::from).and_then(|runtime| {
        let done = runtime.block_on(run(command));
        // A read of standard input or a name lookup may still hang in the pool: nothing waits for it.
        runtime.shutdown_background();
        done
    });
    done.unwrap_or_else(|failure| {
        print::failure(&failure);
        failure.exit.into()
    })
}

/// A core file would hold what people wrote, and the keys to the rest: none is written, whatever the machine's settings,
/// and no other process of the same user reads this one's memory.
fn no_core_files() -> anyhow::Result<()> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)
        .context("the system does not let this process do without core files")?;
    // A program that takes core files from the kernel does not mind the limit.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)
        .context("the system does not let this process do without core files")?;
    Ok(())
}

/// A client needs one thread, a service as many as there are.
fn runtime(command: &Command) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = match command {
        Command::Up(_)
        | Command::Demo(_)
        | Command::Ingest(_)
        | Command::Router(_)
        | Command::Projector(_)
        | Command::Attachments(_)
        | Command::Console(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    Ok(builder.enable_all().build()?)
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(args) => return serve::up(args).await,
        Command::Demo(args) => return crate::demo::run(args).await,
        Command::Ingest(args) => return crate::role::ingest(args).await,
        Command::Router(args) => return crate::role::router(args).await,
        Command::Projector(args) => return crate::role::projector(args).await,
        Command::Attachments(args) => return crate::role::attachments(args).await,
        Command::Console(args) => return crate::role::console(args).await,
        Command::Migrate(args) => crate::role::migrate(args).await?,
        Command::App(args) => app::run(args).await?,
        Command::Tenant(args) => tenant::run(args).await?,
        Command::Asset(args) => asset::run(args).await?,
        Command::Conversation(args) => conversation::run(args).await?,
        Command::Person(args) => person::person(args).await?,
        Command::Erasure(args) => person::erasure(args).await?,
        Command::Attachment(args) => attachment::run(args).await?,
        Command::Key(args) => key::run(args).await?,
        Command::Event(args) => event::run(args).await?,
        Command::Quarantine(args) => quarantine::run(args).await?,
        Command::Replay(args) => replay::run(args).await?,
        Command::View(args) => view::run(args).await?,
        Command::Retention(args) => upkeep::retention(args).await?,
        Command::Backup(args) => upkeep::backup(args).await?,
        Command::Audit(args) => audit::run(args).await?,
        Command::Verify(args) => verify::verify(args).await?,
        Command::Status(args) => verify::status(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn parses(line: &str) {
        if let Err(cause) = Cli::try_parse_from(line.split_whitespace()) {
            panic!("{line}: {cause}");
        }
    }

    #[track_caller]
    fn refuses(line: &str) {
        let cause = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        assert_eq!(cause.exit_code(), 2, "{line}");
    }

    #[test]
    fn a_role_without_a_log_is_told_which_it_could_have() {
        let refused = |line: &str| {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            crate::role_args::without_log(&error, line.split(' ').skip(1).map(ToOwned::to_owned))
        };
        // Ingest is not here: it can do without any other flag, so it is its `RoleArgs::brokers` that refuses.
        for role in ["router", "projector", "attachments", "console"] {
            let failure = refused(&format!("tidings {role}")).unwrap();
            assert!(failure.help.contains("--kafka"), "{role}");
        }
        assert!(refused("tidings router --kafka h:1").is_none(), "then it is the other flags");
        assert!(refused("tidings router --nonsense").is_none());
        assert!(refused("tidings tenant add").is_none());
    }

    #[test]
    fn the_forms_that_others_script_against_parse() {
        let at_end = "--admin http://127.0.0.1:1 --token-file t";
        parses("tidings up --data d --listen 127.0.0.1:1 --admin-listen 127.0.0.1:2 --json --kafka h:1");
        for form in [
            "app add rig --secret-file f --verify-token tok",
            "app add rig --secret-file f --verify-token tok --next-secret-file g --instagram-secret-file h",
            "app list --json",
            "app rotate rig --promote",
            "tenant add acme --name Acme",
            "tenant list --json",
            "tenant suspend acme",
            "asset connect acme whatsapp 111",
            "asset disconnect acme waba 111",
            "asset list",
            "asset connect acme whatsapp 111 --access-token-file f",
            "tenant feed acme --format jwe --public-jwk f",
            "tenant feed acme --format clear",
            "tenant terminate acme",
            "person find acme 15551234567 --json",
            "person erase acme 00112233445566778899aabbccddeeff --json",
            "person erase acme 00112233445566778899aabbccddeeff --no-wait",
            "person export acme 00112233445566778899aabbccddeeff --out d",
            "person correct acme 00112233445566778899aabbccddeeff --name n",
            "person restrict acme 00112233445566778899aabbccddeeff",
            "person hold acme 00112233445566778899aabbccddeeff --days 30",
            "erasure list --json",
            "erasure show 00112233445566778899aabbccddeeff --json",
            "attachment get acme 00112233445566778899aabbccddeeff --out f",
            "conversation list acme --json",
            "conversation show acme 00 --json",
            "event list acme --json",
            "event follow acme --json",
            "quarantine list --json",
            "quarantine show 1:2",
            "quarantine redrive 1:2 3:4",
            "quarantine redrive --all",
            "replay --all --json",
            "view rebuild conversation --json",
            "retention plan --json",
            "retention sweep --json",
            "backup create --json",
            "backup list --json",
            "backup restore b --json",
            "key rotate root",
            "key rotate tenant acme",
            "key rotate data --json",
            "audit list acme --json",
            "audit verify --json",
            "audit verify acme --json",
            "verify --json",
        ] {
            parses(&format!("tidings {form} {at_end}"));
        }
        parses("tidings tenant --json --admin http://127.0.0.1:1 list");
    }

    #[test]
    fn wrong_usage_is_refused_before_anything_happens() {
        for form in [
            "tidings",
            "tidings asset connect acme telegram 1",
            "tidings tenant add Acme --name x",
            "tidings tenant add acme",
            "tidings app rotate rig --promote --secret-file f",
            "tidings quarantine redrive",
            "tidings quarantine redrive 1:2 --all",
            "tidings up",
        ] {
            refuses(form);
        }
    }
}
