//! The `headgate` program.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    // Before any thread: libtss2 would print every refusal of the TPM on stderr.
    hal::tpm::silence_library();
    gateway::cli::main().into()
}
