//! Everything that a plugin should not do, each under a path of its own. The host must contain all of it.
//!
//! Some paths behave: they show that the plugin goes on answering after another request of it has failed, and what an instance keeps between requests.

use std::cell::Cell;
use std::hint::black_box;

use wharf_sdk::{BodyError, Error, Plugin, Request, Response, Router};

struct Misbehave;

thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

impl Plugin for Misbehave {
    fn routes() -> Router {
        Router::new()
            .get("/loop", |_: &Request| endless_loop())
            .get("/burn/{millis}", burn)
            .get("/memory", |_: &Request| unbounded_memory())
            .get("/recursion", |_: &Request| deep_recursion(0).to_string())
            .get("/panic", |_: &Request| panics())
            .get("/exit", |_: &Request| exits())
            .get("/status/{status}", |request: &Request| Response::new(request.param("status").parse().unwrap_or(0)))
            .get("/field-name", |_: &Request| Response::text("x").header("a b", "c"))
            .get("/field-value", |_: &Request| Response::text("x").header("a", "b\r\nset-cookie: forged"))
            .get("/fields", |_: &Request| (0..30_000).fold(Response::text("x"), |response, _| response.header("a", "b")))
            .get("/connection", |_: &Request| Response::text("x").header("connection", "close"))
            .get("/wrong-length", |_: &Request| Response::text("four").header("content-length", "5"))
            .get("/empty-length", |_: &Request| Response::new(200).header("content-length", "5"))
            .get("/not-modified", |_: &Request| Response::new(304).header("content-length", "5"))
            .post("/echo/{length}", echo)
            .get("/started-length/{length}", started_length)
            .get("/push/{kib}", push)
            .get("/right-length", |_: &Request| Response::text("four").header("content-length", "4"))
            .get("/giant", |_: &Request| Response::new(200).body(vec![b'x'; 17 << 20]))
            .get("/shout", |_: &Request| shout())
            .post("/unread", |_: &Request| "did not read it")
            .post("/read", read)
            .get("/started", |_: &Request| started(3))
            .get("/started-endless", |_: &Request| started(u32::MAX))
            .get("/started-trap", |_: &Request| started_trap())
            .get("/started-twice", |_: &Request| started_twice())
            .get("/served", |_: &Request| SERVED.replace(SERVED.get() + 1).to_string())
    }
}

fn endless_loop() -> &'static str {
    wharf_sdk::tracing::info!("began to loop");
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Computes for about so long, by the guest's own clock.
fn burn(request: &Request) -> String {
    let millis = request.param("millis").parse().unwrap_or(0);
    let began = std::time::Instant::now();
    let mut turns: u64 = 0;
    while began.elapsed().as_millis() < millis {
        turns = black_box(turns + 1);
    }
    turns.to_string()
}

fn unbounded_memory() -> String {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
        if held.len() > 1 << 20 {
            return held.len().to_string();
        }
    }
}

/// Small frames, so that the machine's stack ends before the one that Rust keeps in linear memory.
fn deep_recursion(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { 0 } else { black_box(deep_recursion(depth + 1)) + depth }
}

#[expect(clippy::disallowed_methods, reason = "what this plugin is for")]
fn exits() -> &'static str {
    std::process::exit(7)
}

#[expect(clippy::panic, reason = "what this plugin is for")]
fn panics() -> &'static str {
    panic!("on purpose")
}

fn shout() -> &'static str {
    for line in 0..100_000 {
        wharf_sdk::tracing::info!(line, "again");
    }
    "shouted"
}

/// Hands so much to the host in one call.
fn push(request: &Request) -> &'static str {
    let kib: usize = request.param("kib").parse().unwrap_or(0);
    wharf_sdk::tracing::info!("{}", "x".repeat(kib << 10));
    "pushed"
}

/// The request's body unread, said to be so long.
fn echo(request: &Request) -> Response {
    let length = request.param("length").into_owned();
    request.take_stream().map_or(Response::new(400), Response::stream).header("content-length", length)
}

/// Ten bytes, said to be so many.
fn started_length(request: &Request) -> Result<Response, Error> {
    let length = request.param("length").into_owned();
    let mut writer = Response::new(200).header("content-length", length).start()?;
    writer.write(b"01234")?;
    writer.write(b"56789")?;
    Ok(writer.finish())
}

fn read(request: &Request) -> Result<String, BodyError> {
    Ok(request.bytes()?.len().to_string())
}

fn started(chunks: u32) -> Result<Response, Error> {
    let mut writer = Response::new(200).header("content-type", "text/plain").start()?;
    for chunk in 0..chunks {
        writer.write(format!("chunk {chunk}\n").as_bytes())?;
    }
    Ok(writer.finish())
}

fn started_trap() -> Result<Response, Error> {
    let mut writer = Response::new(200).start()?;
    writer.write(b"so far so good\n")?;
    panics();
    Ok(writer.finish())
}

fn started_twice() -> Result<Response, Error> {
    let mut writer = Response::new(200).start()?;
    let second = Response::new(201).start();
    writer.write(format!("{:?}", second.err()).as_bytes())?;
    Ok(writer.finish())
}

wharf_sdk::export!(Misbehave);
