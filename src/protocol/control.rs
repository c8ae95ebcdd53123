//! The control socket's messages: Varlink, so that `varlinkctl` works without our tools.
//!
//! Source: <https://varlink.org/Method-Call>: JSON objects, each ended by a NUL byte. A call is
//! `{"method": "INTERFACE.METHOD", "parameters": {...}}`, a reply `{"parameters": {...}}` or
//! `{"error": "INTERFACE.ERROR", "parameters": {...}}`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The longest message that is read, in bytes. Ours are a few hundred.
pub const MAX_CALL: usize = 64 * 1024;

/// Our interface.
pub const INTERFACE: &str = "org.sdstarter.Supervisor";

/// Its definition, as `varlinkctl introspect` shows it.
pub const DEFINITION: &str = include_str!("org.sdstarter.Supervisor.varlink");

/// The interface that every Varlink service has.
pub const SERVICE_INTERFACE: &str = "org.varlink.service";

const SERVICE_DEFINITION: &str = include_str!("org.varlink.service.varlink");

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
    /// `GetStatus`.
    GetStatus,
    /// `Wait`.
    Wait(Wait),
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
    #[serde(default)]
    pub drained: bool,
    /// Some generation serves and no swap is under way.
    #[serde(default)]
    pub serving: bool,
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
    parameters: Map<String, Value>,
}

/// Reads one call, without its NUL.
///
/// # Errors
/// The refusal to answer with.
pub fn parse_call(text: &[u8]) -> Result<Call, Refusal> {
    let raw: RawCall = serde_json::from_slice(text).map_err(|_| Refusal::Garbage)?;
    let Some((interface, method)) = raw.method.rsplit_once('.') else {
        return Err(Refusal::InterfaceNotFound(raw.method));
    };
    let parameters = Value::Object(raw.parameters);
    match (interface, method) {
        (SERVICE_INTERFACE, "GetInfo") => Ok(Call::GetInfo),
        (SERVICE_INTERFACE, "GetInterfaceDescription") => {
            let name = parameters.get("interface").and_then(Value::as_str);
            name.map(|name| Call::GetInterfaceDescription(name.to_owned()))
                .ok_or_else(|| Refusal::InvalidParameter("interface".to_owned()))
        }
        (INTERFACE, "Reload") => read(parameters).map(Call::Reload),
        (INTERFACE, "Stop") => Ok(Call::Stop),
        (INTERFACE, "GetStatus") => Ok(Call::GetStatus),
        (INTERFACE, "Wait") => read(parameters).map(Call::Wait),
        (SERVICE_INTERFACE | INTERFACE, _) => Err(Refusal::MethodNotFound(raw.method)),
        (interface, _) => Err(Refusal::InterfaceNotFound(interface.to_owned())),
    }
}

fn read<T: for<'de> Deserialize<'de>>(parameters: Value) -> Result<T, Refusal> {
    serde_json::from_value(parameters).map_err(|error| Refusal::InvalidParameter(error.to_string()))
}

/// A call of ours, with its NUL.
#[must_use]
pub fn render_call(method: &str, parameters: &impl Serialize) -> Vec<u8> {
    framed(&json!({ "method": format!("{INTERFACE}.{method}"), "parameters": parameters }))
}

/// A reply, with its NUL.
#[must_use]
pub fn render_reply(parameters: &impl Serialize) -> Vec<u8> {
    framed(&json!({ "parameters": parameters }))
}

/// The answer to `GetInfo`.
#[must_use]
pub fn info() -> Vec<u8> {
    render_reply(&json!({
        "vendor": "sd-starter",
        "product": "sd-starter",
        "version": env!("CARGO_PKG_VERSION"),
        "url": "",
        "interfaces": [SERVICE_INTERFACE, INTERFACE],
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

    #[test]
    fn a_call_of_ours_is_understood() {
        let parameters = Reload {
            if_generation: Some(7),
            ..Reload::default()
        };
        let mut call = render_call("Reload", &parameters);
        assert_eq!(call.pop(), Some(0));
        assert_eq!(parse_call(&call), Ok(Call::Reload(parameters)));
    }

    #[test]
    fn parameters_may_be_left_out() {
        let call = br#"{"method":"org.sdstarter.Supervisor.Reload"}"#;
        assert_eq!(parse_call(call), Ok(Call::Reload(Reload::default())));
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
                br#"{"method":"org.sdstarter.Supervisor.Dance"}"#,
                Refusal::MethodNotFound("org.sdstarter.Supervisor.Dance".into()),
            ),
        ];
        for (call, refusal) in refusals {
            assert_eq!(parse_call(call), Err(refusal));
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
    fn both_interfaces_describe_themselves() {
        for interface in [INTERFACE, SERVICE_INTERFACE] {
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
