//! The control socket's messages: Varlink, so that `varlinkctl` works without our tools.
//!
//! Source: <https://varlink.org/Method-Call>: JSON objects, each ended by a NUL byte. A call is
//! `{"method": "INTERFACE.METHOD", "parameters": {...}}`, a reply `{"parameters": {...}}` or
//! `{"error": "INTERFACE.ERROR", "parameters": {...}}`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::version::version;

/// The longest message that is read, in bytes. Ours are a few hundred.
pub const MAX_CALL: usize = 64 * 1024;

/// Our interface.
pub const INTERFACE: &str = "org.sdstarter.Supervisor";

/// Its definition, as `varlinkctl introspect` shows it.
pub const DEFINITION: &str = include_str!("org.sdstarter.Supervisor.varlink");

/// The interface that every Varlink service has.
pub const SERVICE_INTERFACE: &str = "org.varlink.service";

const SERVICE_DEFINITION: &str = include_str!("org.varlink.service.varlink");

/// The interface that every service of systemd has.
pub const SYSTEMD_INTERFACE: &str = "io.systemd.service";

const SYSTEMD_DEFINITION: &str = include_str!("io.systemd.service.varlink");

/// A call, and whether its caller wants an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What is asked for.
    pub call: Call,
    /// The caller does not want to hear of it again.
    pub oneway: bool,
}

/// A call, as far as it is understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `org.varlink.service.GetInfo`.
    GetInfo,
    /// `org.varlink.service.GetInterfaceDescription`.
    GetInterfaceDescription(String),
    /// `Reload`.
    Reload(Reload),
    /// `Stop`.
    Stop,
    /// `Upgrade`.
    Upgrade,
    /// `GetStatus`.
    GetStatus,
    /// `Wait`.
    Wait(Wait),
    /// `Monitor`, which is answered again and again.
    Monitor,
    /// `io.systemd.service.Ping`.
    Ping,
    /// `io.systemd.service.SetLogLevel`, with a level of syslog(3): 0 to 7.
    SetLogLevel(u8),
}

/// The parameters of `Reload`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Only if this generation serves.
    #[serde(
        rename = "ifGeneration",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub if_generation: Option<u64>,
    /// The caller's INVOCATION_ID, if it has one.
    #[serde(
        rename = "invocationId",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub invocation_id: Option<String>,
    /// The caller's MAINPID, if it has one: a control process of the unit (`ExecReload=`) does.
    #[serde(rename = "mainPid", default, skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<i32>,
}

/// The parameters of `Wait`: all that is given has to hold.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// This generation or a later one serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// No old generation is left.
    #[serde(default, deserialize_with = "nullable")]
    pub drained: bool,
    /// Some generation serves and no swap is under way.
    #[serde(default, deserialize_with = "nullable")]
    pub serving: bool,
}

/// A flag that may be null, as every optional field of Varlink may.
fn nullable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
struct LogLevel {
    level: u8,
}

/// Why a call is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Not a call at all; the connection is of no use any more.
    Garbage,
    /// An interface that we do not have.
    InterfaceNotFound(String),
    /// A method that we do not have.
    MethodNotFound(String),
    /// A parameter that is missing, unknown or of the wrong type.
    InvalidParameter(String),
    /// A method that answers again and again was called without saying that this is expected.
    ExpectedMore,
    /// The caller is neither root nor the service's own user.
    PermissionDenied,
    /// We are stopping.
    Stopping,
    /// The swap failed.
    ReloadFailed {
        /// Why, in one line.
        reason: String,
        /// The generation that failed.
        generation: u64,
        /// The generation that keeps serving.
        kept: Option<u64>,
    },
    /// The program on disk cannot take over, and has not.
    UpgradeFailed {
        /// Why, in one line.
        reason: String,
    },
    /// Another generation serves than the one that the caller named.
    OtherGeneration {
        /// The one that serves.
        serving: Option<u64>,
    },
}

