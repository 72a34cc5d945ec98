//! Whether whoever speaks at the program's door is of this trial: it shows the trial's own token.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long after a token was found replaced the one before it is still taken: the program may have read it just before.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// The token in a file, in which it is replaced before it expires.
pub(super) struct Key {
    file: PathBuf,
    now: String,
    /// The one before, and when it was found replaced.
    before: Option<(String, Instant)>,
}

/// Why nobody may speak.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Locked {
    /// Nothing was shown.
    #[error(
        "say which trial this is, with the header Authorization: Bearer TOKEN, where TOKEN is what stands in the file that \
         AUTOML_TOKEN_FILE names"
    )]
    Nameless,
    /// Another's, or an old one.
    #[error(
        "this is not the token of this trial; read it anew for each post from the file that AUTOML_TOKEN_FILE names, in which it \
         is replaced before it expires"
    )]
    Another,
    /// Nobody could be let in.
    #[error("the agent cannot read the trial's own token in {0}: {1}")]
    Unreadable(String, String),
}

impl Key {
    pub fn new(file: PathBuf) -> Self {
        Key { file, now: String::new(), before: None }
    }

    /// Whether the value of a header `Authorization` shows the token. The file is read anew each time.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&mut self, shown: Option<&str>, time: Instant) -> Result<(), Locked> {
        let unreadable = |why: String| Locked::Unreadable(self.file.display().to_string(), why);
        let own = std::fs::read_to_string(&self.file).map_err(|error| unreadable(error.to_string()))?;
        let own = own.trim();
        if own.is_empty() {
            return Err(unreadable("it is empty".into()));
        }
        if own != self.now {
            let before = std::mem::replace(&mut self.now, own.to_owned());
            self.before = Some((before, time)).filter(|(before, _)| !before.is_empty());
        }
        self.before = self.before.take().filter(|(_, replaced)| time.duration_since(*replaced) < ON_ITS_WAY);
        let shown =
            shown.and_then(|shown| shown.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let (_, shown) = shown.ok_or(Locked::Nameless)?;
        let before = self.before.as_ref().is_some_and(|(before, _)| same(shown.trim(), before));
        if same(shown.trim(), &self.now) || before { Ok(()) } else { Err(Locked::Another) }
    }
}

/// Takes as long wherever they differ.
fn same(a: &str, b: &str) -> bool {
    let differ = a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b)));
    a.len() == b.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trials_own_token_fits() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "mine.1\n").unwrap();
        let mut key = Key::new(file);
        let table = [
            (None, Err(Locked::Nameless)),
            (Some(""), Err(Locked::Nameless)),
            (Some("mine.1"), Err(Locked::Nameless)),
            (Some("Basic mine.1"), Err(Locked::Nameless)),
            (Some("Bearer "), Err(Locked::Another)),
            (Some("Bearer mine.2"), Err(Locked::Another)),
            (Some("Bearer mine.12"), Err(Locked::Another)),
            (Some("Bearer mine."), Err(Locked::Another)),
            (Some("Bearer mine.1"), Ok(())),
            (Some("bearer  mine.1 "), Ok(())),
        ];
        for (shown, expected) in table {
            assert_eq!(key.fits(shown, Instant::now()), expected, "{shown:?}");
        }
    }

    #[test]
    fn a_token_that_was_replaced_fits_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let (mut key, start) = (Key::new(file.clone()), Instant::now());
        let mut fits = |token: &str, seconds: u64| {
            key.fits(Some(&format!("Bearer {token}")), start + Duration::from_secs(seconds))
                .map_err(|why| why.to_string())
        };
        assert!(fits("a", 0).unwrap_err().starts_with("the agent cannot read the trial's own token in "));
        std::fs::write(&file, "").unwrap();
        assert!(fits("", 0).unwrap_err().ends_with(": it is empty"));
        std::fs::write(&file, "a").unwrap();
        assert_eq!((fits("a", 1), fits("b", 1).is_err()), (Ok(()), true));
        std::fs::write(&file, "b").unwrap();
        assert_eq!((fits("a", 3000), fits("b", 3000), fits("a", 3059)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((fits("a", 3060).is_err(), fits("b", 3060)), (true, Ok(())));
        std::fs::write(&file, "c").unwrap();
        assert_eq!((fits("a", 6000).is_err(), fits("c", 6000)), (true, Ok(())), "one before, not two");
    }
}
