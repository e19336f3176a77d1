//! The test stand: one controller, and every proxy in front of it, each a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use headgate_tests::{Bench, free_address, wait_for};

/// One way to the controller.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The process whose CPU time counts.
    pub(crate) pid: u32,
}

/// The controller and the proxies; dropping it ends them.
pub(crate) struct Stand {
    pub(crate) bench: Bench,
    /// In the order they are measured.
    pub(crate) candidates: Vec<Candidate>,
    target: SocketAddr,
    children: Vec<Child>,
}

impl Stand {
    /// The controller, Headgate in front of it in `enforce`, and the plain tokio proxy.
    pub(crate) fn new(prepare: impl FnOnce(&Bench)) -> Stand {
        let target = free_address();
        let (bench, candidates, children) = (Bench::new(), Vec::new(), Vec::new());
        let mut stand = Stand { bench, candidates, target, children };
        let server = own(&["serve", &target.to_string()]);
        stand.add("direct", target, server);
        let copy = free_address();
        stand.add("tokio copy", copy, own(&["copy", &copy.to_string(), &target.to_string()]));

        let conduit = free_address();
        let bench = &mut stand.bench;
        bench.plc(PLC, "match", "generic-file-record", target, conduit);
        bench.reconfigure("in_flight = 8", "in_flight = 128\nmax_stations = 64");
        bench.reconfigure("poll_s = 1", "poll_s = 10");
        bench.reconfigure("recheck_s = 1", "recheck_s = 60");
        bench.reconfigure("addresses = [\"0-99\"]", "addresses = [\"0-119\"]");
        prepare(bench);
        bench.start();
        wait_for(conduit);
        let pid = bench.pid();
        stand.candidates.push(Candidate { name: "headgate", address: conduit, pid });
        stand
    }

    /// HAProxy and nginx too.
    pub(crate) fn with_others(mut self) -> Stand {
        let dir = self.bench.dir.path().to_path_buf();
        let (haproxy, nginx) = (free_address(), free_address());
        let file = dir.join("haproxy.cfg");
        write(&file, &haproxy_config(haproxy, self.target));
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-q").arg("-f").arg(&file);
        self.add("haproxy", haproxy, command);
        let file = dir.join("nginx.conf");
        write(&file, &nginx_config(&dir, nginx, self.target));
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&dir).arg("-c").arg(&file).arg("-e").arg("stderr");
        self.add("nginx", nginx, command);
        self
    }

    fn add(&mut self, name: &'static str, address: SocketAddr, mut command: Command) {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}: deploy/setup.sh --bench"));
        let pid = child.id();
        self.children.push(child);
        wait_for(address);
        self.candidates.push(Candidate { name, address, pid });
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Candidate {
    /// CPU time of every thread of the process so far, in nanoseconds.
    pub(crate) fn cpu(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("it runs");
        let of = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        tasks.flatten().map(of).sum()
    }
}

/// This program in another of its parts.
fn own(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running program"));
    command.args(args);
    command
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("writable");
}

fn haproxy_config(listen: SocketAddr, target: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen modbus\n  bind {listen}\n  server controller {target}\n"
    )
}

fn nginx_config(dir: &Path, listen: SocketAddr, target: SocketAddr) -> String {
    let pid = dir.join("nginx.pid");
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off;\nmaster_process off;\nerror_log stderr;\npid {};\nevents {{}}\n\
         stream {{ server {{ listen {listen}; proxy_pass {target}; }} }}\n",
        pid.display()
    )
}

/// Name of the controller.
pub(crate) const PLC: &str = "line-1";
