//! Rust's program for the cross-language tests: does what each line of standard input says, and answers with one line.
//!
//! It stands on the Rust crates alone, not on the C functions. The words, and the formula for the values, are the same in all languages;
//! `driver.rs` describes them.

use ndarray::{Dimension, IxDyn, ShapeBuilder};
use num_complex::Complex;
use shm_core::{Element, SharedArray};
use shm_sync::{Barrier, LockError, Mutex, MutexGuard, Primitive, ProcessLockError, ProcessMutex};
use std::collections::HashMap;
use std::io::BufRead;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

type Answer = Result<&'static str, String>;

/// An element type and the formula.
trait Number: Element + PartialEq {
    fn of(n: i64) -> Self;
}

macro_rules! numbers {
    ($($type:ty: $n:ident => $value:expr;)*) => {
        $(impl Number for $type {
            fn of($n: i64) -> Self {
                $value
            }
        })*
    };
}

numbers! {
    u8: n => n as u8;
    i32: n => ((n - 50) * 1_000_003) as i32;
    i64: n => (n - 50) * 1_000_000_000_000_037;
    f32: n => (n - 50) as f32 / 7.0;
    f64: n => (n - 50) as f64 / 7.0;
    Complex<f64>: n => Complex::new((n - 50) as f64 / 7.0, n as f64 / 11.0);
}

/// The value at an index.
fn value<T: Number>(shape: &[usize], index: &[usize], salt: usize) -> T {
    let place = index.iter().zip(shape).fold(0, |place, (index, extent)| place * extent + index);
    T::of(((7 * place + 13 * salt) % 101) as i64 + 3)
}

/// An array of whichever type.
trait Values {
    fn check(&self, fortran: bool, shape: &[usize], salt: usize) -> Answer;
    fn write(&self, salt: usize);
}

impl<T: Number> Values for SharedArray<T, IxDyn> {
    fn check(&self, fortran: bool, shape: &[usize], salt: usize) -> Answer {
        let like = ndarray::Array::<u8, _>::zeros(IxDyn(shape).set_f(fortran));
        if self.shape() != shape {
            return Err(format!("the shape is {:?}", self.shape()));
        }
        if self.strides() != like.strides() {
            return Err(format!(
                "the strides are {:?} elements, and not {:?}",
                self.strides(),
                like.strides()
            ));
        }
        for index in ndarray::indices(IxDyn(shape)) {
            if self.get(index.clone()) != value(shape, index.slice(), salt) {
                return Err(format!("the element {index:?} has another value"));
            }
        }
        Ok("done")
    }

    fn write(&self, salt: usize) {
        for index in ndarray::indices(self.dim()) {
            self.set(index.clone(), value(self.shape(), index.slice(), salt));
        }
    }
}

/// Calls a generic function with the type of this name.
macro_rules! with_type {
    ($name:expr, $function:ident($($argument:expr),*)) => {
        match $name {
            "u8" => $function::<u8>($($argument),*),
            "i32" => $function::<i32>($($argument),*),
            "i64" => $function::<i64>($($argument),*),
            "f32" => $function::<f32>($($argument),*),
            "f64" => $function::<f64>($($argument),*),
            "c128" => $function::<Complex<f64>>($($argument),*),
            other => Err(format!("no type {other}")),
        }
    };
}

fn created<T: Number>(name: &str, fortran: bool, shape: &[usize]) -> Result<Box<dyn Values>, String> {
    Ok(Box::new(SharedArray::<T, _>::zeros(name, IxDyn(shape).set_f(fortran)).map_err(text)?))
}

