//! A program on a pseudo terminal, and what stands on its screen.

use crate::run_support::wait_for;
use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Runs a command on a pseudo terminal: what it shows goes to standard output, what comes in is typed.
const DRIVER: &str = r#"
import fcntl, os, pty, select, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 60, int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
keys = [0]
while True:
    ready = select.select([master] + keys, [], [])[0]
    if 0 in ready:
        typed = os.read(0, 100)
        if typed:
            os.write(master, typed)
        else:
            keys = []
    if master in ready:
        try:
            shown = os.read(master, 65536)
        except OSError:
            break
        if not shown:
            break
        os.write(1, shown)
echoes = bool(termios.tcgetattr(master)[3] & termios.ECHOCTL)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(code if echoes else "the terminal was left without its echo of control characters")
"#;

pub struct Terminal {
    child: Child,
    reader: JoinHandle<()>,
    shown: Arc<Mutex<Vec<u8>>>,
    columns: usize,
}

impl Terminal {
    pub fn start(command: Command, columns: usize) -> Self {
        let mut driver = Command::new("python3");
        driver.args(["-c", DRIVER, &columns.to_string()]).arg(command.get_program()).args(command.get_args());
        driver.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let mut child = driver.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let kept = shown.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Terminal { child, reader, shown, columns }
    }

    fn screen(&self) -> Screen {
        Screen::after(&self.shown.lock().unwrap_or_else(PoisonError::into_inner), self.columns)
    }

    /// Waits until this stands on the screen.
    pub fn until(&self, what: &str, holds: impl Fn(&Screen) -> bool) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_for(what, || holds(&self.screen()))));
        assert!(found.is_ok(), "not on the screen: {what}\n{}", self.screen());
    }

    pub fn type_in(&self, keys: &str) {
        self.child.stdin.as_ref().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Its exit code, and what it leaves on the screen.
    pub fn end(mut self) -> (Option<i32>, Screen) {
        let code = self.child.wait().unwrap().code();
        self.reader.join().unwrap();
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        (code, Screen::after(&shown, self.columns))
    }
}

/// As much of a terminal as the view needs. It is higher than what is written to it.
pub struct Screen {
    rows: Vec<Vec<char>>,
    /// The rows as text, without the blanks at their ends.
    texts: Vec<String>,
    row: usize,
    column: usize,
    columns: usize,
}

impl Screen {
    /// What stands there after all this was written.
    fn after(written: &[u8], columns: usize) -> Self {
        let mut screen = Screen { rows: vec![Vec::new()], texts: Vec::new(), row: 0, column: 0, columns };
        let text = String::from_utf8_lossy(written);
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => screen.column = 0,
                '\n' => screen.down(1),
                '\u{1b}' if characters.next() == Some('[') => {
                    let parameters: String = characters.clone().take_while(|c| !c.is_ascii_alphabetic()).collect();
                    let Some(command) = characters.nth(parameters.len()) else { break };
                    screen.control(command, &parameters);
                }
                // A typed Ctrl-C comes back so; terminals show nothing of it.
                character if character.is_control() => {}
                character => screen.put(character),
            }
        }
        let text = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
        screen.texts = screen.rows.iter().map(text).collect();
        screen
    }

    fn down(&mut self, count: usize) {
        self.row += count;
        while self.rows.len() <= self.row {
            self.rows.push(Vec::new());
        }
    }

    fn put(&mut self, character: char) {
        if self.column == self.columns {
            self.column = 0;
            self.down(1);
        }
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = character;
        self.column += 1;
    }

    fn control(&mut self, command: char, parameters: &str) {
        let count = parameters.parse().unwrap_or(1);
        let row = &mut self.rows[self.row];
        match (command, parameters) {
            ('A', _) => self.row = self.row.checked_sub(count).expect("the cursor stays on the screen"),
            ('B', _) => self.down(count),
            ('C', _) => self.column = (self.column + count).min(self.columns),
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('G', _) => self.column = count - 1,
            ('K', "" | "0") => row.truncate(self.column),
            ('K', "2") => row.clear(),
            ('J', "" | "0") => {
                row.truncate(self.column);
                self.rows.truncate(self.row + 1);
            }
            // Colours; whether the cursor is shown.
            ('m' | 'h' | 'l', _) => {}
            other => panic!("the view uses {other:?}"),
        }
    }

    /// What is written, row by row.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    pub fn has(&self, text: &str) -> bool {
        self.rows().any(|row| row.contains(text))
    }

    /// The last row with something in it.
    pub fn last(&self) -> &str {
        self.rows().filter(|row| !row.is_empty()).last().unwrap_or_default()
    }

    /// All of it, as if no line had been too long.
    pub fn unwrapped(&self) -> String {
        let full = |row: &Vec<char>| row.len() == self.columns;
        let ends = self.rows.iter().map(|row| if full(row) { "" } else { "\n" });
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.zip(ends).map(|(row, end)| row + end).collect()
    }

    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().try_for_each(|row| writeln!(f, "|{row}"))
    }
}
