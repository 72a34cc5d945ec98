//! The two ways by which an agent's records reach the operator.

use crate::report::{self, Answer, Ask, Batch, Called, MAX_BATCH_BYTES, Queried};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One request to the operator.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Whoever answers may ask for this much patience.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A line to or from the agent in the pod's other container, which answers at once.
pub(super) const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where records go.
#[derive(Clone)]
pub(super) enum Route {
    /// Over HTTP to the operator, which stores them.
    Operator {
        /// URL of the report endpoint.
        url: String,
        /// File with the bearer token.
        token_file: Option<PathBuf>,
    },
    /// Through this Unix socket to the agent in the pod's other container, which says them on: see [`super::relay`].
    Relay(PathBuf),
}

/// How often something is said.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Shortest time between two posts while something is to be said.
    pub busy: Duration,
    /// Longest time without a post: a stop is heard within it.
    pub heartbeat: Duration,
}

/// How a post ended.
pub(super) enum Posted {
    Answer(Answer),
    /// The operator takes nothing from this agent, now or later.
    Refused(String),
    Failed(String),
    /// Answered that it is too often; when to come again.
    TooOften(String, Duration),
    /// Answered by something that does not speak the operator's language, perhaps a proxy in between.
    Strange(String),
}

/// The operator's own words.
#[derive(serde::Deserialize)]
struct Refusal {
    error: String,
}

impl Route {
    /// A socket costs nothing, and what has gone through it survives the end of the program's container.
    pub fn pace(&self) -> Pace {
        match self {
            Route::Operator { .. } => Pace { busy: Duration::from_secs(1), heartbeat: Duration::from_secs(5) },
            Route::Relay(_) => Pace { busy: Duration::from_millis(50), heartbeat: Duration::from_secs(1) },
        }
    }

    /// Whoever takes records here goes on saying them, so that they are in safe hands.
    pub fn keeps(&self) -> bool {
        matches!(self, Route::Relay(_))
    }

    /// Says a batch.
    pub fn post(&self, agent: &ureq::Agent, batch: Batch) -> Posted {
        match self {
            Route::Operator { url, token_file } => post(agent, url, token_file.as_deref(), &batch),
            Route::Relay(socket) => match hand_over(socket, &Called::Batch(batch), LOCAL_TIMEOUT) {
                Ok(answer) => Posted::Answer(answer),
                Err(error) => Posted::Failed(format!("{}: {error}", socket.display())),
            },
        }
    }

    /// Asks the operator what Prometheus knows of the trial.
    ///
    /// # Errors
    /// A sentence: nothing came of it in this time.
    pub fn ask(&self, agent: &ureq::Agent, within: Duration) -> Result<Queried, String> {
        match self {
            Route::Operator { url, token_file } => ask(agent, url, token_file.as_deref(), within),
            Route::Relay(socket) => {
                let ask = Ask { ask_within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) };
                let answer: Result<Result<Queried, String>, _> =
                    hand_over(socket, &Called::Ask(ask), within + LOCAL_TIMEOUT);
                answer.unwrap_or_else(|error| Err(format!("{}: {error}", socket.display())))
            }
        }
    }
}

/// Straight to the operator: a proxy for the program's own downloads cannot reach it, and is not to have the token; nor
/// is whoever a redirect names.
pub(super) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    config.proxy(None).max_redirects(0).build().into()
}

fn post(agent: &ureq::Agent, url: &str, token_file: Option<&Path>, batch: &Batch) -> Posted {
    let body = match serde_json::to_vec(batch) {
        Ok(body) => body,
        Err(error) => return Posted::Failed(error.to_string()),
    };
    let mut request = agent.post(url).header("content-type", "application/json");
    if let Some(bearer) = bearer(token_file) {
        request = request.header("authorization", bearer);
    }
    let mut response = match request.send(&body) {
        Ok(response) => response,
        Err(error) => return Posted::Failed(format!("{url}: {error}")),
    };
    let status = response.status().as_u16();
    let again = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.body_mut().read_to_string().unwrap_or_default();
    let answered = || format!("{url} answered {status}: {}", text.chars().take(300).collect::<String>());
    match (status, serde_json::from_str::<Refusal>(&text)) {
        (200, _) => match serde_json::from_str(&text) {
            Ok(answer) => Posted::Answer(answer),
            Err(_) => Posted::Strange(answered()),
        },
        // Only the operator itself can refuse for good, and it says so in its own words: another's token, a batch that
        // cannot be read. Whatever else is in between may be mended while the trial runs.
        (400 | 403, Ok(refusal)) => Posted::Refused(refusal.error),
        (429, _) => Posted::TooOften(answered(), Duration::from_secs(again.unwrap_or(1)).min(LONGEST_WAIT)),
        // The token may be about to rotate, and a busy operator is no refusal.
        (401 | 408 | 500.., _) => Posted::Failed(answered()),
        _ => Posted::Strange(answered()),
    }
}

/// Read anew each time, because it rotates.
fn bearer(token_file: Option<&Path>) -> Option<String> {
    let token = std::fs::read_to_string(token_file?).ok()?;
    Some(format!("Bearer {}", token.trim()))
}

fn ask(agent: &ureq::Agent, url: &str, token_file: Option<&Path>, within: Duration) -> Result<Queried, String> {
    let url = format!("{}{}", url.strip_suffix(report::PATH).unwrap_or(url), report::QUERY_PATH);
    let mut request = agent.post(&url).config().timeout_global(Some(within)).build();
    if let Some(bearer) = bearer(token_file) {
        request = request.header("authorization", bearer);
    }
    let mut response = request.send_empty().map_err(|error| format!("the operator cannot be asked: {error}"))?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    let refusal = serde_json::from_str::<Refusal>(&text).map(|refusal| refusal.error);
    let why = refusal.unwrap_or_else(|_| format!("{url} answered {status}"));
    match status {
        200 => serde_json::from_str(&text).map_err(|error| format!("the operator's answer cannot be read: {error}")),
        // Asking again soon would change nothing.
        400 | 403..=405 => Ok(Queried { observations: Vec::new(), trouble: Some(why) }),
        _ => Err(why),
    }
}

/// One line each way.
fn hand_over<T: DeserializeOwned>(socket: &Path, called: &Called, within: Duration) -> std::io::Result<T> {
    let stream = UnixStream::connect(socket)?;
    write_line(&stream, called)?;
    read_line(&stream, within)
}

/// Says something in one line.
pub(super) fn write_line(mut stream: &UnixStream, said: &impl Serialize) -> std::io::Result<()> {
    stream.set_write_timeout(Some(LOCAL_TIMEOUT))?;
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Reads what was said in one line of bounded length.
pub(super) fn read_line<T: DeserializeOwned>(stream: &UnixStream, within: Duration) -> std::io::Result<T> {
    stream.set_read_timeout(Some(within))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(2 * MAX_BATCH_BYTES as u64)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}
