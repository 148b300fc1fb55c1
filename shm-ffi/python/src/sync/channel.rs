//! `Channel`: a bounded queue of byte messages. Python puts objects into it (`shm.Queue`).

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shm_sync::{ByteChannel, Error, ErrorKind, Primitive};

use super::wait::{deadline, wait};
use super::{Site, primitive};
use crate::arguments::truth;
use crate::error::{Failure, Result, of_kind};

/// The standard library's queues say what was the matter, not that the time is over.
fn in_time(py: Python<'_>, error: Error, kind: ErrorKind) -> Failure {
    match error.kind() {
        ErrorKind::TimedOut => of_kind(py, kind, &error.to_string(), None).into(),
        _ => error.into(),
    }
}

primitive!(
    /// A bounded queue of byte messages, for any number of producers and consumers.
    Channel(ByteChannel), |site: &Site| ByteChannel::attach_in(&site.segment, &site.entry), {
        /// Sends a message. queue.Full if there is no room (in time), ClosedError if the channel is closed, ValueError if the message is too long for it.
        #[pyo3(signature = (message, block = true, timeout = None))]
        fn send(&self, py: Python<'_>, message: &[u8], #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<()> {
            if !block {
                return Ok(self.inner.try_send(message)?);
            }
            let deadline = deadline(timeout)?;
            let sent = wait(py, || self.inner.send_interruptible(message, deadline))?;
            sent.map_err(|error| in_time(py, error, ErrorKind::Full))
        }

        /// Receives a message. queue.Empty if there is none (in time), ClosedError if there is none and the channel is closed.
        #[pyo3(signature = (block = true, timeout = None))]
        fn recv<'py>(&self, py: Python<'py>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<Bound<'py, PyBytes>> {
            let message = if block {
                let deadline = deadline(timeout)?;
                let received = wait(py, || self.inner.recv_interruptible(deadline))?;
                received.map_err(|error| in_time(py, error, ErrorKind::Empty))?
            } else {
                self.inner.try_recv()?
            };
            Ok(PyBytes::new(py, &message))
        }

        /// Closes it for everybody: nothing can be sent any more, and what is in it can still be received. False if it was closed already.
        fn close(&self) -> Result<bool> {
            Ok(self.inner.close()?)
        }

        /// Whether it is closed.
        #[getter]
        fn closed(&self) -> bool {
            self.inner.is_closed()
        }

        /// How many bytes it has room for.
        #[getter]
        fn capacity(&self) -> usize {
            self.inner.capacity()
        }

        fn __len__(&self) -> usize {
            self.inner.len()
        }
    }
);
