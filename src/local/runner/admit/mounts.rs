//! Mount paths in a process that has no mounts: each stands for a real path, in values, commands and arguments.

/// A path in the container, and the real path behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute, without a trailing `/`.
    pub container_path: String,
    /// Absolute.
    pub real_path: String,
}

/// Replaces each mount path that stands in `text` as a whole path or as a prefix of one: `/data`, `--out=/data/x`,
/// `cat /data/a > /data/b`, `PATH=/data/bin:/usr/bin`; not `/database`, `/my/data` or `http://host/data`. Where mounts
/// lie in one another the longest wins.
pub fn rewrite(text: &str, mounts: &[Mount]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = None;
    while let Some(first) = rest.chars().next() {
        let mount = mounts
            .iter()
            .filter(|mount| !previous.is_some_and(in_path) && starts_with_path(rest, &mount.container_path))
            .max_by_key(|mount| mount.container_path.len());
        let taken = match mount {
            Some(mount) => {
                out.push_str(&mount.real_path);
                mount.container_path.as_str()
            }
            None => {
                out.push(first);
                rest.get(..first.len_utf8()).unwrap_or(rest)
            }
        };
        previous = taken.chars().next_back();
        rest = rest.strip_prefix(taken).unwrap_or_default();
    }
    out
}

fn starts_with_path(text: &str, path: &str) -> bool {
    let Some(after) = text.strip_prefix(path) else { return false };
    !path.is_empty() && after.chars().next().is_none_or(|next| next == '/' || !in_path(next))
}

/// Whether a path could go on with this character. A `:` separates the paths of a list.
fn in_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~' | '@' | '+' | '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_paths_and_nothing_else() {
        let mount = |container: &str, real: &str| Mount { container_path: container.into(), real_path: real.into() };
        let mounts = [mount("/data", "/R/v1"), mount("/data/deep", "/R/v2"), mount("/tmp", "/tmp/R/v3")];
        for (text, expected) in [
            ("/data", "/R/v1"),
            ("/data/", "/R/v1/"),
            ("/data/x.csv", "/R/v1/x.csv"),
            ("--out=/data/x", "--out=/R/v1/x"),
            ("cat /data/a > /data/b", "cat /R/v1/a > /R/v1/b"),
            ("/data/bin:/usr/bin:/data", "/R/v1/bin:/usr/bin:/R/v1"),
            ("open('/data')", "open('/R/v1')"),
            ("/data/deep/x", "/R/v2/x"),
            ("/data/deeper", "/R/v1/deeper"),
            ("/tmp/a", "/tmp/R/v3/a"),
            ("file:/data/x", "file:/R/v1/x"),
            ("/database", "/database"),
            ("/data.csv", "/data.csv"),
            ("/my/data/x", "/my/data/x"),
            ("my/data", "my/data"),
            ("http://host/data/x", "http://host/data/x"),
            ("//data", "//data"),
            ("größe /data ü", "größe /R/v1 ü"),
            ("", ""),
        ] {
            assert_eq!(rewrite(text, &mounts), expected, "{text}");
        }
        assert_eq!(rewrite("/data", &[]), "/data");
    }
}
