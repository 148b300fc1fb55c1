//! The exclusive lease, and leases that travel to other processes.

mod common;

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use common::{Line, Name, Object, alone, fork, kind, refused, sigkill, stay};
use ndarray::Ix1;
use shm_core::{
    Access, Anonymous, Contents, ErrorKind, Lease, Lifetime, Segment, SegmentOptions, SharedArray, delete,
    inspect,
};
use shm_testkit::{Child, Numbers};

type Array = SharedArray<u64, Ix1>;

fn filled(name: &Name, lifetime: Lifetime) -> Array {
    SharedArray::full(SegmentOptions::new().lifetime(lifetime).named(name).unwrap(), 10, 7).unwrap()
}

fn attach(name: &Name) -> Array {
    Array::attach(name).unwrap()
}

/// A child that has the segment attached until it is told to end or killed; it shares nothing with this process.
fn attacher(name: &Name, line: &Line, access: Access) -> Child {
    let mut child = fork(|| {
        let segment = SegmentOptions::new().access(access).attach(name).unwrap();
        line.tell_parent(0);
        line.hear_parent();
        drop(segment);
    });
    line.hear_child(&mut child);
    child
}

#[test]
fn smoke() {
    let _alone = alone();
    let name = Name::shm("smoke");
    let mut array = filled(&name, Lifetime::Persistent);
    let me = std::process::id();
    {
        let mut alone = array.exclusive().unwrap();
        alone.view_mut()[3] = 4;
        alone.as_mut_slice().unwrap()[4] = 5;
        assert_eq!(alone.view().sum(), 8 * 7 + 9);
        let holder = format!("process {me}");
        refused(Segment::attach(&name), ErrorKind::Busy, &[&name.text(), &holder, "try again"]);
        fork(|| drop(refused(Segment::attach(&name), ErrorKind::Busy, &[&holder]))).expect_success();
        for access in [Access::ReadOnly, Access::CopyOnWrite] {
            assert_eq!(kind(SegmentOptions::new().access(access).attach(&name)), ErrorKind::Busy);
        }
        let other = std::thread::scope(|scope| scope.spawn(|| kind(Array::attach(&name))).join().unwrap());
        assert_eq!(other, ErrorKind::Busy);
        let contents = Contents::new().bytes("", 1, 1).unwrap();
        assert_eq!(kind(SegmentOptions::new().create(&name, &contents)), ErrorKind::AlreadyExists);
        assert_eq!(kind(SegmentOptions::new().create_or_attach(&name, &contents)), ErrorKind::Busy);
        // Looking is no hindrance and disturbs nobody.
        let info = inspect(&name).unwrap();
        assert_eq!((info.leased_by, info.attached), (Some(me), true));
    }
    assert_eq!(inspect(&name).unwrap().leased_by, None);
    assert_eq!(attach(&name).get(4), 5);
    assert!(array.exclusive().is_ok(), "again and again");
}

#[test]
fn any_other_handle_in_the_process_is_in_the_way() {
    let _alone = alone();
    for name in [Some(Name::shm("clone")), Some(Name::file("clone")), None] {
        let mut array: Array = match &name {
            Some(name) => filled(name, Lifetime::Persistent),
            None => SharedArray::full(Anonymous, 10, 7).unwrap(),
        };
        let clone = array.clone();
        refused(array.exclusive(), ErrorKind::Busy, &["other handles", "drop them first"]);
        drop(clone);
        let segment = array.segment().clone();
        assert_eq!(kind(array.exclusive()), ErrorKind::Busy);
        drop(segment);
        if let Some(name) = &name {
            for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
                let other = SegmentOptions::new().access(access).attach(name).unwrap();
                assert_eq!(kind(array.exclusive()), ErrorKind::Busy, "{access:?}");
                drop(other);
            }
        }
        let lease = array.segment().lease().unwrap();
        refused(array.exclusive(), ErrorKind::Busy, &["others have it attached"]);
        drop(lease);
        array.exclusive().unwrap().view_mut().fill(1);
    }
}

