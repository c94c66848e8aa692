//! `tune`: a search for settings of a ScaledObject that meet objectives at the least cost, by
//! simulations.

mod choose;
mod edit;
mod evaluate;
mod frontier;
mod objective;
mod options;
mod present;
mod report;
mod search;
mod space;
#[cfg(test)]
mod tests;
mod values;
mod why;

use std::{collections::BTreeMap, process::ExitCode};

pub use self::options::Tune;
use self::{
    choose::{Chosen, choose},
    edit::Site,
    evaluate::{Evaluator, Simulator, Wanted},
    options::Output,
    present::{Present, target_key},
    report::Report,
    search::{Space, combinations, search},
};
use super::{
    output, runtime,
    simulate::{object, progress::Bar, write},
    to_stderr, to_stdout,
};
use crate::{
    error::{Error, Kind, Result},
    manifests::{File, Input},
    sampling::Engine,
    server,
    settings::Settings,
    telemetry::Telemetry,
};

impl Tune {
    /// Reads, searches and prints or writes. `Ok` is the exit code.
    pub fn run(self) -> Result<ExitCode> {
        let minimize = self.measures()?;
        let replays = self.replays()?;
        let input = self.input()?;
        let file = File::new(input.name.clone(), input.text.as_str());
        // The triggers are parsed as the server parses them; nothing connects.
        let runtime = runtime()?;
        let _context = runtime.enter();
        let engine = server::engine(&Settings::default(), &Telemetry::default())?;
        let chosen = choose(&file, self.object.as_deref(), self.trigger)?;
        let Chosen {
            object,
            trigger,
            backend,
        } = &chosen;
        let site = Site {
            file: &file,
            object,
            trigger: *trigger,
        };
        let simulator = Simulator {
            site,
            engine: &engine,
            workload: &self.workload,
            replays: &replays,
            price: self.price,
        };
        let space = self.space(&simulator, backend)?;
        let wanted = Wanted {
            objectives: &self.objective,
            minimize,
        };
        let budget = self.simulations as usize;
        let mut evaluator = Evaluator {
            simulator: &simulator,
            space: &space,
            wanted: &wanted,
            bar: Bar::new("simulated", (budget * replays.len()) as f64),
            candidates: BTreeMap::new(),
            refused: Default::default(),
        };
        let (sizes, present) = (space.sizes(), space.present());
        let searched = Space {
            sizes: &sizes,
            present: &present,
            budget,
        };
        let found = search(&searched, &mut evaluator)?;
        let Evaluator {
            candidates,
            refused,
            bar,
            ..
        } = evaluator;
        drop(bar);
        if !self.tries.is_empty() {
            // What the search chooses itself may not go together; what is named was meant.
            refused
                .iter()
                .for_each(|why| to_stderr("note: refused", why));
        }
        let now = candidates.get(&present);
        let is_nothing_else = candidates.len() == 1 && !refused.is_empty();
        let (Some(now), Some(best), false) = (now, candidates.get(&found.best), is_nothing_else)
        else {
            let next = "See above for what is wrong with the values.";
            let what = format!("{object}: no combination of the values can be simulated");
            return Err(Error::new(Kind::Invalid, what, next));
        };
        let report = Report {
            wanted: &wanted,
            present: space.shown_present(&site),
            now,
            best,
            all: candidates.values().collect(),
            combinations: combinations(&sizes),
            is_complete: found.is_complete,
            loads: replays.len(),
            has_price: self.price.is_some(),
        };
        let why = match report.meets() {
            true => None,
            false => Some(why::why(&simulator, &space, &wanted)?),
        };
        let edited = site.edited(&best.settings)?;
        self.deliver(&input, &report, &edited, why.as_deref())?;
        Ok(match report.meets() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    /// What is searched. Keys of the search's own choice that cannot be changed are left out.
    fn space(&self, simulator: &Simulator<'_>, backend: &str) -> Result<space::Space> {
        let site = simulator.site;
        let scaled = simulator.prepare(&[])?;
        let target = |scaled: &object::Scaled| scaled.triggers.first().map(|(target, _)| *target);
        let Some(present_target) = target(&scaled) else {
            let what = format!("{}: has no trigger that can be simulated", site.object);
            return Err(Error::new(Kind::Invalid, what, ""));
        };
        let read = |file: &File| {
            let engine: &Engine = simulator.engine;
            let chosen = |name: &str| name == site.object;
            let read = object::read_some(file, engine, &[site.trigger], chosen).ok()?;
            target(read.objects.first()?)
        };
        let present = Present {
            site,
            target: present_target,
            object: simulator.present()?,
            target_key: target_key(&site, backend, read),
        };
        let mut space = present.space(&self.tries, &self.keep)?;
        let mut kept = Ok(());
        space
            .axes
            .retain(|axis| match space::can_change(&site, axis) {
                Ok(()) => true,
                Err(error) if self.tries.is_empty() => {
                    to_stderr("note", format!("{error}; it stays as it is"));
                    false
                }
                Err(error) => {
                    kept = Err(error);
                    false
                }
            });
        kept.map(|()| space)
    }

    fn deliver(
        &self,
        input: &Input,
        report: &Report<'_>,
        edited: &str,
        why: Option<&str>,
    ) -> Result<()> {
        let rows = match self.frontier {
            true => report.frontier(),
            false => report.best_few(self.best as usize),
        };
        if let Some(path) = &self.picture {
            write(path, &report.picture()?)?;
        }
        if report.meets() {
            if let Some(path) = &self.write {
                write(path, edited)?;
            }
            if let Some(path) = input
                .path
                .as_ref()
                .filter(|_| self.in_place && edited != input.text)
            {
                output::replace(path, edited)?;
            }
        }
        let change = output::diff(&input.name, &input.text, edited);
        if let Some(why) = why {
            to_stderr(
                "error",
                format!("nothing that was tried meets the objectives: {why}"),
            );
        }
        if self.diff {
            return match report.meets() {
                true => to_stdout(&change),
                false => Ok(()),
            };
        }
        if self.output == Output::Json {
            let manifest = report.meets().then_some(edited);
            return to_stdout(&report.json(&rows, manifest, why)?);
        }
        let mut text = report.table(&rows);
        text += &format!("\n{}\n", report.extent());
        if report.meets() && !self.in_place && self.write.is_none() && !change.is_empty() {
            text += &format!("\n{change}");
        }
        to_stdout(&text)
    }
}
