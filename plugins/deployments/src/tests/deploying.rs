//! `POST /deployments`.

use super::*;

#[test]
fn a_worker_gets_its_name_network_volume_and_environment() {
    let host = site();
    let body = json!({
        "id": "004894dc", "name": "Split CSV", "image": ADAPTER_IMAGE, "data_cache_path": "/data:cache", "type": "worker",
        "configs": {"z": "sensor", "delimiter": ";", "unset": null},
        "inputs": {"source_table": "6208", "z": "wins"},
    });
    let (name, details) = deploy(&host, &body);
    assert_eq!(uuid::Uuid::parse_str(&name).unwrap().get_version_num(), 4);
    assert_eq!(name.len(), 36);
    assert_eq!(
        details["Config"],
        json!({
            "Image": ADAPTER_IMAGE,
            "Env": [format!("DEP_INSTANCE={name}"), "z=wins", "delimiter=;", "unset", "source_table=6208"],
            "Labels": {"lopco-type": "worker", "lopco-id": "004894dc"},
            "ExposedPorts": {},
        })
    );
    assert_eq!(
        details["HostConfig"],
        json!({
            "NetworkMode": "lopco-network",
            "Mounts": [{"Type": "volume", "Source": "data_cache", "Target": "/data:cache", "ReadOnly": false}],
            "PortBindings": {},
            "RestartPolicy": {"Name": "no"},
        })
    );
    assert_eq!(details["State"]["Status"], "running");
    assert_eq!(host.calls_of("docker.images-pull.pull"), [""; 0]);
}

#[test]
fn an_adapter_is_restarted_and_the_names_of_network_and_volume_are_settings() {
    let host = site();
    host.network("n");
    host.config(json!({"network": "n", "data_cache_volume": "v"}));
    let (_, details) = deploy(&host, &adapter(Value::Null));
    let host_config = &details["HostConfig"];
    assert_eq!(host_config["RestartPolicy"], json!({"Name": "unless-stopped"}));
    assert_eq!((&host_config["NetworkMode"], &host_config["Mounts"][0]["Source"]), (&json!("n"), &json!("v")));
    assert_eq!(details["Config"]["Labels"]["lopco-type"], "protocol-adapter");
}