#[derive(Deserialize)]
struct RawCall {
    method: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    more: Option<bool>,
    #[serde(default)]
    oneway: Option<bool>,
}

/// Reads one call, without its NUL.
///
/// # Errors
/// The refusal to answer with.
pub fn parse_call(text: &[u8]) -> Result<Asked, Refusal> {
    let raw: RawCall = serde_json::from_slice(text).map_err(|_| Refusal::Garbage)?;
    let oneway = raw.oneway.unwrap_or_default();
    understand(raw).map(|call| Asked { call, oneway })
}

fn understand(raw: RawCall) -> Result<Call, Refusal> {
    let Some((interface, method)) = raw.method.rsplit_once('.') else {
        return Err(Refusal::InterfaceNotFound(raw.method));
    };
    let parameters = raw.parameters.unwrap_or_default();
    match (interface, method) {
        (SERVICE_INTERFACE, "GetInfo") => none(&parameters).map(|()| Call::GetInfo),
        (SERVICE_INTERFACE, "GetInterfaceDescription") => {
            let name = parameters.get("interface").and_then(Value::as_str);
            name.map(|name| Call::GetInterfaceDescription(name.to_owned()))
                .ok_or_else(|| Refusal::InvalidParameter("interface".to_owned()))
        }
        (SYSTEMD_INTERFACE, "Ping") => none(&parameters).map(|()| Call::Ping),
        (SYSTEMD_INTERFACE, "SetLogLevel") => match read(parameters)? {
            LogLevel {
                level: level @ 0..=7,
            } => Ok(Call::SetLogLevel(level)),
            LogLevel { .. } => Err(Refusal::InvalidParameter("level".to_owned())),
        },
        (INTERFACE, "Reload") => read(parameters).map(Call::Reload),
        (INTERFACE, "Stop") => none(&parameters).map(|()| Call::Stop),
        (INTERFACE, "Upgrade") => none(&parameters).map(|()| Call::Upgrade),
        (INTERFACE, "GetStatus") => none(&parameters).map(|()| Call::GetStatus),
        (INTERFACE, "Wait") => read(parameters).map(Call::Wait),
        (INTERFACE, "Monitor") if raw.more != Some(true) => Err(Refusal::ExpectedMore),
        (INTERFACE, "Monitor") => none(&parameters).map(|()| Call::Monitor),
        (SERVICE_INTERFACE | SYSTEMD_INTERFACE | INTERFACE, _) => {
            Err(Refusal::MethodNotFound(raw.method))
        }
        (interface, _) => Err(Refusal::InterfaceNotFound(interface.to_owned())),
    }
}

/// For a method without parameters: that there are none.
fn none(parameters: &Map<String, Value>) -> Result<(), Refusal> {
    match parameters.keys().next() {
        None => Ok(()),
        Some(name) => Err(Refusal::InvalidParameter(name.clone())),
    }
}

fn read<T: for<'de> Deserialize<'de>>(parameters: Map<String, Value>) -> Result<T, Refusal> {
    serde_json::from_value(Value::Object(parameters))
        .map_err(|error| Refusal::InvalidParameter(error.to_string()))
}

/// A call of ours, with its NUL.
#[must_use]
pub fn render_call(method: &str, parameters: &impl Serialize) -> Vec<u8> {
    framed(&json!({ "method": format!("{INTERFACE}.{method}"), "parameters": parameters }))
}

/// A call of ours that is answered again and again, with its NUL.
#[must_use]
pub fn render_subscription(method: &str) -> Vec<u8> {
    framed(&json!({ "method": format!("{INTERFACE}.{method}"), "more": true }))
}

/// A reply, with its NUL.
#[must_use]
pub fn render_reply(parameters: &impl Serialize) -> Vec<u8> {
    framed(&json!({ "parameters": parameters }))
}