#[test]
fn another_process_is_in_the_way_until_it_has_gone() {
    let _alone = alone();
    let name = Name::shm("others");
    drop(filled(&name, Lifetime::Persistent));
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        for kill in [false, true] {
            let line = Line::new();
            let child = attacher(&name, &line, access);
            let mut array = attach(&name);
            refused(array.exclusive(), ErrorKind::Busy, &["others have it attached", &name.text()]);
            if kill {
                sigkill(child);
            } else {
                line.tell_child(0);
                child.expect_success();
            }
            assert!(array.exclusive().is_ok(), "{access:?}, killed: {kill}");
        }
    }
}

#[test]
fn a_killed_holder_gives_it_back() {
    let _alone = alone();
    let name = Name::shm("killed");
    drop(filled(&name, Lifetime::Persistent));
    let line = Line::new();
    let mut holder = fork(|| {
        let mut array = attach(&name);
        let mut alone = array.exclusive().unwrap();
        alone.view_mut()[0] = 99;
        line.tell_parent(0);
        stay();
    });
    line.hear_child(&mut holder);
    let pid = holder.pid();
    refused(Segment::attach(&name), ErrorKind::Busy, &[&format!("process {pid} ")]);
    assert_eq!(inspect(&name).unwrap().leased_by, Some(pid as u32));
    sigkill(holder);
    let mut array = attach(&name);
    assert_eq!(array.get(0), 99, "what it wrote stays");
    assert_eq!(inspect(&name).unwrap().leased_by, None, "though its id is still written there");
    assert!(array.exclusive().is_ok());
}

#[test]
fn a_deleted_segment_can_be_leased_by_those_who_have_it() {
    let _alone = alone();
    let name = Name::shm("deleted");
    let mut array = filled(&name, Lifetime::Persistent);
    let mut alone = array.exclusive().unwrap();
    delete(&name).unwrap();
    alone.view_mut()[0] = 1;
    let new = filled(&name, Lifetime::Persistent);
    assert_eq!(alone.view()[0], 1, "the new one is not leased");
    drop(alone);
    drop(new);
    assert!(array.exclusive().is_ok());
}

#[test]
fn a_forked_child_may_neither_take_nor_use_it() {
    let _alone = alone();
    let name = Name::shm("inherited");
    let mut array = filled(&name, Lifetime::Persistent);
    let mut child_array = Some(array.segment().clone());
    fork(|| {
        let mut segment = child_array.take().unwrap();
        refused(segment.exclusive().map(drop), ErrorKind::Inherited, &[&name.text(), "parent"]);
    })
    .expect_success();
    drop(child_array);
    let mut alone = array.exclusive().unwrap();
    let mut child = fork(|| assert_eq!(alone.view()[0], 7));
    child.wait();
    assert!(child.panic_message().unwrap().contains("inherited by a forked process"));
    let mut child = fork(|| alone.view_mut()[0] = 1);
    child.wait();
    assert!(child.panic_message().unwrap().contains("inherited by a forked process"));
    let mut child = fork(|| alone.as_mut_slice().unwrap()[0] = 1);
    child.wait();
    assert!(child.panic_message().unwrap().contains("inherited by a forked process"));
    // Dropping what it inherited gives nothing back.
    let mut alone = Some(alone);
    fork(|| {
        drop(alone.take());
        assert_eq!(kind(Segment::attach(&name)), ErrorKind::Busy);
    })
    .expect_success();
    fork(|| assert_eq!(kind(Segment::attach(&name)), ErrorKind::Busy)).expect_success();
    alone.as_mut().unwrap().view_mut()[0] = 8;
    assert_eq!(inspect(&name).unwrap().leased_by, Some(std::process::id()));
    drop(alone);
    assert_eq!(array.get(0), 8);
}

