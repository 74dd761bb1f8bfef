//! `ports_mapping`: ports of the machine by ports of the container.

use serde_json::{Map, Value, json};

use crate::body::Fields;

/// Reads the mapping, which may be absent.
pub(super) fn read(params: &mut Fields) -> Option<Map<String, Value>> {
    params.object("ports_mapping", |ports| {
        let mapping = ports.rest();
        for (port, host_port) in &mapping {
            if !is_port(port) {
                ports.refuse(port, "the key is no port: 1 to 65535");
            }
            if !matches!(host_port.as_u64(), Some(1..=65535)) {
                ports.refuse(port, "the value is no port: 1 to 65535");
            }
        }
        mapping
    })
}

fn is_port(text: &str) -> bool {
    // A plus or a zero in front would be a second way to write one port.
    text.parse::<u16>().is_ok_and(|port| port > 0 && port.to_string() == text)
}

/// The parts of a container's specification that publish `mapping`: `ExposedPorts` and `PortBindings`.
pub(super) fn published(mapping: &Map<String, Value>) -> (Value, Value) {
    let key = |port: &String| format!("{port}/tcp");
    let exposed: Map<String, Value> = mapping.keys().map(|port| (key(port), json!({}))).collect();
    let bindings: Map<String, Value> =
        mapping.iter().map(|(port, host_port)| (key(port), json!([{"HostPort": host_port.to_string()}]))).collect();
    (exposed.into(), bindings.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[track_caller]
    fn check(mapping: Value, wrong: usize) {
        let mut fields = Fields::of(Map::from_iter([("ports_mapping".to_owned(), mapping.clone())]));
        let read = read(&mut fields);
        match fields.finish() {
            Ok(()) => assert_eq!((read.map(Value::from), wrong), (Some(mapping), 0)),
            Err(Failure::Invalid(details)) => assert_eq!(details.len(), wrong, "{mapping}"),
            Err(failure) => panic!("{failure}"),
        }
    }

    #[test]
    fn ports_are_numbers_on_both_sides() {
        check(json!({"9000": 9000, "1": 65535}), 0);
        check(json!({}), 0);
        for port in ["", "0", "65536", "-1", "+80", "080", "80/tcp", "80.0", " 80"] {
            check(json!({port: 9000}), 1);
        }
        for port in [json!(0), json!(65536), json!("9000"), json!(9000.5), json!(true), json!(null), json!([9000])] {
            check(json!({"80": port}), 1);
        }
        check(json!({"x": "y"}), 2);
        check(json!([9000]), 1);
    }

    #[test]
    fn a_mapping_is_published_as_the_engine_wants_it() {
        let Value::Object(mapping) = json!({"9000": 8080}) else { panic!() };
        assert_eq!(published(&mapping), (json!({"9000/tcp": {}}), json!({"9000/tcp": [{"HostPort": "8080"}]})));
    }
}
