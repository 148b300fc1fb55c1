//! The native module `shm._shm` of the Python package `shm`: memory, arrays and what lies beside them, over the crates of this workspace.
//!
//! Python code in `python/shm` makes the public face out of it; arguments are checked here, because everything passes here.
//!
//! | file | idea |
//! |---|---|
//! | `error.rs` | the crates' errors as Python exceptions |
//! | `dtype.rs` | NumPy's element types and the format's |
//! | `ranges.rs` | which addresses of this process are shared, and by what |
//! | `memory.rs` | the object that keeps memory mapped as long as an array uses it |
//! | `array.rs` | arrays over such memory: create, attach, rebuild |
//! | `raw.rs` | memory that somebody else has made, without a header |
//! | `options.rs` | keywords to options |
//! | `arguments.rs` | numbers and flags as Python gives them |
//! | `info.rs` | looking from outside: list, inspect, delete, reap |
//! | `reference.rs` | what a pickled array says about its memory |
//! | `tool.rs` | the command-line tool |
//! | `sync/` | locks and the other primitives |
//! | `pool/` | maps and calls in forked processes |

mod arguments;
mod array;
mod dtype;
mod error;
mod info;
mod memory;
mod options;
mod pool;
mod ranges;
mod raw;
mod reference;
mod sync;
mod tool;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
fn _shm(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<memory::Memory>()?;
    module.add_function(wrap_pyfunction!(array::set_array_type, module)?)?;
    module.add_function(wrap_pyfunction!(array::create, module)?)?;
    module.add_function(wrap_pyfunction!(array::attach, module)?)?;
    module.add_function(wrap_pyfunction!(array::attach_raw, module)?)?;
    module.add_function(wrap_pyfunction!(array::rebuild, module)?)?;
    module.add_function(wrap_pyfunction!(dtype::round_trip, module)?)?;
    module.add_function(wrap_pyfunction!(memory::make_writable, module)?)?;
    module.add_function(wrap_pyfunction!(memory::memory_of, module)?)?;
    module.add_function(wrap_pyfunction!(memory::is_shared, module)?)?;
    module.add_function(wrap_pyfunction!(info::delete, module)?)?;
    module.add_function(wrap_pyfunction!(info::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(info::list, module)?)?;
    module.add_function(wrap_pyfunction!(info::reap, module)?)?;
    module.add_function(wrap_pyfunction!(info::is_segment, module)?)?;
    module.add_function(wrap_pyfunction!(reference::find, module)?)?;
    module.add_function(wrap_pyfunction!(reference::attach_memory, module)?)?;
    module.add_function(wrap_pyfunction!(reference::open_name, module)?)?;
    module.add_function(wrap_pyfunction!(reference::open_descriptor, module)?)?;
    module.add_function(wrap_pyfunction!(reference::open_raw, module)?)?;
    module.add_function(wrap_pyfunction!(tool::command_line, module)?)?;
    sync::add_to(module)?;
    pool::add_to(module)
}
