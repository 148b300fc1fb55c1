# What is done once, and what is done in order.

"What the function of a `once` needs, and what has come out of it."
mutable struct OnceCall
    work::Any
    result::Any
    thrown::Any
    ran::Bool
end

"Called by the library. Nothing may be thrown through it, so what the function throws is kept for `once`."
function run_once(place::Ptr{Cvoid}, previous_died::Int32)::Int32
    call = unsafe_pointer_to_objref(place)::OnceCall
    call.ran = true
    try
        call.result = call.work(previous_died != 0)
        return Int32(0)
    catch problem
        call.thrown = (problem, catch_backtrace())
        return Int32(1)
    end
end
run_once_unforced(place::Ptr{Cvoid})::Int32 = run_once(place, Int32(0))

"""
    once(f, o::SegmentOnce; force = false, timeout = nothing)

Calls `f()` unless that was done before, in whichever process; waits while somebody else is at it. Returns whether it was this call that did it.

If `f` throws, or its process is killed in the middle, it was not done: everybody is told `:runner_died`, until somebody calls `once(f, o; force = true)`, whose
`f(previous_died)` is called with `true` then, to begin by clearing up.
"""
function once(f, o::SegmentOnce; force::Bool = false, timeout = nothing)
    task, deadline = current_task(), deadline_after(timeout)
    call = OnceCall(nothing, nothing, nothing, false)
    call.work = function (previous_died)
        o.runner = task
        try
            return force ? f(previous_died) : f()
        finally
            o.runner = nothing
        end
    end
    # The function runs inside of a call of the library, which it has to leave in the thread in which it has entered.
    bound = task.sticky
    task.sticky = true
    status = try
        GC.@preserve call begin
            place = pointer_from_objref(call)
            attempt = if force
                work = @cfunction(run_once, Int32, (Ptr{Cvoid}, Int32))
                ns -> ccall((:shm_once_call_force_timeout_ns, SONAME), Int32, (Id, Ptr{Cvoid}, Ptr{Cvoid}, Int64), handle(o), work, place, ns)
            else
                other = @cfunction(run_once_unforced, Int32, (Ptr{Cvoid},))
                ns -> ccall((:shm_once_call_timeout_ns, SONAME), Int32, (Id, Ptr{Cvoid}, Ptr{Cvoid}, Int64), handle(o), other, place, ns)
            end
            found = in_slices(attempt, deadline)
            # Another task of this thread is at it, and goes on when this one sleeps.
            while found == DEADLOCK && o.runner !== task
                now_ns() < deadline || throw(SegmentError(TIMED_OUT, "waited for the once $(o.name): another task is at it, and the time is over"))
                sleep(0.001)
                found = in_slices(attempt, deadline)
            end
            found
        end
    finally
        task.sticky = bound
    end
    call.thrown === nothing || throw(call.thrown[1])
    status == OK || failed(o, status)
    return call.ran
end

"""
    isdone(o::SegmentOnce)

Whether it was done.
"""
isdone(o::SegmentOnce) = ask(o, Int32, place -> ccall((:shm_once_is_completed, SONAME), Int32, (Id, Ref{Int32}), handle(o), place)) != 0

"""
    turn(f, s::SegmentSequencer, n; timeout = nothing, recover = false)

Calls `f()` when it is the turn of number `n`: when all turns before it are over. Turns may be taken by any tasks of any processes, each once.

If the holder of a turn is killed, all who wait are told `:broken`, until somebody takes that turn over, with `recover = true`, or passes over it with
`SharedSegments.skip(s, n)`. The turn belongs to the thread, as a [`SegmentMutex`](@ref) does.
"""
function turn(f, s::SegmentSequencer, n::Integer; timeout = nothing, recover::Bool = false)
    wanted, deadline = number("n", n), deadline_after(timeout)
    attempt(ns) = ccall((:shm_sequencer_turn_timeout_ns, SONAME), Int32, (Id, UInt64, Int64), handle(s), wanted, ns)
    status = recover ? ccall((:shm_sequencer_recover, SONAME), Int32, (Id, UInt64), handle(s), wanted) : in_slices(attempt, deadline)
    # Another task of this thread has a turn, and goes on when this one sleeps.
    while status == DEADLOCK && s.holder !== current_task()
        now_ns() < deadline || throw(SegmentError(TIMED_OUT, "waited for turn $n of $(s.name): another task has a turn, and the time is over"))
        sleep(0.001)
        status = in_slices(attempt, deadline)
    end
    status == OK || failed(s, status)
    task = current_task()
    s.holder = task
    @static if VERSION >= v"1.7"
        s.bound = task.sticky
        task.sticky = true
    end
    try
        return f()
    finally
        s.holder = nothing
        @static if VERSION >= v"1.7"
            task.sticky = s.bound
        end
        status = ccall((:shm_sequencer_end, SONAME), Int32, (Id,), handle(s))
        status == OK || failed(s, status)
    end
end

"""
    SharedSegments.skip(s::SegmentSequencer, n)

Passes over a turn that nobody will take, or whose holder died.
"""
function skip(s::SegmentSequencer, n::Integer)
    status = ccall((:shm_sequencer_skip, SONAME), Int32, (Id, UInt64), handle(s), number("n", n))
    status == OK || failed(s, status)
    return nothing
end

"""
    reset(s::SegmentSequencer, n = 0)

Begins anew, with turn `n`.
"""
function Base.reset(s::SegmentSequencer, n::Integer = 0)
    status = ccall((:shm_sequencer_reset, SONAME), Int32, (Id, UInt64), handle(s), number("n", n))
    status == OK || failed(s, status)
    return nothing
end

"""
    SharedSegments.state(s::SegmentSequencer)

How the turns stand: `(current = ..., broken = ...)`.
"""
function state(s::SegmentSequencer)
    current, broken = Ref{UInt64}(0), Ref{Int32}(0)
    status = ccall((:shm_sequencer_state, SONAME), Int32, (Id, Ref{UInt64}, Ref{Int32}), handle(s), current, broken)
    status == OK || failed(s, status)
    return (current = Int(current[]), broken = broken[] != 0)
end
