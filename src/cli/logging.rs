//! Logs of this process.

use super::Command;
use crate::server::LogLevel;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// Logs go to standard error: the operator's from level info on, and those of a laptop where they are asked for as JSON;
/// otherwise errors only, unless RUST_LOG says more. Returns a way to change that while the process runs.
pub fn begin(command: &Command) -> LogLevel {
    let json = match command {
        Command::Operator(arguments) => arguments.observing.log_json,
        Command::Run(arguments) => arguments.machine.observing.log_json,
        Command::Local(arguments) => arguments.machine.observing.log_json,
        _ => false,
    };
    let default = match command {
        // What it finds is said in sentences of its own.
        Command::Operator(arguments) if arguments.check => "off",
        Command::Operator(_) => "info",
        _ if json => "info",
        _ => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // Set once: the only way to fail is that a logger is there already.
    if json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        changing(move |filter| handle.reload(filter))
    } else {
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        changing(move |filter| handle.reload(filter))
    }
}

fn changing(
    reload: impl Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync + 'static,
) -> LogLevel {
    Arc::new(move |text| {
        let filter = parsed(text)?;
        reload(filter).map_err(|error| format!("it cannot be changed: {error}"))?;
        tracing::info!(filter = text, "what is logged has changed");
        Ok(())
    })
}

fn parsed(text: &str) -> Result<EnvFilter, String> {
    let wrong = |why: &str| {
        format!(
            "{text:?} is no filter ({why}); say a level such as info, or as for RUST_LOG: info,automl_operator=debug"
        )
    };
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    // A word alone is taken for a target's name by the filter itself, so that a misspelt level would silence everything else.
    if let Some(word) = text.split(',').map(str::trim).find(|part| {
        part.chars().all(char::is_alphabetic)
            && !["off", "error", "warn", "info", "debug", "trace"].contains(&part.to_lowercase().as_str())
    }) {
        return Err(wrong(&format!("{word} is no level")));
    }
    EnvFilter::try_new(text).map_err(|error| wrong(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_is_no_filter_changes_nothing() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let level = changing(move |filter| {
            log.lock().unwrap().push(filter.to_string());
            Ok(())
        });
        for bad in ["", "verbose", "info,automl_operator=loud", "info,,x"] {
            let error = level(bad).unwrap_err();
            assert!(error.contains("say a level such as info"), "{bad}: {error}");
        }
        assert!(seen.lock().unwrap().is_empty());
        level("warn").unwrap();
        level("info,automl_operator=debug").unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], "warn");
        assert!(seen[1].contains("automl_operator=debug"), "{seen:?}");
    }
}
