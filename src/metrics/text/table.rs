//! Tables: a row of names and, below it, rows of numbers, as skorch, fastai, scikit-learn and ultralytics print them; and
//! boxes with a name and its number in each row, as Lightning and Stable-Baselines do.

use super::number::{Comma, number};
use super::step::rank;

/// The header that is remembered: so many columns, each so long, in bytes.
const MAX_COLUMNS: usize = 64;
const MAX_NAME: usize = 64;
/// Lines of cells are not looked at beyond this, in bytes.
const MAX_LINE: usize = 4096;
/// Borders of cells.
const BORDERS: [char; 4] = ['|', '│', '┃', '║'];

/// What a line of a table says.
#[derive(Debug, PartialEq)]
pub(super) enum Row {
    /// The names of columns.
    Header,
    /// Names and numbers.
    Pairs(Vec<(String, f64)>),
}

/// The header of the table that is being printed.
#[derive(Default)]
pub(super) struct Table {
    columns: Vec<String>,
}

impl Table {
    /// What the line says as one of a table; `None` when it is none.
    pub fn row(&mut self, line: &str, comma: &mut Comma) -> Option<Row> {
        let first = line.trim_start().chars().next()?;
        let boxed = BORDERS.contains(&first);
        let may_be = match first {
            '0'..='9' | 'a' => !self.columns.is_empty(),
            'e' | 'E' | 'i' | 'I' | 's' | 'S' | 'r' | 'R' | 'C' => is_key(first_word(line)),
            _ => boxed,
        };
        if !may_be || line.len() > MAX_LINE {
            return None;
        }
        let cells = cells(line, boxed, self.columns.len())?;
        if is_header(&cells) {
            self.columns = names(&cells);
            return Some(Row::Header);
        }
        self.numbers(&cells, comma).or_else(|| pair(&cells, comma).filter(|_| boxed)).map(Row::Pairs)
    }

    fn numbers(&self, cells: &[&str], comma: &mut Comma) -> Option<Vec<(String, f64)>> {
        let (first, key) = (cells.first()?, self.columns.first()?);
        if cells.len() != self.columns.len() || (rank(key).is_none() && *first != "all") {
            return None;
        }
        let mut pairs = Vec::new();
        for (name, cell) in self.columns.iter().zip(cells) {
            // `3/10` is epoch 3 of 10.
            let cell = cell.split_once('/').map_or(*cell, |(done, _)| done).trim_end_matches(':');
            let value = number(cell, comma).filter(|number| number.length == cell.len());
            pairs.extend(value.map(|number| (name.clone(), number.value)));
        }
        let keyed = rank(key).is_none() || pairs.first().is_some_and(|(name, _)| name == key);
        (keyed && !pairs.is_empty()).then_some(pairs)
    }
}

/// The cells of a line: between borders, or two blanks apart, or, where there are none of these, between commas.
fn cells(line: &str, boxed: bool, columns: usize) -> Option<Vec<&str>> {
    let line = line.trim();
    if boxed {
        let inner = line.trim_matches(BORDERS);
        return Some(inner.split(BORDERS).map(str::trim).take(MAX_COLUMNS + 1).collect());
    }
    let line = before_bar(line);
    let spaced: Vec<&str> =
        line.split("  ").flat_map(|part| part.split('\t')).map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let cells = match spaced.len() {
        1 if line.contains(',') => line.split(',').map(str::trim).take(MAX_COLUMNS + 1).collect(),
        _ => spaced,
    };
    // Of rows only those as long as the header.
    let fits = cells.len() > 1 && cells.len() <= MAX_COLUMNS && (is_header(&cells) || cells.len() == columns);
    fits.then_some(cells)
}

/// Without the progress bar that ultralytics appends: `mAP50-95): 100%|███| 2/2`, `640: 100%|███| 4/4`.
fn before_bar(line: &str) -> &str {
    let percent = line.find(": ").filter(|at| line[at + 2..].trim_start().starts_with(|c: char| c.is_ascii_digit()));
    percent.filter(|at| line[*at..].contains('%')).map_or(line, |at| line[..at].trim_end())
}

/// Begins with the name of a step, or with that of ultralytics' classes, and has names only.
fn is_header(cells: &[&str]) -> bool {
    let first = cells.first().copied().unwrap_or_default();
    let name = |cell: &&str| {
        cell.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && cell.len() <= MAX_NAME
            && !cell.contains(['=', ':', '[', '{', '%'])
    };
    cells.len() > 1
        && (rank(first).is_some() || first == "Class")
        && cells.iter().all(|cell| cell.is_empty() || name(cell))
}

