//! Published ports, shown and posted.

use super::*;

#[track_caller]
fn check_shown(engine: Value, shown: Value) {
    let host = site();
    host.container(Container::new("c").ports(engine));
    assert_eq!(get_json("/deployments/c")["ports"], shown);
}

fn bindings(bindings: &[(&str, &str)]) -> Value {
    let bindings: Vec<Value> = bindings.iter().map(|(address, port)| json!({"HostIp": address, "HostPort": port})).collect();
    json!({"80/tcp": bindings})
}

fn shown(interface: &str, host_ports: Value) -> Value {
    json!({"80/tcp": {"host_interface": interface, "host_ports": host_ports}})
}

#[test]
fn a_published_port_is_shown_once() {
    check_shown(json!({}), Value::Null);
    check_shown(json!({"80/tcp": null}), json!({"80/tcp": null}));
    check_shown(json!({"80/tcp": []}), json!({"80/tcp": null}));
    check_shown(bindings(&[("0.0.0.0", "7000"), ("::", "7000")]), shown("0.0.0.0", json!(7000)));
    check_shown(bindings(&[("::", "7000"), ("0.0.0.0", "7000")]), shown("0.0.0.0", json!(7000)));
    check_shown(bindings(&[("0.0.0.0", "49153"), ("::", "49154")]), shown("0.0.0.0", json!(49153)));
    check_shown(bindings(&[("::", "7000")]), shown("::", json!(7000)));
    check_shown(bindings(&[("0.0.0.0", "7000"), ("::1", "7000")]), shown("0.0.0.0", json!(7000)));
    let twice = [("0.0.0.0", "6000"), ("::", "6000"), ("0.0.0.0", "6001"), ("::", "6001")];
    check_shown(bindings(&twice), shown("0.0.0.0", json!([6000, 6001])));
    check_shown(bindings(&[("127.0.0.1", "6000"), ("10.0.0.1", "6001")]), shown("10.0.0.1", json!([6000, 6001])));
    check_shown(bindings(&[("127.0.0.1", "")]), shown("127.0.0.1", Value::Null));
}

#[track_caller]
fn check_families(wanted: &[(&str, &str)], engine: &[(&str, &str)], host_ports: Value) {
    let host = site();
    host.container(Container::new("c").ports(bindings(engine)).details(json!({"HostConfig": {"PortBindings": bindings(wanted)}})));
    assert_eq!(get_json("/deployments/c")["ports"], shown("0.0.0.0", host_ports));
}

#[test]
fn a_port_of_ipv6_is_left_out_unless_it_was_asked_for() {
    check_families(&[("", "")], &[("0.0.0.0", "49153"), ("::", "49154")], json!(49153));
    check_families(&[("", "7000")], &[("0.0.0.0", "7000"), ("::", "7000")], json!(7000));
    check_families(&[("0.0.0.0", "7000"), ("::", "7000")], &[("0.0.0.0", "7000"), ("::", "7000")], json!(7000));
    check_families(&[("0.0.0.0", "7000"), ("::", "7001")], &[("0.0.0.0", "7000"), ("::", "7001")], json!([7000, 7001]));
    check_families(&[("", "7000"), ("::", "7001")], &[("0.0.0.0", "7000"), ("::", "7000"), ("::", "7001")], json!([7000, 7001]));
}

#[track_caller]
fn check_published(posted: Value, engine: &[(&str, &str)]) {
    let host = site();
    let (_, details) = deploy(&host, &adapter(json!({"80/tcp": posted})));
    assert_eq!(details["Config"]["ExposedPorts"], json!({"80/tcp": {}}));
    let expected = if engine.is_empty() { json!({}) } else { bindings(engine) };
    assert_eq!(details["HostConfig"]["PortBindings"], expected);
}

#[test]
fn ports_are_published_as_posted() {
    check_published(json!({"host_interface": null, "host_ports": 6000}), &[("", "6000")]);
    check_published(json!({"host_ports": 6000}), &[("", "6000")]);
    check_published(json!({"host_interface": "", "host_ports": 6000}), &[("", "6000")]);
    check_published(json!({"host_interface": "127.0.0.1", "host_ports": 6000}), &[("127.0.0.1", "6000")]);
    check_published(json!({"host_interface": "127.0.0.1", "host_ports": [6000, 6001]}), &[("127.0.0.1", "6000"), ("127.0.0.1", "6001")]);
    check_published(json!({"host_ports": [6000, 6001]}), &[("", "6000"), ("", "6001")]);
    check_published(json!({"host_ports": null}), &[("", "")]);
    check_published(json!({"host_ports": "6000-6010"}), &[("", "6000-6010")]);
    check_published(json!({"host_ports": 0}), &[("", "0")]);
    check_published(json!({"host_ports": []}), &[]);
    check_published(Value::Null, &[]);
}

#[test]
fn what_is_shown_can_be_posted_again() {
    for posted in [
        json!({"80/tcp": null, "81/udp": {"host_interface": null, "host_ports": 6000}}),
        json!({"80/tcp": {"host_interface": "127.0.0.1", "host_ports": [6000, 6001]}}),
        json!(null),
    ] {
        let host = site();
        let (first, _) = deploy(&host, &adapter(posted));
        let record = get_json(&format!("/deployments/{first}"));
        check_empty(fake::delete(&format!("/deployments/{first}")), 200);
        let mut again = adapter(record["ports"].clone());
        again["configs"] = record["environment"].clone();
        let (second, details) = deploy(&host, &again);
        let mut expected = record.clone();
        let shown = get_json(&format!("/deployments/{second}"));
        for field in ["id", "started"] {
            expected[field] = shown[field].clone();
        }
        assert_eq!(shown, expected);
        assert_eq!(details["Config"]["Env"], json!([format!("DEP_INSTANCE={first}"), "CONF_LOGGER_LEVEL=info"]));
    }
}
