//! Named measurements with bounds, for figures that criterion's loop cannot measure.

pub mod figure;
pub mod machine;

use std::process::ExitCode;

use self::figure::Figure;

/// A measurement: its name, and the function that performs the measurement.
pub type Measurement = (&'static str, fn() -> Vec<Figure>);

/// Performs the measurements that the command line selects (`[--check] [--only NAME]…`) and prints the figures below
/// the title. With `--check`, the exit code is 1 if a figure misses its bound, and 2 if a figure cannot be judged.
pub fn run(measurements: &[Measurement], title: impl FnOnce() -> String) -> ExitCode {
    let options = match Options::read(measurements) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(64);
        }
    };
    println!("{}", title());
    let mut figures = Vec::new();
    for (name, measure) in measurements {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            for figure in measure() {
                println!("{name:<10} {figure}");
                figures.push(figure);
            }
        }
    }
    if options.check { figure::verdict(&figures) } else { ExitCode::SUCCESS }
}

struct Options {
    check: bool,
    only: Vec<String>,
}

impl Options {
    fn read(measurements: &[Measurement]) -> Result<Self, String> {
        let mut options = Options { check: false, only: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // cargo adds this option
                "--check" => options.check = true,
                "--only" => {
                    let name = arguments.next().unwrap_or_default();
                    if !measurements.iter().any(|(known, _)| *known == name) {
                        let known: Vec<_> = measurements.iter().map(|(name, _)| *name).collect();
                        return Err(format!("--only {name:?}: there are {}", known.join(", ")));
                    }
                    options.only.push(name);
                }
                other => return Err(format!("unknown option {other:?}; there are --check and --only NAME")),
            }
        }
        Ok(options)
    }
}
