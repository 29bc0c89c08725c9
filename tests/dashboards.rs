//! Grafana's dashboards without a Grafana: what the files say, and what their queries answer when
//! they are expanded as the data source does it, on made-up data in the real engine.

mod alert_rules;
mod answers;
mod expand;
mod export;
mod files;
mod lint;
mod loaded;
mod provisioned;
mod reader;
mod retention;
mod seed;
mod shapes;
mod size;
mod values;
