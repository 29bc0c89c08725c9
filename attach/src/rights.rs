//! Why the kernel doesn't let this user look at a process, and what to do about it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::process::Status;

/// `CAP_SYS_PTRACE` in a mask of capabilities.
const SYS_PTRACE: u64 = 1 << 19;

/// What decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Effective user id of this command, and of the process.
    own_uid: u32,
    uid: u32,
    own_capabilities: u64,
    /// All that the process may have.
    capabilities: u64,
    /// `kernel.yama.ptrace_scope`; none where the kernel has no such rule.
    ptrace_scope: Option<u8>,
    /// Whether the process forbids to be looked at.
    is_closed: bool,
    in_container: bool,
    /// Whether a filter on system calls is in force for this command.
    has_filter: bool,
    other_user_namespace: bool,
    /// Who traces it already.
    tracer: i32,
}

impl Facts {
    /// Asks the kernel.
    pub(crate) fn of(pid: i32, status: &Status) -> Self {
        let own = Status::read("/proc/self/status").unwrap_or_default();
        let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let owner = fs::metadata(format!("/proc/{pid}")).map(|of| of.uid()).ok();
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let theirs = namespace(&pid.to_string());
        let marks = ["/.dockerenv", "/run/.containerenv"];
        let in_container = marks.iter().any(|mark| fs::metadata(mark).is_ok())
            || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        Self {
            own_uid: own.uid,
            uid: status.uid,
            own_capabilities: own.capabilities,
            capabilities: status.capabilities,
            ptrace_scope: scope.and_then(|scope| scope.trim().parse().ok()),
            // Its files in /proc belong to root when it may not be looked at.
            is_closed: owner == Some(0) && status.uid != 0,
            in_container,
            has_filter: own.seccomp == 2,
            other_user_namespace: theirs.is_some() && theirs != namespace("self"),
            tracer: status.tracer,
        }
    }

    /// What is in the way, and what to do, in one sentence or two.
    pub(crate) fn fix(&self) -> String {
        let has_capability = self.own_capabilities & SYS_PTRACE != 0;
        if self.tracer != 0 {
            return format!(
                "process {} (a debugger, or strace) traces it already: end that first",
                self.tracer
            );
        }
        if self.ptrace_scope == Some(3) {
            return "kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next \
                    boot: set it to 1 in /etc/sysctl.d and boot again"
                .to_owned();
        }
        if has_capability {
            return self.fix_with_capability();
        }
        if self.own_uid != self.uid {
            let who = format!("it runs as user {}, and this command as {}", self.uid, self.own_uid);
            return format!("{who}: run this command as that user, or as root (`sudo holdup …`)");
        }
        let grant = self.grant();
        match self.ptrace_scope {
            Some(1) => format!(
                "kernel.yama.ptrace_scope is 1, so only a parent may look at its children: {grant}, \
                 or allow it for now with `sudo sysctl kernel.yama.ptrace_scope=0`"
            ),
            Some(2) => {
                format!("kernel.yama.ptrace_scope is 2, so CAP_SYS_PTRACE is needed: {grant}")
            }
            _ if self.is_closed => format!(
                "it forbids to be looked at (prctl PR_SET_DUMPABLE, or its file can't be read by its \
                 user, or has capabilities): {grant}"
            ),
            _ if self.capabilities & !self.own_capabilities != 0 => {
                format!("it has capabilities that this command doesn't have: {grant}")
            }
            _ if self.has_filter => format!("a seccomp filter is in the way: {UNFILTERED}"),
            _ => format!("CAP_SYS_PTRACE is missing: {grant}"),
        }
    }

    fn fix_with_capability(&self) -> String {
        if self.other_user_namespace {
            return "it is in another user namespace, where CAP_SYS_PTRACE of this one counts for \
                    nothing: run this command on the host, as root"
                .to_owned();
        }
        if self.has_filter {
            return format!("a seccomp filter is in the way: {UNFILTERED}");
        }
        "though CAP_SYS_PTRACE is there, a security module (SELinux, AppArmor) forbids it: see the \
         kernel's log (`dmesg`), and allow ptrace to this command's profile"
            .to_owned()
    }

    /// How to get the capability.
    fn grant(&self) -> &'static str {
        match (self.in_container, self.own_uid) {
            (true, _) => {
                "start the container with `--cap-add SYS_PTRACE` (Kubernetes: `securityContext: \
                 {capabilities: {add: [SYS_PTRACE]}}`), or run this command on the host as root"
            }
            (false, 0) => "give this shell CAP_SYS_PTRACE, which root lacks here",
            (false, _) => {
                "run this command as root (`sudo holdup …`), or once `sudo setcap \
                 cap_sys_ptrace+ep $(command -v holdup)`"
            }
        }
    }
}

/// What lets the calls through.
const UNFILTERED: &str = "start the container with `--cap-add SYS_PTRACE` (which opens Docker's own \
                          filter for ptrace and process_vm_readv), or with `--security-opt \
                          seccomp=FILE` of a filter that allows these";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { own_uid: 1000, uid: 1000, ..Facts::default() }
    }

    #[test]
    fn the_message_names_what_is_in_the_way_and_the_fix() {
        let root = Facts { uid: 0, own_uid: 0, ..facts() };
        let with_all = Facts { own_capabilities: u64::MAX, ..root.clone() };
        let cases = [
            (Facts { uid: 33, ..facts() }, ["runs as user 33", "sudo holdup"]),
            (Facts { ptrace_scope: Some(1), ..facts() }, ["ptrace_scope is 1", "sysctl"]),
            (Facts { ptrace_scope: Some(2), ..facts() }, ["ptrace_scope is 2", "setcap"]),
            (Facts { ptrace_scope: Some(3), ..root.clone() }, ["ptrace_scope is 3", "boot"]),
            (Facts { is_closed: true, ..facts() }, ["forbids to be looked at", "setcap"]),
            (
                Facts { in_container: true, ..facts() },
                ["CAP_SYS_PTRACE is missing", "--cap-add SYS_PTRACE"],
            ),
            (
                Facts { capabilities: 1, in_container: true, ..root },
                ["capabilities that this command", "--cap-add SYS_PTRACE"],
            ),
            (Facts { has_filter: true, ..facts() }, ["seccomp", "--security-opt"]),
            (Facts { tracer: 7, ..facts() }, ["process 7", "end that"]),
            (
                Facts { other_user_namespace: true, ..with_all.clone() },
                ["user namespace", "on the host"],
            ),
            (with_all, ["security module", "dmesg"]),
        ];
        for (facts, expected) in cases {
            let fix = facts.fix();
            assert!(expected.iter().all(|part| fix.contains(part)), "{facts:?}: {fix}");
        }
    }
}
