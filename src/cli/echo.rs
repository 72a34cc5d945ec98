//! Keeps the terminal from writing `^C` into the live view.
//!
//! The cursor stands at the end of the view's last line, so two more characters begin another line, of which the view
//! does not know when it is taken away: one of its lines would stay.

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// While it lives, control characters that are typed are not shown.
pub struct Silence(());

impl Silence {
    /// `None`: the terminal shows none anyway, or is somebody else's at present.
    pub fn begin() -> Option<Self> {
        set(false).then_some(Silence(()))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        set(true);
    }
}

/// Returns whether this changed anything.
fn set(shown: bool) -> bool {
    let terminal = std::io::stderr();
    // The kernel stops a process in the background that changes its terminal.
    if !tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()) {
        return false;
    }
    let Ok(mut modes) = tcgetattr(&terminal) else { return false };
    if modes.local_modes.contains(LocalModes::ECHOCTL) == shown {
        return false;
    }
    modes.local_modes.set(LocalModes::ECHOCTL, shown);
    tcsetattr(&terminal, OptionalActions::Now, &modes).is_ok()
}
