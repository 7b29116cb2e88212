//! The two forms of the same metrics: OpenMetrics, and the older text that every Prometheus reads.

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Exposition {
    /// What a reader asks for with its `Accept`: text, unless it names OpenMetrics.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Metrics that are written as OpenMetrics, in this form.
    pub(super) fn of(self, metrics: String) -> String {
        match self {
            Self::OpenMetrics => metrics,
            Self::Text => text(&metrics),
        }
    }
}

/// In text, a counter's name has its `_total` in the comments too, and there is no end mark.
fn text(metrics: &str) -> String {
    let mut out = String::with_capacity(metrics.len());
    let mut help = None;
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some(help) = help.take() {
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_named_alike_in_comments_and_samples() {
        let open = "# HELP a_items Items.\n# TYPE a_items counter\na_items_total{x=\"y\"} 1\n# HELP a_now Now.\n# TYPE a_now gauge\na_now 2\n# EOF\n";
        let expected = "# HELP a_items_total Items.\n# TYPE a_items_total counter\na_items_total{x=\"y\"} 1\n# HELP a_now Now.\n# TYPE a_now gauge\na_now 2\n";
        assert_eq!(Exposition::Text.of(open.to_owned()), expected);
        assert_eq!(Exposition::OpenMetrics.of(open.to_owned()), open);
        assert_eq!(
            Exposition::accepted("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            Exposition::OpenMetrics
        );
        assert_eq!(Exposition::accepted("*/*"), Exposition::Text);
    }
}
