//! `local-cloud`: Azure DPS and IoT Hub on this machine, with a console for the back end's side.

mod args;
pub mod command;

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Handle, LocalCloud};
use args::Args;
use command::carry_out;

/// Runs the program with the process's arguments until it is told to quit.
///
/// # Errors
/// Names what kept it from starting.
pub async fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.enrollments)
        .with_context(|| format!("folder {}", args.enrollments.display()))?;
    let cloud = Arc::new(LocalCloud::start(args.config()).await.context("starting")?);
    std::fs::write(&args.out_ca, cloud.root_pem())
        .with_context(|| format!("writing {}", args.out_ca.display()))?;
    if let Some(path) = &args.out_ca_der {
        std::fs::write(path, cloud.root_der()).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut events = cloud.events();
    print_line(&introduction(&cloud, &args))?;

    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let mut input_open = true;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) if args.json => print_line(&event.to_json())?,
                Some(event) => print_line(&event)?,
                None => break,
            },
            line = input.next_line(), if input_open => match line?.as_deref().map(str::trim) {
                Some("quit") => break,
                Some("") => {}
                // Apart, because a device may take its time to answer a method.
                Some(line) => drop(tokio::spawn(answer(cloud.clone(), line.to_owned(), args.json))),
                None => input_open = false,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(())
}

/// A line that whoever reads sees at once.
fn print_line(line: &impl Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Where everything is.
fn introduction(cloud: &Handle, args: &Args) -> String {
    let config = cloud.config();
    if args.json {
        return json!({
            "event": "ready",
            "dps": cloud.dps_address().to_string(),
            "https": cloud.https_address().to_string(),
            "hub": cloud.hub_address().to_string(),
            "dpsName": config.dps_name,
            "hubName": config.hub_name,
            "idScope": config.id_scope,
            "root": args.out_ca,
            "enrollments": args.enrollments,
        })
        .to_string();
    }
    let (dps, https, hub) = (cloud.dps_address(), cloud.https_address(), cloud.hub_address());
    [
        format!("DPS          {dps}  {}  id scope {}", config.dps_name, config.id_scope),
        format!("DPS (HTTPS)  {https}"),
        format!("IoT Hub      {hub}  {}", config.hub_name),
        format!("Root         {}", args.out_ca.display()),
        format!("Enrolments   {}", args.enrollments.display()),
    ]
    .join("\n")
}

async fn answer(cloud: Arc<Handle>, line: String, as_json: bool) {
    let text = match (carry_out(&cloud, &line).await, as_json) {
        (Ok(answer), false) => answer.to_string(),
        (Ok(answer), true) => answer.to_json(&line).to_string(),
        (Err(error), false) => format!("error: {error:#}"),
        (Err(error), true) => {
            json!({ "event": "error", "command": line, "message": format!("{error:#}") }).to_string()
        }
    };
    // If nobody reads any more, the loop of events ends the program.
    let _ = print_line(&text);
}
