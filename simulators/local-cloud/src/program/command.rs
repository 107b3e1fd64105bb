//! What is typed on the console: the back end's side.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use crate::rules::is_identity;
use crate::{Credential, Endpoint, Handle, Properties, Shown, json_text};

/// What can be typed, for people.
pub const COMMANDS: &str = "\
Commands on standard input:
  c2d <device> [?<properties>] <text>   send a cloud-to-device message; properties as in a topic: ?name=value&b=value
  method <device> <name> [<json>]       call a direct method
  twin <device> [<json>]                patch the desired properties, or show the twin
  input <device>/<module> <input> [?<properties>] <text>   send a message to a module's input
  devices                               list the devices
  add <device>[/<module>] [<key>]       create a device or module with a symmetric key (base64), or a new one
  disable <device>, enable <device>     shut a device out, let it in again
  delete <device>                       take a device out of the hub
  refuse dps|hub <code> [<count>]       answer the next connections with this CONNACK code
  drop                                  close all connections
  fault <json>                          play a fault, such as {\"fault\":\"throttle\",\"count\":3}: throttle, dpsError, drop,
                                        silence, slow, refuse, certificate, clockSkew, dpsOutage, move, clear
  quit";

/// What became of a command.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Answer {
    /// A message to a device waits.
    Queued {
        /// Its id.
        message_id: String,
    },
    /// A device has answered a method call.
    Method {
        /// Its status, as in HTTP.
        status: i32,
        /// Its answer.
        body: String,
    },
    /// A device's twin.
    Twin {
        /// The whole document.
        twin: Value,
    },
    /// Desired properties were changed.
    Desired {
        /// Their version now.
        desired_version: u64,
    },
    /// A device that was created.
    Added {
        /// What its program is to be given.
        connection_string: String,
    },
    /// The hub's devices.
    Devices {
        /// One a device.
        devices: Vec<Listed>,
    },
    /// Nothing more to say.
    Done {},
}

/// A line of the list of devices.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// Who it is.
    pub id: String,
    /// Whether it has a connection to the hub.
    pub connected: bool,
}

impl Answer {
    /// For programs.
    #[must_use]
    pub fn to_json(&self, command: &str) -> Value {
        let mut answer = json!(self);
        if let Value::Object(members) = &mut answer {
            members.insert("event".to_owned(), "answer".into());
            members.insert("command".to_owned(), command.into());
        }
        answer
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued { message_id } => write!(f, "queued message {}", Shown(message_id)),
            Self::Method { status, body } => write!(f, "{status} {}", Shown(body)),
            Self::Twin { twin } => f.write_str(&json_text(twin, true)),
            Self::Added { connection_string } => f.write_str(connection_string),
            Self::Desired { desired_version } => {
                write!(f, "desired properties are at version {desired_version}")
            }
            Self::Devices { devices } => {
                for (index, device) in devices.iter().enumerate() {
                    let end = if index == 0 { "" } else { "\n" };
                    write!(
                        f,
                        "{end}{}{}",
                        Shown(&device.id),
                        if device.connected { "  connected" } else { "" }
                    )?;
                }
                Ok(())
            }
            Self::Done {} => f.write_str("done"),
        }
    }
}

/// Splits off the first word.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Carries out a line of the console.
///
/// # Errors
/// What is wrong with the line, or why it cannot be done.
pub async fn carry_out(cloud: &Handle, line: &str) -> Result<Answer> {
    let (name, rest) = word(line);
    let (device, rest) = word(rest);
    Ok(match name {
        "c2d" => {
            let (properties, text) = message(rest)?;
            Answer::Queued { message_id: cloud.send_c2d(device, text, &properties)? }
        }
        "method" => {
            let (method, payload) = word(rest);
            if method.is_empty() {
                bail!("which method?");
            }
            let answer = cloud.invoke_method(device, method, payload, Duration::from_secs(30)).await?;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            Answer::Method { status: answer.status, body }
        }
        "twin" if rest.is_empty() => Answer::Twin { twin: cloud.twin(device)? },
        "twin" => {
            let Value::Object(patch) = serde_json::from_str(rest).context("the patch")? else {
                bail!("the patch is not a JSON object");
            };
            Answer::Desired { desired_version: cloud.patch_desired(device, &patch)? }
        }
        "input" => {
            let (input, rest) = word(rest);
            let (properties, text) = message(rest)?;
            cloud.send_to_input(device, input, text, &properties)?;
            Answer::Done {}
        }
        "add" => Answer::Added { connection_string: add(cloud, device, rest)? },
        "fault" => {
            let text = line.trim_start().strip_prefix("fault").unwrap_or_default();
            cloud.play(&serde_json::from_str(text).context("the fault")?)?;
            Answer::Done {}
        }
        "devices" => {
            let listed = |id: String| Listed { connected: cloud.is_connected(&id), id };
            Answer::Devices { devices: cloud.devices().into_iter().map(listed).collect() }
        }
        "disable" | "enable" => {
            cloud.set_enabled(device, name == "enable")?;
            Answer::Done {}
        }
        "delete" => {
            cloud.remove_device(device)?;
            Answer::Done {}
        }
        "refuse" => {
            refuse(cloud, device, rest)?;
            Answer::Done {}
        }
        "drop" => {
            cloud.drop_connections();
            Answer::Done {}
        }
        other => bail!("unknown command {other:?}\n{COMMANDS}"),
    })
}

/// A message's properties and text.
fn message(rest: &str) -> Result<(Properties, &str)> {
    let Some(rest) = rest.strip_prefix('?') else {
        return Ok((Properties::new(), rest));
    };
    let (bag, text) = word(rest);
    Ok((Properties::parse(bag).context("the properties")?, text))
}

/// Creates a device or module; gives its connection string.
fn add(cloud: &Handle, id: &str, key: &str) -> Result<String> {
    if !is_identity(id) {
        bail!("{id:?} is no device id or device/module");
    }
    let key = match key {
        "" => rand::random::<[u8; 32]>().to_vec(),
        key => BASE64_STANDARD.decode(key).context("the key")?,
    };
    if !(16..=64).contains(&key.len()) {
        bail!("a key has 16 to 64 bytes");
    }
    cloud.add_device(id, Credential::Keys(vec![key.clone()]));
    let hub = cloud.hub_of(id).unwrap_or_default();
    let (device, module) = id
        .split_once('/')
        .map_or((id, String::new()), |(device, module)| (device, format!(";ModuleId={module}")));
    let key = BASE64_STANDARD.encode(key);
    Ok(format!("HostName={hub};DeviceId={device}{module};SharedAccessKey={key}"))
}

fn refuse(cloud: &Handle, service: &str, rest: &str) -> Result<()> {
    let endpoint = match service {
        "dps" => Endpoint::Dps,
        "hub" => Endpoint::Hub,
        other => bail!("no service is called {other:?}: dps or hub"),
    };
    let (code, count) = word(rest);
    let code: u8 = code.parse().context("the CONNACK code")?;
    if !(1..=5).contains(&code) {
        bail!("a CONNACK code is 1 to 5");
    }
    let count = if count.is_empty() { 1 } else { count.parse().context("the count")? };
    cloud.faults().refuse_connects(endpoint, code, count);
    Ok(())
}