/// One of several replies to a call, with its NUL.
#[must_use]
pub fn render_part(parameters: &impl Serialize) -> Vec<u8> {
    framed(&json!({ "parameters": parameters, "continues": true }))
}

/// The answer to `GetInfo`.
#[must_use]
pub fn info() -> Vec<u8> {
    render_reply(&json!({
        "vendor": "sd-starter",
        "product": "sd-starter",
        "version": version(),
        "url": "",
        "interfaces": [SERVICE_INTERFACE, SYSTEMD_INTERFACE, INTERFACE],
    }))
}

/// The answer to `GetInterfaceDescription`.
///
/// # Errors
/// For an interface that we do not have.
pub fn description(interface: &str) -> Result<Vec<u8>, Refusal> {
    let text = match interface {
        INTERFACE => DEFINITION,
        SERVICE_INTERFACE => SERVICE_DEFINITION,
        SYSTEMD_INTERFACE => SYSTEMD_DEFINITION,
        other => return Err(Refusal::InterfaceNotFound(other.to_owned())),
    };
    Ok(render_reply(&json!({ "description": text })))
}

/// An error reply, with its NUL.
#[must_use]
pub fn render_refusal(refusal: &Refusal) -> Vec<u8> {
    let (interface, name, parameters) = match refusal {
        Refusal::Garbage => (
            SERVICE_INTERFACE,
            "InvalidParameter",
            json!({ "parameter": "message" }),
        ),
        Refusal::InterfaceNotFound(interface) => (
            SERVICE_INTERFACE,
            "InterfaceNotFound",
            json!({ "interface": interface }),
        ),
        Refusal::MethodNotFound(method) => (
            SERVICE_INTERFACE,
            "MethodNotFound",
            json!({ "method": method }),
        ),
        Refusal::InvalidParameter(parameter) => (
            SERVICE_INTERFACE,
            "InvalidParameter",
            json!({ "parameter": parameter }),
        ),
        Refusal::ExpectedMore => (SERVICE_INTERFACE, "ExpectedMore", json!({})),
        Refusal::PermissionDenied => (SERVICE_INTERFACE, "PermissionDenied", json!({})),
        Refusal::Stopping => (INTERFACE, "Stopping", json!({})),
        Refusal::ReloadFailed {
            reason,
            generation,
            kept,
        } => (
            INTERFACE,
            "ReloadFailed",
            json!({ "reason": reason, "generation": generation, "kept": kept }),
        ),
        Refusal::UpgradeFailed { reason } => {
            (INTERFACE, "UpgradeFailed", json!({ "reason": reason }))
        }
        Refusal::OtherGeneration { serving } => {
            (INTERFACE, "OtherGeneration", json!({ "serving": serving }))
        }
    };
    framed(&json!({ "error": format!("{interface}.{name}"), "parameters": parameters }))
}

/// What a service answered, as its client sees it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Reply {
    /// The error's full name, if it is one.
    #[serde(default)]
    pub error: Option<String>,
    /// What came with it.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Whether there will be another one to the same call.
    #[serde(default)]
    pub continues: bool,
}

/// A reply that is not one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAReply;

impl fmt::Display for NotAReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is not a Varlink reply")
    }
}

impl std::error::Error for NotAReply {}

/// Reads one reply, without its NUL.
///
/// # Errors
/// When it is not one.
pub fn parse_reply(text: &[u8]) -> Result<Reply, NotAReply> {
    serde_json::from_slice(text).map_err(|_| NotAReply)
}

