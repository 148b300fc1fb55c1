//! The gate under loom: every interleaving of waiters, openers and deaths, with the kernel's part played by the model.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_gate --release`. Loom reports a thread that sleeps for ever (a lost wake-up) as a
//! deadlock. Two tests leave a part of the protocol out and expect exactly that: without it these models would prove nothing.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use shm_sync::model::gate::{Death, Door, Turnstile};

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(threads);
}

/// Runs each of these in a thread of its own, and `here` in this one, at one turnstile; all have to end.
fn at_a_turnstile(others: &[fn(&Turnstile)], here: fn(&Turnstile)) -> Arc<Turnstile> {
    let turnstile = Arc::new(Turnstile::default());
    let others: Vec<_> = others
        .iter()
        .map(|run| {
            let (run, turnstile) = (*run, turnstile.clone());
            thread::spawn(move || run(&turnstile))
        })
        .collect();
    here(&turnstile);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    turnstile
}

/// The same at a door.
fn at_a_door(others: &[fn(&Door)], here: fn(&Door)) {
    let door = Arc::new(Door::default());
    let others: Vec<_> = others
        .iter()
        .map(|run| {
            let (run, door) = (*run, door.clone());
            thread::spawn(move || run(&door))
        })
        .collect();
    here(&door);
    others.into_iter().for_each(|thread| thread.join().unwrap());
}

fn admit_two(turnstile: &Turnstile) {
    turnstile.admit();
    turnstile.admit();
}

#[test]
fn an_opening_is_not_lost() {
    model(|| {
        let turnstile = at_a_turnstile(&[Turnstile::pass], Turnstile::admit);
        assert!(!turnstile.barge());
    });
}

