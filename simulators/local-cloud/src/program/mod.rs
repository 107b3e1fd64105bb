//! `local-cloud`: Azure DPS and IoT Hub on this machine, with a console for the back end's side.

mod args;
pub mod command;
mod output;

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{Handle, LocalCloud, Shown, json_text};
use args::Args;
use command::carry_out;
use output::Output;

/// How often the enrolment folder is looked through for files that are not taken.
const LOOK: Duration = Duration::from_secs(2);

/// Runs the program with the process's arguments until it is told to quit.
///
/// # Errors
/// Names what kept it from starting.
pub async fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.enrollments)
        .with_context(|| format!("folder {}", args.enrollments.display()))?;
    let cloud = Arc::new(start(&args).await.context("starting")?);
    std::fs::write(&args.out_ca, cloud.root_pem())
        .with_context(|| format!("writing {}", args.out_ca.display()))?;
    if let Some(path) = &args.out_ca_der {
        std::fs::write(path, cloud.root_der()).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut events = cloud.events();
    let output = Output::start()?;
    let ready = ready(&cloud, &args);
    if let Some(path) = &args.ready_file {
        write_whole(path, &ready.to_string()).with_context(|| format!("writing {}", path.display()))?;
    }
    output.print(if args.json { ready.to_string() } else { introduction(&cloud, &args) });

    let mut input = console()?;
    let mut input_open = true;
    let mut look = tokio::time::interval(LOOK);
    let mut ending = std::pin::pin!(shutdown_requested());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) if args.json => output.print(json_text(&event.to_json(), false)),
                Some(event) => output.print(event.to_string()),
                None => break,
            },
            line = input.recv(), if input_open => match line.as_deref().map(str::trim) {
                Some("quit") => break,
                Some("") => {}
                // Apart, because a device may take its time to answer a method.
                Some(line) => {
                    drop(tokio::spawn(answer(cloud.clone(), output.clone(), line.to_owned(), args.json)));
                }
                None => input_open = false,
            },
            _ = look.tick() => {
                let cloud = cloud.clone();
                // Reading files may take its time, and nobody waits for it.
                drop(tokio::task::spawn_blocking(move || cloud.enrollments().check()));
            }
            () = output.closed() => break,
            () = &mut ending => break,
        }
    }
    cloud.flush();
    if let Some(path) = &args.ready_file {
        // Somebody may have taken it away already.
        let _ = std::fs::remove_file(path);
    }
    output.finish();
    Ok(())
}

/// Starts the cloud on the port for HTTPS that is wanted, or on the one that this user may have.
async fn start(args: &Args) -> io::Result<Handle> {
    if let Some(port) = args.https_port {
        return LocalCloud::start(args.config(port)).await;
    }
    match LocalCloud::start(args.config(443)).await {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("Port 443 may not be listened on ({e}); HTTPS and WebSockets are on 8443.");
            LocalCloud::start(args.config(8443)).await
        }
        other => other,
    }
}

/// Writes a file so that whoever waits for it never sees half of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::rename(part, path)
}

/// Ends when the user or the system wants the program to.
async fn shutdown_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without the means to be told, it runs on.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The lines typed. A thread of its own reads them, which does not keep the program from ending.
fn console() -> io::Result<UnboundedReceiver<String>> {
    let (sender, receiver) = unbounded_channel();
    std::thread::Builder::new().name("console".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}

/// Where everything is, for programs.
fn ready(cloud: &Handle, args: &Args) -> Value {
    let config = cloud.config();
    json!({
        "event": "ready",
        "dps": cloud.dps_address().to_string(),
        "https": cloud.https_address().to_string(),
        "hub": cloud.hub_address().to_string(),
        "dpsName": config.dps_name,
        "hubName": config.hub_name,
        "idScope": config.id_scope,
        "hubConnectionString": connection_string(cloud, "iothubowner"),
        "dpsConnectionString": connection_string(cloud, "provisioningserviceowner"),
        "web": cloud.web_link(),
        "root": args.out_ca,
        "enrollments": args.enrollments,
        "state": args.state,
    })
}

/// Where everything is, for people.
fn introduction(cloud: &Handle, args: &Args) -> String {
    let config = cloud.config();
    let (dps, https, hub) = (cloud.dps_address(), cloud.https_address(), cloud.hub_address());
    let mut lines = vec![
        format!("DPS          {dps}  {}  id scope {}", config.dps_name, config.id_scope),
        format!("HTTPS        {https}  DPS, hub, WebSockets, file upload"),
        format!("IoT Hub      {hub}  {}", config.hub_name),
        format!("Back end     {}", connection_string(cloud, "iothubowner")),
        format!("Operator     {}", connection_string(cloud, "provisioningserviceowner")),
        format!("Root         {}", args.out_ca.display()),
        format!("Enrolments   {}", args.enrollments.display()),
    ];
    lines.extend(cloud.web_link().map(|link| format!("Page         {link}")));
    lines.join("\n")
}

/// What a program of the service side takes.
fn connection_string(cloud: &Handle, policy: &str) -> String {
    let found = cloud.policies().into_iter().find(|known| known.name == policy);
    found.map(|policy| policy.connection_string).unwrap_or_default()
}

async fn answer(cloud: Arc<Handle>, output: Output, line: String, as_json: bool) {
    output.print(match (carry_out(&cloud, &line).await, as_json) {
        (Ok(answer), false) => answer.to_string(),
        (Ok(answer), true) => json_text(&answer.to_json(&line), false),
        (Err(error), false) => {
            let text = format!("{error:#}");
            let lines: Vec<String> = text.lines().map(|line| Shown(line).to_string()).collect();
            format!("error: {}", lines.join("\n"))
        }
        (Err(error), true) => {
            json_text(&json!({ "event": "error", "command": line, "message": format!("{error:#}") }), false)
        }
    });
}
