//! A command that did not do what was asked: what is wrong, what to do, and the exit code that says which kind it is.

use std::process::ExitCode;

use reqwest::StatusCode;

/// The exit codes (`tidings --help` lists them): 0 is yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A negative verdict, or a refusal.
    No = 1,
    /// Used wrongly.
    Usage = 2,
    /// What the command needs does not answer.
    Unreachable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends otherwise than with yes.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: String,
    pub(crate) help: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit, error: error.into(), help: help.into() }
    }

    pub(crate) fn usage(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Exit::Usage, error, help)
    }

    /// What the admin API refused, in its own words.
    pub(crate) fn refused(status: StatusCode, problem: console::wire::Problem) -> Self {
        let exit = match status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => Exit::No,
            status if status.is_server_error() => Exit::Unreachable,
            _ => Exit::Usage,
        };
        Self::new(exit, problem.error, problem.help)
    }
}

/// Anything that went wrong without a sentence of its own: a service that could not start, standard output that is gone.
impl From<anyhow::Error> for Failure {
    fn from(cause: anyhow::Error) -> Self {
        Self::new(Exit::No, format!("{cause:#}"), "")
    }
}

impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Self {
        anyhow::Error::from(cause).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_map_to_exit_codes() {
        let exit = |status: u16| {
            let problem = console::wire::Problem { error: "e".into(), help: "h".into() };
            Failure::refused(StatusCode::from_u16(status).unwrap(), problem).exit
        };
        assert_eq!(exit(404), Exit::No);
        assert_eq!(exit(409), Exit::No);
        assert_eq!(exit(400), Exit::Usage);
        assert_eq!(exit(401), Exit::Usage);
        assert_eq!(exit(422), Exit::Usage);
        assert_eq!(exit(500), Exit::Unreachable);
        assert_eq!(exit(503), Exit::Unreachable);
    }
}