/// The first of two openings takes the mark away; the first one woken passes the second wake-up on.
#[test]
fn two_openings_in_a_row_let_two_through() {
    model(|| {
        let turnstile = at_a_turnstile(&[Turnstile::pass, Turnstile::pass], admit_two);
        assert!(!turnstile.barge());
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn two_openings_in_a_row_need_the_passing_on() {
    model(|| {
        at_a_turnstile(&[Turnstile::pass_selfishly, Turnstile::pass_selfishly], admit_two);
    });
}

#[test]
fn two_openers_at_once_let_two_through() {
    model(|| {
        at_a_turnstile(&[Turnstile::pass, Turnstile::pass, Turnstile::admit], Turnstile::admit);
    });
}

/// Somebody takes the ticket that a waiter was woken for, and gives it back: the waiter passes with that one.
#[test]
fn whoever_barges_in_costs_nobody_his_wake_up() {
    fn barge_and_admit(turnstile: &Turnstile) {
        if turnstile.barge() {
            turnstile.admit();
        }
    }
    model(|| {
        at_a_turnstile(&[Turnstile::pass, barge_and_admit], Turnstile::admit);
    });
}

/// A waiter that gives up, also right after it was woken, takes no wake-up with it.
#[test]
fn whoever_gives_up_takes_no_wake_up_with_it() {
    fn give_up_or_hand_back(turnstile: &Turnstile) {
        if turnstile.pass_or_give_up() {
            turnstile.admit();
        }
    }
    model(|| {
        at_a_turnstile(&[Turnstile::pass, give_up_or_hand_back], Turnstile::admit);
    });
}

/// Killed asleep, woken but not run yet, or on its way to sleep: the kernel passes the wake-up on, without a re-check.
#[test]
fn a_killed_waiter_takes_no_wake_up_with_it() {
    model(|| {
        let turnstile = at_a_turnstile(&[Turnstile::pass, Turnstile::die_woken], Turnstile::admit);
        assert!(!turnstile.barge());
    });
}

/// The same while somebody barges in: the low bits of a gate are 0 in any case, so the kernel always passes it on.
#[test]
fn a_killed_waiter_and_a_barger_leave_the_gate_open() {
    fn barge_and_admit(turnstile: &Turnstile) {
        if turnstile.barge() {
            turnstile.admit();
        }
    }
    model(|| {
        at_a_turnstile(&[Turnstile::pass, Turnstile::die_woken, barge_and_admit], Turnstile::admit);
    });
}

/// Two openings; the first one woken takes its ticket and dies before it passes the second wake-up on.
#[test]
fn whoever_dies_before_passing_it_on_has_the_kernel_do_it() {
    model(|| {
        at_a_turnstile(&[Turnstile::pass, Turnstile::die_with_a_ticket], admit_two);
    });
}

#[test]
fn an_opener_killed_after_the_change_has_one_woken() {
    model(|| {
        at_a_turnstile(&[Turnstile::pass], |turnstile| turnstile.admit_and_die(Death::Changed));
    });
}

#[test]
fn an_opener_killed_after_its_swap_has_one_woken() {
    model(|| {
        at_a_turnstile(&[Turnstile::pass], |turnstile| turnstile.admit_and_die(Death::Swapped));
    });
}

/// Two openers die one after the other, with two waiting: whoever wakes passes it on.
#[test]
fn two_killed_openers_let_two_through() {
    for (first, second) in [
        (Death::Changed, Death::Changed),
        (Death::Swapped, Death::Changed),
        (Death::Changed, Death::Swapped),
        (Death::Swapped, Death::Swapped),
    ] {
        model(move || {
            let turnstile = Arc::new(Turnstile::default());
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let turnstile = turnstile.clone();
                    thread::spawn(move || turnstile.pass())
                })
                .collect();
            turnstile.admit_and_die(first);
            turnstile.admit_and_die(second);
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}

/// A waiter and an opener die, in any order; the other waiter passes.
#[test]
fn a_killed_waiter_and_a_killed_opener_jam_nobody() {
    for death in [Death::Changed, Death::Swapped] {
        model(move || {
            let turnstile = Arc::new(Turnstile::default());
            let others: [fn(&Turnstile); 2] = [Turnstile::pass, Turnstile::die_woken];
            let others = others.map(|run| {
                let turnstile = turnstile.clone();
                thread::spawn(move || run(&turnstile))
            });
            turnstile.admit_and_die(death);
            others.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

/// An opener that could not name the gate: only the end of the time slice helps.
#[test]
fn the_re_check_repairs_what_nobody_was_told() {
    for death in [Death::Changed, Death::Swapped] {
        model(move || {
            let turnstile = Arc::new(Turnstile::default());
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let turnstile = turnstile.clone();
                    thread::spawn(move || turnstile.pass())
                })
                .collect();
            turnstile.admit_and_die_unnamed(death);
            turnstile.admit_and_die_unnamed(death);
            turnstile.recheck();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_unnamed_death_needs_the_re_check() {
    model(|| {
        at_a_turnstile(&[Turnstile::pass], |turnstile| turnstile.admit_and_die_unnamed(Death::Changed));
    });
}

#[test]
fn a_door_opens_for_all() {
    model(|| at_a_door(&[Door::pass, Door::pass], Door::open));
}

#[test]
fn a_door_opened_twice_opens_for_all() {
    model(|| at_a_door(&[Door::pass, Door::pass, Door::open], Door::open));
}

#[test]
fn a_killed_waiter_and_one_that_gives_up_leave_the_door_open() {
    fn give_up(door: &Door) {
        door.pass_or_give_up();
    }
    model(|| at_a_door(&[Door::pass, Door::die_woken, give_up], Door::open));
}

/// The mark is still there: whoever is woken in the dead opener's stead wakes the others.
#[test]
fn an_opener_for_all_killed_before_its_swap_lets_all_through() {
    model(|| at_a_door(&[Door::pass, Door::pass], |door| door.open_and_die(Death::Changed)));
}

/// And if that one is killed as well, the kernel wakes the next.
#[test]
fn a_killed_opener_for_all_and_a_killed_waiter_let_all_through() {
    model(|| at_a_door(&[Door::pass, Door::die_woken, Door::pass], |door| door.open_and_die(Death::Changed)));
}

/// Two instructions in which the opener's death leaves the others to their re-check.
#[test]
fn an_opener_for_all_killed_after_its_swap_lets_all_through_with_the_re_check() {
    model(|| {
        at_a_door(&[Door::pass, Door::pass], |door| {
            door.open_and_die(Death::Swapped);
            door.recheck();
        });
    });
}
