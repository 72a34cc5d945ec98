//! Server-side apply.

use super::{
    status::Status,
    write::{Writer, Written},
};

impl Writer<'_> {
    /// Serves an apply patch.
    pub fn apply(&mut self) -> Result<Written, Status> {
        let applied = super::patch::yaml(&self.request.body)?;
        self.check_identity(&applied)?;
        match super::read::find(self.state, self.request, self.resource).cloned() {
            Ok(old) => {
                let mut new = (*old.value).clone();
                json_patch::merge(&mut new, &applied);
                self.replace(&old, new, None)
            }
            Err(_) => self.create_object(applied),
        }
    }
}
