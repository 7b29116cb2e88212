//! The progress of a run, for a person who looks on: one line that fits 80 columns, out of the way of log lines.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::digits::counted;
use crate::pipeline::Progress;
use crate::telemetry::screen;

/// With counts of seven digits it is 80 columns wide.
const TEMPLATE: &str = "{spinner} {elapsed} [{bar:14}] {pos}/{len} copies, {msg}";

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// Shows the progress until the run is done.
pub(super) async fn show(progress: Arc<Progress>, clock: SharedClock, done: CancellationToken) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let bar = bar(ProgressDrawTarget::stderr());
    screen::share_with(&bar);
    let begun = clock.now();
    while !done.is_cancelled() {
        let elapsed = (clock.now() - begun).to_std().unwrap_or_default();
        bar.set_length(progress.deliveries().max(1));
        bar.set_position(progress.finished());
        bar.set_message(words(&progress, elapsed));
        tokio::select! {
            () = done.cancelled() => {}
            () = clock.sleep(EVERY) => {}
        }
    }
    bar.finish_and_clear();
    screen::release();
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar
}

/// The rate, the time left as far as it can be known, and the items: what is left is only what the source has sent so far.
fn words(progress: &Progress, elapsed: Duration) -> String {
    let (finished, copies) = (progress.finished(), progress.deliveries());
    let seconds = elapsed.as_secs().max(1);
    let rate = finished / seconds;
    let items = counted(progress.items(), "item", "items");
    if finished == 0 {
        return items;
    }
    let left = copies.saturating_sub(finished).saturating_mul(seconds) / finished;
    format!("{rate}/s, {} left, {items}", span(left))
}

/// Seconds as people read them, in five characters at most.
fn span(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use indicatif::TermLike;

    use super::*;

    /// A terminal of 80 columns that remembers its lines.
    #[derive(Debug, Default, Clone)]
    struct Terminal(Arc<Mutex<Vec<String>>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_line_of_a_large_run_is_whole_in_80_columns() {
        let progress = Progress::default();
        progress.add(1_234_567, 1_234_567, 2_345_678, 1_000_000);
        let terminal = Terminal::default();
        let bar = bar(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.set_length(progress.deliveries());
        bar.set_position(progress.finished());
        bar.set_message(words(&progress, Duration::from_hours(2)));
        bar.tick();
        // How often it is drawn depends on the clock; the last time, everything is there.
        let drawn = terminal.0.lock().unwrap().clone();
        let line = drawn.iter().rev().find(|text| text.contains("copies")).unwrap().trim_end();
        assert!(line.contains("1000000/2345678 copies, 138/s, 2 h left, 1234567 items"), "{line:?}");
        assert!(line.chars().count() <= 80, "{} columns: {line:?}", line.chars().count());
    }

    #[test]
    fn nothing_is_promised_before_anything_is_known() {
        let progress = Progress::default();
        assert_eq!(words(&progress, Duration::from_secs(5)), "0 items");
        progress.add(10, 10, 20, 5);
        assert_eq!(words(&progress, Duration::from_secs(10)), "0/s, 30 s left, 10 items");
        assert_eq!(words(&progress, Duration::from_secs(1)), "5/s, 3 s left, 10 items");
        assert_eq!([99, 100, 5999, 6000].map(span), ["99 s", "1 min", "99 min", "1 h"]);
    }
}
