//! A process that we started: its log, its end.
//!
//! It runs in a process group of its own. Ctrl-C in a terminal goes to the whole foreground group; without this everything would end at once
//! and in no order. It is only ever signalled by the id that starting it gave us.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a process may take to end after SIGTERM before it is killed: twice what the engine needs for containers that do not listen.
const GRACE: Duration = Duration::from_secs(30);

/// A running process. Dropping it ends it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts `command` with its standard output and error going to the file `log`.
    ///
    /// # Errors
    ///
    /// The program is not there or may not be run, or the log cannot be written.
    pub fn start(mut command: Command, log: PathBuf) -> anyhow::Result<Process> {
        let file = File::create(&log).with_context(|| format!("failed to write `{}`", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Process::spawn(command, Some(log))
    }

    /// Starts `command` with our own standard output and error.
    ///
    /// # Errors
    ///
    /// As [`Process::start`].
    pub fn start_attached(mut command: Command) -> anyhow::Result<Process> {
        command.stdin(Stdio::null());
        Process::spawn(command, None)
    }

    fn spawn(mut command: Command, log: Option<PathBuf>) -> anyhow::Result<Process> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().with_context(|| format!("failed to start `{name}`"))?;
        Ok(Process { name, child, log })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; none while it runs.
    ///
    /// # Errors
    ///
    /// The system cannot say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `probe` answers, at most for `limit`.
    ///
    /// # Errors
    ///
    /// The process ended before, or `limit` has passed; the message has the last lines of its log.
    pub fn wait_until<T>(&mut self, limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
        let answer = crate::poll(limit, || match probe() {
            Some(answer) => Ok(Some(Ok(answer))),
            None => Ok(self.ended()?.map(Err)),
        })?;
        let failure = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(status)) => format!("ended with {status} before it was {what}"),
            None => format!("was not {what} within {} s", limit.as_secs()),
        };
        anyhow::bail!("`{}` {failure}\n{}", self.name, self.last_lines(20))
    }

    /// The last `count` lines of the log; empty without one.
    pub fn last_lines(&self, count: usize) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
    }

    /// All of the log so far; empty without one.
    pub fn log_text(&self) -> String {
        let bytes = self.log.as_deref().and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to end with SIGTERM and waits until it has, killing it if that takes longer than thirty seconds.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.stop_within(GRACE)
    }

    /// As [`Process::stop`], killing it after `grace`.
    ///
    /// # Errors
    ///
    /// As [`Process::stop`].
    pub fn stop_within(&mut self, grace: Duration) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(Signal::TERM);
        // One that a test has paused would not notice.
        self.signal(Signal::CONT);
        if let Some(status) = crate::poll(grace, || self.ended())? {
            return Ok(status);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Ends it with SIGKILL, which it does not notice, and waits for its end.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end, however long that takes.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Sends it SIGINT, as Ctrl-C would if it were in the foreground.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGTERM to it and to whatever it has started and left in its group.
    pub fn terminate_group(&self) {
        if let Some(id) = self.pid() {
            let _ = kill_process_group(id, Signal::TERM);
        }
    }

    /// Stops it in its tracks: it keeps its connections and does nothing. [`Process::go_on`] ends that.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // A signal is on its way for a while, and a thread that has not met it yet could still answer.
        let _ = crate::poll(Duration::from_secs(5), || Ok(self.stands_still().then_some(())));
    }

    /// Lets a paused process go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether each of its threads is stopped by a signal, as `/proc` has it.
    fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten().flatten();
        let mut states = tasks.map(|task| std::fs::read_to_string(task.path().join("stat")).unwrap_or_default());
        // The state follows the name, which is in brackets and may hold anything.
        states.all(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T')))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.pid() {
            // It may have ended by itself a moment ago, and its id is ours until we wait for it.
            let _ = kill_process(id, signal);
        }
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "what a failing test started has something to say about the failure, and only then")]
    fn drop(&mut self) {
        if std::thread::panicking() && self.log.is_some() {
            eprintln!("--- the last lines of `{}`:\n{}", self.name, self.last_lines(20));
        }
        let _ = self.stop();
    }
}

/// What `look` finds in the first line of the file `log` in which it finds something. A last line that is not finished yet is not looked at.
pub fn find_line<T>(log: &Path, look: impl FnMut(&str) -> Option<T>) -> Option<T> {
    let bytes = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (finished, _) = text.rsplit_once('\n')?;
    finished.lines().find_map(look)
}

/// `PATH` with `first` before everything else, and with the places of system programs, which a user's `PATH` may lack.
///
/// # Errors
///
/// `first` contains a colon.
pub fn search_path(first: &[PathBuf]) -> anyhow::Result<OsString> {
    let usual = environment("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let places = first.iter().cloned().chain(std::env::split_paths(&usual)).chain(system);
    std::env::join_paths(places).context("a folder of programs has a colon in its name")
}

/// The environment variable `name`; none if it is unset or empty.
#[expect(clippy::disallowed_methods, reason = "tests and commands are steered by the environment, and read it only here")]
pub fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Runs `command` to its end and answers what it printed.
///
/// # Errors
///
/// It cannot be started or ends without success; the message has what it wrote to standard error.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to run {shown}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{shown} ended with {}: {}", output.status, complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