fn attached<T: Number>(name: &str) -> Result<Box<dyn Values>, String> {
    Ok(Box::new(SharedArray::<T, IxDyn>::attach(name).map_err(text)?))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn shape_of(text: &str) -> Vec<usize> {
    text.split('x').map(|extent| extent.parse().expect("an extent")).collect()
}

/// A lock. The program keeps each until it ends, so that guards can be kept beside them.
#[derive(Clone, Copy)]
enum Lock {
    Thread(&'static Mutex<()>),
    Process(&'static ProcessMutex),
}

/// What the program has open.
#[derive(Default)]
struct Held {
    arrays: HashMap<String, Box<dyn Values>>,
    locks: HashMap<String, Lock>,
    guards: HashMap<String, MutexGuard<'static, ()>>,
    barriers: HashMap<String, Barrier>,
}

fn kept<T>(made: Result<T, shm_sync::Error>) -> Result<&'static T, String> {
    Ok(Box::leak(Box::new(made.map_err(text)?)))
}

impl Held {
    fn obey(&mut self, words: &[&str]) -> Answer {
        match *words {
            ["create", name, kind, order, shape, salt] => {
                let array = with_type!(kind, created(name, order == "F", &shape_of(shape)))?;
                array.write(number(salt));
                self.arrays.insert(name.to_owned(), array);
            }
            ["check", name, kind, order, shape, salt] => {
                if !self.arrays.contains_key(name) {
                    self.arrays.insert(name.to_owned(), with_type!(kind, attached(name))?);
                }
                return self.arrays[name].check(order == "F", &shape_of(shape), number(salt));
            }
            ["write", name, _, salt] => self.arrays[name].write(number(salt)),
            ["make", "barrier", name, parties] => {
                let barrier = Barrier::create(name, number(parties) as u32).map_err(text)?;
                self.barriers.insert(name.to_owned(), barrier);
            }
            ["make", "mutex", name] => {
                self.locks.insert(name.to_owned(), Lock::Thread(kept(Mutex::create(name, ()))?));
            }
            ["make", "process-mutex", name] => {
                self.locks.insert(name.to_owned(), Lock::Process(kept(ProcessMutex::create(name, ()))?));
            }
            ["wait", name] => {
                if !self.barriers.contains_key(name) {
                    self.barriers.insert(name.to_owned(), Barrier::attach(name).map_err(text)?);
                }
                self.barriers[name].wait_timeout(PATIENCE).map_err(text)?;
            }
            ["close", name] => {
                self.arrays.remove(name);
                self.barriers.remove(name);
            }
            ["hold", kind, name] => match self.found(kind, name)? {
                Lock::Thread(mutex) => {
                    self.guards.insert(name.to_owned(), mutex.lock_timeout(PATIENCE).map_err(text)?);
                }
                Lock::Process(mutex) => mutex.lock_timeout(PATIENCE).map_err(text)?.keep(),
            },
            ["release", kind, name] => match self.found(kind, name)? {
                Lock::Thread(_) => drop(self.guards.remove(name).ok_or("this lock is not held")?),
                Lock::Process(mutex) => mutex.release().map_err(text)?,
            },
            ["lock", kind, name] => return state(self.found(kind, name)?, PATIENCE),
            ["try", kind, name] => return state(self.found(kind, name)?, Duration::ZERO),
            _ => return Err(format!("no such words: {words:?}")),
        }
        Ok("done")
    }

    fn found(&mut self, kind: &str, name: &str) -> Result<Lock, String> {
        if let Some(lock) = self.locks.get(name) {
            return Ok(*lock);
        }
        let lock = match kind {
            "mutex" => Lock::Thread(kept(Mutex::attach(name))?),
            _ => Lock::Process(kept(ProcessMutex::attach(name))?),
        };
        self.locks.insert(name.to_owned(), lock);
        Ok(lock)
    }
}

/// Takes the lock and gives it up, and says in which state it was.
fn state(lock: Lock, patience: Duration) -> Answer {
    let once = patience.is_zero();
    match lock {
        Lock::Thread(mutex) => match if once { mutex.try_lock() } else { mutex.lock_timeout(patience) } {
            Ok(_guard) => Ok("free"),
            Err(LockError::OwnerDied(left)) => {
                drop(left.recover());
                Ok("owner-died")
            }
            Err(error) if once && error.kind() == shm_sync::ErrorKind::Busy => Ok("busy"),
            Err(error) => Err(text(error)),
        },
        Lock::Process(mutex) => match if once { mutex.try_lock() } else { mutex.lock_timeout(patience) } {
            Ok(_guard) => Ok("free"),
            Err(ProcessLockError::OwnerDied(guard)) => {
                drop(guard.recover());
                Ok("owner-died")
            }
            Err(error) if once && error.kind() == shm_sync::ErrorKind::Busy => Ok("busy"),
            Err(error) => Err(text(error)),
        },
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

/// Serves until standard input ends.
pub(crate) fn serve() {
    let mut held = Held::default();
    println!(); // the test harness has left its line open
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of standard input");
        match held.obey(&line.split_whitespace().collect::<Vec<_>>()) {
            Ok(answer) => println!("= {answer}"),
            Err(why) => println!("! {}", why.replace('\n', " ")),
        }
    }
}
