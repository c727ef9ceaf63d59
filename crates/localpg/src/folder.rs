//! The server's folder and the user that owns it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, chown, geteuid};

use crate::LocalPgError;

/// Who runs PostgreSQL when root starts us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

/// `None` when we are not root and PostgreSQL runs as ourselves.
pub(crate) fn account() -> Result<Option<Account>, LocalPgError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres").ok().flatten().ok_or(LocalPgError::NoUser)?;
    Ok(Some(Account { uid: user.uid, gid: user.gid }))
}

/// Makes the folder, private to the account, and checks that the account can get there.
pub(crate) fn prepare(folder: &Path, account: Option<Account>) -> Result<PathBuf, LocalPgError> {
    let what = || format!("making the folder {}", folder.display());
    std::fs::create_dir_all(folder).map_err(LocalPgError::io(what()))?;
    let folder = folder.canonicalize().map_err(LocalPgError::io(what()))?;
    if folder.as_os_str().len() > 90 {
        return Err(LocalPgError::PathTooLong { folder });
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
        .map_err(LocalPgError::io(what()))?;
    if let Some(account) = account {
        chown(&folder, Some(account.uid), Some(account.gid))
            .map_err(|errno| LocalPgError::io(what())(errno.into()))?;
        for above in folder.ancestors().skip(1) {
            let state = above.metadata().map_err(LocalPgError::io(what()))?;
            let passes = state.mode() & 0o001 != 0
                || (state.uid() == account.uid.as_raw() && state.mode() & 0o100 != 0)
                || (state.gid() == account.gid.as_raw() && state.mode() & 0o010 != 0);
            if !passes {
                return Err(LocalPgError::Closed { folder: above.to_owned() });
            }
        }
    }
    Ok(folder)
}
