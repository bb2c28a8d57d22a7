//! A child process that never outlives its test. Its output is recorded.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::process_tree::{ProcessIdentity, alive, descendants, marked};
use super::{DEADLINE, until};

/// A running child process with its own process group and temporary folder (`TMPDIR`).
pub struct Process {
    child: Child,
    name: String,
    stdout: Lines,
    stderr: Lines,
    folder: TempDir,
}

/// The exit status and the output of a process.
#[derive(Debug)]
pub struct Ended {
    /// The exit status or signal.
    pub status: ExitStatus,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

impl Ended {
    /// Standard error as one text.
    pub fn errors(&self) -> String {
        self.stderr.join("\n")
    }
}

/// Starts the program under test.
pub fn mesos_miner<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Process {
    start(env!("CARGO_BIN_EXE_mesos-miner"), arguments)
}

/// Starts any program. It inherits only a few environment variables, so that a test does not depend on the shell.
pub fn start<S: AsRef<OsStr>>(program: impl AsRef<Path>, arguments: impl IntoIterator<Item = S>) -> Process {
    start_in(tempfile::tempdir().expect("a temporary folder"), program, arguments)
}

/// Like [`start`], but with an existing temporary folder, for programs that need the folder's path as an argument.
pub fn start_in<S: AsRef<OsStr>>(
    folder: TempDir,
    program: impl AsRef<Path>,
    arguments: impl IntoIterator<Item = S>,
) -> Process {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "MESOS_BOX_CACHE", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("TMPDIR", folder.path())
        .env("RUST_BACKTRACE", "1")
        .current_dir(folder.path())
        .process_group(0);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.as_ref().display()));
    let stdout = Lines::of(child.stdout.take().expect("piped"));
    let stderr = Lines::of(child.stderr.take().expect("piped"));
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    let name = format!("{} {}", program.as_ref().display(), arguments.join(" "));
    Process { child, name, stdout, stderr, folder }
}

impl Process {
    /// The process id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process numbers are small")
    }

    /// The process's temporary folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.so_far()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.so_far()
    }

    /// Waits for a line of standard output for which `wanted` returns a value.
    pub fn wait_for_output<T>(&mut self, within: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        let lines = self.stdout.kept.clone();
        self.wait_for_line(&lines, within, wanted)
    }

    /// Waits for a line of standard error for which `wanted` returns a value.
    pub fn wait_for_error<T>(&mut self, within: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        let lines = self.stderr.kept.clone();
        self.wait_for_line(&lines, within, wanted)
    }

    fn wait_for_line<T>(
        &mut self,
        lines: &Mutex<Vec<String>>,
        within: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let limit = Instant::now() + within;
        let mut seen = 0;
        loop {
            let ended = self.child.try_wait().expect("it is our child").is_some();
            if ended {
                self.stdout.join();
                self.stderr.join();
            }
            let fresh = lines.lock().expect("readers never panic")[seen..].to_vec();
            seen += fresh.len();
            if let Some(found) = fresh.iter().find_map(|line| wanted(line)) {
                return found;
            }
            assert!(!ended, "it ended without the line waited for: {}", self.describe());
            assert!(Instant::now() < limit, "not within {within:?}: {}", self.describe());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Sends a signal to this process, but not to its process group.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id()).expect("a process number is not 0");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{signal:?} to {}: {e}", self.name));
    }

    /// Interrupts the process as Ctrl-C does, and waits for its end, which must be a success.
    pub fn interrupt(&mut self, within: Duration) -> Ended {
        self.signal(Signal::INT);
        let ended = self.wait(within);
        assert!(ended.status.success(), "{ended:#?}");
        ended
    }

    /// Waits for the end of the process. [`Process::assert_nothing_left`] finds processes that it has left behind.
    pub fn wait(&mut self, within: Duration) -> Ended {
        let limit = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                self.stdout.join();
                self.stderr.join();
                return Ended { status, stdout: self.stdout(), stderr: self.stderr() };
            }
            assert!(Instant::now() < limit, "did not end within {within:?}: {}", self.describe());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All other processes that belong to this one.
    pub fn family(&self) -> HashSet<ProcessIdentity> {
        let mut family = descendants(self.id());
        family.extend(marked(self.folder()));
        family.retain(|p| p.pid != self.id());
        family
    }

    /// Waits until no process of `family` and no process that uses the temporary folder is left. To get `family`, call
    /// [`Process::family`] while the process still runs.
    pub fn assert_nothing_left(&self, family: &HashSet<ProcessIdentity>, within: Duration) {
        until(&format!("no process of {} is left", self.name), within, || {
            let mut left: HashSet<ProcessIdentity> = family.iter().filter(|p| alive(p)).cloned().collect();
            left.extend(self.family());
            left.is_empty().then_some(())
        });
    }

    fn describe(&self) -> String {
        let tail = |lines: Vec<String>| lines[lines.len().saturating_sub(60)..].join("\n  ");
        format!("{}\nstdout:\n  {}\nstderr:\n  {}", self.name, tail(self.stdout()), tail(self.stderr()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at the time of the failure: {}", self.describe());
        }
        let family = self.family();
        if self.child.try_wait().ok().flatten().is_none() {
            let group = Pid::from_raw(self.id()).expect("a process number is not 0");
            // The process may have ended in the meantime.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
        for process in family.iter().filter(|p| alive(p)) {
            let _ = kill_process(Pid::from_raw(process.pid).expect("not 0"), Signal::KILL);
        }
    }
}

/// The lines of a pipe. A thread reads them.
struct Lines {
    kept: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let kept: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = kept.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                into.lock().expect("readers never panic").push(line);
            }
        });
        Lines { kept, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<String> {
        self.kept.lock().expect("readers never panic").clone()
    }

    /// Waits for the rest of the output after the process has ended, but only for a limited time. A process that was left behind
    /// keeps the pipe open, and the test must fail because of that process instead of hanging here.
    fn join(&mut self) {
        let limit = Instant::now() + DEADLINE;
        while self.reader.as_ref().is_some_and(|r| !r.is_finished()) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            self.reader.take().expect("just seen").join().expect("readers never panic");
        }
    }
}