#[test]
fn a_child_that_attaches_what_it_inherited_is_in_the_way() {
    let _alone = alone();
    for by_lease in [false, true] {
        let name = Name::shm("child-attaches");
        let mut array = filled(&name, Lifetime::LastDetach);
        let line = Line::new();
        let mut child = fork(|| {
            let again = if by_lease {
                Array::from_segment(&array.segment().lease().unwrap().attach().unwrap()).unwrap()
            } else {
                attach(&name)
            };
            assert_eq!(again.segment().as_ptr(), array.segment().as_ptr());
            line.tell_parent(0);
            line.hear_parent();
            again.set(1, 2);
        });
        line.hear_child(&mut child);
        refused(array.exclusive(), ErrorKind::Busy, &["others have it attached"]);
        line.tell_child(0);
        child.expect_success();
        assert_eq!(array.exclusive().unwrap().view()[1], 2);
        assert!(name.exists());
        drop(array);
        assert!(!name.exists());
    }
}

#[test]
fn of_many_processes_one_at_a_time_has_it() {
    const ROUNDS: u64 = 60;
    let _alone = alone();
    let name = Name::shm("many");
    drop(filled(&name, Lifetime::Persistent));
    let children: Vec<Child> = (1..=4)
        .map(|i| {
            let name = &name;
            fork(move || {
                let mut numbers = Numbers::new(i);
                let mut done = 0;
                while done < ROUNDS {
                    let taken = Array::attach(name).and_then(|mut array| {
                        let mut alone = array.exclusive()?;
                        // Nothing atomic about it: who else is here would be seen.
                        let mut view = alone.view_mut();
                        let before = view[0];
                        view[1] = i;
                        std::thread::yield_now();
                        assert_eq!((view[0], view[1]), (before, i));
                        view[0] = before + 1;
                        Ok(())
                    });
                    match taken {
                        Ok(()) => done += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                    }
                    std::thread::sleep(std::time::Duration::from_micros(numbers.below(300)));
                }
            })
        })
        .collect();
    children.into_iter().for_each(Child::expect_success);
    assert_eq!(attach(&name).get(0), 7 + 4 * ROUNDS);
}

#[test]
fn an_array_on_its_way_outlives_its_sender() {
    let _alone = alone();
    for named in [true, false] {
        for kill in [false, true] {
            let name = Name::shm("travel");
            let (here, there) = UnixStream::pair().unwrap();
            let line = Line::new();
            let mut sender = fork(|| {
                let array = if named {
                    filled(&name, Lifetime::LastDetach)
                } else {
                    SharedArray::full(Anonymous, 10, 7).unwrap()
                };
                array.set(9, 1234);
                array.segment().lease().unwrap().send(&there).unwrap();
                line.tell_parent(0);
                if kill {
                    stay();
                }
            });
            line.hear_child(&mut sender);
            if kill {
                sigkill(sender);
            } else {
                sender.expect_success();
            }
            // Now the lease, unread, is all that there is of it.
            assert_eq!(name.exists(), named);
            if named {
                assert!(inspect(&name).unwrap().attached);
                assert!(shm_core::reap().unwrap().iter().all(|n| n.path() != name.path()));
                fork(|| assert_eq!(attach(&name).get(9), 1234)).expect_success();
            }
            let lease = Lease::receive(&here).unwrap();
            let received = Array::from_segment(&lease.attach().unwrap()).unwrap();
            drop(lease);
            assert_eq!((received.get(9), received.get(0)), (1234, 7));
            let object = Object::of(received.segment());
            assert_eq!(object.uses(), (1, 1));
            assert_eq!(received.segment().name().map(|n| n.path()), named.then_some(name.path()));
            drop(received);
            assert_eq!(object.uses(), (0, 0));
            assert!(!name.exists(), "the receiver was the last, and freed the name at once");
        }
    }
}