/// Whether a header may begin with this.
fn is_key(name: &str) -> bool {
    rank(name).is_some() || name == "Class"
}

fn first_word(line: &str) -> &str {
    let line = line.trim_start();
    line.find([' ', '\t', ',']).map_or(line, |end| &line[..end])
}

/// The names of a header's cells. Of ultralytics' groups, as in `Box(P  R  mAP50)  Mask(P  R  mAP50)`, all but the first
/// stand before their names: `Mask/mAP50`.
fn names(cells: &[&str]) -> Vec<String> {
    let (mut group, mut groups) = ("", 0);
    let mut names = Vec::new();
    for cell in cells {
        let (named, cell) = cell.split_once('(').map_or((None, *cell), |(named, cell)| (Some(named), cell));
        if let Some(named) = named.filter(|_| !cell.ends_with(')')) {
            groups += 1;
            group = if groups > 1 { named } else { "" };
        }
        let name = cell.trim_end_matches(')').trim();
        names.push(if group.is_empty() { name.to_owned() } else { format!("{group}/{name}") });
        if cell.ends_with(')') {
            group = "";
        }
    }
    names
}

/// A name and the first number behind it.
fn pair(cells: &[&str], comma: &mut Comma) -> Option<Vec<(String, f64)>> {
    let (name, values) = cells.split_first()?;
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') || name.len() > MAX_NAME {
        return None;
    }
    let value = values.iter().find_map(|cell| number(cell, comma).filter(|number| number.length == cell.len()))?;
    Some(vec![((*name).to_owned(), value.value)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(lines: &[&str]) -> Vec<String> {
        let (mut table, mut comma, mut found) = (Table::default(), Comma::default(), Vec::new());
        for line in lines {
            match table.row(line, &mut comma) {
                Some(Row::Pairs(pairs)) => {
                    found.push(
                        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
                    );
                }
                Some(Row::Header) => found.push("header".into()),
                None => found.push("none".into()),
            }
        }
        found
    }

    #[test]
    fn tables_and_what_they_say() {
        let table: [(&[&str], &[&str]); 9] = [
            (
                &[
                    "  epoch    train_loss    valid_acc     dur",
                    "-------  ------------  -----------  ------",
                    "      1        0.6868       0.6000  0.1066",
                ],
                &["header", "none", "epoch=1 train_loss=0.6868 valid_acc=0.6 dur=0.1066"],
            ),
            (
                &["epoch     train_loss  accuracy  time    ", "0         0.523       0.91      00:10  "],
                &["header", "epoch=0 train_loss=0.523 accuracy=0.91"],
            ),
            (
                &["      Iter       Train Loss   Remaining Time ", "         1           1.2613            0.05s"],
                &["header", "Iter=1 Train Loss=1.2613"],
            ),
            (
                &[
                    "      Epoch    GPU_mem   box_loss  Instances       Size",
                    "        1/3         0G      1.123         12        640: 100%|██████████| 4/4 [00:05<00:00,  1.3s/it]",
                    "                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95)     Mask(P  mAP50): 100%|███| 2/2",
                    "                   all        100        250      0.801      0.702      0.753      0.504     0.5  0.6",
                ],
                &[
                    "header",
                    "Epoch=1 box_loss=1.123 Instances=12 Size=640",
                    "header",
                    "Images=100 Instances=250 P=0.801 R=0.702 mAP50=0.753 mAP50-95=0.504 Mask/P=0.5 Mask/mAP50=0.6",
                ],
            ),
            (&["| epoch | loss |", "|---|---|", "| 1 | 0.5 |"], &["header", "none", "epoch=1 loss=0.5"]),
            (&["epoch,train_loss,acc", "1,0.5,0.9", "1,0.5"], &["header", "epoch=1 train_loss=0.5 acc=0.9", "none"]),
            (
                &[
                    "┃        Test metric        ┃       DataLoader 0        ┃",
                    "│         test_acc          │    0.9375    │",
                ],
                &["none", "test_acc=0.9375"],
            ),
            (
                &["| rollout/           |             |", "|    ep_rew_mean     | 21.5        |"],
                &["none", "ep_rew_mean=21.5"],
            ),
            (&["1  2  3", "all  1  2", "Epoch 3/10", "epoch  1", "step: 3, loss: 0.5"], &["none"; 5]),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_lines_will_do(lines in prop::collection::vec("(epoch|Class|1|all|\\|)[ |,a-c0-9(:%)]{0,30}", 0..8)) {
            read(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
