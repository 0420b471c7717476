//! What the user sees: results on standard output, messages and the progress bar on standard error, never on each
//! other's line.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{LogFormat, Messages};

/// Whoever read our standard output has left, as in `boswell … | head`. The program ends, and that is no failure.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// The terminal, or what stands in its place.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
}

impl Screen {
    /// Opens the screen and shows the program's log events on standard error from now on.
    pub(crate) fn open(messages: &Messages, format: LogFormat) -> Self {
        let target = if messages.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let screen = Self { bars: MultiProgress::with_draw_target(target) };
        // Targets are compared by prefix: `boswell_` stands for our libraries, whose `info` says in their words what
        // the program says in its own.
        let [program, libraries, others] = match (messages.quiet, messages.verbose) {
            (true, _) => [LevelFilter::ERROR; 3],
            (_, true) => [LevelFilter::DEBUG, LevelFilter::DEBUG, LevelFilter::WARN],
            _ => [LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR],
        };
        let targets = Targets::new().with_default(others);
        let targets = targets.with_target("boswell", program).with_target("boswell_", libraries);
        // The server speaks for the program.
        let targets = targets.with_target("boswell_server", program);
        let is_coloured =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let layer = tracing_subscriber::fmt::layer().with_writer(screen.clone());
        let layer = match format {
            LogFormat::Text => layer.with_ansi(is_coloured).event_format(Line).with_filter(targets).boxed(),
            LogFormat::Json => {
                layer.json().flatten_event(true).with_span_list(false).with_filter(targets).boxed()
            }
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        #[cfg(feature = "otlp")]
        let subscriber = {
            // Spans alone, whatever is shown.
            let spans = Targets::new().with_target("boswell_server", LevelFilter::INFO);
            subscriber.with(crate::telemetry::layer().with_filter(spans))
        };
        subscriber.init();
        screen
    }

    /// Writes part of the result to standard output, at once.
    ///
    /// # Errors
    /// [`ReaderGone`] if nobody reads it any more; if it cannot be written otherwise.
    pub(crate) fn result(&self, text: &[u8]) -> Result<()> {
        let written = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text)?;
            stdout.flush()
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
            other => other.context("cannot write to standard output"),
        }
    }

    /// A bar for a transfer of `bytes`.
    pub(crate) fn transfer_bar(&self, bytes: u64) -> ProgressBar {
        let template =
            "{msg:22!} {bar:18} {decimal_bytes:>9}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
        self.add(ProgressBar::new(bytes).with_style(style(template)))
    }

    /// A bar for work that is so much of `total` in whatever unit; its message says the rest.
    pub(crate) fn transcription_bar(&self, total: u64) -> ProgressBar {
        self.add(ProgressBar::new(total).with_style(style("{percent:>3}% {bar:20} {msg}")))
    }

    /// A sign of life where nobody knows how much there is to do.
    pub(crate) fn spinner(&self) -> ProgressBar {
        self.add(ProgressBar::no_length().with_style(style("{spinner} {msg}")))
    }

    fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("our own template is well formed").progress_chars("━╸─")
}

/// `bytes` as people write it: `151 MB`, `3.1 GB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: &[&str] = &["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit_idx = 0;
    while value >= 999.5 && unit_idx + 1 < UNITS.len() {
        value /= 1000.0;
        unit_idx += 1;
    }
    let digits = if unit_idx > 0 && value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit_idx])
}

/// Lets log events stand above the bar.
impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().lock().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// An event as a line for people: what was said, after `warning:` or `error:` where it is one.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error: ", "31"),
            Level::WARN => ("warning: ", "33"),
            Level::INFO => ("", ""),
            Level::DEBUG => ("debug: ", "2"),
            Level::TRACE => ("trace: ", "2"),
        };
        if to.has_ansi_escapes() && !name.is_empty() {
            write!(to, "\u{1b}[1;{colour}m{name}\u{1b}[0m")?;
        } else {
            to.write_str(name)?;
        }
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_write_them() {
        let cases = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (9_960, "10 kB"),
            (999_600, "1.0 MB"),
            (151_061_672, "151 MB"),
            (3_087_130_976, "3.1 GB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn templates_are_well_formed() {
        let screen = Screen { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) };
        screen.transfer_bar(1);
        screen.transcription_bar(1);
        screen.spinner();
    }
}
