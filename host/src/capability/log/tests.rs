//! What may reach the log, and how much of it.

use super::host::Line;
use super::{LogCtxView, MAX_LINE_BYTES};
use crate::backend::lines::LineMeter;
use crate::bindings::wharf::log::log::Level;

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn fields_travel_as_one_object_and_cannot_forge_a_line() {
    let line = Line::new("a\nb", &fields(&[("name", "x\ny"), ("name", "\"")])).fields.unwrap();
    assert_eq!(line, r#"{"name":"x\\ny","name":"\""}"#);
    assert_eq!(Line::new("a", &[]).fields, None);
}

#[test]
fn a_line_has_one_budget_for_its_message_and_all_its_fields() {
    let long = "x".repeat(MAX_LINE_BYTES - 100);
    let many = fields(&[("name", "value"); 1_000]);
    let Line { message, fields } = Line::new(&long, &many);
    let fields = fields.unwrap();
    assert_eq!(message, long);
    assert!(fields.len() < 150, "{fields}");
    let shown: serde_json::Value = serde_json::from_str(&fields).unwrap();
    assert_eq!(shown["…"], "993 more", "{fields}");
}

#[test]
fn a_line_that_nobody_wants_takes_no_others_place() {
    let meter = LineMeter::new(1);
    let view = LogCtxView { meter: &meter };
    let quiet = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(std::io::sink).finish();
    tracing::subscriber::with_default(quiet, || {
        view.write(Level::Debug, "a detail", &[]);
        assert!(meter.admits(), "the detail was not counted");
        view.write(Level::Info, "a state", &[]);
        assert!(!meter.admits());
    });
}
