# Locks: SegmentLock, SegmentMutex and SegmentRecursiveMutex, and the two faces of SegmentRWLock.

"Reads or writes under a [`SegmentRWLock`](@ref)."
struct Face{writes} <: Base.AbstractLock
    lock::SegmentRWLock
end

"""
    reading(l::SegmentRWLock)
    writing(l::SegmentRWLock)

The lock that is taken to read, together with other readers, or to write, alone: `lock(f, reading(l))`.
"""
reading(l::SegmentRWLock) = Face{false}(l)
writing(l::SegmentRWLock) = Face{true}(l)

const AnyLock = Union{SegmentLock, SegmentMutex, SegmentRecursiveMutex, Face}

"Whether another task of this thread holds the lock where the library, which knows threads only, would say that it is this one's."
@inline others_task(::AnyLock) = false
@inline others_task(l::SegmentRecursiveMutex) = l.depth > 0 && l.thread == Threads.threadid() && l.holder !== current_task()

# The calls of each lock by one name.
for (kind, object, taking, attempting, releasing) in [
    (:SegmentLock, :process_mutex, :lock, :try_lock, :unlock),
    (:SegmentMutex, :mutex, :lock, :try_lock, :unlock),
    (:SegmentRecursiveMutex, :recursive_mutex, :lock, :try_lock, :unlock),
    (:(Face{false}), :rwlock, :read, :try_read, :unlock),
    (:(Face{true}), :rwlock, :write, :try_write, :unlock),
]
    function_(verb) = QuoteNode(Symbol("shm_", object, "_", verb))
    @eval begin
        @inline attempt(l::$kind) = others_task(l) ? DEADLOCK : ccall(($(function_(attempting)), SONAME), Int32, (Id,), handle(l))
        attempt(l::$kind, ns::Int64) = others_task(l) ? DEADLOCK : ccall(($(function_(Symbol(taking, :_timeout_ns))), SONAME), Int32, (Id, Int64), handle(l), ns)
        @inline release_(l::$kind) = ccall(($(function_(releasing)), SONAME), Int32, (Id,), handle(l))
        recover_(l::$kind) = ccall(($(function_(:recover)), SONAME), Int32, (Id,), handle(l))
        repair_(l::$kind, id::Id) = ccall(($(function_(:repair)), SONAME), Int32, (Id,), id)
    end
end

@inline handle(l::Face) = handle(l.lock)
failed(l::Face, status::Int32) = failed(l.lock, status)

# A task that holds a lock of its thread must stay there.

@inline took(::SegmentLock) = nothing
@inline function took(l::SegmentMutex)
    task = current_task()
    l.holder = task
    @static if VERSION >= v"1.7"
        l.bound = task.sticky
        task.sticky = true
    end
    return nothing
end
@inline function took(l::SegmentRecursiveMutex)
    l.depth += 1
    l.depth > 1 && return nothing
    task = current_task()
    l.holder, l.thread = task, Threads.threadid()
    @static if VERSION >= v"1.7"
        l.bound = task.sticky
        task.sticky = true
    end
    return nothing
end
# Several tasks may read; whoever held the lock once stays where it is from then on.
@inline function took(l::Face)
    task = current_task()
    lock(() -> push!(l.lock.holders, task), l.lock.guard)
    @static if VERSION >= v"1.7"
        task.sticky = true
    end
    return nothing
end

"Whether this task may unlock, and what is to be noted about it."
@inline gives(::SegmentLock) = true
@inline function gives(l::SegmentMutex)
    @static if VERSION >= v"1.7"
        task, bound = l.holder, l.bound
        l.holder = nothing
        task isa Task && (task.sticky = bound)
    else
        l.holder = nothing
    end
    return true
end
function gives(l::SegmentRecursiveMutex)
    others_task(l) && return false
    l.holder === current_task() || return true # the library says what is wrong
    l.depth -= 1
    l.depth == 0 || return true
    @static if VERSION >= v"1.7"
        l.holder.sticky = l.bound
    end
    l.holder = nothing
    return true
end
function gives(l::Face)
    task = current_task()
    return lock(l.lock.guard) do
        place = findlast(holder -> holder === task, l.lock.holders)
        place === nothing && return isempty(l.lock.holders)
        deleteat!(l.lock.holders, place)
        return true
    end
end

holds(l::SegmentMutex) = l.holder === current_task()
holds(l::SegmentRecursiveMutex) = l.holder === current_task()
holds(l::Face) = lock(() -> any(holder -> holder === current_task(), l.lock.holders), l.lock.guard)
holds(::SegmentLock) = false

