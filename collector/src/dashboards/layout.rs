//! What a dashboard shows, and where: the files of `queries/dashboards/`.

use serde::Deserialize;

/// Columns of Grafana's grid.
pub(super) const GRID_COLUMNS: u32 = 24;

/// One dashboard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) description: String,
    /// The variables that its reader may choose, in the order in which each narrows the next.
    pub(super) variables: Vec<Variable>,
    /// Where its range begins when it is opened, as Grafana writes it.
    pub(super) range: String,
    pub(super) row: Vec<Row>,
}

/// Panels below one heading.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The question that they answer.
    pub(super) title: String,
    pub(super) panel: Vec<Placed>,
}

/// A query and how it is drawn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Placed {
    /// Its file in `queries/panels/`.
    pub(super) query: String,
    pub(super) kind: Kind,
    #[serde(default = "half")]
    pub(super) width: u32,
    #[serde(default = "usual_height")]
    pub(super) height: u32,
    /// The most rows, or lines.
    #[serde(default = "usual_limit")]
    pub(super) limit: u32,
    /// Columns that a table does not show: its links may need them.
    #[serde(default)]
    pub(super) hidden: Vec<String>,
    /// From which value on a number is bad.
    #[serde(default)]
    pub(super) alarms: std::collections::BTreeMap<String, f64>,
}

fn half() -> u32 {
    GRID_COLUMNS / 2
}

fn usual_height() -> u32 {
    8
}

fn usual_limit() -> u32 {
    20
}

/// What draws it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Stat,
    Timeseries,
    Table,
    /// A table with a line for each series.
    Sparklines,
    Heatmap,
    Flamegraph,
    /// What each of several things was doing, over time.
    States,
}

impl Kind {
    /// Grafana's name of the panel.
    pub(super) fn plugin(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Timeseries => "timeseries",
            Self::Table | Self::Sparklines => "table",
            Self::Heatmap => "heatmap",
            Self::Flamegraph => "flamegraph",
            Self::States => "state-timeline",
        }
    }

    /// Whether the answer is a time, labels and numbers, rather than rows as they are.
    pub(super) fn is_series(self) -> bool {
        matches!(self, Self::Timeseries | Self::Sparklines | Self::Heatmap | Self::States)
    }

    /// In how many steps the range is cut, at most.
    pub(super) fn steps_max(self) -> u32 {
        match self {
            // A day in whole hours: the rollup by hours answers.
            Self::Stat | Self::Table | Self::Sparklines | Self::Flamegraph => 24,
            Self::Timeseries | Self::Heatmap | Self::States => 100,
        }
    }
}

/// What a reader may choose.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Variable {
    Environment,
    Service,
    Version,
    Instance,
    Function,
}

impl Variable {
    pub(super) const ALL: [Self; 5] =
        [Self::Environment, Self::Service, Self::Version, Self::Instance, Self::Function];

    /// Its name, in queries and in Grafana.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Service => "service",
            Self::Version => "version",
            Self::Instance => "instance",
            Self::Function => "function",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Environment => "Environment",
            Self::Service => "Service",
            Self::Version => "Version",
            Self::Instance => "Instance",
            Self::Function => "Function",
        }
    }

    /// Whether several, and all, may be chosen.
    pub(super) fn takes_several(self) -> bool {
        self != Self::Function
    }
}
