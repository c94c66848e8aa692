//! Draws what panels of the dashboard show of some minutes on a real Redis: a queue that fills and is
//! worked off, one that rises and falls in a step, and one whose server is away for a minute.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use backlog_scaler::{
    keda::proto::ScaledObjectRef,
    simulation::{Diagram, Line, draw_diagrams},
};
use clap::Parser;
use serde::Deserialize;
use testkit::{
    redis::Redis,
    scaler::{Scaler, trigger},
};
use tokio::time::interval;

/// Draws what panels of the dashboard show of some minutes of load.
#[derive(Parser)]
struct Cli {
    /// The dashboard, as Grafana has it.
    dashboard: PathBuf,
    /// The program of tests/promtool/panels.
    panels: PathBuf,
    /// Where to draw the picture, as SVG.
    picture: PathBuf,
    /// For how long.
    #[arg(long, default_value_t = 360)]
    seconds: u64,
}

/// From one evaluation, and one page of metrics, to the next.
const EVERY: Duration = Duration::from_secs(5);

/// The panels that are drawn; the others are about what these minutes do not have.
const SHOWN: [&str; 7] = [
    "Value",
    "Value against target",
    "Replicas: implied, real, limits",
    "Age of the sample at the last call",
    "Errors of triggers by kind",
    "Connections up and lost",
    "Calls by method",
];

/// What a panel shows.
#[derive(Deserialize)]
struct Panel {
    title: String,
    lines: Vec<Drawn>,
}

#[derive(Deserialize)]
struct Drawn {
    name: String,
    points: Vec<(f64, f64)>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    let pages = std::env::temp_dir().join(format!("dashboard-{}", std::process::id()));
    fs::create_dir_all(&pages)?;
    let drawn = draw(&cli, &pages).await;
    fs::remove_dir_all(&pages)?;
    drawn
}

async fn draw(cli: &Cli, pages: &Path) -> Result<(), Box<dyn Error>> {
    record(pages, cli.seconds).await?;
    let output = Command::new(&cli.panels)
        .args([&cli.dashboard, pages])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let panels: Vec<Panel> = serde_json::from_slice(&output.stdout)?;
    let mut diagrams = Vec::new();
    for title in SHOWN {
        let panel = panels.iter().find(|panel| panel.title == title);
        let panel = panel.ok_or_else(|| format!("the dashboard has no panel {title}"))?;
        if panel.lines.is_empty() {
            return Err(format!("{title}: shows nothing").into());
        }
        diagrams.push(Diagram {
            caption: title,
            lines: panel.lines.iter().map(line).collect(),
        });
    }
    fs::write(&cli.picture, draw_diagrams(&diagrams)?)?;
    Ok(())
}

fn line(drawn: &Drawn) -> Line<'_> {
    let points = drawn.points.iter();
    let points = points.map(|(at, value)| (Duration::from_secs_f64(*at), *value));
    Line {
        name: &drawn.name,
        width: 2,
        points: points.collect(),
    }
}

/// Writes a page of metrics every few seconds, each named by its time.
async fn record(pages: &Path, seconds: u64) -> Result<(), Box<dyn Error>> {
    let (shop, media) = (Redis::start().await, Redis::start().await);
    let scaler = Scaler::start().await;
    let orders = object("shop", "orders", &shop, &[("listLength", "20")]);
    let mails = [("listLength", "10"), ("scaleDownBelow", "3")];
    let mails = object("shop", "mails", &shop, &mails);
    let thumbnails = object("media", "thumbnails", &media, &[("listLength", "40")]);
    set(&media, "thumbnails", 130).await;
    let (away_from, away_until) = (seconds / 2, seconds / 2 + 60);
    let mut is_away = false;
    let mut turns = interval(EVERY);
    for second in (0..seconds).step_by(EVERY.as_secs() as usize) {
        turns.tick().await;
        let phase = second as f64 / seconds as f64 * std::f64::consts::TAU;
        set(&shop, "orders", (200.0 - 190.0 * phase.cos()) as usize).await;
        set(&shop, "mails", if phase.sin() > 0.5 { 70 } else { 12 }).await;
        match second {
            _ if !is_away && (away_from..away_until).contains(&second) => {
                media.kill();
                is_away = true;
            }
            _ if is_away && second >= away_until => {
                media.restart().await;
                set(&media, "thumbnails", 90).await;
                is_away = false;
            }
            _ => {}
        }
        for object in [&orders, &mails, &thumbnails] {
            // Failed ones are what a panel is to show.
            if let Err(status) = scaler.evaluate(object).await {
                eprintln!("{second:4} s: {}", status.message());
            }
        }
        let (_, page) = scaler.page("/metrics").await;
        let millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        fs::write(pages.join(format!("{millis}.txt")), page)?;
    }
    Ok(())
}

fn object(namespace: &str, name: &str, redis: &Redis, keys: &[(&str, &str)]) -> ScaledObjectRef {
    let address = redis.address();
    let mut object = trigger([
        ("backend", "redis"),
        ("address", &address),
        ("listName", name),
    ]);
    let keys = keys.iter();
    let keys = keys.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    object.scaler_metadata.extend(keys);
    object.namespace = namespace.to_owned();
    object.name = name.to_owned();
    object
}

/// A list of so many entries.
async fn set(redis: &Redis, list: &str, entries: usize) {
    redis.command(&["DEL", list]).await;
    redis.rpush(list, entries).await;
}