fn framed(message: &Value) -> Vec<u8> {
    let mut bytes = message.to_string().into_bytes();
    // JSON escapes NUL, so the frame's end is the only one.
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn understood(call: &[u8]) -> Result<Call, Refusal> {
        parse_call(call).map(|asked| asked.call)
    }

    #[test]
    fn a_call_of_ours_is_understood() {
        let parameters = Reload {
            if_generation: Some(7),
            ..Reload::default()
        };
        let mut call = render_call("Reload", &parameters);
        assert_eq!(call.pop(), Some(0));
        assert_eq!(understood(&call), Ok(Call::Reload(parameters)));
    }

    #[test]
    fn parameters_may_be_left_out() {
        let call = br#"{"method":"org.sdstarter.Supervisor.Reload"}"#;
        assert_eq!(understood(call), Ok(Call::Reload(Reload::default())));
        let call = br#"{"method":"org.sdstarter.Supervisor.GetStatus","parameters":null}"#;
        assert_eq!(understood(call), Ok(Call::GetStatus));
        let call = br#"{"method":"org.sdstarter.Supervisor.Wait",
            "parameters":{"drained":null,"generation":null,"serving":true}}"#;
        let wait = Wait {
            serving: true,
            ..Wait::default()
        };
        assert_eq!(understood(call), Ok(Call::Wait(wait)));
    }

    #[test]
    fn a_call_may_want_no_answer_or_more_than_one() {
        let call = br#"{"method":"org.sdstarter.Supervisor.Stop","oneway":true}"#;
        let asked = parse_call(call).expect("a good call");
        assert_eq!((asked.call, asked.oneway), (Call::Stop, true));
        let call = render_subscription("Monitor");
        assert_eq!(understood(&call[..call.len() - 1]), Ok(Call::Monitor));
        let once = br#"{"method":"org.sdstarter.Supervisor.Monitor"}"#;
        assert_eq!(understood(once), Err(Refusal::ExpectedMore));
    }

    #[test]
    fn the_log_level_is_one_of_syslogs() {
        let call = |level: &str| {
            format!(
                r#"{{"method":"io.systemd.service.SetLogLevel","parameters":{{"level":{level}}}}}"#
            )
        };
        assert_eq!(understood(call("7").as_bytes()), Ok(Call::SetLogLevel(7)));
        for level in ["8", "-1", "null", "\"info\""] {
            let refusal = understood(call(level).as_bytes());
            assert!(
                matches!(refusal, Err(Refusal::InvalidParameter(_))),
                "{level}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_call_is_named() {
        let refusals = [
            (&b"{}"[..], Refusal::Garbage),
            (b"\xff", Refusal::Garbage),
            (
                br#"{"method":"GetInfo"}"#,
                Refusal::InterfaceNotFound("GetInfo".into()),
            ),
            (
                br#"{"method":"io.x.Y"}"#,
                Refusal::InterfaceNotFound("io.x".into()),
            ),
            (
                br#"{"method":"org.sdstarter.Supervisor.GetStatus","parameters":{"x":1}}"#,
                Refusal::InvalidParameter("x".into()),
            ),
            (
                br#"{"method":"org.sdstarter.Supervisor.Dance"}"#,
                Refusal::MethodNotFound("org.sdstarter.Supervisor.Dance".into()),
            ),
        ];
        for (call, refusal) in refusals {
            assert_eq!(understood(call), Err(refusal));
        }
        let wrong =
            br#"{"method":"org.sdstarter.Supervisor.Reload","parameters":{"ifGeneration":"x"}}"#;
        assert!(matches!(
            parse_call(wrong),
            Err(Refusal::InvalidParameter(_))
        ));
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        let call = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(parse_call(call.as_bytes()), Err(Refusal::Garbage));
    }

    #[test]
    fn every_interface_describes_itself() {
        for interface in [INTERFACE, SERVICE_INTERFACE, SYSTEMD_INTERFACE] {
            let reply = description(interface).expect("ours");
            let reply = parse_reply(&reply[..reply.len() - 1]).expect("a reply");
            let text = reply.parameters["description"].as_str().expect("a text");
            assert!(text.contains(&format!("interface {interface}")));
        }
    }

    proptest! {
        #[test]
        fn never_panics(call in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_call(&call);
            let _ = parse_reply(&call);
        }
    }
}
