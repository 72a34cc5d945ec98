//! The last lines of a program's output, for the message of a failed trial.

/// Most bytes kept.
const MAX: usize = 2048;

/// The last bytes that were written.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Takes what was written.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(MAX)..]);
        // Cut rarely, not at each write.
        if self.0.len() > 4 * MAX {
            self.0.drain(..self.0.len() - MAX);
        }
    }

    /// As text, whole lines where there are any.
    pub fn text(&self) -> String {
        let bytes = &self.0[self.0.len().saturating_sub(MAX)..];
        let cut = self.0.len() > MAX;
        let whole = bytes.iter().position(|byte| *byte == b'\n').filter(|at| cut && at + 1 < bytes.len());
        let text = String::from_utf8_lossy(&bytes[whole.map_or(0, |at| at + 1)..]).replace('\0', " ");
        let mut start = text.len().saturating_sub(MAX);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text[start..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_whole() {
        let mut tail = Tail::default();
        tail.push(b"short");
        assert_eq!(tail.text(), "short");
        for line in 0..10_000 {
            tail.push(format!("line {line}\n").as_bytes());
        }
        let text = tail.text();
        assert!(text.starts_with("line ") && text.ends_with("line 9999\n") && text.len() <= MAX, "{text}");
        tail.push(&[0xff; 9000]);
        assert!(tail.text().len() <= MAX);
    }
}
