//! One reply to `Monitor`: an event, as the journal has it too.

use serde::{Deserialize, Serialize};

/// Something happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitorEvent {
    /// `SD_STARTER_EVENT=`; or [`WATCHING`].
    pub event: String,
    /// `SD_STARTER_GENERATION=`.
    pub generation: Option<u64>,
    /// `SD_STARTER_WORKER_PID=`.
    pub pid: Option<i32>,
    /// `MESSAGE=`.
    pub text: String,
    /// `MESSAGE_ID=`.
    pub message_id: Option<String>,
    /// Microseconds of CLOCK_REALTIME.
    #[serde(rename = "timeUSec")]
    pub time_usec: u64,
}

/// The first event: it comes at once, and its text says how things stand.
pub const WATCHING: &str = "watching";

/// The last event: the supervisor ends.
pub const EXITING: &str = "exiting";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_named_as_in_the_definition() {
        let event = MonitorEvent {
            event: WATCHING.to_owned(),
            generation: Some(1),
            pid: None,
            text: "serving".to_owned(),
            message_id: None,
            time_usec: 5,
        };
        let value = serde_json::to_value(&event).expect("plain data");
        let names: Vec<_> = value.as_object().expect("an object").keys().collect();
        let definition = crate::protocol::control::DEFINITION;
        let (_, monitor) = definition
            .split_once("method Monitor() -> (")
            .expect("there");
        let (monitor, _) = monitor.split_once("\n)").expect("closed");
        for name in names {
            assert!(monitor.contains(&format!("  {name}: ")), "{name}");
        }
        let back: MonitorEvent = serde_json::from_value(value).expect("what we wrote");
        assert_eq!(back, event);
    }
}