/// `value` is the JSON text.
#[track_caller]
fn check_variable_text(value: &str, item: &str) {
    let host = site();
    let body = adapter(Value::Null).to_string().replace(r#""CONF_LOGGER_LEVEL":"info""#, &format!(r#""X":{value}"#));
    let answer = send(fake::post("/deployments").body(body));
    assert_eq!(answer.status, 200, "{:?}", host.lines());
    assert_eq!(host.details(&answer.text()).unwrap()["Config"]["Env"][1], item);
}

#[track_caller]
fn check_variable(value: Value, item: &str) {
    check_variable_text(&value.to_string(), item);
}

#[test]
fn variables_are_written_as_python_writes_them() {
    check_variable(json!("a=b"), "X=a=b");
    check_variable(Value::Null, "X");
    check_variable(json!(5), "X=5");
    check_variable(json!(-5), "X=-5");
    check_variable(json!(true), "X=True");
    check_variable(json!(false), "X=False");
    check_variable(json!(1.5), "X=1.5");
    check_variable(json!(2.0), "X=2.0");
    check_variable(json!(1e21), "X=1000000000000000000000.0");
    check_variable(json!([1, "a", null, true]), "X=[1, 'a', None, True]");
    check_variable(json!({"k": {"l": "it's"}}), "X={'k': {'l': \"it's\"}}");
    check_variable(json!(["a'\"\n\\"]), "X=['a\\'\"\\n\\\\']");
    check_variable(json!(["\u{7f}\u{85}"]), "X=['\\x7f\\x85']");
}

#[test]
fn integers_have_no_bounds() {
    let digits = "123456789".repeat(9);
    check_variable_text(&digits, &format!("X={digits}"));
    check_variable_text(&format!("-{digits}"), &format!("X=-{digits}"));
    check_variable_text(&format!(r#"[{digits}, {{"a": {digits}}}]"#), &format!("X=[{digits}, {{'a': {digits}}}]"));
    check_variable_text("18446744073709551616", "X=18446744073709551616");
    check_variable_text("-0", "X=0");
    check_variable_text("-0.0", "X=-0.0");
    check_variable_text("1.50e2", "X=150.0");
    check_variable_text(r#"{"b": 1, "a": 2, "b": 3}"#, "X={'b': 3, 'a': 2}");
}

#[test]
fn what_a_float_or_the_stack_cannot_hold_is_malformed() {
    site();
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for value in ["1e400", "[-1e400]", &nested(200), &nested(100_000), r#""\ud800""#, r#"{"\ud800": 1}"#, "01", "+1", "NaN"] {
        let body = adapter(Value::Null).to_string().replace(r#""info""#, value);
        check_empty(fake::post("/deployments").body(body), 400);
    }
    check_variable_text(&nested(100), &format!("X={}", nested(100)));
}

#[test]
fn a_port_that_is_none_is_for_the_engine_to_refuse() {
    for port in ["65536", "-1", "123456789012345678901234567890"] {
        let host = site();
        let body = adapter(json!({"80/tcp": {"host_ports": "PORT"}})).to_string().replace(r#""PORT""#, port);
        check_empty(fake::post("/deployments").body(body), 500);
        assert_eq!(host.containers(), [""; 0]);
    }
}

#[test]
fn the_name_of_the_instance_can_be_overridden() {
    let host = site();
    let mut body = adapter(Value::Null);
    body["inputs"] = json!({"DEP_INSTANCE": "mine"});
    assert_eq!(deploy(&host, &body).1["Config"]["Env"], json!(["DEP_INSTANCE=mine", "CONF_LOGGER_LEVEL=info"]));
}

#[test]
fn an_image_that_is_not_there_is_pulled_first() {
    let host = site();
    host.registry_image(Image::new("fresh:latest"));
    let mut body = adapter(Value::Null);
    body["image"] = json!("fresh");
    deploy(&host, &body);
    assert_eq!(host.calls_of("docker.images-pull.pull"), ["fresh"]);
    body["image"] = json!("unknown:1");
    check_empty(fake::post("/deployments").json(&body), 500);
    body["image"] = json!("");
    check_empty(fake::post("/deployments").json(&body), 500);
}

#[track_caller]
fn check_malformed(change: impl FnOnce(&mut Value)) {
    let host = site();
    let mut body = adapter(json!({"80/tcp": {"host_ports": 1024}}));
    change(&mut body);
    check_empty(fake::post("/deployments").body(body.to_string()), 400);
    assert_eq!(host.calls(), []);
}

#[test]
fn a_malformed_body_is_refused_before_the_engine_is_asked() {
    for field in ["id", "image", "data_cache_path", "type"] {
        check_malformed(|body| drop(body.as_object_mut().unwrap().remove(field)));
        check_malformed(|body| body[field] = json!(5));
        check_malformed(|body| body[field] = Value::Null);
    }
    for field in ["configs", "inputs", "ports"] {
        check_malformed(|body| body[field] = json!("text"));
        check_malformed(|body| body[field] = json!([]));
    }
    for kind in ["core", "", "Worker"] {
        check_malformed(|body| body["type"] = json!(kind));
    }
    for port in [json!({}), json!(80), json!({"host_ports": 1.5}), json!({"host_ports": true}), json!({"host_ports": ["x"]})] {
        check_malformed(|body| body["ports"]["80/tcp"] = port);
    }
    check_malformed(|body| body["ports"]["80/tcp"]["host_interface"] = json!(1));
    check_malformed(|body| body["name"] = json!(1));
    check_malformed(|body| *body = json!([]));
    site();
    for body in ["", "{", "nul", "\u{feff}{}"] {
        check_empty(fake::post("/deployments").body(body), 400);
    }
    check_empty(fake::post("/deployments").stream([Err(Error::QuotaExceeded)]), 413);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let host = site();
    host.container(Container::new("other").ports(json!({"1/tcp": [{"HostIp": "0.0.0.0", "HostPort": "6000"}]})));
    check_empty(fake::post("/deployments").json(&adapter(json!({"80/tcp": {"host_ports": 6000}}))), 500);
    host.config(json!({"network": "missing"}));
    check_empty(fake::post("/deployments").json(&adapter(Value::Null)), 500);
    assert_eq!(host.containers(), ["other"]);
}

#[test]
fn whatever_the_engine_refuses_is_a_500() {
    for error in [Error::Denied, Error::NotFound, Error::Invalid(String::new()), Error::Conflict(String::new()), Error::Timeout] {
        let host = site();
        host.fail("docker.containers-create.run", error);
        check_empty(fake::post("/deployments").json(&adapter(Value::Null)), 500);
    }
}
