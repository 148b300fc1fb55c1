# What processes tell each other with: semaphores, events, barriers, conditions, latches.

"Waits for what `attempt(ns)` says, and throws when it fails. `:timed_out` is thrown too."
function wait_for(one::AnyPrimitive, attempt, timeout)
    status = in_slices(attempt, deadline_after(timeout))
    status == OK || failed(one, status)
    return nothing
end

const AnySemaphore = Union{SegmentSemaphore, SegmentBoundedSemaphore}

for (kind, object) in ((:SegmentSemaphore, :semaphore), (:SegmentBoundedSemaphore, :bounded_semaphore))
    function_(verb) = QuoteNode(Symbol("shm_", object, "_", verb))
    @eval begin
        function Base.acquire(s::$kind; timeout = nothing)
            wait_for(s, ns -> ccall(($(function_(:acquire_timeout_ns)), SONAME), Int32, (Id, Int64), handle(s), ns), timeout)
        end

        function Base.release(s::$kind, permits::Integer = 1)
            status = ccall(($(function_(:release)), SONAME), Int32, (Id, UInt32), handle(s), checked("permits", permits))
            status == OK || failed(s, status)
            return nothing
        end

        available(s::$kind) = ask(s, UInt32, place -> ccall(($(function_(:available)), SONAME), Int32, (Id, Ref{UInt32}), handle(s), place))
    end
end

"Calls `call` with a place for a number, and returns what is there then."
function ask(one::AnyPrimitive, type, call)
    place = Ref{type}(0)
    status = call(place)
    status == OK || failed(one, status)
    return Int(place[])
end

function Base.acquire(f, s::AnySemaphore; timeout = nothing)
    Base.acquire(s; timeout = timeout)
    try
        return f()
    finally
        Base.release(s)
    end
end

@doc """
    available(s)

How many permits a semaphore has now.
""" available

"""
    SharedSegments.bound(s::SegmentBoundedSemaphore)

How many permits there are at most.
"""
bound(s::SegmentBoundedSemaphore) =
    ask(s, UInt32, place -> ccall((:shm_bounded_semaphore_bound, SONAME), Int32, (Id, Ref{UInt32}), handle(s), place))

function Base.wait(l::SegmentLatch; timeout = nothing)
    wait_for(l, ns -> ccall((:shm_latch_wait_timeout_ns, SONAME), Int32, (Id, Int64), handle(l), ns), timeout)
end

"""
    countdown(l::SegmentLatch, arrivals = 1)

Counts arrivals; the last one opens the latch. `:overflow` if more arrive than it was made for.
"""
function countdown(l::SegmentLatch, arrivals::Integer = 1)
    status = ccall((:shm_latch_count_down, SONAME), Int32, (Id, UInt32), handle(l), checked("arrivals", arrivals))
    status == OK || failed(l, status)
    return nothing
end

"""
    remaining(l::SegmentLatch)

How many arrivals are missing; 0 when it is open.
"""
remaining(l::SegmentLatch) = ask(l, UInt32, place -> ccall((:shm_latch_remaining, SONAME), Int32, (Id, Ref{UInt32}), handle(l), place))

function Base.wait(e::SegmentEvent; timeout = nothing)
    wait_for(e, ns -> ccall((:shm_event_wait_timeout_ns, SONAME), Int32, (Id, Int64), handle(e), ns), timeout)
end

for (verb, name) in ((:notify, :shm_event_set), (:reset, :shm_event_clear))
    @eval function Base.$verb(e::SegmentEvent)
        status = ccall(($(QuoteNode(name)), SONAME), Int32, (Id,), handle(e))
        status == OK || failed(e, status)
        return nothing
    end
end

"""
    isset(e::SegmentEvent)

Whether the event is set now.
"""
function isset(e::SegmentEvent)
    is_set = Ref{Int32}(0)
    status = ccall((:shm_event_is_set, SONAME), Int32, (Id, Ref{Int32}), handle(e), is_set)
    status == OK || failed(e, status)
    return is_set[] != 0
end

"`shm_arrival_t`."
struct Arrival
    index::UInt32
    is_leader::Int32
end

"How long a Ctrl-C at a barrier may take at most."
const INTERRUPT_CHECK = Int64(250_000_000)

"""
    wait(b::SegmentBarrier; timeout = nothing)

Waits until all parties have arrived; returns `(seat = ..., last = ...)`: a number from 1 on that nobody else has in this round, and whether this was
the last to arrive. `:broken` if a party died or gave up. The thread waits with all its tasks; a timeout and
Ctrl-C only step back.
"""
function Base.wait(b::SegmentBarrier; timeout = nothing)
    arrival = Ref(Arrival(0, 0))
    id, deadline, status = handle(b), deadline_after(timeout), OK
    GC.@preserve arrival begin
        place = Base.unsafe_convert(Ptr{Arrival}, arrival)
        # A signal makes it step back. If it was Ctrl-C, Julia throws its own exception; otherwise it arrives again. A signal that comes just before
        # the thread sleeps is not noticed there, so it looks now and then.
        while true
            now = now_ns()
            until = deadline - now < INTERRUPT_CHECK ? deadline : now + INTERRUPT_CHECK
            status = outside(() -> ccall((:shm_barrier_wait_interruptible_ns, SONAME), Int32, (Id, Int64, Ptr{Arrival}), id, until, place))
            status == INTERRUPTED || status == TIMED_OUT && until != deadline || break
            throw_interrupt()
        end
    end
    status == OK || failed(b, status)
    return (seat = Int(arrival[].index) + 1, last = arrival[].is_leader != 0)
end

"`shm_barrier_state_t`."
struct BarrierState
    parties::UInt32
    arrived::UInt32
    is_broken::Int32
    reserved::UInt32
end

"""
    SharedSegments.state(b::SegmentBarrier)

How the barrier is now: `(parties = ..., arrived = ..., broken = ...)`.
"""
function state(b::SegmentBarrier)
    found = Ref(BarrierState(0, 0, 0, 0))
    status = ccall((:shm_barrier_state, SONAME), Int32, (Id, Ref{BarrierState}), handle(b), found)
    status == OK || failed(b, status)
    return (parties = Int(found[].parties), arrived = Int(found[].arrived), broken = found[].is_broken != 0)
end

for (verb, name) in ((:(Base.reset), :shm_barrier_reset), (:abort, :shm_barrier_abort))
    @eval function $verb(b::SegmentBarrier)
        status = ccall(($(QuoteNode(name)), SONAME), Int32, (Id,), handle(b))
        status == OK || failed(b, status)
        return nothing
    end
end

@doc """
    SharedSegments.abort(b::SegmentBarrier)

Breaks the barrier: whoever waits, and whoever comes, gets `:broken`, until `reset(b)`.
""" abort

function Base.wait(c::SegmentCondition, m::SegmentMutex; timeout = nothing)
    holds(m) || throw(SegmentError(48, "cannot wait: this task does not hold the mutex $(m.name)"))
    attempt(ns) = ccall((:shm_condvar_wait_timeout_ns, SONAME), Int32, (Id, Id, Int64), handle(c), handle(m), ns)
    # The mutex is held between the slices: other tasks would find it so.
    status = in_slices(attempt, deadline_after(timeout), GC.safepoint)
    status == OK || failed(c, status)
    return nothing
end

function Base.notify(c::SegmentCondition; all::Bool = true)
    status = all ? ccall((:shm_condvar_notify_all, SONAME), Int32, (Id,), handle(c)) :
                   ccall((:shm_condvar_notify_one, SONAME), Int32, (Id,), handle(c))
    status == OK || failed(c, status)
    return nothing
end
