//! Standard output: buffered, aligned for a terminal or plain for a pipe, and quiet when nobody reads on. Notes go to standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::table::Table;

/// Standard output.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Output {
    pub(crate) fn new() -> Output {
        let stdout = io::stdout();
        Output { terminal: stdout.is_terminal(), out: BufWriter::with_capacity(1 << 16, stdout.lock()) }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.out.write_all(bytes).map_err(|e| Failure::of_output(&e))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl Display) -> Outcome {
        writeln!(self.out, "{line}").map_err(|e| Failure::of_output(&e))
    }

    /// Writes a table: in columns for people, separated by tabs and without a heading for programs.
    pub(crate) fn table(&mut self, table: &Table) -> Outcome {
        let text = if self.terminal { table.aligned() } else { table.tabbed() };
        self.bytes(text.as_bytes())
    }

    /// Writes a document of JSON, indented for people.
    pub(crate) fn json(&mut self, document: &impl serde::Serialize) -> Outcome {
        let written = match self.terminal {
            true => serde_json::to_writer_pretty(&mut self.out, document),
            false => serde_json::to_writer(&mut self.out, document),
        };
        written.map_err(|e| Failure::of_output(&e.into()))?;
        self.bytes(b"\n")
    }

    /// Writes what is still in the buffer: without it, its failure would go unseen.
    pub(crate) fn finish(mut self) -> Outcome {
        self.out.flush().map_err(|e| Failure::of_output(&e))
    }
}

/// Says something beside the output. Nobody has to be there to hear it.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "shm: {text}");
}