"""
    lock(l; timeout = nothing, recover = nothing)
    lock(f, l; timeout = nothing, recover = nothing)

Takes a lock of this package, waiting for it as long as it takes, or for `timeout` seconds at most (`:timed_out`). The form with a function unlocks at the end.
Ctrl-C ends the wait.

# When the holder has died

If a process died (was killed, crashed) while it held the lock, what the lock guards may be half-written. Exactly one next locker is told:

- With `recover = mend`, a function without arguments, it is called with the lock held, to mend what is guarded, and then `lock` goes on as usual. If it throws,
  the lock is given back as in the other case.
- Without, `lock` throws a `SegmentError` with the status `:owner_died`, *without* the lock, and from then on everybody gets `:poisoned`, so that nobody works with
  what is broken, until [`SharedSegments.repair`](@ref).
"""
@inline function Base.lock(l::AnyLock; timeout = nothing, recover = nothing)
    status = attempt(l)
    if status == OK
        took(l)
    else
        lock_slowly(l, status, deadline_after(timeout), recover)
    end
    return nothing
end

function Base.lock(f, l::AnyLock; timeout = nothing, recover = nothing)
    lock(l; timeout = timeout, recover = recover)
    try
        return f()
    finally
        unlock(l)
    end
end

"""
    trylock(l; timeout = 0, recover = nothing)

Takes a lock of this package if it is free, or becomes free within `timeout` seconds; returns whether it did, `false` too if this
thread holds it already. Death of a holder is as for `lock`.
"""
function Base.trylock(l::AnyLock; timeout = nothing, recover = nothing)
    status = attempt(l)
    status == OK && (took(l); return true)
    try
        lock_slowly(l, status, timeout === nothing ? now_ns() : deadline_after(timeout), recover)
        return true
    catch problem
        problem isa SegmentError && problem.code in (TIMED_OUT, DEADLOCK) && return false
        rethrow()
    end
end

"""
    unlock(l)

Gives a lock of this package up. `:not_held` if it is not held (for those that belong to a thread: by this thread).
"""
@inline function Base.unlock(l::AnyLock)
    gives(l) || throw(SegmentError(NOT_HELD, "cannot unlock $(name_of(l)): another task of this thread holds it"))
    status = release_(l)
    status == OK || failed(l, status)
    return nothing
end

@noinline function lock_slowly(l::AnyLock, status::Int32, deadline::Int64, recover)
    while true
        status == OK && return took(l)
        status == OWNER_DIED && return mend(l, recover)
        if status == DEADLOCK && !holds(l)
            # Another task of this thread has it. It goes on as soon as this one sleeps.
            now_ns() < deadline || throw(SegmentError(TIMED_OUT, "cannot lock $(name_of(l)): another task holds it, and the time is over"))
            sleep(0.001)
            status = attempt(l)
        elseif status == BUSY
            status = in_slices(ns -> attempt(l, ns), deadline)
        else
            failed(l, status)
        end
    end
end

"The lock is held, and its last holder died with it."
function mend(l::AnyLock, recover)
    if recover === nothing
        release_(l)
        throw(SegmentError(OWNER_DIED, "the last holder of the lock $(name_of(l)) died with it, so what it guards may be half-written; nobody gets the lock " *
                                       "until `SharedSegments.repair(mend, lock)` has mended that; or say `lock(lock; recover = mend)` next time"))
    end
    took(l)
    try
        recover()
    catch
        # Unlocked without having been declared sound: poisoned.
        unlock(l)
        rethrow()
    end
    status = recover_(l)
    status == OK || failed(l, status)
    return nothing
end

name_of(l) = l.name
name_of(l::Face) = l.lock.name

"""
    SharedSegments.repair(mend, l)

Takes the lock in whatever state, calls `mend()` to bring what it guards into order, declares it sound for everybody, and gives it back. It is the way back after
`:owner_died` and `:poisoned`. If `mend` throws, the lock stays poisoned. For a [`SegmentRWLock`](@ref) repair `writing(l)`.
"""
function repair(mend, l::AnyLock)
    id = handle(l)
    status = outside(() -> repair_(l, id))
    status == OK || failed(l, status)
    took(l)
    try
        mend()
        status = recover_(l)
        status == OK || failed(l, status)
    finally
        unlock(l)
    end
    return nothing
end
