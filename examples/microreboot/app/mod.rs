//! The experiment and the processes it is made of: `serve` is the auction, `load` the load generator,
//! and what starts both is the experimenter, with the detector and the audit.

pub(crate) mod load;
pub(crate) mod service;
pub(crate) mod time;
pub(crate) mod trial;

use service::world::World;
use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// What came of a run. Each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// Something was lost or doubled, not noticed or not cured.
    Failed,
    /// The machine was too busy to say.
    Void,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::SUCCESS,
            Verdict::Failed => Self::from(1),
            Verdict::Void => Self::from(3),
        }
    }
}

/// Runs what the first argument says; `None` if that is no role of another process's.
fn role(arguments: &[String]) -> Option<Result<(), Box<dyn Error>>> {
    let (role, rest) = arguments.split_first()?;
    match role.as_str() {
        "serve" => Some(server_options(rest).and_then(|options| service::process::serve(&options))),
        "load" => Some(load_options(rest).and_then(|options| load::run(&options))),
        "requests" => Some(requests(rest)),
        "plot" => Some(plot(rest)),
        _ => None,
    }
}

fn requests(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(arguments)?;
    let done = trial::cost::requests(arguments.want("support")?, arguments.want("count")?);
    done.map_err(|error| error as Box<dyn Error>)
}

/// Plots a CSV that was kept.
fn plot(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(arguments)?;
    let (csv, svg): (PathBuf, PathBuf) = (arguments.want("csv")?, arguments.want("svg")?);
    let title: String = arguments.want("title")?;
    let plot = trial::plot(&std::fs::read_to_string(csv)?, &title);
    std::fs::write(svg, plot.map_err(|error| error as Box<dyn Error>)?)?;
    Ok(())
}

/// Arguments as `--name value`.
pub(crate) struct Arguments<'a>(HashMap<&'a str, &'a str>);

impl<'a> Arguments<'a> {
    pub(crate) fn read(arguments: &'a [String]) -> Result<Self, Box<dyn Error>> {
        let pairs = arguments.chunks(2).map(|pair| match pair {
            [name, value] => Ok((
                name.strip_prefix("--")
                    .ok_or("arguments are --name value")?,
                value.as_str(),
            )),
            _ => Err("an argument has no value"),
        });
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    pub(crate) fn get<T: FromStr<Err: Error + 'static>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Box<dyn Error>> {
        Ok(self.0.get(name).map(|value| value.parse()).transpose()?)
    }

    fn want<T: FromStr<Err: Error + 'static>>(&self, name: &str) -> Result<T, Box<dyn Error>> {
        self.get(name)?
            .ok_or_else(|| format!("--{name} is missing").into())
    }
}

fn server_options(arguments: &[String]) -> Result<service::process::Options, Box<dyn Error>> {
    let arguments = Arguments::read(arguments)?;
    Ok(service::process::Options {
        dir: arguments.want("dir")?,
        world: World {
            items: arguments.want("items")?,
        },
        exchange: arguments.want("exchange")?,
        support: arguments.get("support")?.unwrap_or_default(),
        address: arguments.get("address")?,
    })
}

fn load_options(arguments: &[String]) -> Result<load::Options, Box<dyn Error>> {
    let arguments = Arguments::read(arguments)?;
    Ok(load::Options {
        server: arguments.want("address")?,
        world: World {
            items: arguments.want("items")?,
        },
        rate: arguments.want("rate")?,
        users: arguments.want("users")?,
        retries: arguments.want("retries")?,
        seed: arguments.want("seed")?,
        out: arguments.want("out")?,
    })
}

/// The entry of a program: a role that this program was started in by itself, or an experiment. Without
/// a form among the arguments it is `form`.
pub(crate) fn main(form: Option<&str>) -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = if let Some(ended) = role(&arguments) {
        ended.map(|()| Verdict::Passed)
    } else {
        let is_given = |form: &&&str| arguments.iter().any(|argument| argument == **form);
        let form = FORMS.iter().find(is_given).copied().or(form);
        arguments.retain(|argument| argument != "--bench" && Some(argument.as_str()) != form);
        experiment(form, &arguments)
    };
    ended.map_or_else(
        |error| {
            eprintln!("microreboot: {error}");
            ExitCode::FAILURE
        },
        Verdict::into,
    )
}

const FORMS: [&str; 5] = ["--smoke", "--medium", "--long", "--drill", "--cost"];

fn experiment(form: Option<&str>, arguments: &[String]) -> Result<Verdict, Box<dyn Error>> {
    let plan = match form {
        Some("--smoke") => trial::Plan::smoke(),
        Some("--medium") => trial::Plan::medium(),
        Some("--long") => trial::Plan::long(),
        Some("--drill") => trial::Plan::drill(),
        Some("--cost") => {
            let done = trial::cost::run().map_err(|error| error as Box<dyn Error>);
            return done.map(|()| Verdict::Passed);
        }
        _ => {
            println!("say one of {}", FORMS.join(", "));
            return Ok(Verdict::Passed);
        }
    };
    let plan = plan.changed_by(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime
        .block_on(trial::run(&plan))
        .map_err(|error| error as Box<dyn Error>)
}
