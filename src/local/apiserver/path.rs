//! The place of a value in an object, written out only where there is something to say of it.

use std::fmt;

/// A place below another one.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// The object itself; its text is empty.
    Root,
    /// A field of an object.
    Field(&'a Path<'a>, &'a str),
    /// A key of a map, which is the user's.
    Key(&'a Path<'a>, &'a str),
    /// An item of a list.
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub fn is_root(self) -> bool {
        matches!(self, Self::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(above, name) => write!(formatter, "{above}.{name}"),
            Self::Key(above, key) => write!(formatter, "{above}[{key}]"),
            Self::Item(above, at) => write!(formatter, "{above}[{at}]"),
        }
    }
}

/// Quoted, as sentences have it.
impl fmt::Debug for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), formatter)
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_kubernetes_writes_it() {
        let root = Path::Root;
        let spec = Path::Field(&root, "spec");
        let (list, map) = (Path::Field(&spec, "list"), Path::Field(&spec, "map"));
        let (item, key) = (Path::Item(&list, 2), Path::Key(&map, "a/b"));
        let table = [
            (root, ""),
            (spec, "spec"),
            (item, "spec.list[2]"),
            (Path::Field(&item, "n"), "spec.list[2].n"),
            (Path::Field(&key, "n"), "spec.map[a/b].n"),
            (Path::Item(&root, 0), "[0]"),
        ];
        for (path, expected) in table {
            assert_eq!(path.to_string(), expected);
        }
        assert_eq!(format!("{item:?}"), "\"spec.list[2]\"");
    }
}
