//! A proxy in front of a registry that does to each request what a test says: passes it on, answers instead, cuts, hangs, waits.
//!
//! It writes down every request, so that a test can count them by method, and every connection. One thread for each connection, and no HTTP library: most of what it does to an answer is what a library
//! prevents.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

/// In how many pieces a slow body is sent.
const SLOW_PIECES: u32 = 40;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `HEAD`, `GET`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The fields, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The field `name`, which is in lower case; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// The registry's answer, or one instead of it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; empty for a `HEAD`.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without fields, whose body has its length.
    pub fn new(status: u16, body: &str) -> Answer {
        Answer { status, headers: vec![("content-length".to_owned(), body.len().to_string())], body: body.into() }
    }

    /// With the field, instead of one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Answer {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Answer {
        self.headers.retain(|(known, _)| known != name);
        self
    }
}

/// What to do with a request.
pub enum Fault {
    /// Pass it on, and the answer back.
    None,
    /// The same, so much later.
    Late(Duration),
    /// Pass it on, and let the body take so long.
    Slowly(Duration),
    /// Answer this.
    Instead(Answer),
    /// Pass it on, and answer what this makes of the answer.
    Altered(fn(Answer) -> Answer),
    /// Close the connection.
    Cut,
    /// Pass it on, answer the head and half of the body, and close the connection.
    CutBody,
    /// Answer nothing, and keep the connection.
    Silent,
    /// Pass it on, answer the head and half of the body, and nothing more.
    SilentBody,
}

/// A running proxy. Dropping it ends it.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

type Plan = dyn Fn(&Asked) -> Fault + Send + Sync;

struct Shared {
    registry: SocketAddr,
    plan: Box<Plan>,
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<Vec<TcpStream>>,
    /// Whether the proxy ends, and who waits for that.
    ended: (Mutex<bool>, Condvar),
}

impl FaultProxy {
    /// Starts a proxy in front of `registry` that does what `plan` says.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn start(registry: SocketAddr, plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> anyhow::Result<FaultProxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            registry,
            plan: Box::new(plan),
            asked: Mutex::default(),
            connections: Mutex::default(),
            ended: (Mutex::new(false), Condvar::new()),
        });
        let own = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            let mut serving = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if own.has_ended() {
                    break;
                }
                own.connections.lock().unwrap_or_else(PoisonError::into_inner).extend(stream.try_clone());
                let own = Arc::clone(&own);
                serving.push(std::thread::spawn(move || {
                    // How a connection ends is the client's to judge.
                    let _ = own.serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                }));
            }
            for thread in serving {
                let _ = thread.join();
            }
        });
        Ok(FaultProxy { address, shared, accepting: Some(accepting) })
    }

    /// Starts a server that answers every request by itself and has nobody to pass it on to.
    ///
    /// # Errors
    ///
    /// As [`FaultProxy::start`].
    pub fn answering(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> anyhow::Result<FaultProxy> {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        FaultProxy::start(nobody, move |asked| Fault::Instead(answer(asked)))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, as `HEAD /v2/a/manifests/1`.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect()
    }

    /// How many of the requests begin with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        self.asked().iter().filter(|asked| asked.starts_with(prefix)).count()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        *self.shared.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.ended.1.notify_all();
        for connection in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // The one who accepts looks up when somebody comes.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn has_ended(&self) -> bool {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until the proxy ends.
    fn wait(&self, time: Duration) {
        let ended = self.ended.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _unused = self.ended.1.wait_timeout_while(ended, time, |ended| !*ended);
    }

    fn serve(&self, stream: &TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some((asked, body)) = read_request(&mut reader)? {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
            let fault = (self.plan)(&asked);
            let answer = match &fault {
                Fault::Cut => return Ok(()),
                Fault::Silent => {
                    self.wait(Duration::from_secs(300));
                    return Ok(());
                }
                Fault::Instead(answer) => answer.clone(),
                Fault::Late(time) => {
                    self.wait(*time);
                    self.pass_on(&asked, &body)?
                }
                Fault::Altered(alter) => alter(self.pass_on(&asked, &body)?),
                Fault::None | Fault::Slowly(_) | Fault::CutBody | Fault::SilentBody => self.pass_on(&asked, &body)?,
            };
            if let Fault::Slowly(time) = fault {
                self.write_slowly(stream, &answer, if asked.method == "HEAD" { &[] } else { &answer.body }, time)?;
                continue;
            }
            let half = matches!(fault, Fault::CutBody | Fault::SilentBody);
            let sent = if half { answer.body.len() / 2 } else { answer.body.len() };
            write_answer(stream, &answer, if asked.method == "HEAD" { 0 } else { sent })?;
            match fault {
                Fault::CutBody => return Ok(()),
                Fault::SilentBody => self.wait(Duration::from_secs(300)),
                _ if asked.header("connection").eq_ignore_ascii_case("close") => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends the head, and `body` in pieces over `time`.
    fn write_slowly(&self, mut stream: &TcpStream, answer: &Answer, body: &[u8], time: Duration) -> anyhow::Result<()> {
        write_answer(stream, answer, 0)?;
        for piece in body.chunks(body.len().div_ceil(SLOW_PIECES as usize).max(1)) {
            self.wait(time / SLOW_PIECES);
            stream.write_all(piece)?;
        }
        Ok(())
    }

    /// Asks the registry, on a connection of its own.
    fn pass_on(&self, asked: &Asked, body: &[u8]) -> anyhow::Result<Answer> {
        let mut stream = TcpStream::connect(self.registry)?;
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", asked.method, asked.target);
        for (name, value) in asked.headers.iter().filter(|(name, _)| name != "connection") {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(body)?;
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status)?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the registry's answer has no status")?;
        let headers = read_fields(&mut reader)?.into_iter().filter(|(name, _)| name != "connection").collect();
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        Ok(Answer { status, headers, body })
    }
}

/// The next request and its body; none when the client has closed the connection.
fn read_request(reader: &mut impl BufRead) -> anyhow::Result<Option<(Asked, Vec<u8>)>> {
    // An engine tries TLS first. That has no lines, and we would wait for the end of one.
    let first = reader.fill_buf()?.first().copied();
    anyhow::ensure!(first.is_none_or(|byte| byte.is_ascii_uppercase()), "no HTTP");
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { anyhow::bail!("no request: {line}") };
    let asked = Asked { method, target, headers: read_fields(reader)? };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some((asked, body)))
}

fn read_fields(reader: &mut impl BufRead) -> anyhow::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(fields) };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Sends the head, and the first `bytes` of the body.
fn write_answer(mut stream: &TcpStream, answer: &Answer, bytes: usize) -> anyhow::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut message = format!("{head}\r\n").into_bytes();
    message.extend(answer.body.iter().take(bytes));
    Ok(stream.write_all(&message)?)
}