#[test]
fn a_lease_that_nobody_receives_ends_with_its_socket() {
    let _alone = alone();
    let name = Name::shm("unread");
    let (here, there) = UnixStream::pair().unwrap();
    let array = filled(&name, Lifetime::LastDetach);
    array.segment().lease().unwrap().send(&there).unwrap();
    drop(array);
    assert!(Segment::attach(&name).is_ok());
    drop((here, there));
    assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
    assert!(!name.exists());
}

#[test]
fn a_lease_can_be_handed_on_unopened() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    let array: Array = SharedArray::full(Anonymous, 10, 3).unwrap();
    array.segment().lease().unwrap().send(&here).unwrap();
    drop(array);
    let (line, answer) = (Line::new(), UnixStream::pair().unwrap());
    let mut middle = fork(|| {
        let fd: OwnedFd = Lease::receive(&there).unwrap().into();
        Lease::from(fd).send(&answer.0).unwrap();
        line.tell_parent(0);
    });
    line.hear_child(&mut middle);
    middle.expect_success();
    let lease = Lease::receive(&answer.1).unwrap();
    assert!(rustix::fs::fstat(lease.as_fd()).is_ok());
    let twice = [lease.attach().unwrap(), lease.attach_with(&SegmentOptions::new().read_only()).unwrap()];
    assert_eq!(Array::from_segment(&twice[0]).unwrap().get(9), 3);
    assert_eq!(twice[1].access(), Access::ReadOnly);
}

#[test]
fn a_lease_of_a_read_only_attachment_is_one_too() {
    let _alone = alone();
    let name = Name::shm("read-only");
    let array = filled(&name, Lifetime::LastDetach);
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let reader = SegmentOptions::new().access(access).attach(&name).unwrap();
        let lease = reader.lease().unwrap();
        drop(reader);
        assert!(fork_attach(&name));
        drop(lease);
    }
    let lease = SegmentOptions::new().read_only().attach(&name).unwrap().lease().unwrap();
    drop(array);
    assert!(fork_attach(&name), "it keeps the segment alive");
    assert_eq!(
        Array::from_segment(&lease.attach().unwrap()).unwrap().get(0),
        7,
        "whose mode lets it be written"
    );
    drop(lease);
    assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
}

fn fork_attach(name: &Name) -> bool {
    let mut child = fork(|| drop(Segment::attach(name).unwrap()));
    child.wait() == shm_testkit::Status::Exited(0)
}

#[test]
fn a_lease_of_a_scoped_segment_does_not_replace_its_owner() {
    let _alone = alone();
    let name = Name::shm("scoped");
    let array = filled(&name, Lifetime::Scoped);
    let lease = array.segment().lease().unwrap();
    let attached = fork_attach(&name);
    assert!(attached);
    drop(array);
    assert!(!name.exists());
    refused(lease.attach(), ErrorKind::NotFound, &["lifetime is over"]);
}

#[test]
fn what_is_no_lease_is_told() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    (&there).write_all(&[0]).unwrap();
    refused(Lease::receive(&here), ErrorKind::InvalidArgument, &["no descriptor"]);
    let (pipe, _writer) = std::io::pipe().unwrap();
    Lease::from(OwnedFd::from(pipe)).send(&there).unwrap();
    refused(Lease::receive(&here).unwrap().attach(), ErrorKind::NotASegment, &["FIFO"]);
    let text = std::fs::File::open("/proc/self/status").unwrap();
    Lease::from(OwnedFd::from(text)).send(&there).unwrap();
    assert_eq!(kind(Lease::receive(&here).unwrap().attach()), ErrorKind::NotASegment);
    drop(there);
    refused(Lease::receive(&here), ErrorKind::NotFound, &["closed"]);
    let array: Array = SharedArray::full(Anonymous, 1, 3).unwrap();
    refused(array.segment().lease().unwrap().send(&here), ErrorKind::System, &["send"]);
}
